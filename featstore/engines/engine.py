"""Engine: a backbone made ready to run, by the first or the fastest of several ways."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version
from typing import Any

import numpy as np
from numpy.typing import NDArray

from featstore.engines import autotune
from featstore.engines.deferred_backbone import DeferredBackbone
from featstore.engines.devices import describe
from featstore.engines.openvino_runner import OpenVINORunner, has_openvino, openvino_batch
from featstore.engines.parity import check, check_images
from featstore.engines.prepared import PreparedEngine, PreparedPlace
from featstore.engines.runner import Computation, Features, Runner, first_line, run_with_halving
from featstore.errors import DeviceError, FeatstoreError, FeaturesError, MissingExtraError
from featstore.system.machine import is_out_of_memory, usable_cores

MIN_ROWS_TO_MEASURE = 400
"""Images below which measuring costs more than it brings."""


@dataclass(frozen=True)
class EngineOption:
    """One way of running a network: its name, what builds it, and images to hand over at a time."""

    name: str
    build: Callable[[], Runner]
    batch_size: int


class Engine:
    """A backbone made ready to run. A row's bits depend on its image alone, not on its neighbours in the batch.

    Made by `featstore.engines.factory.make_engine`. To be used by one thread; while it waits for the network, other
    threads run.

    Attributes
    ----------
    batch_size : int
        Images to hand over at a time; smaller after memory ran out. Known after `prepare`.
    nodes : tuple of str
    start : str
        How it started, for people who ask: with what an earlier start prepared, without it and why, or "" where nothing
        is ever kept. Known after `prepare`.

    Examples
    --------
    >>> from featstore.backbone.backbone import Backbone
    >>> from featstore.engines.factory import make_engine
    >>> engine = make_engine(Backbone("resnet18", "none", input_size=32), engine="eager", device="cpu", threads=1)
    >>> engine.run(np.zeros((3, 32, 32, 3), np.uint8))["avgpool"].shape
    (3, 512)
    >>> engine.close()
    """

    def __init__(
        self,
        network: DeferredBackbone,
        options: Callable[[], list[EngineOption]],
        device: str,
        precision: str,
        *,
        rows: int | None,
        note: str,
        threads: int | None = None,
        batch_size: int | None = None,
        place: PreparedPlace | None = None,
    ) -> None:
        self.nodes = network.nodes
        self._network = network
        self._list_options = options
        self._device, self._precision, self._rows = device, precision, rows
        self._threads, self._batch_size = threads, batch_size
        self._notes = [note] if note else []
        self._runner: Runner | None = None
        self._place = place
        self._described = ""
        self._prepared, self.start = (None, "") if place is None else place.load()
        if self._prepared is not None and not self._prepared.measured and self._many:
            self._prepared, self.start = None, "what an earlier start prepared was never measured beside other engines"

    @property
    def batch_size(self) -> int:
        """Images to hand over at a time."""
        return self._ready().batch_size

    @property
    def usual_batch_size(self) -> int:
        """What `batch_size` will mostly be, before anything is built."""
        if self._runner is not None:
            return self._runner.batch_size
        if self._prepared is not None:
            return openvino_batch(self._prepared.model.request, self._batch_size, self._threads)
        return self._options[0].batch_size

    @property
    def provenance(self) -> dict[str, Any]:
        """What ran: engine, device, precision, versions, settings that may change bits. JSON-able.

        `engine_note` says why auto did not take a faster engine, `weights_note` how the weights file was read. After
        memory ran out the batch size is the new one.
        """
        runner = self._ready()
        note = {"engine_note": "; ".join(self._notes)} if self._notes else {}
        if record := self._network.specs.weights_record:
            note["weights_note"] = record
        versions = {name: version(name) for name in ("featstore", "torch", "torchvision", "pillow")}
        return {
            "engine": runner.name,
            "device": self._described,
            "precision": self._precision,
            **versions,
            **runner.provenance,
            **note,
        }

    def prepare(self) -> float:
        """Choose, build, compile and check; once.

        Returns
        -------
        float
            Seconds it took.

        Raises
        ------
        DeviceError
            The engine asked for cannot run here, or its features are not those of the network.
        """
        if self._runner is not None:
            return 0.0
        began = time.perf_counter()
        self._runner = self._warm_runner() or self._cold_runner()
        return time.perf_counter() - began

    def submit(self, images: NDArray[np.uint8]) -> Features:
        """Start on images and return while the network works, where the engine can.

        Parameters
        ----------
        images : ndarray of shape (b, s, s, 3), uint8
            Any b. Read before this returns, or kept alive until the result is there.

        Raises
        ------
        FeaturesError
            Images of another shape or dtype.
        DeviceError
            Not even one image fits in memory.
        """
        side = self._network.transform.crop
        if images.ndim != 4 or images.shape[1:] != (side, side, 3) or images.dtype != np.uint8:
            raise FeaturesError(
                f"the engine takes uint8 images of shape (b, {side}, {side}, 3), not {images.dtype} {images.shape}"
            )
        return Features(self._network.widths, Computation(self._ready(), images))

    def run(self, images: NDArray[np.uint8]) -> dict[str, NDArray[np.float32]]:
        """Features of images.

        Parameters
        ----------
        images : ndarray of shape (b, s, s, 3), uint8
            As `Backbone.transform` makes them; any b.

        Returns
        -------
        dict of str to ndarray of shape (b, d), float32
            By node.
        """
        return self.submit(images).result()

    def close(self, finish: bool = True) -> None:
        """Give threads and memory back; not to `finish` what was submitted drops what waits for the network."""
        if self._runner is not None:
            self._runner.close(finish)

    def _ready(self) -> Runner:
        if self._runner is None:
            self.prepare()
        assert self._runner is not None
        return self._runner

    @cached_property
    def _options(self) -> list[EngineOption]:
        return self._list_options()

    @property
    def _many(self) -> bool:
        """Whether so many images will come that measuring pays."""
        return (self._rows or 0) >= MIN_ROWS_TO_MEASURE

    def _warm_runner(self) -> Runner | None:
        """What an earlier start prepared, running and giving the bits that it gave then; None where there is none."""
        if self._prepared is None or self._place is None:
            return None
        kept, self._prepared = self._prepared, None
        try:
            runner = OpenVINORunner(
                kept.model, precision=self._precision, request=kept.model.request, threads=self._threads,
                batch_size=self._batch_size,
            )  # fmt: skip
            runner.prepare()
            row = _check_row(runner, self._network.transform.crop)
        except (MissingExtraError, MemoryError) as error:  # which says nothing of what is kept
            self.start = f"what an earlier start prepared is not used: {first_line(error)}"
            return None
        except (DeviceError, RuntimeError) as error:
            self.start = self._place.drop(first_line(error))
            return None
        if not np.array_equal(row, kept.check):
            runner.close()
            self.start = self._place.drop("it gives other numbers than when it was made")
            return None
        runner.model = None  # as large as the network
        self._described = kept.device
        self.start = f"started with what an earlier start prepared in {self._place.path}"
        return runner

    def _cold_runner(self) -> Runner:
        """Choose, build and check; keep what was prepared for the next start."""
        self._described = describe(self._device)
        names = [option.name for option in self._options]
        identity = self._identity()
        choice = autotune.load_choice(identity, names) if len(names) > 1 else None
        if choice is not None:
            self._options.sort(key=lambda option: option.name != choice)
        usual = self._first_that_works()
        measured = choice is not None or len(self._options) == 1
        if not measured and self._many:
            usual, measured = self._fastest(usual, identity), True
        if self._place is not None and isinstance(usual, OpenVINORunner) and usual.model is not None:
            row = _check_row(usual, self._network.transform.crop)
            unkept = self._place.save(PreparedEngine(usual.model, self._described, measured, row))
            said = (
                f"not kept for the next start: {unkept}" if unkept else f"kept for the next start in {self._place.path}"
            )
            self.start = f"{self.start}; {said}" if self.start else said
            usual.model = None  # as large as the network
        elif self._place is not None and measured and len(names) > 1 and not isinstance(usual, OpenVINORunner):
            self._forget(self._place, usual.name)
        return usual

    def _forget(self, place: PreparedPlace, faster: str) -> None:
        """Drop what was kept before anything was measured, so that the next start chooses as this one."""
        if place.path.exists():
            self.start = place.drop(f"{faster} was measured to be faster")

    def _first_that_works(self) -> Runner:
        """The first option that can be built and computes the network's features; those before it leave a note."""
        while True:
            option = self._options[0]
            try:
                return self._built(option)
            except (DeviceError, MissingExtraError, RuntimeError, MemoryError) as error:
                reason = _reason(option.name, error)
                if len(self._options) == 1:
                    raise reason from error
                self._notes.append(str(reason))
                kind = option.name.partition("/")[0]
                others = [c for c in self._options if c.name.partition("/")[0] != kind]
                if not others:
                    raise reason from error
                self._options = others

    def _built(self, option: EngineOption) -> Runner:
        runner = option.build()
        runner.prepare()
        check(runner, self._network.backbone, self._precision)
        return runner

    def _fastest(self, usual: Runner, identity: dict[str, Any]) -> Runner:
        """Measure all options and save the choice."""
        runners = {self._options[0].name: usual}
        for option in self._options[1:]:
            try:
                runners[option.name] = self._built(option)
            except (DeviceError, MissingExtraError, RuntimeError, MemoryError):
                continue  # an option that was not needed and does not work here is out of the race
        rates = autotune.measure(runners, self._network.transform.crop)
        choice = autotune.pick(rates, self._options[0].name)
        autotune.save_choice(identity, choice, rates)
        for name, runner in runners.items():
            if name != choice:
                runner.close()
        return runners[choice]

    def _identity(self) -> dict[str, Any]:
        """What the choice depends on."""
        backbone = self._network.backbone
        return {
            "device": self._described,
            "cores": usable_cores(),
            "candidates": sorted(option.name for option in self._options),
            "backbone": backbone.name,
            "pools": dict(backbone.pools),
            "input_size": backbone.transform.crop,
            "precision": self._precision,
            "versions": {name: version(name) for name in ("featstore", "torch")},
            "openvino": version("openvino") if has_openvino() else "",
        }


def _check_row(runner: Runner, side: int) -> NDArray[np.float32]:
    """What a runner makes of the first check image, all nodes in a row."""
    return np.concatenate([output[0] for output in run_with_halving(runner, check_images(side)[:1])])


def _reason(name: str, error: Exception) -> FeatstoreError:
    """Why an engine cannot be built, as a sentence; what is no lack of memory nor foreseen is raised as it is."""
    if isinstance(error, FeatstoreError):
        return error
    if not is_out_of_memory(error):
        raise error
    engine, reason = name.partition("/")[0], first_line(error)
    return DeviceError(
        f'memory does not hold the engine {engine} ({reason}); use `engine="eager"` or a smaller network'
    )
