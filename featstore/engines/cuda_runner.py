"""The eager and compile engines on CUDA: copies and computing overlap."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from featstore.backbone.backbone import Backbone
from featstore.engines.low_precision import inference_module, precision_provenance
from featstore.engines.runner import Outputs
from featstore.engines.torch_runner import compile_failure, compiled
from featstore.system.machine import is_out_of_memory

BATCH = 256
_DEPTH = 2
"""Batches under way at once: one is copied while the other is computed."""


def cuda_batch(batch_size: int | None) -> int:
    """Images to hand over at a time: as asked for, or `BATCH`."""
    return batch_size or BATCH


class CudaRunner:
    """PyTorch on a CUDA device, channels-last, with batch norms folded. Batches are padded with zeros to one shape.

    Pixels travel as uint8 through pinned memory on a stream of their own, features come back pooled.

    Parameters
    ----------
    backbone : Backbone
    device : str
        "cuda" or "cuda:N". On "cpu" the same code runs without overlap, for tests.
    precision : {"fp32", "bf16", "fp16"}
    compile : bool
        Through torch.compile.
    batch_size : int, optional
    """

    def __init__(
        self, backbone: Backbone, *, device: str, precision: str, compile: bool = False, batch_size: int | None = None
    ) -> None:
        self.name = "compile" if compile else "eager"
        self.batch_size = cuda_batch(batch_size)
        self._backbone = backbone
        self._device = torch.device(device)
        self._precision = precision
        self._cuda = self._device.type == "cuda"
        # torch.cpu has the stream interface of torch.cuda; there it does nothing
        self._api: Any = torch.cuda if self._cuda else torch.cpu
        self._slots: list[_Slot] = []
        self._turn = 0

    @property
    def provenance(self) -> dict[str, Any]:
        """What may change the bits."""
        cuda = {"cuda": str(torch.version.cuda)} if self._cuda else {}
        return {"batch_size": self.batch_size} | cuda | precision_provenance(self._backbone, self._precision)

    def prepare(self) -> None:
        """Copy the network to the device, compile it, and run one batch.

        Raises
        ------
        DeviceError
            The compiler fails.
        """
        module = inference_module(self._backbone, self._precision, self._device)
        self._module = compiled(module, self._device.type) if self.name == "compile" else module
        side = self._backbone.transform.crop
        self._shape = (side, side, 3)
        with self._on_device():
            self._copying, self._computing = self._api.Stream(), self._api.Stream()
        try:
            self.submit(np.zeros((1, *self._shape), dtype=np.uint8)).result()
        except Exception as error:
            if self.name != "compile" or is_out_of_memory(error):
                raise
            raise compile_failure(error) from error

    def submit(self, images: NDArray[np.uint8]) -> _Batch:
        """Copy a batch and start on it; returns while the device works."""
        slot = self._free_slot()
        buffer = slot.pixels.numpy()
        buffer[: len(images)] = images
        buffer[len(images) :] = 0
        with self._on_device():
            with self._api.stream(self._copying):
                pixels = slot.pixels.to(self._device, non_blocking=True)
            self._computing.wait_stream(self._copying)
            with self._api.stream(self._computing), torch.inference_mode(), self._arithmetic():
                outputs = [self._to_host(output) for output in self._module(pixels)]
                if self._cuda:
                    pixels.record_stream(self._computing)
                done = self._api.Event()
                done.record(self._computing)
        slot.batch = _Batch(len(images), outputs, done)
        return slot.batch

    def resize(self, batch_size: int) -> None:
        """Finish what is under way, then go on with another shape; cached memory is given back."""
        self.close()
        self.batch_size = batch_size

    def close(self, finish: bool = True) -> None:
        """Finish what is under way and give cached memory back."""
        for slot in self._slots:
            slot.settle()
        self._slots = []
        if self._cuda:
            torch.cuda.empty_cache()

    def _free_slot(self) -> _Slot:
        """The next staging buffer, once the device has read it."""
        if len(self._slots) < _DEPTH:
            pixels = torch.zeros((self.batch_size, *self._shape), dtype=torch.uint8, pin_memory=self._cuda)
            self._slots.append(_Slot(pixels))
            return self._slots[-1]
        self._turn = (self._turn + 1) % _DEPTH
        self._slots[self._turn].settle()
        return self._slots[self._turn]

    def _on_device(self) -> AbstractContextManager[Any]:
        return torch.cuda.device(self._device) if self._cuda else nullcontext()

    def _arithmetic(self) -> AbstractContextManager[Any]:
        """fp32 means fp32: cuDNN would otherwise round to TF32, and choose its algorithm by a race."""
        if not self._cuda:
            return nullcontext()
        flags: AbstractContextManager[Any] = torch.backends.cudnn.flags(
            enabled=True, benchmark=False, deterministic=True, allow_tf32=False
        )
        return flags

    def _to_host(self, output: Tensor) -> Tensor:
        host = torch.empty(output.shape, dtype=output.dtype, pin_memory=self._cuda)
        return host.copy_(output, non_blocking=True)


@dataclass
class _Batch:
    """A batch on its way: its rows are valid once the event has happened."""

    count: int
    host: list[Tensor]
    done: Any

    def result(self) -> Outputs:
        """Wait, and leave the padding out."""
        self.done.synchronize()
        return [output[: self.count].numpy() for output in self.host]


@dataclass
class _Slot:
    """A staging buffer and the batch that was last copied from it."""

    pixels: Tensor
    batch: _Batch | None = None

    def settle(self) -> None:
        """Wait until the device has read the buffer."""
        if self.batch is not None:
            self.batch.done.synchronize()
            self.batch = None
