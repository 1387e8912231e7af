"""A Listing from a CSV file of `path,label[,split]`."""

# Paths are bytes here, which pathlib does not know.
# ruff: noqa: PTH118, PTH120

from __future__ import annotations

import csv
import io
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from featstore.errors import ImageSetError
from featstore.images.listing import Found, Listing
from featstore.images.split_folders import SPLIT_FOLDERS
from featstore.system.reporting import printable_path

_UNNAMED = "without a path"
_UNLABELLED = "without a label"
_ODD_SPLIT = "with an unknown split"
_TWICE = "with a path that occurred before"
_MISSING = "with a path that is no file"
_REMEDIES = {
    _UNNAMED: "give every image a path",
    _UNLABELLED: "give every image a label",
    _ODD_SPLIT: "use train, val or test, or leave the cell empty",
    _TWICE: "list every image once",
    _MISSING: "paths are relative to {root}",
}


def list_csv(path: bytes, root: bytes) -> Listing:
    """List the images that a CSV names.

    The first line names the columns, in any order: `path` (relative to `root`, or absolute), `label` (any
    text), optionally `split` (train, val or test; empty for none); other columns are ignored. UTF-8, with or without a
    byte order mark. Every line is a row, whatever the file's extension.

    Parameters
    ----------
    path : bytes
        Of the CSV.
    root : bytes
        Absolute folder that the paths in it are relative to.

    Raises
    ------
    ImageSetError
        Where the CSV is malformed or names files that are not there; the message names the first lines concerned.
    """
    place = printable_path(path)
    faults: dict[str, list[str]] = {what: [] for what in _REMEDIES}
    seen: dict[bytes, int] = {}
    found = Found()
    for line, name, label, split in _read(path):
        key = _normal(os.fsencode(name))
        part = SPLIT_FOLDERS.get(split.lower().encode()) if split else ""
        if not name:
            faults[_UNNAMED].append(f"line {line}")
        elif key in seen:
            faults[_TWICE].append(f"line {line}: {printable_path(key)} is already on line {seen[key]}")
        elif not label:
            faults[_UNLABELLED].append(f"line {line}: {printable_path(key)}")
        elif part is None:
            faults[_ODD_SPLIT].append(f"line {line}: {split!r}")
        elif (status := _regular(os.path.join(root, key))) is None:
            faults[_MISSING].append(f"line {line}: {printable_path(key)}")
        else:
            found.add(key, status.st_size, status.st_mtime_ns, label.encode("utf-8", "surrogateescape"), part)
        seen.setdefault(key, line)
    for what, where in faults.items():
        if where:
            raise ImageSetError(_sentence(place, printable_path(root), what, where))
    if not found.paths:
        raise ImageSetError(f"{place} has a header but no rows; expected one row an image")
    return Listing.of(found, (), path)


def _normal(path: bytes) -> bytes:
    """One spelling a path, without `.` and `..`."""
    plain = path[:1] != b"." and b"/." not in path and b"//" not in path and path[-1:] != b"/"
    return path if plain else os.path.normpath(path)


def _regular(path: bytes) -> os.stat_result | None:
    """The status of a regular file; None where there is none."""
    try:
        status = os.stat(path)
    except (OSError, ValueError):
        return None
    return status if stat.S_ISREG(status.st_mode) else None


def _sentence(place: str, root: str, what: str, where: list[str]) -> str:
    """Name the first lines concerned, how many there are, and what to do."""
    shown = ", ".join(where[:3]) + (f", and {len(where) - 3} more" if len(where) > 3 else "")
    remedy = _REMEDIES[what].format(root=root)
    if what == _MISSING and all("\\" in line for line in where) and os.sep == "/":
        remedy += "; they hold backslashes: write them with /, and the file as UTF-8"
    return f"{place} has {len(where)} row{'s' * (len(where) > 1)} {what} ({shown}); {remedy}"


def _read(path: bytes) -> Iterator[tuple[int, str, str, str]]:
    """(line number, path, label, split) of every row that is not blank."""
    place = printable_path(path)
    try:
        data = Path(os.fsdecode(path)).read_bytes()
    except OSError as error:
        raise ImageSetError(f"{place} cannot be read: {error.strerror}") from error
    if data[:2] in (b"\xff\xfe", b"\xfe\xff") or b"\0" in data:
        raise ImageSetError(f"{place} is not UTF-8 text; save it as CSV UTF-8")
    # surrogateescape: file names need not be UTF-8, and these bytes must reach the disk as they are.
    text = io.StringIO(data.decode("utf-8", "surrogateescape").removeprefix("\ufeff"), newline="")
    reader = csv.reader(text, strict=True)
    try:
        header = [column.strip().lower() for column in next(reader, [])]
        lacking = [column for column in ("path", "label") if column not in header]
        if lacking:
            raise ImageSetError(
                f"{place} has no column {' and no column '.join(map(repr, lacking))}; its first line is "
                f"{','.join(header)!r}, expected path,label or path,label,split{_separator(header)}"
            )
        doubled = [column for column in ("path", "label", "split") if header.count(column) > 1]
        if doubled:
            raise ImageSetError(f"{place} has two columns {doubled[0]!r}; keep one")
        where = [header.index("path"), header.index("label"), header.index("split") if "split" in header else None]
        for row in reader:
            name, label, split = (row[at] if at is not None and at < len(row) else "" for at in where)
            if name or any(map(str.strip, row)):
                yield reader.line_num, name, label.strip(), split.strip()
    except csv.Error as error:
        raise ImageSetError(f"{place}, line {reader.line_num}: {error}; expected plain CSV, quotes closed") from error


def _separator(header: list[str]) -> str:
    if len(header) == 1:
        for mark, name in ((";", "semicolons"), ("\t", "tabs")):
            if mark in header[0]:
                return f"; the cells are separated by {name}, separate them by commas"
    return ""
