"""Shards: several tar archives that make up one data set, as their names are written: shard-{000..099}.tar, *.tar."""

# Paths are bytes here, which pathlib does not know.
# ruff: noqa: PTH112, PTH113, PTH118, PTH122

from __future__ import annotations

import fnmatch
import os
import re

from featstore.errors import ImageSetError, ImagesNotFoundError
from featstore.images import formats
from featstore.system.reporting import printable_path

ENDINGS = (b".tar", b".tar.gz", b".tgz")
"""Endings of shards."""

MOST = 100_000
"""Shards that one pattern may mean."""

_BRACES = re.compile(rb"\{(?:([0-9]{1,12})\.\.([0-9]{1,12})|([^{}]*,[^{}]*))\}")


def shards(data: bytes) -> list[bytes] | None:
    """The archives that a pattern or a folder of archives means.

    Parameters
    ----------
    data : bytes
        A path with `{000..099}`, `{a,b}`, `*`, `?` or `[...]` in its last part, and no file of that name; or a folder
        that holds archives and neither folders nor images.

    Returns
    -------
    list of bytes, or None
        Absolute paths, in order; None where `data` is neither of them. Those of `{000..099}` need not all exist.

    Raises
    ------
    ImagesNotFoundError
        Where nothing fits the pattern.
    ImageSetError
        Where the pattern means too many.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for number in range(3):
    ...         _ = pathlib.Path(folder, f"a-{number}.tar").write_bytes(b"")
    ...     [os.path.basename(path) for path in shards(f"{folder}/a-{{0..1}}.tar".encode())]
    [b'a-0.tar', b'a-1.tar']
    """
    data = os.path.abspath(data)  # noqa: PTH100 - bytes
    if os.path.isdir(data):
        return _of_folder(data)
    folder, pattern = os.path.split(data)
    if os.path.lexists(data) or not pattern.lower().endswith(ENDINGS):
        return None
    place = printable_path(data)
    if _BRACES.search(pattern):
        found = [os.path.join(folder, name) for name in _expanded(pattern, place)]
        if not any(os.path.isfile(path) for path in found):
            raise ImagesNotFoundError(
                f"none of the {len(found)} files that {place} means is there, such as {printable_path(found[0])}; "
                "check the folder and the numbers"
            )
        return found
    if not re.search(rb"[*?\[]", pattern):
        return None
    try:
        found = sorted(os.path.join(folder, n) for n in os.listdir(folder) if fnmatch.fnmatchcase(n, pattern))
    except OSError:
        found = []
    if not found:
        raise ImagesNotFoundError(f"no file has a name like {place}; check the folder and the pattern")
    return found


def _of_folder(folder: bytes) -> list[bytes] | None:
    """The archives of a folder that holds no images outside of them."""
    found = []
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.name[:1] == b".":
                    continue
                if entry.is_dir():
                    return None
                lower = entry.name.lower()
                if lower.endswith(ENDINGS):
                    found.append(os.path.join(folder, entry.name))
                elif os.path.splitext(lower)[1] in formats.EXTENSIONS:
                    return None
    except OSError:
        return None
    return sorted(found) or None


def _expanded(pattern: bytes, place: str) -> list[bytes]:
    """All names of a pattern with braces."""
    match = _BRACES.search(pattern)
    if match is None:
        return [pattern]
    first, last, words = match.groups()
    if words is not None:
        choices = words.split(b",")
    else:
        step = 1 if int(first) <= int(last) else -1
        numbers = range(int(first), int(last) + step, step)
        _require_few(len(numbers), place)
        width = max(len(first), len(last)) if first[:1] == b"0" or last[:1] == b"0" else 0
        choices = [str(number).zfill(width).encode() for number in numbers]
    rest = _expanded(pattern[match.end() :], place)
    _require_few(len(choices) * len(rest), place)
    return [pattern[: match.start()] + choice + end for choice in choices for end in rest]


def _require_few(count: int, place: str) -> None:
    if count > MOST:
        raise ImageSetError(f"{place} means {count:,} files; expected at most {MOST:,}")
