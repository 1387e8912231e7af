"""Engine: a backbone made ready to run, by the first or the fastest of several ways."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import numpy as np
from numpy.typing import NDArray

from featstore.backbone.backbone import Backbone
from featstore.engines import autotune
from featstore.engines.devices import describe
from featstore.engines.openvino_runner import has_openvino
from featstore.engines.parity import check
from featstore.engines.runner import Computation, Features, Runner, first_line
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

    Examples
    --------
    >>> from featstore.engines.factory import make_engine
    >>> engine = make_engine(Backbone("resnet18", "none", input_size=32), engine="eager", device="cpu", threads=1)
    >>> engine.run(np.zeros((3, 32, 32, 3), np.uint8))["avgpool"].shape
    (3, 512)
    >>> engine.close()
    """

    def __init__(
        self,
        backbone: Backbone,
        options: Sequence[EngineOption],
        device: str,
        precision: str,
        rows: int | None,
        note: str,
    ) -> None:
        self.nodes = backbone.nodes
        self._backbone = backbone
        self._options = list(options)
        self._device, self._precision, self._rows = device, precision, rows
        self._notes = [note] if note else []
        self._runner: Runner | None = None

    @property
    def batch_size(self) -> int:
        """Images to hand over at a time."""
        return self._ready().batch_size

    @property
    def usual_batch_size(self) -> int:
        """What `batch_size` will mostly be, before anything is built."""
        return self._options[0].batch_size

    @property
    def provenance(self) -> dict[str, Any]:
        """What ran: engine, device, precision, versions, settings that may change bits. JSON-able.

        `engine_note` says why auto did not take a faster engine, `weights_note` how the weights file was read. After
        memory ran out the batch size is the new one.
        """
        runner = self._ready()
        note = {"engine_note": "; ".join(self._notes)} if self._notes else {}
        if record := self._backbone.weights.record:
            note["weights_note"] = record
        versions = {name: version(name) for name in ("featstore", "torch", "torchvision", "pillow")}
        return {
            "engine": runner.name,
            "device": describe(self._device),
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
        names = [option.name for option in self._options]
        identity = self._identity()
        choice = autotune.load_choice(identity, names) if len(names) > 1 else None
        if choice is not None:
            self._options.sort(key=lambda option: option.name != choice)
        usual = self._first_that_works()
        if choice is None and len(self._options) > 1 and (self._rows or 0) >= MIN_ROWS_TO_MEASURE:
            usual = self._fastest(usual, identity)
        self._runner = usual
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
        side = self._backbone.transform.crop
        if images.ndim != 4 or images.shape[1:] != (side, side, 3) or images.dtype != np.uint8:
            raise FeaturesError(
                f"the engine takes uint8 images of shape (b, {side}, {side}, 3), not {images.dtype} {images.shape}"
            )
        widths = {node: self._backbone.widths[node] for node in self.nodes}
        return Features(widths, Computation(self._ready(), images))

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
        check(runner, self._backbone, self._precision)
        return runner

    def _fastest(self, usual: Runner, identity: dict[str, Any]) -> Runner:
        """Measure all options and save the choice."""
        runners = {self._options[0].name: usual}
        for option in self._options[1:]:
            try:
                runners[option.name] = self._built(option)
            except (DeviceError, MissingExtraError, RuntimeError, MemoryError):
                continue  # an option that was not needed and does not work here is out of the race
        rates = autotune.measure(runners, self._backbone.transform.crop)
        choice = autotune.pick(rates, self._options[0].name)
        autotune.save_choice(identity, choice, rates)
        for name, runner in runners.items():
            if name != choice:
                runner.close()
        return runners[choice]

    def _identity(self) -> dict[str, Any]:
        """What the choice depends on."""
        return {
            "device": describe(self._device),
            "cores": usable_cores(),
            "candidates": sorted(option.name for option in self._options),
            "backbone": self._backbone.name,
            "pools": dict(self._backbone.pools),
            "input_size": self._backbone.transform.crop,
            "precision": self._precision,
            "versions": {name: version(name) for name in ("featstore", "torch")},
            "openvino": version("openvino") if has_openvino() else "",
        }


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
