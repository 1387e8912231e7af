"""Supervisor: the decoding processes of a pool. One that ends is replaced."""

from __future__ import annotations

import select
import time
from collections.abc import Iterator, Mapping
from typing import Any

from featstore.decoding.worker_process import TaskResult, WorkerProcess
from featstore.errors import FeatstoreError

START_SECONDS = 60.0
"""A process that has not finished its imports by then counts as failed."""

GRACE_SECONDS = 5.0
"""A process that its own alarm did not end this long after `seconds_per_image` is killed from here."""

_STARTS = 3  # in a row that end by themselves before they are ready: an import fails, and will go on failing
_PAUSES = (0.1, 0.5, 2.0)  # seconds between attempts to replace a process
_KILLED_STARTS = 20  # in a row that are killed: the machine may recover


class Supervisor:
    """Starts decoding processes, waits for their results, and replaces those that end.

    Parameters
    ----------
    settings : mapping
        As for `WorkerProcess`.
    memory : int
        File descriptor of the batch memory.
    size : int
        Processes, at most.
    at_first : int, optional
        How many of them start now, the others with `grow`; default: all.

    Attributes
    ----------
    processes : list of WorkerProcess
    replaced : int
        How many were replaced so far.

    Raises
    ------
    FeatstoreError
        Where no process can be started.
    """

    def __init__(self, settings: Mapping[str, Any], memory: int, size: int, at_first: int | None = None) -> None:
        self.processes: list[WorkerProcess] = []
        self.replaced = 0
        self._size = size
        self._settings = settings
        self._memory = memory
        self._failed_starts = 0
        self._next_check = 0.0
        try:
            self._fill(size if at_first is None else at_first)
        except BaseException:
            self.end()
            raise

    def _fill(self, size: int) -> None:
        while len(self.processes) < size:
            self.processes.append(WorkerProcess(self._settings, self._memory))

    def grow(self) -> None:
        """Start the processes that were not started at first; where one cannot be started those that run will do."""
        try:
            self._fill(self._size)
        except FeatstoreError:
            self._size = len(self.processes)

    @property
    def all_ready(self) -> bool:
        """Whether all that were started have finished their imports."""
        return all(process.ready for process in self.processes)

    def wait(self, seconds: float = 0.5) -> Iterator[tuple[WorkerProcess, list[TaskResult] | None]]:
        """Wait for results, at most so long: each process that has some, with them; each that has ended, with None."""
        poll = select.poll()  # not select(): a large program has descriptors beyond its 1024
        by_descriptor = {process.fileno(): process for process in self.processes}
        for descriptor in by_descriptor:
            poll.register(descriptor, select.POLLIN)
        for process in self.processes:
            if process.unsent is not None:
                by_descriptor[process.unsent] = process
                poll.register(process.unsent, select.POLLOUT)
        for descriptor, _ in poll.poll(seconds * 1000):
            process = by_descriptor[descriptor]
            if process not in self.processes:
                continue  # replaced a moment ago, on account of its other descriptor
            if descriptor == process.unsent:
                process.flush()
            else:
                yield process, process.receive()
        if time.monotonic() < self._next_check:
            return
        self._next_check = time.monotonic() + 0.5
        patience = float(self._settings["seconds_per_image"]) + GRACE_SECONDS
        for process in list(self.processes):
            if process.overdue(patience if process.ready else START_SECONDS):
                yield process, None

    def replace(self, process: WorkerProcess) -> tuple[WorkerProcess, str]:
        """End a process, put a fresh one in its place, and say how the old one ended.

        Raises
        ------
        FeatstoreError
            Where none can be started, or they end again and again before they are ready.
        """
        how = process.end()
        self.processes.remove(process)
        self.replaced += 1
        self._failed_starts = 0 if process.ready else self._failed_starts + 1
        if self._failed_starts >= (_STARTS if how.startswith("ended") else _KILLED_STARTS):
            way_out = "extract without nvJPEG" if "device" in self._settings else "use workers=0 to decode in this one"
            raise FeatstoreError(
                f"decoding processes cannot be started: {self._failed_starts} in a row, the last one {how}; {way_out}"
            )
        fresh = self._started()
        self.processes.append(fresh)
        return fresh, how

    def _started(self) -> WorkerProcess:
        """A fresh process; the system may have none to give for a moment."""
        for pause in _PAUSES:
            try:
                return WorkerProcess(self._settings, self._memory)
            except FeatstoreError:
                time.sleep(pause)
        return WorkerProcess(self._settings, self._memory)

    def end(self) -> None:
        """End all processes."""
        while self.processes:
            self.processes.pop().end()
