"""Text in cells: which mark separates them, found out from the first lines; the csv module reads them."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from featstore.errors import ImageSetError
from featstore.images import formats
from featstore.lists.column_names import is_known

_SAMPLE = 1 << 16
"""Characters from which the separator is found out."""

_MARKS = {"\t": "tabs", ",": "commas", ";": "semicolons", "|": "bars"}
"""Separators, the likelier first where all else is equal."""

_SAID = re.compile(r'"?sep=(.)"?[ \t]*(\r\n|\r|\n|$)', re.IGNORECASE)
"""The first line by which Excel is told the separator."""

_IMAGE = "|".join(sorted(ending.decode()[1:] for ending in formats.EXTENSIONS))
_NAMED_LIKE_IMAGE = re.compile(rf"\.(?:{_IMAGE})[\s\"']*$", re.IGNORECASE)
_PATH_THEN_REST = re.compile(rf"\s*(\S.*?\.(?:{_IMAGE}))(?:\s+(\S.*?))?\s*", re.IGNORECASE)


@dataclass
class Records:
    """Rows of cells as they stand in a text.

    Attributes
    ----------
    rows : list of list of str
        Not blank; of different lengths where the text is ragged.
    lines : list of int
        Line on which each row ends, from 1.
    separator : str
        "commas", "tabs", "spaces" and so on; "" where there is one cell a row.
    comments : int
        Lines that begin with # and were left out.
    """

    rows: list[list[str]]
    lines: list[int]
    separator: str
    comments: int = 0


def read_delimited(text: str, place: str) -> Records:
    r"""The cells of a text.

    Separators are commas, semicolons, tabs, bars or spaces, whichever cuts the first lines into rows of one width;
    a first line `sep=;` decides. Quotes are those of CSV. Lines that begin with # are comments where their width is
    another, and where most lines do not begin so.

    Parameters
    ----------
    text : str
    place : str
        The list, for messages.

    Raises
    ------
    ImageSetError
        Where quotes are not closed.

    Examples
    --------
    >>> read_delimited("path;label\r\na.jpg;cat\r\n", "a.csv").rows
    [['path', 'label'], ['a.jpg', 'cat']]
    >>> read_delimited("# two\nmy cat.jpg 3\ndog.jpg 4\n", "a.txt")
    Records(rows=[['my cat.jpg', '3'], ['dog.jpg', '4']], lines=[2, 3], separator='spaces', comments=1)
    """
    if (counted := _counted(text)) is not None:
        return counted
    said = _SAID.match(text)
    text = text[said.end() :] if said else text
    first = 1 if said else 0
    mark = said[1] if said else _separator(text)
    if mark is None or mark == " ":
        records = _by_spaces(text, first) if mark else _whole(text, first)
    else:
        records = _by_mark(text, mark, first, place)
    return _without_comments(records) if "#" in text else records


def named_like_image(cell: str) -> bool:
    """Whether a cell ends as names of images do.

    Examples
    --------
    >>> named_like_image("photos/a.JPG"), named_like_image("cat")
    (True, False)
    """
    return _NAMED_LIKE_IMAGE.search(cell) is not None


def _separator(text: str) -> str | None:
    """The mark that cuts the first lines best; " " for spaces, None where a line is one cell."""
    sample = text[:_SAMPLE]
    if len(text) > _SAMPLE:
        sample = sample[: max(sample.rfind("\n"), sample.rfind("\r")) + 1] or sample
    best, chosen = (False, 0.0, 0.0), None
    for mark in (*_MARKS, " "):
        if mark == " ":
            rows = _by_spaces(sample, 0).rows
        elif mark in sample:
            rows = [row for row in csv.reader(io.StringIO(sample, newline=""), **_style(sample, mark)) if any(row)]
        else:
            continue
        rows = [row for row in rows if not row[0].startswith("#")] or rows
        widths = Counter(map(len, rows))
        width = max(widths, key=lambda w: (widths[w], w), default=0)
        if width < 2:
            continue
        images = sum(any(map(named_like_image, row)) for row in rows) / len(rows)
        # A header has names for all cells, or for all but the first (pandas and R leave the row names' out).
        fit = (len(rows[0]) in (width, width - 1) and len(rows[0]) > 1, widths[width] / len(rows), images)
        if not fit[0] and fit[1] < 0.6:
            continue
        if fit > best or (fit[:1] == best[:1] and fit[2] > best[2] + 0.5 and fit[1] > 0.9):
            best, chosen = fit, mark
    return chosen


def _style(text: str, mark: str) -> dict[str, Any]:
    """How the csv module is to read: spaces before a quote belong to neither."""
    quoted = re.search(rf'{re.escape(mark)} +"[^"\r\n]+" *({re.escape(mark)}|[\r\n]|$)', text)
    return {"delimiter": mark, "skipinitialspace": quoted is not None}


def _by_mark(text: str, mark: str, first: int, place: str) -> Records:
    comments = 0
    while found := re.match(r"#([^\r\n]*)(\r\n|\r|\n)", text):
        if mark in found[1] and '"' not in found[1]:  # perhaps names of columns; quotes in a comment mean nothing
            break
        text = text[found.end() :]
        comments += 1
    first += comments
    reader = csv.reader(io.StringIO(text, newline=""), strict=True, **_style(text, mark))
    rows, lines = [], []
    try:
        for row in reader:
            if row and (row[0].strip() or any(map(str.strip, row))) and not (mark == "|" and _is_rule(row)):
                rows.append(row)
                lines.append(reader.line_num + first)
    except csv.Error as error:
        raise ImageSetError(
            f"{place}, line {reader.line_num + first}: {error}; expected plain CSV, quotes closed"
        ) from error
    return Records(rows, lines, _MARKS.get(mark, repr(mark)), comments)


def _is_rule(row: list[str]) -> bool:
    """Whether a row is the line below the header of a Markdown table."""
    return all(re.fullmatch(r"\s*(:?-+:?)?\s*", cell) for cell in row)


def _lines(text: str, first: int) -> Iterator[tuple[int, str]]:
    for number, line in enumerate(re.split(r"\r\n|\r|\n", text), first + 1):
        if line.strip():
            yield number, line.strip()


def _by_spaces(text: str, first: int) -> Records:
    """Cells between spaces; a path may hold spaces where it ends like an image and the class stands behind it."""
    numbered = list(_lines(text, first))
    rows = [
        line.split() if '"' not in line else next(csv.reader([" ".join(line.split())], delimiter=" "))
        for _, line in numbered
    ]
    if len({len(row) for row in rows if not row[0].startswith("#")}) > 1:
        found = [_PATH_THEN_REST.fullmatch(line) for _, line in numbered]
        if sum(map(bool, found)) > len(rows) / 2:
            alone = not any(match[2] for match in found if match)
            rows = [
                ([match[1]] if alone else [match[1], match[2] or ""]) if match else row
                for match, row in zip(found, rows, strict=True)
            ]
    return Records(rows, [number for number, _ in numbered], "spaces")


def _counted(text: str) -> Records | None:
    """A text whose first line is the number of rows, and whose second may name the columns behind the path."""
    head = re.match(r"[ \t]*([0-9]{1,9})[ \t]*(?:\r\n|\r|\n)", text)
    if head is None:
        return None
    numbered = list(_lines(text, 0))[1:]
    rows = [line.split() for _, line in numbered]
    if len(rows) < 2 or int(head[1]) not in (len(rows), len(rows) - 1) or not named_like_image(rows[-1][0]):
        return None
    width = len(rows[-1])
    if width < 2 or any(len(row) != width for row in rows[1:]) or len(rows[0]) not in (width, width - 1):
        return None
    if len(rows[0]) < width:
        rows[0] = ["image", *rows[0]]
    return Records(rows, [number for number, _ in numbered], "spaces")


def _whole(text: str, first: int) -> Records:
    """One cell a line, without the quotes around it."""
    numbered = list(_lines(text, first))
    cells = [[line[1:-1].replace('""', '"') if line[:1] == line[-1:] == '"' and len(line) > 1 else line]
             for _, line in numbered]  # fmt: skip
    return Records(cells, [number for number, _ in numbered], "")


def _without_comments(records: Records) -> Records:
    marked = [number for number, row in enumerate(records.rows) if row[0].lstrip().startswith("#")]
    if not marked or len(marked) > len(records.rows) / 2:
        return records
    widths = Counter(len(row) for number, row in enumerate(records.rows) if number not in set(marked))
    width = max(widths, key=lambda w: widths[w])
    left = {n for n in marked if len(records.rows[n]) != width or not any(map(named_like_image, records.rows[n]))}
    if 0 in left:  # "# path label", as NumPy writes a header
        names = [cell.lstrip("# \t") for cell in records.rows[0]]
        names = names[1:] if not names[0] else names
        if len(names) == width and any(map(is_known, names)):
            left.remove(0)
            records.rows[0] = names
    return Records(
        [row for number, row in enumerate(records.rows) if number not in left],
        [line for number, line in enumerate(records.lines) if number not in left],
        records.separator,
        records.comments + len(left),
    )
