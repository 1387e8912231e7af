"""The labels of a list: empty cells, numbers with names, one column a class, several labels in a cell."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence

from featstore.errors import ImageSetError
from featstore.lists.encoding import windows_text
from featstore.lists.table import Table
from featstore.system.reporting import argument

EMPTY = frozenset(
    (
        "",
        "nan",
        "NaN",
        "NAN",
        "-nan",
        "-NaN",
        "NA",
        "N/A",
        "n/a",
        "<NA>",
        "#N/A",
        "#NA",
        "#N/A N/A",
        "None",
        "null",
        "NULL",
    )
    + ("Null", "1.#IND", "-1.#IND", "1.#QNAN", "-1.#QNAN")
)
"""Cells that mean no label: what pandas reads so, as they are written."""

_NUMBER = re.compile(r"\s*[-+]?[0-9]+(\.[0-9]*)?\s*")
_WHOLE = re.compile(r"(-?[0-9]+)\.0*")
_MARKS = {",": "commas", "|": "bars", ";": "semicolons", "+": "plus signs", "/": "slashes", " ": "spaces"}


def is_number(cell: str) -> bool:
    """Whether a cell is a plain number.

    Examples
    --------
    >>> is_number("3"), is_number("3.0"), is_number("three")
    (True, True, False)
    """
    return _NUMBER.fullmatch(cell) is not None


def clean_labels(cells: Sequence[str]) -> tuple[list[str | None], list[str]]:
    """Labels as they are shown, None where a cell is empty; and what was done, for people.

    Spaces around them are taken away, 3.0 is 3 where all are whole numbers, the two Unicode forms of a name are one.

    Examples
    --------
    >>> clean_labels([" cat", "", "dog"])
    (['cat', None, 'dog'], [])
    >>> clean_labels(["1.0", "NaN", "2.0"])
    (['1', None, '2'], ["1 label is empty ('NaN')"])
    """
    counts = Counter(cells)
    clean = {cell: unicodedata.normalize("NFC", windows_text(cell).strip()) for cell in counts}
    told = {cell: name for cell, name in clean.items() if name not in EMPTY}
    if told and all(map(_WHOLE.fullmatch, told.values())):
        told = {cell: name.split(".")[0] for cell, name in told.items()}
    for quote in "'\"":  # quotes that the table's writer put around every cell
        if told and all(len(name) > 1 and name[0] == name[-1] == quote for name in told.values()):
            told = {cell: name[1:-1].strip() for cell, name in told.items()}
    notes = []
    spelt = Counter[str]()
    for cell, count in counts.items():
        if cell not in told and clean[cell]:
            spelt[clean[cell]] += count
    if spelt:
        shown = ", ".join(repr(name) for name, _ in spelt.most_common(3))
        many = spelt.total() > 1
        notes.append(f"{spelt.total()} label{'s are' if many else ' is'} empty ({shown})")
    strange = [cell for cell in told if windows_text(cell) != cell]
    if strange:
        notes.append(
            f"{len(strange)} label{'s' * (len(strange) > 1)} not in UTF-8 read as Windows-1252, such as "
            f"{told[strange[0]]!r}; save the list as UTF-8 if that is wrong"
        )
    return [told.get(cell) for cell in cells], notes


def named_labels(table: Table, label: int, names: int) -> tuple[list[str | None], list[str]]:
    """The names of numbered labels.

    Raises
    ------
    ImageSetError
        Where one number has two names, or one name two numbers.
    """
    numbers, _ = clean_labels(table.column(label))
    found, notes = clean_labels(table.column(names))
    name_of: dict[str, tuple[str, int]] = {}
    number_of: dict[str, tuple[str, int]] = {}
    for row, (number, name) in enumerate(zip(numbers, found, strict=True)):
        if number is None or name is None:
            continue
        first, before = name_of.setdefault(number, (name, row))
        if first != name:
            raise ImageSetError(_torn(table, label, names, f"{number} is {first!r}", before, f"{name!r}", row))
        first, before = number_of.setdefault(name, (number, row))
        if first != number:
            raise ImageSetError(_torn(table, label, names, f"{name!r} is {first}", before, number, row))
    shown: list[str | None] = [
        name if name is not None else name_of[number][0] if number in name_of else number
        for number, name in zip(numbers, found, strict=True)
    ]
    return shown, notes


def _torn(table: Table, label: int, names: int, first: str, before: int, second: str, row: int) -> str:
    columns = [table.columns[label], table.columns[names]]
    return (
        f"{table.place}: columns {columns[0]!r} and {columns[1]!r} do not agree: {first} on {table.where(before)} and "
        f"{second} on {table.where(row)}; correct them, or take the names alone with "
        f"{argument('label_column', columns[1])}"
    )


def one_hot_labels(table: Table, columns: Sequence[int]) -> list[str | None]:
    """The class whose column holds the 1.

    Raises
    ------
    ImageSetError
        Where a row has no 1, or several.
    """
    labels: list[str | None] = []
    for row, cells in enumerate(table.rows):
        ones = [number for number in columns if cells[number].strip() in ("1", "1.0")]
        if len(ones) != 1:
            which = "none is 1" if not ones else "1 stands in " + " and ".join(repr(table.columns[n]) for n in ones[:3])
            names = ", ".join(repr(table.columns[n]) for n in columns[:5])
            one = argument("label_column", table.columns[columns[0]])
            raise ImageSetError(
                f"{table.place} has a column of 0 and 1 for each class ({names}{', ...' * (len(columns) > 5)}), and on "
                f"{table.where(row)} {which}; expected exactly one 1 a row, for an image has one class here: write "
                f"it into one column, or take one of the columns with {one}"
            )
        labels.append(table.columns[ones[0]])
    return labels


def several_in_one(labels: Sequence[str | None]) -> str | None:
    """A note where labels look like several in one cell; None where they do not.

    Examples
    --------
    >>> several_in_one(["ant,red", "ant,small", "bee,red"])
    "labels look like several (separated by commas), such as 'ant,red'; each combination is taken as one class"
    >>> several_in_one(["golden retriever", "labrador retriever", "beagle"])
    """
    names = sorted({name for name in labels if name})
    listed = [name for name in names if re.fullmatch(r"\[.*\]|\(.*,.*\)|\{.*\}", name)]
    found = ("as lists", listed) if listed else None
    for mark, shown in _MARKS.items() if not found else ():
        held = [name for name in names if mark in name]
        atoms = Counter(atom for name in held for atom in {part.strip() for part in name.split(mark)} if atom)
        whole = sum(name in atoms for name in names if mark not in name)
        shared = sum(count for count in atoms.values() if count > 1)
        if not held:
            continue
        coded = all(any(map(str.isdigit, word)) for word in atoms)
        if (mark == "/" and not whole) or (mark == " " and not coded):
            # "red fox" and "animal/cat" are one label: their first words are hardly ever last ones, or labels
            pairs = [[word.strip() for word in name.split(mark) if word.strip()] for name in held]
            first, last = {words[0] for words in pairs}, {words[-1] for words in pairs}
            told = sum(all(word in names or atoms[word] > 1 for word in words) for words in pairs)
            begun = sum(words[0] in names for words in pairs)
            if begun * 2 < len(held) and (told * 2 < len(held) or not first & (last | set(names))):
                continue
        if shared * 2 >= atoms.total() or whole:
            found = (f"separated by {shown}", held)
            break
    if found is None:
        return None
    return f"labels look like several ({found[0]}), such as {found[1][0]!r}; each combination is taken as one class"
