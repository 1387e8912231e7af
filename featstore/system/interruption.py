"""Interruption: Ctrl-C and SIGTERM, held back where an exception would be mistaken for another failure."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def held_back() -> Iterator[None]:
    """Let SIGINT and SIGTERM take effect only at the end of a block.

    An extension module that is interrupted while it loads tells of an ImportError, and its import would not be tried
    again. Elsewhere than in the main thread, where signals are not handled, this does nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    caught: list[tuple[int, FrameType | None]] = []
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.getsignal(number) for number in numbers}
    for number in numbers:
        if callable(before[number]):
            signal.signal(number, lambda *how: caught.append(how))
    try:
        yield
    finally:
        for number in numbers:
            if callable(before[number]):
                signal.signal(number, before[number])
        for caught_number, frame in caught[:1]:
            handler = before[signal.Signals(caught_number)]
            assert callable(handler)
            handler(caught_number, frame)
