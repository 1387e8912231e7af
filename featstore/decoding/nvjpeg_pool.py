"""NvjpegPool: a DecodePool whose JPEG files are decoded on a CUDA device, all other images by Pillow.

A decode rule of its own (`TransformSpec.nvjpeg`): what a plain JPEG file is, is decided from its bytes alone
(`featstore.decoding.pixels.jpeg_header`), and what nvJPEG refuses is decoded by Pillow as without the rule. An image that it
crashes on, or has no memory for, fails. So the pixels of an image depend on neither its neighbours nor the state of the
machine.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from types import TracebackType
from typing import Any, Self

import numpy as np

from featstore.decoding.pixels.transform import TransformSpec
from featstore.decoding.pool import DecodePool
from featstore.decoding.scheduler import Batch, Items
from featstore.decoding.worker import DEFERRED
from featstore.system.machine import usable_cores

MAX_PROCESSES = 4
CORES_PER_PROCESS = 4
"""Processes beside a device: one alone cannot feed it, for Python hands files on at some 5,000 a second."""


def open_pool(spec: TransformSpec, device: str, **options: Any) -> DecodePool | NvjpegPool:
    """The pool that a transform asks for.

    Parameters
    ----------
    spec : TransformSpec
    device : str
        Where the network runs, as `find_device` gives it.
    options
        Of `DecodePool`.

    Raises
    ------
    DeviceError
        The transform asks for nvJPEG, and the device has none that works.

    Examples
    --------
    >>> with open_pool(TransformSpec(resize=32, crop=32), "cpu", workers=0) as pool:
    ...     type(pool).__name__
    'DecodePool'
    """
    if not spec.nvjpeg:
        return DecodePool(spec, **options)
    from featstore.decoding.nvjpeg_decoder import check_nvjpeg, require_cuda

    require_cuda(device)
    pool = NvjpegPool(spec, device, **options)
    try:
        pool.start()  # its processes load meanwhile
        check_nvjpeg(device)
    except BaseException:
        pool.close()
        raise
    return pool


class NvjpegPool:
    """As `DecodePool`, with the same interface and promises.

    Parameters
    ----------
    spec : TransformSpec
    device : str
        "cuda:N"; "cpu" runs the same code with libjpeg, for tests.
    workers : int, optional
        Processes for images that are not for the device; 0 decodes them in this one. Default: one a core.
    options
        Of `DecodePool`.

    Attributes
    ----------
    workers : int
    """

    def __init__(self, spec: TransformSpec, device: str, *, workers: int | None = None, **options: Any) -> None:
        processes = min(MAX_PROCESSES, -(-usable_cores() // CORES_PER_PROCESS))
        self._device = DecodePool(spec, workers=processes, device=device, **options)
        self._rest = DecodePool(dataclasses.replace(spec, nvjpeg=False), workers=workers, **options)
        self.workers = self._rest.workers

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def replaced(self) -> int:
        """How many processes had to be replaced since `start`."""
        return self._device.replaced + self._rest.replaced

    def start(self) -> None:
        """Start the device's processes; the others start when the first image is for them."""
        self._device.start()

    def wait(self) -> None:
        """Wait until the first process is ready to work on the run that was begun."""
        self._device.wait()

    def close(self) -> None:
        """End the processes. Batches that were handed out stay valid."""
        self._device.close()
        self._rest.close()

    def run(self, items: Items, batch_size: int | None = None) -> Iterator[Batch]:
        """Decode items, batch by batch in their order; see `DecodePool.run`."""
        return self._completed(items, self._device.run(items, batch_size))

    def _completed(self, items: Items, batches: Iterator[Batch]) -> Iterator[Batch]:
        for batch in batches:
            left = np.flatnonzero(batch.status == DEFERRED)
            if not left.size:
                yield batch
                continue
            texts = list(batch.texts)
            for part in self._rest.run([items[batch.start + int(row)] for row in left]):
                rows = left[part.start : part.start + len(part.status)]
                batch.images[rows] = part.images
                batch.status[rows] = part.status
                for row, text in zip(rows, part.texts, strict=True):
                    texts[row] = text
            yield Batch.of(batch.start, batch.images, batch.status, texts)
