"""WorkerProcess: the parent's side of one decoding process, see `featstore.decoding.worker`."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from featstore.decoding.worker import READY, RESULT, TASK
from featstore.errors import FeatstoreError
from featstore.system.interpreter import anonymous_file, complaints, start

_ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")
_PLAIN_POOL = {"ARROW_DEFAULT_MEMORY_POOL": "system"}  # others reserve a gigabyte of the address space that is limited


class Task(NamedTuple):
    """One image: item number, offset of its pixels in the batch memory, digest (32 bytes), path."""

    number: int
    offset: int
    digest: bytes
    path: bytes


class TaskResult(NamedTuple):
    """How one image went: its task, a status of `featstore.decoding.worker`, the reason."""

    task: Task
    status: int
    reason: str


class WorkerProcess:
    """A decoding process: tasks go in, results come out in the same order.

    Parameters
    ----------
    settings : mapping
        `spec`, `decoder`, `seconds_per_image`, `bytes_per_image`, JSON-able; and `device` where it is one's process.
    memory : int
        File descriptor of the batch memory.

    Attributes
    ----------
    pid : int
    pending : deque of Task
        Sent and not answered; the first is the one being worked on.
    ready : bool
        Whether it has finished its imports.
    alone : bool
        Whether it is to be given no task beside the one it has, because that image is suspect.

    Raises
    ------
    FeatstoreError
        Where no process can be started.
    """

    def __init__(self, settings: Mapping[str, Any], memory: int) -> None:
        self.pending: deque[Task] = deque()
        self.ready = False
        self.alone = False
        self._since = time.monotonic()  # when it was last known to start on something
        self._outbox = b""
        self._inbox = b""
        mine: list[int] = []
        handed: list[int] = []
        try:
            self._complaints = anonymous_file()
            mine.append(self._complaints)
            tasks_out, self._tasks = os.pipe()
            handed.append(tasks_out)
            mine.append(self._tasks)
            self._results, results_in = os.pipe()
            handed.append(results_in)
            mine.append(self._results)
            self._process = start(
                "featstore.decoding.nvjpeg_worker:main" if "device" in settings else "featstore.decoding.worker:main",
                {**settings, "tasks": tasks_out, "results": results_in, "memory": memory},
                pass_fds=(tasks_out, results_in, memory),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=self._complaints,
                env={**os.environ, **dict.fromkeys(_ONE_THREAD, "1"), **_PLAIN_POOL},
            )
        except OSError as error:
            for descriptor in mine:
                os.close(descriptor)
            raise FeatstoreError(
                f"a decoding process cannot be started: {error}; use fewer workers, or workers=0 to decode in this one"
            ) from error
        finally:
            for descriptor in handed:
                os.close(descriptor)
        self.pid = self._process.pid
        os.set_blocking(self._tasks, False)
        os.set_blocking(self._results, False)

    def fileno(self) -> int:
        """Descriptor that becomes readable when there are results or the process has ended."""
        return self._results

    @property
    def unsent(self) -> int | None:
        """Descriptor to wait on before `flush` can send more; None where everything is sent."""
        return self._tasks if self._outbox else None

    def send(self, tasks: Sequence[Task]) -> None:
        """Send tasks, without waiting: what the pipe does not hold yet is sent by `flush`."""
        if not self.pending:
            self._since = time.monotonic()
        self.pending.extend(tasks)
        self._outbox += b"".join(TASK.pack(t.number, t.offset, t.digest, len(t.path)) + t.path for t in tasks)
        self.flush()

    def flush(self) -> None:
        """Send what is unsent, as far as the pipe holds it."""
        try:
            while self._outbox:
                self._outbox = self._outbox[os.write(self._tasks, self._outbox) :]
        except BlockingIOError:
            return
        except BrokenPipeError:
            self._outbox = b""  # it has just died, as `receive` will say

    def receive(self) -> list[TaskResult] | None:
        """The results that are there, without waiting; None where there are none and the process has ended."""
        ended = False
        with contextlib.suppress(BlockingIOError):
            piece = os.read(self._results, 65536)  # what is beyond that is there the next time
            self._inbox += piece
            ended = not piece
        results = self._parse()
        if ended:
            with contextlib.suppress(subprocess.TimeoutExpired):  # its pipe closes a moment before its status is known
                self._process.wait(5)
            return None
        return results

    def _parse(self) -> list[TaskResult]:
        results, at = [], 0
        while len(self._inbox) - at >= RESULT.size:
            number, status, length = RESULT.unpack_from(self._inbox, at)
            start, end = at + RESULT.size, at + RESULT.size + length
            if end > len(self._inbox):
                break
            if number == READY:
                self.ready = True
            else:
                task = self.pending.popleft()
                results.append(TaskResult(task, status, self._inbox[start:end].decode("utf-8", "replace")))
            self._since = time.monotonic()
            at = end
        self._inbox = self._inbox[at:]
        return results

    def overdue(self, seconds: float) -> bool:
        """Whether it has been silent for longer than `seconds` although it is starting or has work."""
        return (bool(self.pending) or not self.ready) and time.monotonic() - self._since > seconds

    def end(self) -> str:
        """Kill the process where it still runs, and say how it ended by itself, or that it did not."""
        code = self._process.poll()
        self._process.kill()
        with contextlib.suppress(subprocess.TimeoutExpired):  # stuck in the kernel: it dies before it can write again
            self._process.wait(5)
        said = complaints(self._complaints)
        for descriptor in (self._tasks, self._results, self._complaints):
            os.close(descriptor)
        if code is None:
            return "did not answer"
        if code >= 0:
            return f"ended with status {code}" + (f" ({said})" if said else "")
        if code == -signal.SIGALRM:
            return "took too long"
        if code == -signal.SIGKILL:
            return "was killed by the system (out of memory?)"
        return f"crashed ({signal.Signals(-code).name})"
