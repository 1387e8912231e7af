"""The paths that a cell may mean: as it is written, without quotes and spaces, with / for backslashes."""

# Paths are bytes here, which pathlib does not know.

from __future__ import annotations

import os
import re
import unicodedata
from urllib.parse import unquote_to_bytes

from featstore.lists.encoding import holds_bytes, windows_text

TIDIED, SLASHES, WINDOWS, SUFFIX = "quotes or spaces", "backslashes", "Windows-1252", "suffix"
"""What had to be done with a cell so that its file was found."""


def spellings(cell: str, suffix: str = "") -> list[tuple[bytes, str]]:
    r"""The paths that a cell may mean, the most literal first, each with what was done.

    Parameters
    ----------
    cell : str
    suffix : str
        Added to paths that do not end in it.

    Examples
    --------
    >>> spellings("a.jpg"), spellings(" cats\\1", ".jpg")
    ([(b'a.jpg', '')], [(b' cats\\1.jpg', ''), (b'cats\\1.jpg', 'quotes or spaces'), (b'cats/1.jpg', 'backslashes')])
    """
    found = {_encoded(cell, suffix): ""}
    tidied = cell.strip().strip("\"'`").strip()
    found.setdefault(_encoded(tidied, suffix), TIDIED)
    slashed = tidied.replace("\\", "/") if "\\" in tidied else tidied
    if slashed[:7].lower() == "file://":
        slashed = os.fsdecode(unquote_to_bytes(re.sub(r"(?i)^file://(localhost)?", "", slashed)))
    found.setdefault(_encoded(slashed, suffix), SLASHES)
    if holds_bytes(slashed):
        found.setdefault(_encoded(windows_text(slashed), suffix), WINDOWS)
    return list(found.items())


def _encoded(cell: str, suffix: str) -> bytes:
    if suffix and not cell.lower().endswith(suffix.lower()):
        cell = cell.rstrip() + suffix
    return normal(cell.encode("utf-8", "surrogateescape" if not _lone(cell) else "replace"))


def _lone(cell: str) -> bool:
    """Whether a text holds halves of characters, as JSON may: no file has such a name."""
    return not cell.isascii() and any("\ud800" <= letter < "\udc80" or "\udcff" < letter <= "\udfff" for letter in cell)


def normal(path: bytes) -> bytes:
    """One spelling a path, without `.` and `..`.

    Examples
    --------
    >>> normal(b"./a//b/../c.jpg")
    b'a/c.jpg'
    """
    plain = path[:1] != b"." and b"/." not in path and b"//" not in path and path[-1:] != b"/"
    return path if plain or not path else os.path.normpath(path)


def loose(name: bytes) -> str:
    r"""A name without capitals, in one Unicode form, whatever its bytes.

    Examples
    --------
    >>> loose(b"GR\xdcN.jpg") == loose("gru\u0308n.JPG".encode())
    True
    """
    if name.isascii():
        return name.decode().lower()
    text = windows_text(name.decode("utf-8", "surrogateescape"))
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", text).casefold())
