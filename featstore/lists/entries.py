"""Entries: the rows of a list as images with one label and part each; rows twice, empty and torn ones sorted out."""

# Paths are bytes here, which pathlib does not know.
# ruff: noqa: PTH119

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field

from featstore.errors import ImageSetError
from featstore.images.reading import Reading
from featstore.images.tree import Tree
from featstore.lists.columns import Columns
from featstore.lists.folders import Folders
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
        Which columns tell them; "" where none does.
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
    _refuse_pathless(table, columns)
    _refuse_several(table, columns, resolved)
    labels, notes, origin = _labels(table, columns)
    parts, parts_from, more = read_parts(table, columns.parts, columns.parts_said)
    rows, twice = _once(table, resolved, labels, parts)
    notes += more
    if twice:
        notes.append(
            f"{twice} row{'s name' if twice > 1 else ' names'} an image that is listed before, with the same label"
        )
    if (several := several_in_one(labels)) is not None:
        notes.append(several)
    return Entries(rows, labels, parts, origin, parts_from, notes)


def require_labels(table: Table, entries: Entries, columns: Columns, reading: Reading) -> None:
    """Refuse a list without any label, unless such images are wanted.

    Raises
    ------
    ImageSetError
    """
    if reading.unlabelled or any(entries.labels[row] is not None for row in entries.rows):
        return
    where = "it has no column of labels" if columns.label is None else f"{table.title(columns.label)} is empty"
    raise ImageSetError(
        f"no row of {table.place} has a label ({where}); name the column of the labels with "
        f"{argument('label_column', 'NAME')}, or say `unlabelled=True` to cache the features alone"
    )


def drop_comments(table: Table, columns: Columns, resolved: Resolved) -> None:
    """Leave out rows that begin with # and are no file.

    Parameters
    ----------
    table : Table
    columns : Columns
    resolved : Resolved
        These three lose the rows.
    """
    rows = [row for row, there in enumerate(resolved.found) if not there and table.rows[row][0].lstrip()[:1] == "#"]
    if not rows or len(rows) > len(table.rows) / 2:
        return
    for row in reversed(rows):
        for column in (table.rows, table.lines, resolved.paths, resolved.found):
            del column[row]
    shift = {old: new for new, old in enumerate(n for n in range(len(table.rows) + len(rows)) if n not in set(rows))}
    resolved.several = {shift[row]: files for row, files in resolved.several.items() if row in shift}
    table.notes.append(
        f"{len(rows)} row{'s that begin' if len(rows) > 1 else ' that begins'} with # left out as comments"
    )


def refuse_missing(table: Table, columns: Columns, resolved: Resolved, bases: Sequence[bytes], hint: str = "") -> None:
    """Refuse a list most of whose files are not there: its paths start from elsewhere, or lack something.

    Parameters
    ----------
    table : Table
    columns : Columns
    resolved : Resolved
    bases : sequence of bytes
        Where the files were looked for.
    hint : str
        A clause on files with other endings.

    Raises
    ------
    ImageSetError
    """
    missing = [row for row, there in enumerate(resolved.found) if not there and row not in resolved.several]
    if len(missing) * 2 <= len(resolved.found):
        return
    places = " and ".join(printable_path(base) for base in bases)
    pairs = ", ".join(f"{table.where(row)}: {_quoted(table.rows[row][columns.path])}" for row in missing[:3])
    bare = all(b"." not in os.path.basename(resolved.paths[row])[-6:] for row in missing)
    way = f"the folder that paths start from with {argument('root', 'FOLDER')}, relative to the working directory"
    if bare and all(resolved.paths[row].isdigit() for row in missing):
        hint += "; zeros in front of the numbers may be lost: compare with the files' names"
    ways = f"what the paths lack with {argument('suffix', '.jpg')}, or {way}" if bare else way
    raise ImageSetError(
        f"{table.place}: {len(missing)} of {len(resolved.found)} files in {table.title(columns.path)} are "
        f"not there ({pairs}{', ...' * (len(missing) > 3)}); looked in {places}{hint}; say {ways}, or which column "
        f"holds the paths with {argument('path_column', 'NAME')}"
    )


