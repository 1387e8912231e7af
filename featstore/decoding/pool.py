"""DecodePool: image files -> batches of network input, in order, whatever happens to the processes that decode."""

from __future__ import annotations

import math
import os
import weakref
from collections.abc import Iterator
from types import TracebackType
from typing import Self

import numpy as np

from featstore.decoding.pixels.transform import TransformSpec
from featstore.decoding.relayed_items import RelayedItems, relayed
from featstore.decoding.scheduler import Batch, Items, Scheduler
from featstore.decoding.shared_memory import SharedBuffers
from featstore.decoding.supervisor import Supervisor
from featstore.decoding.worker import MEMORY, OK, TRANSIENT, decode_file, decoder_from
from featstore.system.machine import usable_cores

AT_FIRST = 0.5
"""Share of the processes that start at once: to start takes as long as to decode a hundred photographs, and where the
network is slower than half of them the others are not needed."""


class DecodePool:
    """Decodes and transforms images in processes of their own.

    The pixels are the same whatever the number of workers. An image whose decoding crashes, takes too long or too much
    memory is tried once more, alone in a fresh process, before it is given up; its neighbours lose nothing. Work in
    progress is bounded: where batches are not taken, decoding pauses. On systems without POSIX processes (Windows)
    everything is decoded in this process, as with `workers=0`; there, time and memory are not limited.

    Not to be shared between threads. Close it, or use it in a `with` block.

    Parameters
    ----------
    spec : TransformSpec
    workers : int, optional
        Processes, at most: half of them start, the others where the caller has to wait for batches. 0 decodes in this
        one. Default: `usable_cores()`.
    batch_size : int
        Images a batch; the last one may be shorter.
    seconds_per_image : float
        Wall-clock time that reading and decoding one image may take.
    bytes_per_image : int
        Address space that one image may take in its process, and the largest file that is read.
    decoder : str
        "module:function" of what turns bytes into a `Picture`, see `featstore.decoding.worker.Decoder`.
    device : str, optional
        The processes decode JPEG files on this device and defer all other images, for `NvjpegPool`.

    Attributes
    ----------
    workers : int
        Processes in use, at most.
    replaced : int
        How many processes had to be replaced so far.

    Raises
    ------
    ValueError
        Where a number is out of range.

    Examples
    --------
    >>> import hashlib, tempfile
    >>> from pathlib import Path
    >>> from PIL import Image
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = Path(folder, "red.png")
    ...     Image.new("RGB", (40, 30), "red").save(file)
    ...     item = bytes(file), hashlib.sha256(file.read_bytes()).digest()
    ...     with DecodePool(TransformSpec(resize=32, crop=32), workers=0) as pool:
    ...         (batch,) = pool.run([item])
    >>> batch.images.shape, batch.images[0, 0, 0].tolist()
    ((1, 32, 32, 3), [255, 0, 0])
    """

    def __init__(
        self,
        spec: TransformSpec,
        *,
        workers: int | None = None,
        batch_size: int = 32,
        seconds_per_image: float = 30.0,
        bytes_per_image: int = 2 << 30,
        decoder: str = "featstore.decoding.pixels.decode:decode_picture",
        device: str | None = None,
    ) -> None:
        wanted = usable_cores() if workers is None else workers
        if wanted < 0 or batch_size < 1 or not 0 < seconds_per_image < math.inf or bytes_per_image < 1:
            raise ValueError(
                f"workers {wanted} must be at least 0; batch_size {batch_size}, seconds_per_image {seconds_per_image} "
                f"and bytes_per_image {bytes_per_image} above 0 and finite"
            )
        self.workers = wanted if os.name == "posix" else 0
        self._spec = spec
        self._batch_size = batch_size
        self._seconds = seconds_per_image
        self._bytes = bytes_per_image
        self._decoder = decoder
        self._device = device
        self._shape = (spec.crop, spec.crop, 3)
        self._memory: SharedBuffers | None = None
        self._supervisor: Supervisor | None = None
        self._running: Scheduler | None = None

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
        return self._supervisor.replaced if self._supervisor is not None else 0

    def start(self) -> None:
        """Start the processes, so that they do their imports while the caller prepares; `run` does it where need be.

        Raises
        ------
        FeatstoreError
            Where processes cannot be started.
        """
        if not self.workers or self._supervisor is not None:
            return
        settings = {
            "spec": self._spec.to_json(),
            "decoder": self._decoder,
            "seconds_per_image": self._seconds,
            "bytes_per_image": self._bytes,
            **({} if self._device is None else {"device": self._device}),
        }
        self._memory = SharedBuffers(self._slot)
        at_first = self.workers if self._device is not None else math.ceil(self.workers * AT_FIRST)
        self._supervisor = Supervisor(settings, self._memory.fd, self.workers, at_first)
        weakref.finalize(self, Supervisor.end, self._supervisor)

    def close(self) -> None:
        """End the processes. Batches that were handed out stay valid."""
        if self._supervisor is not None:
            self._supervisor.end()
        if self._memory is not None:
            self._memory.close()
        self._supervisor = self._memory = self._running = None

    def run(self, items: Items, batch_size: int | None = None) -> Iterator[Batch]:
        """Decode items, batch by batch in their order. The processes begin before the first batch is asked for.

        Parameters
        ----------
        items : sequence of (path, digest)
            Absolute path or address and SHA-256 (32 bytes) of each image file.
        batch_size : int, optional
            From now on; for a caller that did not know it when the processes were to be started.

        Raises
        ------
        FeatstoreError
            Where processes cannot be started.
        """
        resized = batch_size is not None and batch_size != self._batch_size
        self._batch_size = batch_size or self._batch_size
        if not self.workers:
            return self._run_here(items)
        if not isinstance(items, RelayedItems):
            items = relayed(items, self._bytes)
        if self._running is not None or (resized and self._memory is not None and len(self._memory)):
            self.close()  # results to a run that was abandoned must not meet this one
        elif resized and self._memory is not None:
            self._memory.resize(self._slot)
        self.start()
        if self._supervisor is None or self._memory is None:
            raise RuntimeError("start() left no processes")
        run = self._running = Scheduler(
            self._supervisor,
            self._memory,
            items,
            self._batch_size,
            self._shape,
            self._limits(),
            self._device is not None,
        )
        run.start()
        return self._collected(run)

    def wait(self) -> None:
        """Wait until the first process is ready to work on the run that was begun; it may be working already.

        Raises
        ------
        FeatstoreError
            Where processes cannot be started.
        """
        if self._running is not None:
            self._running.wait()

    def _collected(self, run: Scheduler) -> Iterator[Batch]:
        batches = run.batches()
        try:
            while True:
                if self._running is not run:
                    raise RuntimeError("the pool was closed, or began another run, before this one was at its end")
                batch = next(batches, None)
                if batch is None:
                    break
                yield batch
            self._running = None
        finally:
            if self._running is run:
                self.close()

    @property
    def _slot(self) -> int:
        """Bytes of a batch."""
        return self._batch_size * math.prod(self._shape)

    def _limits(self) -> dict[str, str]:
        """How a process ended, or MEMORY -> what to say of the image."""
        return {
            "took too long": f"took longer than {self._seconds:g} s",
            "memory": f"needs more than {self._bytes / 2**20:,.0f} MiB of memory",
        }

    def _run_here(self, items: Items) -> Iterator[Batch]:
        decoder = decoder_from(self._decoder)
        for start in range(0, len(items), self._batch_size):
            part = items[start : start + self._batch_size]
            images = np.zeros((len(part), *self._shape), dtype=np.uint8)
            status = np.zeros(len(part), dtype=np.uint8)
            texts = []
            for row, (path, digest) in enumerate(part):
                code, text, pixels = decode_file(path, digest, self._spec, decoder, self._bytes)
                if code == OK:
                    images[row] = np.frombuffer(pixels, dtype=np.uint8).reshape(self._shape)
                status[row] = TRANSIENT if code == MEMORY else code
                texts.append(text)
            yield Batch.of(start, images, status, texts)
