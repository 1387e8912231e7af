"""A Listing from a CSV file of `path,label[,split]`."""

# Paths are bytes here, which pathlib does not know.
# ruff: noqa: PTH118, PTH120

from __future__ import annotations

import csv
import io
import os
import stat
from collections.abc import Iterable
from pathlib import Path

from featstore.errors import ImageSetError
from featstore.layout import SPLIT_FOLDERS
from featstore.listing import Found, Listing, printable


def list_csv(path: bytes) -> Listing:
    """List the images that a CSV names.

    The first line names the columns, in any order: `path` (relative to the CSV's folder, or absolute), `label` (any
    text), optionally `split` (train, val or test; empty for none); other columns are ignored. UTF-8, with or without a
    byte order mark. Every line is a row, whatever the file's extension.

    Parameters
    ----------
    path : bytes
        Absolute.

    Raises
    ------
    ImageSetError
        Where the CSV is malformed or names files that are not there; the message names the first lines concerned.
    """
    lines = _read(path)
    place = printable(path)
    root = os.path.dirname(path)

    first_line: dict[bytes, int] = {}
    unlabelled, unnamed, twice, missing, odd_split = [], [], [], [], []
    rows = Found()
    for number, name, label, split in lines:
        if not name:
            unnamed.append((number, ""))
            continue
        key = os.path.normpath(os.fsencode(name))
        if key in first_line:
            twice.append((number, f"{printable(key)} is already on line {first_line[key]}"))
            continue
        first_line[key] = number
        if not label:
            unlabelled.append((number, printable(key)))
        if split and split.lower().encode() not in SPLIT_FOLDERS:
            odd_split.append((number, repr(split)))
            continue
        try:
            found = os.stat(os.path.join(root, key))
        except (OSError, ValueError):
            found = None
        if found is None or not stat.S_ISREG(found.st_mode):
            missing.append((number, printable(key)))
            continue
        part = SPLIT_FOLDERS[split.lower().encode()] if split else ""
        class_name = label.encode("utf-8", "surrogateescape")
        rows.paths.append(key)
        rows.sizes.append(found.st_size)
        rows.mtimes.append(found.st_mtime_ns)
        rows.groups.append((1, class_name, part))

    _refuse(place, unnamed, "without a path", "give every image a path")
    _refuse(place, unlabelled, "without a label", "give every image a label")
    _refuse(place, odd_split, "with an unknown split", "use train, val or test, or leave the cell empty")
    _refuse(place, twice, "with a path that occurred before", "list every image once")
    _refuse(place, missing, "with a path that is no file", f"paths are relative to {printable(root)}{_hint(missing)}")
    if not rows.paths:
        raise ImageSetError(f"{place} has a header but no rows; expected one row an image")

    return Listing.of(rows, (), path)


def _read(path: bytes) -> Iterable[tuple[int, str, str, str]]:
    """(line number, path, label, split) of every row that is not blank."""
    place = printable(path)
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
        rows = []
        for row in reader:
            if any(cell.strip() for cell in row):
                cells = [row[at] if at is not None and at < len(row) else "" for at in where]
                rows.append((reader.line_num, cells[0], cells[1].strip(), cells[2].strip()))
    except csv.Error as error:
        raise ImageSetError(f"{place}, line {reader.line_num}: {error}; expected plain CSV, quotes closed") from error
    return rows


def _separator(header: list[str]) -> str:
    if len(header) == 1:
        for mark, name in ((";", "semicolons"), ("\t", "tabs")):
            if mark in header[0]:
                return f"; the cells are separated by {name}, separate them by commas"
    return ""


def _hint(missing: list[tuple[int, str]]) -> str:
    if missing and all("\\" in name for _, name in missing) and os.sep == "/":
        return "; they hold backslashes: write them with /, and the file as UTF-8"
    return ""


def _refuse(place: str, found: list[tuple[int, str]], what: str, remedy: str) -> None:
    """Raise one sentence that names the first lines and how many there are."""
    if not found:
        return
    shown = ", ".join(f"line {number}{': ' if text else ''}{text}" for number, text in found[:3])
    more = f", and {len(found) - 3} more" if len(found) > 3 else ""
    raise ImageSetError(f"{place} has {len(found)} row{'s' * (len(found) > 1)} {what} ({shown}{more}); {remedy}")
