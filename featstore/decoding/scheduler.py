"""Scheduler: hands images to the decoding processes and puts their results in order."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from featstore.decoding.relayed_items import RelayedItems
from featstore.decoding.shared_memory import SharedBuffers
from featstore.decoding.supervisor import Supervisor
from featstore.decoding.worker import CHANGED, MEMORY, OK, TRANSIENT
from featstore.decoding.worker_process import Task, TaskResult, WorkerProcess

Items = Sequence[tuple[bytes, bytes]]
"""(absolute path or address, SHA-256 of 32 bytes) of image files."""


_MAX_SLEEP = 0.02
"""Seconds that results may gather before they are looked at: waking up for each takes time from decoding."""

_TASKS_PER_SEND = 4
"""Tasks handed to a process at a time."""

_PATIENCE, _IDLE = 0.1, 0.1
"""Seconds, and share of the time, that the caller waits for batches before the other processes are started."""

_BATCHED_DEPTH = 256
"""Tasks that a process holds which works on many at once."""


@dataclass(frozen=True)
class Batch:
    """Images of consecutive items.

    Attributes
    ----------
    start : int
        Number of the first item.
    images : ndarray of shape (b, crop, crop, 3), uint8
        Zeros where the image failed. In shared memory; valid as long as it is referred to.
    status : ndarray of shape (b,), uint8
        0 decoded, 1 cannot be decoded, 2 failed for a reason that may pass (time, memory, crash, reading), 3 the file's
        bytes no longer have the digest.
    reasons : tuple of b str
        "" where decoded.
    remarks : tuple of b str
        What is worth knowing about how an image was decoded, "" mostly; empty where no image has one.

    Examples
    --------
    >>> batch = Batch(0, np.zeros((2, 8, 8, 3), np.uint8), np.array([0, 3], np.uint8), ("", "the file changed"))
    >>> batch.changed.tolist()
    [False, True]
    """

    start: int
    images: NDArray[np.uint8]
    status: NDArray[np.uint8]
    reasons: tuple[str, ...]
    remarks: tuple[str, ...] = ()

    @classmethod
    def of(cls, start: int, images: NDArray[np.uint8], status: NDArray[np.uint8], texts: Sequence[str]) -> Self:
        """A batch from what the workers said of each image: a remark where it was decoded, else a reason."""
        reasons = tuple("" if good else text for good, text in zip(status == OK, texts, strict=True))
        remarks = tuple(text if good else "" for good, text in zip(status == OK, texts, strict=True))
        return cls(start, images, status, reasons, remarks if any(remarks) else ())

    @property
    def texts(self) -> tuple[str, ...]:
        """Reason or remark of each image, as `of` takes them."""
        return tuple(map("".join, zip(self.reasons, self.remarks, strict=True))) if self.remarks else self.reasons

    @property
    def changed(self) -> NDArray[np.bool_]:
        """Where the file's bytes no longer have the digest, shape (b,): never to be stored under it."""
        return np.equal(self.status, CHANGED)


@dataclass
class _Filling:
    """A batch that is not complete yet."""

    start: int
    slot: int
    left: int
    status: NDArray[np.uint8]
    texts: list[str]


