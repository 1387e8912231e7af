"""read_ahead: what comes next is read in a thread while the caller works on what came before."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from typing import TypeVar

_Task = TypeVar("_Task")
_Result = TypeVar("_Result")


class ReadingStoppedError(Exception):
    """Raised in the thread, where the caller is gone."""


def read_ahead(read: Callable[[_Task, Callable[[], None]], _Result], tasks: Iterable[_Task]) -> Iterator[_Result]:
    """The results of tasks in their order, the next one read while the caller has the last one.

    Every result has a thread of its own, which ends with it: an iterator that is dropped leaves none behind.

    Parameters
    ----------
    read : callable
        Called in the thread with a task and a function that it calls now and then, which raises where the caller
        wants no more.
    tasks : iterable

    Yields
    ------
    object
        What `read` returned. What it raised is raised here.

    Examples
    --------
    >>> list(read_ahead(lambda task, stop: task * 10, [1, 2, 3]))
    [10, 20, 30]
    """
    stopped = threading.Event()

    def stop() -> None:
        if stopped.is_set():
            raise ReadingStoppedError

    def start(task: _Task) -> tuple[threading.Thread, Future[_Result]]:
        future: Future[_Result] = Future()

        def work() -> None:
            try:
                future.set_result(read(task, stop))
            except BaseException as error:  # noqa: BLE001  raised again in the thread that asked
                future.set_exception(error)

        thread = threading.Thread(target=work, name="featstore-read-ahead")
        thread.start()
        return thread, future

    ahead = None
    try:
        for task in tasks:
            if ahead is None:
                ahead = start(task)
                continue
            result = ahead[1].result()
            ahead = start(task)
            yield result
            del result  # while the next one is waited for, the caller alone decides what is kept
        if ahead is not None:
            yield ahead[1].result()
    finally:
        stopped.set()
        if ahead is not None:
            ahead[0].join()
