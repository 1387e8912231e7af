"""Entries: the rows of a list as images with one label and part each; rows twice, empty and torn ones sorted out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from featstore.errors import ImageSetError
from featstore.images.reading import Reading
from featstore.lists.columns import Columns
from featstore.lists.labels import clean_labels, named_labels, one_hot_labels, several_in_one
from featstore.lists.parts import read_parts
from featstore.lists.resolution import Resolved
from featstore.lists.table import Table
from featstore.system.reporting import argument, printable_path


@dataclass
class Entries:
    """Images that a list names.

    Attributes
    ----------
    rows : list of n int
        Their rows in the table, each path once.
    labels : list of str or None
        Of every row of the table, as shown; None where it has none.
    parts : list of str
        Of every row of the table.
    labels_from, parts_from : str
    notes : list of str
    """

    rows: list[int]
    labels: list[str | None]
    parts: list[str]
    labels_from: str = ""
    parts_from: str = ""
    notes: list[str] = field(default_factory=list)


def read_entries(table: Table, columns: Columns, resolved: Resolved) -> Entries:
    """Labels and parts of the images that a list names.

    Parameters
    ----------
    table : Table
    columns : Columns
    resolved : Resolved
        The file of each row.

    Raises
    ------
    ImageSetError
        Where a row has no path, fits several files, or one image has two labels or parts.
    """
    name = table.place.rpartition("/")[2]
    _refuse_pathless(table, columns)
    _refuse_several(table, columns, resolved)
    labels, notes, origin = _labels(table, columns)
    parts, parts_from, more = read_parts(table, columns.parts)
    rows, twice = _once(table, resolved, labels, parts)
    notes += more
    if twice:
        notes.append(
            f"{twice} row{'s name' if twice > 1 else ' names'} an image that is listed before, with the same label"
        )
    count = len({labels[row] for row in rows} - {None})
    labels_from = f"{count} class{'es' * (count != 1)} from {origin} of {name}" if count else ""
    if (several := several_in_one(labels)) is not None:
        notes.append(several)
    return Entries(rows, labels, parts, labels_from, parts_from, notes)


def require_labels(table: Table, entries: Entries, columns: Columns, reading: Reading) -> None:
    """Refuse a list without any label, unless such images are wanted.

    Raises
    ------
    ImageSetError
    """
    if reading.unlabelled or any(entries.labels[row] is not None for row in entries.rows):
        return
    where = (
        "it has no column of labels" if columns.label is None else f"column {table.columns[columns.label]!r} is empty"
    )
    raise ImageSetError(
        f"no row of {table.place} has a label ({where}); name the column of the labels with "
        f"{argument('label_column', 'NAME')}, or say `unlabelled=True` to cache the features alone"
    )


def _labels(table: Table, columns: Columns) -> tuple[list[str | None], list[str], str]:
    if columns.one_hot:
        shown = ", ".join(repr(table.columns[number]) for number in columns.one_hot[:5])
        more = ", ..." * (len(columns.one_hot) > 5)
        origin = f"one column each ({shown}{more}; the one that holds 1)"
        return one_hot_labels(table, columns.one_hot), [], origin
    if columns.label is None:
        return [None] * len(table.rows), [], ""
    title = f"column {table.columns[columns.label]!r}"
    if columns.names is not None:
        labels, notes = named_labels(table, columns.label, columns.names)
        return labels, notes, f"column {table.columns[columns.names]!r} (the names of {title})"
    labels, notes = clean_labels(table.column(columns.label))
    return labels, notes, title


def _refuse_pathless(table: Table, columns: Columns) -> None:
    empty = [row for row, cell in enumerate(table.column(columns.path)) if not cell.strip()]
    if empty:
        raise ImageSetError(f"{table.place} has {_rows(table, empty)} without a path; give every image a path")


def _refuse_several(table: Table, columns: Columns, resolved: Resolved) -> None:
    if not resolved.several:
        return
    row, files = next(iter(resolved.several.items()))
    shown = " and ".join(printable_path(file) for file in files[:3])
    ends = {file.rpartition(b".")[2] for file in files[:3]}
    tell = (
        argument("suffix", ".jpg")
        if len(ends) > 1
        else f"the folder that paths start from with {argument('root', 'FOLDER')}"
    )
    count = len(resolved.several)
    raise ImageSetError(
        f"{table.place}: {count} path{'s fit' if count > 1 else ' fits'} several files ({table.where(row)}: "
        f"{_quoted(table.rows[row][columns.path])} fits {shown}); say {tell}, or write whole paths"
    )


def _once(
    table: Table, resolved: Resolved, labels: Sequence[str | None], parts: Sequence[str]
) -> tuple[list[int], int]:
    """The rows that stay, each path once; and how many say the same again."""
    seen: dict[bytes, int] = {}
    torn: list[tuple[int, int]] = []
    for row, path in enumerate(resolved.paths):
        first = seen.setdefault(path, row)
        if first == row:
            continue
        if labels[first] is None or (labels[row] == labels[first] and not parts[first]):
            seen[path], first, row = row, row, first  # the row that says more
        if (labels[row] not in (labels[first], None)) or (parts[row] and parts[row] != parts[first]):
            torn.append((first, row))
    if torn:
        first, row = torn[0]
        by_label = labels[first] != labels[row]
        values = labels if by_label else parts
        kind = "labels" if by_label else "parts"
        several = "; an image has one label here" if by_label else ""
        raise ImageSetError(
            f"{table.place} gives {len(torn)} image{'s' * (len(torn) > 1)} two {kind}: "
            f"{printable_path(resolved.paths[row])} is {values[first]!r} on {table.where(first)} and {values[row]!r} on "
            f"{table.where(row)}{several}; keep one of the rows"
        )
    rows = sorted(seen.values())
    return rows, len(resolved.paths) - len(rows)


def _rows(table: Table, rows: Sequence[int]) -> str:
    shown = ", ".join(table.where(row) for row in rows[:3]) + (f", and {len(rows) - 3} more" if len(rows) > 3 else "")
    return f"{len(rows)} row{'s' * (len(rows) > 1)} ({shown})"


def _quoted(cell: str) -> str:
    return repr(printable_path(cell.encode("utf-8", "surrogateescape")))
