"""Engines: how a backbone is run. Eager PyTorch, torch.compile or OpenVINO, behind one small interface."""

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
from featstore.engines.computation import Computation, Features
from featstore.engines.cuda_runner import CudaRunner, cuda_batch
from featstore.engines.devices import describe, find_device
from featstore.engines.openvino_runner import OpenVINORunner, has_openvino, openvino_batch, usual_request
from featstore.engines.parity import check
from featstore.engines.runner import Runner
from featstore.engines.torch_runner import TorchRunner, missing_compiler, torch_batch
from featstore.errors import DeviceError, FeatstoreError, FeaturesError, MissingExtraError, UnknownNameError
from featstore.store.tables.layout import SHARD_ROWS
from featstore.system.machine import is_out_of_memory, usable_cores

ENGINES = ("auto", "eager", "compile", "openvino")
PRECISIONS = ("fp32", "bf16", "fp16")
WORTH_MEASURING = 400
"""Images below which measuring costs more than it brings."""
WORTH_COMPILING = 4000
"""Images below which the minute that torch.compile takes on a CPU does not come back."""


@dataclass(frozen=True)
class Candidate:
    """One way of running a network: its name in the calibration, what builds it, and images to hand over at a time."""

    name: str
    build: Callable[[], Runner]
    batch_size: int


