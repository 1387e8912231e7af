"""How work speaks to people: the signatures of progress callbacks, and paths as text that can be printed."""

from __future__ import annotations

import json
from collections.abc import Callable

Progress = Callable[[str, int, int, str], None]
"""`(stage, done, total, note)`: how far work of several stages is. The stages are named where the work is."""

StageProgress = Callable[[int, int], None]
"""`(done, total)`: how far work of one stage is."""


def silent(stage: str, done: int, total: int, note: str) -> None:
    """The progress that nobody hears.

    Examples
    --------
    >>> silent("hash", 1, 2, "cat.jpg")
    """


def printable_path(path: bytes) -> str:
    r"""A path as text without undecodable, control or invisible characters: these are escaped.

    Examples
    --------
    >>> printable_path(b"cats/tom.jpg")
    'cats/tom.jpg'
    >>> print(printable_path(b"two\nlines \xff.jpg"))
    two\nlines \xff.jpg
    """
    text = path.decode("utf-8", "backslashreplace")
    if text.isprintable():
        return text
    joiners = "\u200c\u200d"  # parts of ordinary words and emoji
    return "".join(c if c.isprintable() or c in joiners else c.encode("unicode_escape").decode() for c in text)


def argument(name: str, value: str) -> str:
    """An argument in backticks as it is typed in Python, whatever its value holds.

    Examples
    --------
    >>> print(argument("weights", 'my "own".pth'))
    `weights="my \\"own\\".pth"`
    """
    written = json.dumps(value, ensure_ascii=False).replace("`", "\\x60")
    return f"`{name}={written}`"
