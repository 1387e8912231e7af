"""Crew: the decoding processes of a pool. Who ends is replaced."""

from __future__ import annotations

import select
import time
from collections.abc import Iterator, Mapping
from typing import Any

from featstore.decoding.worker_process import Reply, WorkerProcess
from featstore.errors import FeatstoreError

START_SECONDS = 60.0
"""A process that has not finished its imports by then counts as failed."""

GRACE_SECONDS = 5.0
"""A process that its own alarm did not end this long after `seconds_per_image` is killed from here."""

_STARTS = 3  # in a row that end by themselves before they are ready: an import fails, and will go on failing
_PAUSES = (0.1, 0.5, 2.0)  # seconds between attempts to replace a process
_KILLED_STARTS = 20  # in a row that are killed: the machine may recover


class Crew:
    """A number of decoding processes.

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
    members : list of WorkerProcess
    replaced : int
        How many were replaced so far.

    Raises
    ------
    FeatstoreError
        Where no process can be started.
    """

    def __init__(self, settings: Mapping[str, Any], memory: int, size: int, at_first: int | None = None) -> None:
        self.members: list[WorkerProcess] = []
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
        while len(self.members) < size:
            self.members.append(WorkerProcess(self._settings, self._memory))

    def grow(self) -> None:
        """Start the processes that were not started at first; where one cannot be started those that run will do."""
        try:
            self._fill(self._size)
        except FeatstoreError:
            self._size = len(self.members)

    @property
    def settled(self) -> bool:
        """Whether all that were started have finished their imports."""
        return all(member.ready for member in self.members)

    def wait(self, seconds: float = 0.5) -> Iterator[tuple[WorkerProcess, list[Reply] | None]]:
        """Wait for replies, at most so long: each member that has some with them, and with None each that has ended."""
        poll = select.poll()  # not select(): a large program has descriptors beyond its 1024
        by_descriptor = {member.fileno(): member for member in self.members}
        for descriptor in by_descriptor:
            poll.register(descriptor, select.POLLIN)
        for member in self.members:
            if member.unsent is not None:
                by_descriptor[member.unsent] = member
                poll.register(member.unsent, select.POLLOUT)
        for descriptor, _ in poll.poll(seconds * 1000):
            member = by_descriptor[descriptor]
            if member not in self.members:
                continue  # replaced a moment ago, on account of its other descriptor
            if descriptor == member.unsent:
                member.flush()
            else:
                yield member, member.receive()
        if time.monotonic() < self._next_check:
            return
        self._next_check = time.monotonic() + 0.5
        patience = float(self._settings["seconds_per_image"]) + GRACE_SECONDS
        for member in list(self.members):
            if member.overdue(patience if member.ready else START_SECONDS):
                yield member, None

    def replace(self, member: WorkerProcess) -> tuple[WorkerProcess, str]:
        """End a member, put a fresh one in its place, and say how the old one ended.

        Raises
        ------
        FeatstoreError
            Where none can be started, or they end again and again before they are ready.
        """
        how = member.end()
        self.members.remove(member)
        self.replaced += 1
        self._failed_starts = 0 if member.ready else self._failed_starts + 1
        if self._failed_starts >= (_STARTS if how.startswith("ended") else _KILLED_STARTS):
            way_out = "extract without nvJPEG" if "device" in self._settings else "use workers=0 to decode in this one"
            raise FeatstoreError(
                f"decoding processes cannot be started: {self._failed_starts} in a row, the last one {how}; {way_out}"
            )
        fresh = self._started()
        self.members.append(fresh)
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
        while self.members:
            self.members.pop().end()
