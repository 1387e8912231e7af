"""ProgressLines: how far the work is, as a plain line a minute, for logs and other places that draw no bars."""

from __future__ import annotations

import time
from collections.abc import Callable

EVERY = 60.0
"""Seconds between two lines, and before the first one: short commands stay silent."""


class ProgressLines:
    """A progress callback, `(stage, done, total, note)`.

    Parameters
    ----------
    write : callable
        Gets each line.
    clock : callable
        Seconds, of any beginning.

    Examples
    --------
    >>> seconds = iter([0.0, 10.0, 70.0])
    >>> tell = ProgressLines(print, clock=lambda: next(seconds))
    >>> tell("decode", 100, 1000, "")
    >>> tell("decode", 400, 1000, "2 failed")
    decode: 400 of 1,000, 2 failed, about 2 min 00 s left
    """

    def __init__(self, write: Callable[[str], object], clock: Callable[[], float] = time.monotonic) -> None:
        self._write, self._clock = write, clock
        self._told = clock()
        self._stage, self._began, self._first, self._last = "", 0.0, 0, 0

    def __call__(self, stage: str, done: int, total: int, note: str = "") -> None:
        """Take a report; write a line where a minute has passed since the last one."""
        now = self._clock()
        if stage != self._stage or done < self._last:  # another stage, or one that begins again
            self._stage, self._began, self._first = stage, now, done
        self._last = done
        if now - self._told < EVERY:
            return
        self._told = now
        parts = [f"{stage}: {done:,} of {total:,}" if total else f"{stage}: {done:,}"]
        if note:
            parts.append(note)
        if total > done > self._first and now > self._began:
            from classifiers.formatting import seconds

            left = (total - done) * (now - self._began) / (done - self._first)
            parts.append(f"about {seconds(left)} left")
        self._write(", ".join(parts))
