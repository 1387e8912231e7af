"""Runner: what runs a network inside of an engine; features on their way, and fewer at a time when memory runs out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from featstore.errors import DeviceError
from featstore.system.machine import is_out_of_memory

Outputs = list[NDArray[np.float32]]
"""One (b, d_i) matrix a node."""


class Pending(Protocol):
    """Features on their way."""

    def result(self) -> Outputs:
        """Wait for them."""
        ...


class Runner(Protocol):
    """Runs a network on one device. To be used by one thread.

    Attributes
    ----------
    name : str
        "eager", "compile" or "openvino".
    batch_size : int
        Images that `submit` takes at most.

    Examples
    --------
    >>> from featstore.backbone.backbone import Backbone
    >>> from featstore.engines.torch_runner import TorchRunner
    >>> backbone = Backbone("resnet18", "none", input_size=32)
    >>> runner: Runner = TorchRunner(backbone, device="cpu", precision="fp32", threads=1)
    >>> runner.prepare()
    >>> [output.shape for output in runner.submit(np.zeros((3, 32, 32, 3), np.uint8)).result()]
    [(3, 512)]
    >>> runner.close()
    """

    name: str
    batch_size: int

    @property
    def provenance(self) -> dict[str, Any]:
        """What may change the bits, for the provenance; JSON-able."""
        ...

    def prepare(self) -> None:
        """Convert, compile and warm up. Raises DeviceError where that fails."""
        ...

    def submit(self, images: NDArray[np.uint8]) -> Pending:
        """Start on (b, s, s, 3) images, b <= batch_size. Each row's bits depend on its image alone."""
        ...

    def resize(self, batch_size: int) -> None:
        """Go on with another batch size, giving memory back first."""
        ...

    def close(self, finish: bool = True) -> None:
        """Give threads and memory back, after all that was handed over or, not to `finish`, without what waits."""
        ...


class Computation:
    """Images handed to a runner. Where memory runs out, the batch size is halved for good; no image is lost.

    Parameters
    ----------
    runner : Runner
    images : ndarray of shape (n, s, s, 3), uint8
        Kept until the result is there.

    Attributes
    ----------
    batch_size : int
        Images that were computed at a time, at least; known once the result is there.
    """

    def __init__(self, runner: Runner, images: NDArray[np.uint8]) -> None:
        self.batch_size = runner.batch_size
        self._runner = runner
        self._parts: list[tuple[NDArray[np.uint8], Pending | None]] = []
        start = 0
        while start < len(images):
            chunk = images[start : start + runner.batch_size]
            self._parts.append((chunk, self._submitted(chunk)))
            start += len(chunk)

    def result(self) -> Outputs:
        """Wait for the features: one (n, d_i) matrix a node; an empty list for no images.

        Raises
        ------
        DeviceError
            Not even one image fits in memory, or the engine fails.
        """
        return joined([self._finished(chunk, pending) for chunk, pending in self._parts])

    def _submitted(self, chunk: NDArray[np.uint8]) -> Pending | None:
        """None where there is no memory for one more batch now; `result` will see to it."""
        try:
            return self._runner.submit(chunk)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise _failed(self._runner, error) from error
            return None

    def _finished(self, chunk: NDArray[np.uint8], pending: Pending | None) -> Outputs:
        if pending is not None:
            try:
                return pending.result()
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise _failed(self._runner, error) from error
        # outside of the handler: an exception's frames hold on to the tensors that are in the way
        outputs = run_with_halving(self._runner, chunk)
        self.batch_size = min(self.batch_size, self._runner.batch_size)
        return outputs


class Features:
    """A computation's results by node.

    Parameters
    ----------
    widths : mapping of str to int
        Numbers an image, by node.
    """

    def __init__(self, widths: Mapping[str, int], computation: Computation) -> None:
        self._widths = widths
        self._computation = computation

    @property
    def batch_size(self) -> int:
        """Images that were computed at a time, once the result is there."""
        return self._computation.batch_size

    def result(self) -> dict[str, NDArray[np.float32]]:
        """Wait for them: (n, d) float32 by node."""
        done = self._computation.result()
        if not done:
            return {node: np.empty((0, width), dtype=np.float32) for node, width in self._widths.items()}
        return dict(zip(self._widths, done, strict=True))


def run_with_halving(runner: Runner, images: NDArray[np.uint8]) -> Outputs:
    """Run images one batch after the other; where memory runs out, go on with half the batch size.

    Raises
    ------
    DeviceError
        Not even one image fits in memory.
    """
    done: list[Outputs] = []
    start = 0
    while start < len(images):
        chunk = images[start : start + runner.batch_size]
        full = ""
        try:
            done.append(runner.submit(chunk).result())
            start += len(chunk)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise _failed(runner, error) from error
            full = first_line(error)
        if full and runner.batch_size == 1:
            raise DeviceError(
                f'memory does not hold the network and one image ({full}); use `device="cpu"` or a smaller one'
            )
        if full:
            runner.resize(runner.batch_size // 2)
    return joined(done)


def _failed(runner: Runner, error: Exception) -> DeviceError:
    """What to raise where a network that was computed before is not any more."""
    reason = first_line(error)
    return DeviceError(f"the engine {runner.name} failed while it computed ({reason}); use another one with `engine`")


def first_line(error: Exception) -> str:
    """The first line of an error's message, or the error's kind where it has none."""
    return str(error).partition("\n")[0] or type(error).__name__


def joined(parts: list[Outputs]) -> Outputs:
    """Batches of outputs as one."""
    if len(parts) == 1:
        return parts[0]
    return [np.concatenate(outputs) for outputs in zip(*parts, strict=True)]
