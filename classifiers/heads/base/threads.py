"""How many threads torch may use for a while: small work is faster on one, for threads have to wait for each other."""

from __future__ import annotations

from collections.abc import Iterator
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
