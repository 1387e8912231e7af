"""The eager and compile engines on the CPU and on MPS."""

from __future__ import annotations

import os
import shutil
import sys
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from featstore.backbone.backbone import Backbone
from featstore.backbone.trunk import PixelTrunk
from featstore.engines.low_precision import inference_module, precision_provenance
from featstore.engines.request_pool import RequestedBatch, RequestPool
from featstore.engines.runner import Outputs
from featstore.errors import DeviceError
from featstore.system.machine import is_out_of_memory, usable_cores

REQUEST = 4
"""Images a thread computes at once: more gains nothing on a core and takes memory in every thread."""
MPS_BATCH = 64


def missing_compiler() -> str:
    """Name of the C++ compiler that torch.compile would call and that is not there; "" where it is."""
    compiler = os.environ.get("CXX") or ("clang++" if sys.platform == "darwin" else "g++")
    return "" if shutil.which(compiler) else compiler


def compiled(module: PixelTrunk, device: str) -> Any:
    """The module through torch.compile, for one shape; with frozen weights on the CPU.

    Raises
    ------
    DeviceError
        No C++ compiler.
    """
    if device == "cpu" and (compiler := missing_compiler()):
        raise DeviceError(
            f"the engine compile needs a C++ compiler, and {compiler} is not installed; install one, set CXX, or use "
            '`engine="eager"` or openvino'
        )
    return torch.compile(module, dynamic=False, options={"freezing": True} if device == "cpu" else None)


def compile_failure(error: Exception) -> DeviceError:
    """The one sentence for the compiler's many failures, which have no common base."""
    reason = f"{type(error).__name__}: {str(error).partition(chr(10))[0][:200]}"
    return DeviceError(f'torch.compile failed on this machine ({reason}); use `engine="eager"`')


def torch_batch(device: str, batch_size: int | None, threads: int | None) -> int:
    """Images to hand over at a time: as asked for, or enough to keep every thread busy."""
    return batch_size or (max(32, 4 * REQUEST * _threads(threads)) if device == "cpu" else MPS_BATCH)


def _threads(asked: int | None) -> int:
    return asked or min(torch.get_num_threads(), usable_cores())


class TorchRunner:
    """PyTorch, channels-last, with batch norms folded; on the CPU one thread a core, each with images of its own.

    Every request is padded with zeros to the same shape.

    Parameters
    ----------
    backbone : Backbone
    device : {"cpu", "mps"}
    precision : {"fp32", "bf16", "fp16"}
    compile : bool
        Through torch.compile.
    batch_size : int, optional
        Images to hand over at a time; default: enough to keep every thread busy.
    threads : int, optional
        Default: torch's own number, but no more than the usable cores.
    """

    def __init__(
        self,
        backbone: Backbone,
        *,
        device: str,
        precision: str,
        compile: bool = False,
        batch_size: int | None = None,
        threads: int | None = None,
    ) -> None:
        self.name = "compile" if compile else "eager"
        self._backbone = backbone
        self._device = torch.device(device)
        self._precision = precision
        self._threads = _threads(threads) if device == "cpu" else 1
        self.batch_size = torch_batch(device, batch_size, threads)
        self._pool: RequestPool | None = None

    @property
    def provenance(self) -> dict[str, Any]:
        """What may change the bits."""
        return {"request": self._request} | precision_provenance(self._backbone, self._precision)

    @property
    def _request(self) -> int:
        return min(REQUEST, self.batch_size) if self._device.type == "cpu" else self.batch_size

    def prepare(self) -> None:
        """Copy the network, compile it, start the threads and run one request.

        Raises
        ------
        DeviceError
            No compiler, or one that fails.
        """
        module: Any = inference_module(self._backbone, self._precision, self._device)
        self._module = compiled(module, self._device.type) if self.name == "compile" else module
        self._start()
        side = self._backbone.transform.crop
        try:
            self.submit(np.zeros((1, side, side, 3), dtype=np.uint8)).result()
        except Exception as error:
            self.close()
            if self.name != "compile" or is_out_of_memory(error):
                raise
            raise compile_failure(error) from error

    def submit(self, images: NDArray[np.uint8]) -> RequestedBatch:
        """Hand a batch to the threads and return."""
        assert self._pool is not None
        return self._pool.submit(images)

    def resize(self, batch_size: int) -> None:
        """Go on with smaller batches, after what was handed over."""
        self.close()
        self.batch_size = batch_size
        self._start()

    def close(self, finish: bool = True) -> None:
        """End the threads, after all that was handed over or, not to `finish`, what is being computed."""
        if self._pool is not None:
            self._pool.close(finish)

    def _start(self) -> None:
        """Start threads that use one core each, and leave torch's setting for all others as it was."""
        side = self._backbone.transform.crop
        shape = (self._request, side, side, 3)
        widths = [self._backbone.widths[node] for node in self._backbone.nodes]
        workers = [self._worker(torch.zeros(shape, dtype=torch.uint8)) for _ in range(self._threads)]
        before = torch.get_num_threads()

        def begin() -> None:
            if self._device.type == "cpu":
                torch.set_num_threads(1)
                torch.get_num_threads()  # makes the number stick to this thread

        self._pool = RequestPool(workers, self._request, widths, begin)
        torch.set_num_threads(before)

    def _worker(self, pixels: torch.Tensor) -> Any:
        def compute(images: NDArray[np.uint8], outputs: Outputs) -> None:
            buffer = pixels.numpy()
            buffer[: len(images)] = images
            buffer[len(images) :] = 0
            with torch.inference_mode():
                found = self._module(pixels.to(self._device))
            for output, rows in zip(outputs, found, strict=True):
                output[:] = rows[: len(output)].cpu().numpy()

        return compute
