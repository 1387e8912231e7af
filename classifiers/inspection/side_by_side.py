"""Two or more long computations side by side, each in a thread with its share of the cores."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch

from classifiers.threads import at_most
from featstore.system.reporting import Progress

Result = TypeVar("Result")


class _StoppedError(Exception):
    """Raised inside a computation that is no longer wanted."""


def side_by_side(jobs: Sequence[Callable[[Progress], Result]], progress: Progress | None = None) -> list[Result]:
    """Run computations at the same time.

    Two searches with one thread each are done sooner than one after the other with two threads each, which have to wait
    for each other after every operation; most of all where something else takes a part of a core.

    Parameters
    ----------
    jobs : sequence of n callable
        Each is given a callable to report to, and is ended there when another one fails or Ctrl-C is pressed.
    progress : callable, optional
        Told what all of them report, from several threads but never from two at once.

    Returns
    -------
    list of n results

    Raises
    ------
    Exception
        Whatever the first job to fail raised, in the order of the jobs.
    """
    stop, turn = threading.Event(), threading.Lock()

    def report(stage: str, done: int, total: int, note: str) -> None:
        if stop.is_set():
            raise _StoppedError
        if progress is not None:
            with turn:
                progress(stage, done, total, note)

    share = max(1, torch.get_num_threads() // max(1, len(jobs)))

    def run(job: Callable[[Progress], Result]) -> Result:
        torch.set_num_threads(share)  # a thread's own number, where OpenMP does the work
        try:
            return job(report)
        except _StoppedError:
            raise
        except BaseException:
            stop.set()
            raise

    with at_most(share), ThreadPoolExecutor(max(1, len(jobs)), thread_name_prefix="featstore-search") as pool:
        futures = [pool.submit(run, job) for job in jobs]
        try:
            errors = [future.exception() for future in futures]
        except BaseException:
            stop.set()
            raise
    wrong = [error for error in errors if error is not None]
    for error in wrong:
        if not isinstance(error, _StoppedError):
            raise error
    return [future.result() for future in futures]
