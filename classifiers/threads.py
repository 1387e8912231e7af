"""How many threads torch may use for a while: small work is faster on one, for threads have to wait for each other."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import torch


@contextmanager
def at_most(threads: int | None) -> Iterator[None]:
    """Limit torch's threads within one operation, and restore their number afterwards.

    Parameters
    ----------
    threads : int or None
        The most to use; None changes nothing.
    """
    before = torch.get_num_threads()
    if threads is None or threads >= before:
        yield
        return
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def one_each() -> Iterator[ThreadPoolExecutor]:
    """As many threads as torch uses within one operation, for work that can be cut up; each then computes alone.

    Threads that share every small operation have to wait for each other after each, most of all where another program
    takes a part of a core. Work that was not begun is dropped where the caller ends early.
    """
    threads = torch.get_num_threads()
    pool = ThreadPoolExecutor(threads, "featstore-part", torch.set_num_threads, (1,))
    with at_most(1):
        try:
            yield pool
        finally:
            pool.shutdown(cancel_futures=True)
