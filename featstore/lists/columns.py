"""Columns: which column of a list holds the paths, the labels, the parts and what belongs together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from featstore.errors import ImageSetError, UnknownNameError
from featstore.images.reading import Reading
from featstore.lists.column_names import is_group, label_base, label_rank, may_be_part, path_rank, plain
from featstore.lists.labels import EMPTY, is_number
from featstore.lists.parts import flag_of, part_cells
from featstore.lists.table import Table
from featstore.system.reporting import argument

Share = Callable[[Sequence[str]], float]
"""Which share of some cells are files."""


@dataclass
class Columns:
    """Positions of the columns that count.

    Attributes
    ----------
    path : int
    label : int or None
        None where there are none, or one column a class.
    names : int or None
        Column of the names of numbered labels.
    one_hot : list of int
        Columns of 0 and 1, one a class.
    parts : list of int
        One column of parts, or several of True and False (is_valid, is_test).
    parts_said : bool
        Whether the user named the column of the parts.
    group : int or None
    notes : list of str
        Columns that are not used.
    """

    path: int
    label: int | None = None
    names: int | None = None
    one_hot: list[int] = field(default_factory=list)
    parts: list[int] = field(default_factory=list)
    parts_said: bool = False
    group: int | None = None
    notes: list[str] = field(default_factory=list)


def find_columns(table: Table, reading: Reading, share: Share) -> Columns:
    """Find out which column is which.

    What `reading` names decides; otherwise a column's name, and which cells are files. Of two that may be meant none
    is taken.

    Parameters
    ----------
    table : Table
        With a row at least.
    reading : Reading
    share : callable
        Given cells: which share of them are files, in [0, 1].

    Raises
    ------
    UnknownNameError
        Where `reading` names a column that is not there.
    ImageSetError
        Where no column, or more than one, may be the path or the label.

    Examples
    --------
    >>> from featstore.lists.table import read_table
    >>> table = read_table(b"breed,id,set\\nbeagle,a01,train\\n", b"dogs.csv")
    >>> find_columns(table, Reading(), lambda cells: float(cells[0] == "a01"))
    Columns(path=1, label=0, names=None, one_hot=[], parts=[2], parts_said=False, group=None, notes=[])
    """
    columns = Columns(path=_path(table, reading, share))
    taken: set[int | None] = {columns.path}
    columns.group = _said(table, "group_column", reading.group_column)
    columns.parts = _parts(table, reading, taken | {columns.group})
    columns.parts_said = reading.split_column is not None
    taken |= {*columns.parts, columns.group}
    _set_label(columns, table, reading, taken)
    taken |= {columns.label, columns.names, *columns.one_hot}
    if table.headed and path_rank(table.columns[columns.path]) is None and reading.path_column is None:
        rivals = [n for n, name in enumerate(table.columns) if path_rank(name) is not None and n not in taken]
        if rivals:
            columns.notes.append(
                f"the paths are those of column {table.columns[columns.path]!r}: the cells of "
                f"{_listed(table, rivals)} are no files"
            )
    columns.notes += _unused(table, taken)
    return columns


def position(table: Table, name: str) -> int:
    """Position of a column by its name; capitals, spaces and underscores do not matter where that leaves one.

    Raises
    ------
    UnknownNameError
        Where there is none; the message offers close matches.
    ImageSetError
        Where there are two.
    """
    for key in (str, str.strip, str.casefold, plain):
        found = [number for number, column in enumerate(table.columns) if key(column) == key(name)]
        if len(found) == 1:
            return found[0]
        if len(found) > 1:
            shown = " and ".join(repr(table.columns[number]) for number in found)
            raise ImageSetError(f"{table.place} has {len(found)} columns {shown}; keep one, or rename one")
    unnamed = "" if table.headed else ", whose columns have no names and are counted from 1"
    raise UnknownNameError("column", name, [c for c in table.columns if c], f"the list is {table.place}{unnamed}")


def _said(table: Table, option: str, name: str | None) -> int | None:
    return position(table, name) if name else None


def _path(table: Table, reading: Reading, share: Share) -> int:
    said = _said(table, "path_column", reading.path_column)
    if said is not None:
        return said
    taken = {
        number
        for name in (reading.label_column, reading.split_column, reading.group_column)
        if (number := _said(table, "", name)) is not None
    }
    ranks = {
        number: rank
        for number, name in enumerate(table.columns)
        if number not in taken and (rank := path_rank(name)) is not None
    }
    shares = {number: share(table.column(number)) for number in ranks}
    if not ranks or max(shares.values()) < 0.5:
        others = [n for n in range(len(table.columns)) if n not in ranks and n not in taken and not _is_index(table, n)]
        shares |= {number: share(table.column(number)) for number in others}
    best = max(shares.values(), default=0.0)
    good = [number for number, found in shares.items() if found == best]
    if best == 0 and not ranks:
        if len(table.columns) == 1:
            return 0
        shaped = [number for number in good if _like_paths(table.column(number))]
        if len(shaped) != 1:
            raise ImageSetError(
                f"{table.place}: no column is known to hold paths, and in none are the cells files; its columns are "
                f"{_listed(table, range(len(table.columns)))}; name the one of the paths with "
                f"{argument('path_column', table.columns[good[0]] if good else 'path')}, and where they start with "
                f"{argument('root', 'FOLDER')}"
            )
        return shaped[0]
    if best == 0:
        good = list(ranks)
    elif best >= 0.5:
        good = [number for number, found in shares.items() if found >= 0.5]
        shaped = [number for number in good if _like_paths(table.column(number))]
        if shaped and not all(number in ranks for number in good):  # labels may be names of files without endings
            good = shaped
    least = min(ranks.get(number, 9) for number in good)
    good = [number for number in good if ranks.get(number, 9) == least]
    if len(good) > 1 and not all(table.column(number) == table.column(good[0]) for number in good):
        names = " and ".join(repr(table.columns[number]) for number in good)
        which = [argument("path_column", table.columns[number]) for number in good]
        doubled = len({table.columns[number] for number in good}) == 1
        raise ImageSetError(
            f"{table.place} has two columns {table.columns[good[0]]!r}; keep one"
            if doubled
            else f"{table.place}: columns {names} may both hold the paths; say {' or '.join(which)}"
        )
    return good[0]


def _like_paths(cells: Sequence[str]) -> bool:
    """Whether most cells look like paths: with an ending or folders."""
    few = [cell for cell in cells[:200] if cell.strip()]
    return bool(few) and sum("." in cell[-6:] or "/" in cell or "\\" in cell for cell in few) > len(few) / 2


def _is_index(table: Table, number: int) -> bool:
    """Whether a column is the numbering that pandas writes: without a name, all of it numbers."""
    name = table.columns[number]
    return (not name or plain(name).startswith("unnamed")) and all(
        is_number(cell) or not cell.strip() for cell in table.column(number)
    )


def _parts(table: Table, reading: Reading, taken: set[int | None]) -> list[int]:
    if reading.split_column is not None:
        return [position(table, reading.split_column)] if reading.split_column else []
    said = reading.label_column and position(table, reading.label_column)
    free = [n for n in range(len(table.columns)) if n not in taken and (said is None or n != said)]
    labels = [n for n in free if table.headed and label_rank(table.columns[n]) in (0, 1)]
    # whatever its name, a column of part names holds the parts, unless it is the only one that is named like labels
    named = [n for n in free if part_cells(table, n) and (may_be_part(table.columns[n]) or labels != [n])]
    flags = [n for n in free if flag_of(table.columns[n], table.column(n)) is not None]
    if len(named) + bool(flags) > 1:
        if len(named) > 1 and not flags and all(table.column(n) == table.column(named[0]) for n in named):
            return named[:1]
        both = [*named, *flags]
        raise ImageSetError(
            f"{table.place}: columns {_listed(table, both)} may all hold the parts; say "
            f"{' or '.join(argument('split_column', table.columns[n]) for n in both[:3])}"
        )
    return named or flags


def _set_label(columns: Columns, table: Table, reading: Reading, taken: set[int | None]) -> None:
    """Find the label, its names, or one column a class."""
    said = _said(table, "label_column", reading.label_column)
    if said is not None:
        columns.label, columns.names = said, _names_of(table, said, taken)
        return
    free = [n for n in range(len(table.columns)) if n not in taken and not _is_index(table, n)]
    ranks = {n: rank for n in free if (rank := label_rank(table.columns[n])) is not None and table.headed}
    if not ranks:
        hot = [n for n in free if _is_hot(table.column(n))]
        if len(hot) > 1 and len(hot) >= len(free) / 2:
            columns.one_hot = hot
            return
        words = [n for n in free if not all(map(is_number, table.column(n)))]
        if not table.headed and len(words) == 1:  # a name beside numbers
            free = words
        if len(free) == 1 and not is_group(table.columns[free[0]]):
            columns.label = free[0]
        elif free and not reading.unlabelled:
            raise ImageSetError(
                f"{table.place}: no column is known to hold the labels; its columns are "
                f"{_listed(table, range(len(table.columns)))}; name one with "
                f"{argument('label_column', table.columns[free[0]])}, or say `unlabelled=True` to cache features only"
            )
        return
    if min(ranks.values()) < 2:
        ranks = {n: rank for n, rank in ranks.items() if rank < 2}
    if len(ranks) > 1:
        filled = [n for n in ranks if any(cell.strip() not in EMPTY for cell in table.column(n))]
        ranks = {n: ranks[n] for n in filled or ranks}
    if len(ranks) > 1:
        pair = _numbers_and_names(table, list(ranks))
        if pair is not None:
            columns.label, columns.names = pair
            return
        least = min(ranks.values())
        good = [n for n in ranks if ranks[n] == least]
        same = all(one_to_one(table.column(n), table.column(good[0])) for n in ranks)
        if len({table.columns[n] for n in ranks}) < len(ranks):
            double = next(c for c in table.columns if table.columns.count(c) > 1)
            raise ImageSetError(f"{table.place} has two columns {double!r}; keep one")
        if not same:
            which = [argument("label_column", table.columns[n]) for n in ranks]
            raise ImageSetError(
                f"{table.place}: columns {_listed(table, ranks)} may hold the labels; say {' or '.join(which[:4])}"
            )
        words = [n for n in good if not all(map(is_number, table.column(n)))]
        columns.label = (words or good)[0]
        return
    columns.label = next(iter(ranks))
    columns.names = _names_of(table, columns.label, taken)


def _names_of(table: Table, label: int, taken: set[int | None]) -> int | None:
    """The column of names that belongs to a column of numbers: label and label_name, class_id and class."""
    if not all(cell.strip() in EMPTY or is_number(cell) for cell in table.column(label)):
        return None
    base = label_base(table.columns[label])
    for number, name in enumerate(table.columns):
        beside = number != label and number not in taken and base and label_base(name) == base
        if beside and not all(map(is_number, table.column(number))):
            return number
    return None


def _numbers_and_names(table: Table, candidates: list[int]) -> tuple[int, int] | None:
    """The one column of numbers and the one of names, where they say the same or are named alike."""
    numbers = [n for n in candidates if all(c.strip() in EMPTY or is_number(c) for c in table.column(n))]
    words = [n for n in candidates if n not in numbers]
    if len(numbers) != 1 or len(words) != 1:
        return None
    number, word = numbers[0], words[0]
    alike = label_base(table.columns[number]) == label_base(table.columns[word])
    return (number, word) if alike or one_to_one(table.column(number), table.column(word)) else None


def one_to_one(first: Sequence[str], second: Sequence[str]) -> bool:
    """Whether two columns tell the same rows apart.

    Examples
    --------
    >>> one_to_one(["0", "1", "0"], ["cat", "dog", "cat"]), one_to_one(["0", "1"], ["cat", "cat"])
    (True, False)
    """
    pairs = set(zip(first, second, strict=True))
    return len(pairs) == len({a for a, _ in pairs}) == len({b for _, b in pairs})


def _is_hot(cells: Sequence[str]) -> bool:
    return {cell.strip() for cell in set(cells)} <= {"0", "1", "0.0", "1.0"}


def _unused(table: Table, taken: set[int | None]) -> list[str]:
    left = [n for n in range(len(table.columns)) if n not in taken and not _is_index(table, n)]
    notes = [
        f"column {table.columns[n]!r} looks like groups of images that belong together and is not used; "
        f"{argument('group_column', table.columns[n])} keeps such images in one part"
        for n in left
        if is_group(table.columns[n])
    ]
    others = [n for n in left if not is_group(table.columns[n])]
    if others:
        notes.append(f"column{'s' * (len(others) > 1)} not used: {_listed(table, others)}")
    return notes


def _listed(table: Table, numbers: Sequence[int] | range | dict[int, int]) -> str:
    names = [repr(table.columns[number]) for number in numbers]
    return ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")
