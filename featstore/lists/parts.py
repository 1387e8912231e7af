"""The parts of a list: a column of part names, or columns of True and False such as is_valid."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from featstore.errors import ImageSetError
from featstore.images.part_names import part_of
from featstore.lists.column_names import is_part, plain
from featstore.lists.labels import EMPTY
from featstore.lists.table import Table
from featstore.system.reporting import argument

_TRUE = frozenset(("true", "t", "yes", "y", "1", "1.0"))
_FALSE = frozenset(("false", "f", "no", "n", "0", "0.0"))


def flag_of(name: str, cells: Sequence[str]) -> str | None:
    """The part that a column of True and False is about; None where it is no such column.

    Examples
    --------
    >>> flag_of("is_valid", ["True", "False"]), flag_of("test", ["cat", "dog"]), flag_of("is_red", ["0", "1"])
    ('val', None, None)
    """
    key = plain(name)
    part = part_of(key.removeprefix("is").removeprefix("in").removesuffix("image").removesuffix("sample"))
    if not part:
        return None
    values = {cell.strip().lower() for cell in set(cells)}
    return part if values <= _TRUE | _FALSE | {"", "nan"} and values - {"", "nan"} else None


def part_cells(table: Table, number: int) -> bool:
    """Whether a column holds parts: one of its cells is a part's name, or it can be nothing else."""
    values = {cell.strip() for cell in set(table.column(number))} - EMPTY
    if not values:
        return False
    if plain(table.columns[number]) in ("split", "partition"):
        return True
    known = sum(part_of(value) is not None for value in values)
    return known == len(values) or (is_part(table.columns[number]) and known > 0)


def read_parts(table: Table, columns: Sequence[int], said: bool = False) -> tuple[list[str], str, list[str]]:
    """The part of each row, "" for none; which columns tell it, "" where none does; notes.

    Parameters
    ----------
    table : Table
    columns : sequence of int
        One column of part names, or columns of True and False.
    said : bool
        Whether the user named the column.

    Raises
    ------
    ImageSetError
        Where a cell names no part, or a row is in two.

    Examples
    --------
    >>> from featstore.lists.table import read_table
    >>> read_parts(read_table(b"path,is_valid\\na.jpg,True\\nb.jpg,False\\n", b"a.csv"), [1])
    (['val', 'train'], "column 'is_valid'", [])
    """
    if not columns:
        return [""] * len(table.rows), "", []
    flags = {number: flag_of(table.columns[number], table.column(number)) for number in columns}
    if all(flags.values()):
        of = {number: part for number, part in flags.items() if part}
        found = _by_flags(table, of)
        if not said:
            _refuse_good_rows(table, of, found)
    else:
        found = _by_names(table, columns[0])
    here = any(found)
    origin = " and ".join(map(table.title, columns)) if here else ""
    without = found.count("")
    notes = []
    if without and here:
        notes.append(
            f"{without} row{'s are' if without > 1 else ' is'} in no part; such images count as training images"
        )
    return found, origin, notes


def _by_names(table: Table, number: int) -> list[str]:
    cells = table.column(number)
    part: dict[str, str] = {}
    unknown: dict[str, int] = {}
    for row, cell in enumerate(cells):
        if cell not in part and cell not in unknown:
            name = "" if cell.strip() in EMPTY else part_of(cell.strip())
            if name is None:
                unknown[cell] = row
            else:
                part[cell] = name
    if unknown:
        counts = Counter(cell for cell in cells if cell in unknown)
        rows = counts.total()
        first = ", ".join(f"{table.where(row)}: {cell.strip()!r}" for cell, row in list(unknown.items())[:3])
        more = f", and {len(unknown) - 3} more" if len(unknown) > 3 else ""
        raise ImageSetError(
            f"{table.place} has {rows} row{'s' * (rows > 1)} with an unknown part in {table.title(number)} "
            f"({first}{more}); use train, val or test, or leave the cell empty; {argument('split_column', '')} reads "
            "the list without parts"
        )
    return [part[cell] for cell in cells]


def _by_flags(table: Table, flags: dict[int, str]) -> list[str]:
    """Parts from columns of True and False: where none is True, the row is in the part that no column is about."""
    left = [part for part in ("train", "test", "val") if part not in flags.values()]
    otherwise = left[0] if left else ""
    found = []
    for row, cells in enumerate(table.rows):
        said = {number: cells[number].strip().lower() for number in flags}
        true = [number for number, cell in said.items() if cell in _TRUE]
        if len({flags[number] for number in true}) > 1:
            raise ImageSetError(
                f"{table.place}: {table.where(row)} is True in columns "
                f"{' and '.join(repr(table.columns[number]) for number in true)}; expected an image to be in one part"
            )
        unknown = all(cell not in _FALSE for cell in said.values())
        found.append(flags[true[0]] if true else "" if unknown else otherwise)
    return found


def _refuse_good_rows(table: Table, flags: dict[int, str], found: Sequence[str]) -> None:
    """A column "valid" that is True on most rows may say that these are good."""
    for number in flags:
        name = table.columns[number]
        if plain(name) in ("valid", "isvalid") and found.count("val") * 2 > len(found):
            raise ImageSetError(
                f"{table.place}: column {name!r} is True on {found.count('val')} of {len(found)} rows, which may mean "
                f"the part for validation, or that these rows are good; say {argument('split_column', name)} or "
                f"{argument('split_column', '')}"
            )
