"""RequestPool: threads that each compute small requests of images on a core of their own.

Splitting images among threads instead of splitting each operation among them keeps cores busy without a barrier after
every layer; on a machine that also decodes images those barriers cost more than the work.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from queue import SimpleQueue

import numpy as np
from numpy.typing import NDArray

from featstore.engines.runner import Outputs

Worker = Callable[[NDArray[np.uint8], Outputs], None]
"""Computes at most `request` images into rows of the outputs; never called twice at the same time."""


class RequestPool:
    """Distributes batches over workers, in requests of one size.

    Parameters
    ----------
    workers : sequence of callable
        One a thread.
    request : int
        Images a request; the last one of a batch may be shorter.
    widths : sequence of int
        Numbers an image, by node.
    begin : callable, optional
        Run once in each thread, before this returns.
    """

    def __init__(
        self, workers: Sequence[Worker], request: int, widths: Sequence[int], begin: Callable[[], None] | None = None
    ) -> None:
        self._request = request
        self._widths = tuple(widths)
        self._free: SimpleQueue[Worker] = SimpleQueue()
        for worker in workers:
            self._free.put(worker)
        self._threads = ThreadPoolExecutor(len(workers), thread_name_prefix="featstore-engine", initializer=begin)
        together = threading.Barrier(len(workers))
        for started in [self._threads.submit(together.wait) for _ in workers]:
            started.result()

    def submit(self, images: NDArray[np.uint8]) -> RequestedBatch:
        """Hand (b, s, s, 3) images to the threads and return at once."""
        outputs = [np.empty((len(images), width), dtype=np.float32) for width in self._widths]
        starts = range(0, len(images), self._request)
        return RequestedBatch(outputs, [self._threads.submit(self._compute, images, outputs, i) for i in starts])

    def close(self, finish: bool = True) -> None:
        """End the threads: after all that was handed over, or, not to `finish`, after what is being computed."""
        self._threads.shutdown(cancel_futures=not finish)

    def _compute(self, images: NDArray[np.uint8], outputs: Outputs, start: int) -> None:
        worker = self._free.get()
        try:
            rows = slice(start, start + self._request)
            worker(images[rows], [output[rows] for output in outputs])
        finally:
            self._free.put(worker)


@dataclass
class RequestedBatch:
    """A batch in the hands of the threads."""

    outputs: Outputs
    futures: list[Future[None]]

    def result(self) -> Outputs:
        """Wait for every request; the first failure is raised after all have ended."""
        failures = [error for future in self.futures if (error := future.exception()) is not None]
        if failures:
            raise failures[0]
        return self.outputs