def ending_hint(table: Table, columns: Columns, resolved: Resolved, missing: Sequence[int], folders: Folders) -> str:
    """A clause that names a file with another ending than a missing one's; "" where there is none."""
    for row in missing[:20]:
        other = folders.other_ending(resolved.base, resolved.paths[row])
        if other is not None:
            name = printable_path(os.path.basename(other))
            return f"; {_quoted(table.rows[row][columns.path])} has another ending there: {name}"
    return ""


def refuse_strange(
    table: Table, columns: Columns, tree: Tree, missing: Sequence[int], listed: set[bytes], hint: str = ""
) -> None:
    """Refuse the list of other images.

    Parameters
    ----------
    table : Table
    columns : Columns
    tree : Tree
    missing : sequence of int
        Rows whose file is not in the tree.
    listed : set of bytes
        Images of the tree that the list names.
    hint : str
        A clause on files with other endings.

    Raises
    ------
    ImageSetError
        Where less than half of the rows are in the tree, and less than half of its images on the list.
    """
    rows = len(table.rows)
    if len(missing) * 2 <= rows or len(listed) * 2 >= len(tree.paths) > 0:
        return
    named = ", ".join(_quoted(table.rows[row][columns.path]) for row in missing[:3])
    there = ", ".join([printable_path(path) for path in tree.paths[:200] if path not in listed][:3]) or "none"
    raise ImageSetError(
        f"{table.place} seems to be the list of other images: {rows - len(missing)} of its {rows} rows are among the "
        f"{len(tree.paths)} images of {printable_path(tree.root)}; it names {named}, there are {there}{hint}; "
        f"expected paths that end as those of the images do: say another list, {argument('path_column', 'NAME')}, "
        f"{argument('suffix', '.jpg')} or {argument('root', 'FOLDER')}, a folder of these images"
    )


def files_named(table: Table, columns: Columns, rows: Sequence[int]) -> str:
    """Some rows by the files that they name, as a sentence begins: "2 of 9 files named (line 3: 'a.jpg', ...) are"."""
    shown = ", ".join(f"{table.where(row)}: {_quoted(table.rows[row][columns.path])}" for row in rows[:3])
    more = f", and {len(rows) - 3} more" if len(rows) > 3 else ""
    return f"{len(rows)} of {len(table.rows)} files named ({shown}{more}) {'are' if len(rows) > 1 else 'is'}"


def _labels(table: Table, columns: Columns) -> tuple[list[str | None], list[str], str]:
    if columns.one_hot:
        shown = ", ".join(repr(table.columns[number]) for number in columns.one_hot[:5])
        more = ", ..." * (len(columns.one_hot) > 5)
        origin = f"one column each ({shown}{more}; the one that holds 1)"
        return one_hot_labels(table, columns.one_hot), [], origin
    if columns.label is None:
        return [None] * len(table.rows), [], ""
    title = table.title(columns.label)
    if columns.names is not None:
        labels, notes = named_labels(table, columns.label, columns.names)
        return labels, notes, f"{table.title(columns.names)} (the names of {title})"
    labels, notes = clean_labels(table.column(columns.label))
    signs = [n for n in range(len(table.columns)) if {cell.strip() for cell in table.column(n)} <= {"-1", "1"}]
    if columns.label in signs[: len(signs) * (len(signs) > 1)] and table.headed:  # attributes, as CelebA has them
        name = table.columns[columns.label]
        return [name if label == "1" else f"not {name}" for label in labels], notes, f"{title} (1 and -1)"
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
        more = labels[first] is None and labels[row] is not None
        if more or (labels[row] == labels[first] and parts[row] and not parts[first]):
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
            f"{printable_path(resolved.paths[row])} is {values[first]!r} on {table.where(first)} and {values[row]!r} "
            f"on {table.where(row)}{several}; keep one of the rows"
        )
    rows = sorted(seen.values())
    return rows, len(resolved.paths) - len(rows)


def _rows(table: Table, rows: Sequence[int]) -> str:
    shown = ", ".join(table.where(row) for row in rows[:3]) + (f", and {len(rows) - 3} more" if len(rows) > 3 else "")
    return f"{len(rows)} row{'s' * (len(rows) > 1)} ({shown})"


def _quoted(cell: str) -> str:
    return repr(printable_path(cell.encode("utf-8", "surrogateescape")))
