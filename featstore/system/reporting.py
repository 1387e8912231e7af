"""How work speaks to people: progress on its way, and paths as text that can be printed."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[str, int, int, str], None]
"""`(stage, done, total, note)`: how far long work is. The stages are named where the work is."""

Count = Callable[[int, int], None]
"""`(done, total)`: progress of work in one stage."""


def silent(stage: str, done: int, total: int, note: str) -> None:
    """The progress that nobody hears."""


def printable(path: bytes) -> str:
    """Bytes of a path as text without undecodable, control or invisible characters: these are escaped."""
    text = path.decode("utf-8", "backslashreplace")
    if text.isprintable():
        return text
    joiners = "\u200c\u200d"  # parts of ordinary words and emoji
    return "".join(c if c.isprintable() or c in joiners else c.encode("unicode_escape").decode() for c in text)