class Scheduler:
    """One pass over items with the processes of a supervisor.

    An image whose process ends is tried once more, alone in a fresh process, before it is given up: the trouble may
    have been its neighbour's or the machine's.

    Parameters
    ----------
    supervisor : Supervisor
    memory : SharedBuffers
        One for each batch.
    items : sequence of (path, digest)
    batch_size : int
    shape : tuple of 3 int
        Of an image, (height, width, channels).
    wording : mapping of str
        How a process ended, or "memory" -> what to say of the image.
    together : bool
        The processes work on many images at once: where one ends, each image that it had is tried alone.
    """

    def __init__(
        self,
        supervisor: Supervisor,
        memory: SharedBuffers,
        items: Items,
        batch_size: int,
        shape: tuple[int, int, int],
        wording: Mapping[str, str],
        together: bool = False,
    ) -> None:
        self._supervisor = supervisor
        self._memory = memory
        self._items = items
        self._batch_size = batch_size
        self._shape = shape
        self._wording = wording
        self._together = together
        self._suspects: deque[Task] = deque()  # to be handed out one at a time, before all others
        self._filling: deque[_Filling] = deque()
        self._backlog: deque[Task] = deque()
        self._opened = 0  # items that are in batches opened so far
        self._settled = 0
        self._pace = 0.0  # seconds an image, lately
        self._began = time.monotonic()
        self._waited = 0.0  # seconds that the caller has waited while all processes were at work

    @property
    def _depth(self) -> int:
        """Tasks of a process: while the caller works on a batch no task is handed out, so all together hold two."""
        each = math.ceil(2 * self._batch_size / len(self._supervisor.processes))
        return max(2 * _TASKS_PER_SEND, each, _BATCHED_DEPTH if self._together else 0)

    @property
    def _window(self) -> int:
        """Batches that may be open at a time."""
        return math.ceil(len(self._supervisor.processes) * self._depth / self._batch_size) + 1

    def start(self) -> None:
        """Hand out the first tasks, without waiting."""
        self._assign()

    def wait(self) -> None:
        """Wait until a process is ready.

        Raises
        ------
        FeatstoreError
            Where none can be started.
        """
        while not any(process.ready for process in self._supervisor.processes):
            self._collect(1)
            self._assign()

    def batches(self) -> Iterator[Batch]:
        """The batches in order, each as soon as it is complete.

        Raises
        ------
        FeatstoreError
            Where a process that ended cannot be replaced.
        """
        self._assign()
        while self._filling:
            first = self._filling[0]
            if first.left:
                self._collect(first.left)
                self._assign()
                continue
            self._filling.popleft()
            if isinstance(self._items, RelayedItems):
                self._items.release(first.start + len(first.status))
            self._assign()
            images = self._memory.array(first.slot).reshape(self._batch_size, *self._shape)[: len(first.status)]
            images[first.status != OK] = 0
            yield Batch.of(first.start, images, first.status, first.texts)

    def _collect(self, wanted: int) -> None:
        """Wait for results and take them: about half of those wanted at a time, and the last ones singly."""
        began, before, settled = time.monotonic(), self._settled, self._supervisor.all_ready
        if wanted > len(self._supervisor.processes):
            time.sleep(min(_MAX_SLEEP, self._pace * wanted / 2))
        for process, results in self._supervisor.wait():
            if results is None:
                self._handle_exit(process)
            else:
                self._handle_results(process, results)
        spent = time.monotonic() - began
        if self._settled > before:
            self._pace += 0.3 * (spent / (self._settled - before) - self._pace)
        if settled:
            self._waited += spent
            if self._waited > max(_PATIENCE, _IDLE * (time.monotonic() - self._began)):
                self._supervisor.grow()

    def _assign(self) -> None:
        """Open batches while there is room for them, and hand out tasks, a few at a time to whoever has fewest."""
        while len(self._filling) < self._window and self._opened < len(self._items):
            self._open()
        while self._suspects:
            idle = next((process for process in self._supervisor.processes if not process.pending), None)
            if idle is None:
                return
            idle.alone = True
            idle.send([self._suspects.popleft()])
        while self._backlog:
            free = [
                m for m in self._supervisor.processes if not m.alone and len(m.pending) <= self._depth - _TASKS_PER_SEND
            ]
            process = min(free, key=lambda m: len(m.pending), default=None)
            if process is None:
                return
            process.send([self._backlog.popleft() for _ in range(min(_TASKS_PER_SEND, len(self._backlog)))])

    def _open(self) -> None:
        start, count = self._opened, min(self._batch_size, len(self._items) - self._opened)
        slot = self._memory.take()
        self._filling.append(_Filling(start, slot, count, np.zeros(count, dtype=np.uint8), [""] * count))
        size, offset = math.prod(self._shape), self._memory.offset(slot)
        for row, (path, digest) in enumerate(self._items[start : start + count]):
            self._backlog.append(Task(start + row, offset + row * size, digest, path))
        self._opened += count

    def _handle_results(self, process: WorkerProcess, results: list[TaskResult]) -> None:
        for result in results:
            if result.status == MEMORY:  # always the last result of a process
                self._suspect(process, result.task, self._wording["memory"])
                return
            process.alone = False
            self._settle(result.task, result.status, result.reason)

    def _handle_exit(self, process: WorkerProcess) -> None:
        """A process ended: the image that it was working on is suspect, the others go back."""
        if self._together and process.ready and len(process.pending) > 1:
            self._supervisor.replace(process)
            self._suspects.extend(process.pending)
            return
        if process.ready and process.pending:
            self._suspect(process, process.pending.popleft(), "")
            return
        fresh, _ = self._supervisor.replace(process)
        if process.alone and process.pending:
            fresh.alone = True
            fresh.send([process.pending.popleft()])
        self._backlog.extendleft(reversed(process.pending))

    def _suspect(self, process: WorkerProcess, task: Task, reason: str) -> None:
        """Replace the process; the image is tried again alone in the new one, or given up where it was so already."""
        fresh, how = self._supervisor.replace(process)
        if process.alone:
            self._settle(task, TRANSIENT, f"decoding {reason or self._wording.get(how, how)}, twice")
        else:
            fresh.alone = True
            fresh.send([task])
        self._backlog.extendleft(reversed(process.pending))

    def _settle(self, task: Task, status: int, text: str) -> None:
        batch = self._filling[(task.number - self._filling[0].start) // self._batch_size]
        row = task.number - batch.start
        batch.status[row] = status
        batch.texts[row] = text
        batch.left -= 1
        self._settled += 1