class Engine:
    """A backbone made ready to run. A row's bits depend on its image alone, not on its neighbours in the batch.

    Made by `make_engine`. To be used by one thread; while it waits for the network, other threads run.

    Attributes
    ----------
    batch_size : int
        Images to hand over at a time; smaller after memory ran out. Known after `prepare`.
    nodes : tuple of str
    """

    def __init__(
        self,
        backbone: Backbone,
        candidates: Sequence[Candidate],
        device: str,
        precision: str,
        rows: int | None,
        note: str,
    ) -> None:
        self.nodes = backbone.nodes
        self._backbone = backbone
        self._candidates = list(candidates)
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
        return self._candidates[0].batch_size

    @property
    def provenance(self) -> dict[str, Any]:
        """What ran: engine, device, precision, versions, settings that may change bits. JSON-able.

        `engine_note` says why auto did not take a faster engine. After memory ran out the batch size is the new one.
        """
        runner = self._ready()
        note = {"engine_note": "; ".join(self._notes)} if self._notes else {}
        versions = {name: version(name) for name in ("featstore", "torch", "torchvision", "pillow")}
        return {
            "engine": runner.name,
            "device": describe(self._device),
            "precision": self._precision,
            **versions,
            **runner.facts,
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
        names = [candidate.name for candidate in self._candidates]
        identity = self._identity()
        choice = autotune.remembered(identity, names) if len(names) > 1 else None
        if choice is not None:
            self._candidates.sort(key=lambda candidate: candidate.name != choice)
        usual = self._first_that_works()
        if choice is None and len(self._candidates) > 1 and (self._rows or 0) >= WORTH_MEASURING:
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
        """The first candidate that can be built and computes the network's features; those before it leave a note."""
        while True:
            candidate = self._candidates[0]
            try:
                return self._built(candidate)
            except (DeviceError, MissingExtraError, RuntimeError, MemoryError) as error:
                reason = _reason(candidate.name, error)
                if len(self._candidates) == 1:
                    raise reason from error
                self._notes.append(str(reason))
                kind = candidate.name.partition("/")[0]
                others = [c for c in self._candidates if c.name.partition("/")[0] != kind]
                if not others:
                    raise reason from error
                self._candidates = others

    def _built(self, candidate: Candidate) -> Runner:
        runner = candidate.build()
        runner.prepare()
        check(runner, self._backbone, self._precision)
        return runner

    def _fastest(self, usual: Runner, identity: dict[str, Any]) -> Runner:
        """Measure all candidates and remember the choice."""
        runners = {self._candidates[0].name: usual}
        for candidate in self._candidates[1:]:
            try:
                runners[candidate.name] = self._built(candidate)
            except (DeviceError, MissingExtraError, RuntimeError, MemoryError):
                continue  # a candidate that was not needed and does not work here is out of the race
        rates = autotune.measure(runners, self._backbone.transform.crop)
        choice = autotune.pick(rates, self._candidates[0].name)
        autotune.remember(identity, choice, rates)
        for name, runner in runners.items():
            if name != choice:
                runner.close()
        return runners[choice]

    def _identity(self) -> dict[str, Any]:
        """What the choice depends on."""
        return {
            "device": describe(self._device),
            "cores": usable_cores(),
            "candidates": sorted(candidate.name for candidate in self._candidates),
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
    engine, line = name.partition("/")[0], str(error).partition("\n")[0] or type(error).__name__
    return DeviceError(f'memory does not hold the engine {engine} ({line}); use `engine="eager"` or a smaller network')


def check_request(engine: str, place: str, precision: str) -> None:
    """Refuse what `make_engine` refuses; `place` is as `find_device` gives it."""
    if engine not in ENGINES:
        raise UnknownNameError("engine", engine, ENGINES)
    if precision not in PRECISIONS:
        raise UnknownNameError("precision", precision, PRECISIONS)
    if place == "cpu" and precision == "fp16":
        raise DeviceError('fp16 on a CPU would be emulated, slower than fp32; use `precision="bf16"` or fp32')
    if engine == "openvino" and place != "cpu":
        raise DeviceError(
            f'the engine openvino runs on the CPU, not on {place}; use `device="cpu"`, or `engine="compile"`'
        )
    if engine == "openvino" and not has_openvino():
        raise MissingExtraError("OpenVINO is not installed; run: pip install 'featstore[openvino]'")


def make_engine(
    backbone: Backbone,
    *,
    engine: str = "auto",
    device: str = "auto",
    precision: str = "fp32",
    batch_size: int | None = None,
    threads: int | None = None,
    expected_rows: int | None = None,
) -> Engine:
    """Choose how to run a backbone. Nothing is built before `Engine.prepare`.

    Parameters
    ----------
    engine : {"auto", "eager", "compile", "openvino"}
        "auto": on a CPU, OpenVINO where it is installed, else torch.compile where there is a C++ compiler and the
        images are many, else eager; on CUDA torch.compile for many images, else eager. Where several suit, a short
        measurement decides, once for each machine and network.
    device : {"auto", "cpu", "cuda", "cuda:N", "mps"}
    precision : {"fp32", "bf16", "fp16"}
        fp16 is for GPUs only: on a CPU it would be emulated, slower than fp32.
    batch_size : int, optional
        Images to hand over at a time, of which `SHARD_ROWS` count; default by engine.
    threads : int, optional
        Cores of the CPU to use; default: those that this process may use.
    expected_rows : int, optional
        How many images will come: decides whether measuring and, under auto, compiling pay. Default: few.

    Raises
    ------
    DeviceError
        A device that is not there, or a combination that cannot be run.
    MissingExtraError
        OpenVINO asked for by name and not installed.
    UnknownNameError
        No such engine, device or precision.
    """
    place = find_device(device)
    check_request(engine, place, precision)
    batch_size = None if batch_size is None else min(batch_size, SHARD_ROWS)
    many = (expected_rows or 0) >= WORTH_COMPILING
    note = ""

    def with_torch(compile: bool) -> Candidate:
        def build() -> Runner:
            if place.startswith("cuda"):
                return CudaRunner(backbone, device=place, precision=precision, compile=compile, batch_size=batch_size)
            return TorchRunner(
                backbone, device=place, precision=precision, compile=compile, batch_size=batch_size, threads=threads
            )

        usual = cuda_batch(batch_size) if place.startswith("cuda") else torch_batch(place, batch_size, threads)
        return Candidate("compile" if compile else "eager", build, usual)

    def with_openvino(request: int) -> Candidate:
        return Candidate(
            f"openvino/{request}",
            lambda: OpenVINORunner(
                backbone, precision=precision, request=request, threads=threads, batch_size=batch_size
            ),
            openvino_batch(request, batch_size, threads),
        )

    candidates = []
    if place == "cpu" and engine in ("auto", "openvino") and has_openvino():
        usual = usual_request(backbone)
        candidates = [with_openvino(usual), with_openvino(1 if usual > 1 else 8)]
    elif place == "cpu" and engine == "auto":
        note = "OpenVINO is not installed; pip install 'featstore[openvino]' makes this several times faster"
    compiling = place.startswith("cuda") or (place == "cpu" and not missing_compiler())
    if engine == "compile" or (engine == "auto" and not candidates and many and compiling):
        candidates.append(with_torch(True))
    if engine in ("auto", "eager"):
        candidates.append(with_torch(False))
    return Engine(backbone, candidates, place, precision, expected_rows, note)
