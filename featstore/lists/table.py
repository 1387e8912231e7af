"""Table: the cells of a list with the names of its columns, whatever kind of file it is."""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from featstore.errors import ImageSetError
from featstore.images.tree import LIST_BYTES
from featstore.lists.arrow_table import is_arrow, read_arrow
from featstore.lists.column_names import is_known
from featstore.lists.delimited import named_like_image, read_delimited
from featstore.lists.encoding import text_of
from featstore.lists.foreign import foreign
from featstore.lists.json_table import looks_like_json, read_json
from featstore.system.reporting import printable_path

_NUMBER = re.compile(r"\s*[-+]?[0-9]*[.,]?[0-9]+(e[-+]?[0-9]+)?\s*", re.IGNORECASE)


@dataclass(frozen=True)
class Table:
    """The cells of a list.

    Attributes
    ----------
    place : str
        The list, printable.
    columns : tuple of str
        Names as they are written, without spaces around them; "1", "2" and so on where the list names none.
    rows : list of list of str
        As many cells in each as there are columns; as they are written, empty where there is none. Bytes that are not
        UTF-8 are surrogates in them (`surrogateescape`).
    lines : list of int
        Where each row stands, from 1.
    unit : str
        What `lines` count: "line" or "entry".
    headed : bool
        Whether the columns' names are in the file, and might be a row instead.
    kind : str
        For people: "commas", "JSON" and so on.
    notes : list of str
        What was left out.

    Examples
    --------
    >>> table = read_table(b"file,breed\\na.jpg,beagle\\n", b"dogs.csv")
    >>> table.columns, table.rows, table.where(0)
    (('file', 'breed'), [['a.jpg', 'beagle']], 'line 2')
    """

    place: str
    columns: tuple[str, ...]
    rows: list[list[str]]
    lines: list[int]
    unit: str = "line"
    headed: bool = True
    kind: str = "commas"
    notes: list[str] = field(default_factory=list)

    def column(self, number: int) -> list[str]:
        """The cells of one column."""
        return [row[number] for row in self.rows]

    def title(self, number: int) -> str:
        """A column as messages name it: `column 'label'`, or `column 2` where the list names none."""
        return f"column {self.columns[number]!r}" if self.headed else f"column {number + 1}"

    def where(self, row: int) -> str:
        """Where a row stands, for messages."""
        return f"{self.unit} {self.lines[row]}"

    def unheaded(self) -> Table:
        """The table with its columns' names as the first row."""
        names = tuple(str(number + 1) for number in range(len(self.columns)))
        rows = [list(self.columns), *self.rows]
        return replace(self, columns=names, rows=rows, lines=[1, *self.lines], headed=False)


def read_table(content: bytes, name: bytes) -> Table:
    """Read a list as Excel, pandas, Kaggle or a text editor write it.

    CSV with any usual separator, text with spaces, JSON, JSON lines, Parquet and Arrow tables; these also within gzip.

    Parameters
    ----------
    content : bytes
    name : bytes
        The list's path, for messages; what it is, its bytes tell.

    Raises
    ------
    ImageSetError
        Where it is another kind of file, damaged, empty, or its rows have cells without a column.
    MissingExtraError
        Where it is Parquet and pyarrow is not installed.

    Examples
    --------
    >>> read_table(b"n01/a.JPEG 0\\nn02/b.JPEG 1\\n", b"train.txt").rows
    [['n01/a.JPEG', '0'], ['n02/b.JPEG', '1']]
    >>> read_table(b'{"a.jpg": "cat"}', b"labels.json").rows
    [['a.jpg', 'cat']]
    """
    place = printable_path(name)
    if content[:3] == b"\x1f\x8b\x08":
        content = _unzipped(content, place)
    if not content.strip():
        raise ImageSetError(f"{place} is empty; expected one row an image, such as path,label")
    if is_arrow(content):
        columns, rows = read_arrow(content, place)
        return Table(place, columns, rows, list(range(1, len(rows) + 1)), "row", kind="a table of Arrow or Parquet")
    if (other := foreign(content)) is not None:
        what, out = other
        raise ImageSetError(
            f"{place} is {what}; expected a list of images as CSV, TSV, JSON lines, Parquet or plain text: {out}"
        )
    text = text_of(content, place)
    if looks_like_json(text, name):
        found = read_json(text, place)
        if found.columns is not None:
            return Table(place, found.columns, found.rows, found.lines, found.unit, kind="JSON")
        return _titled(place, found.rows, found.lines, found.unit, "JSON", [])
    records = read_delimited(text, place)
    notes = []
    if records.comments:
        s = "s that begin" if records.comments > 1 else " that begins"
        notes.append(
            f"{records.comments} line{s} with # {'were' if records.comments > 1 else 'was'} taken for a comment"
        )
    if not records.rows:
        raise ImageSetError(f"{place} holds no row; expected one row an image, such as path,label")
    return _titled(place, records.rows, records.lines, "line", records.separator, notes)


def _titled(place: str, rows: list[list[str]], lines: list[int], unit: str, kind: str, notes: list[str]) -> Table:
    """Part the names of columns from the rows."""
    if not _has_header(rows, kind):
        width = max(map(len, rows))
        names = tuple(str(number + 1) for number in range(width))
        return Table(place, names, _even(place, names, rows, lines, unit), lines, unit, False, kind, notes)
    header, rows, lines = rows[0], rows[1:], lines[1:]
    while header and not header[-1].strip() and all(not "".join(row[len(header) - 1 :]).strip() for row in rows):
        header = header[:-1]
    # pandas and R may leave the name of the numbering out: every row has a cell more than the header
    if rows and all(len(row) == len(header) + 1 and _NUMBER.fullmatch(row[0]) and row[-1].strip() for row in rows):
        header = ["", *header]
    names = tuple(cell.strip() for cell in header)
    return Table(place, names, _even(place, names, rows, lines, unit), lines, unit, True, kind, notes)


def _has_header(rows: list[list[str]], kind: str) -> bool:
    """Whether the first row names columns."""
    first, others = rows[0], rows[1:200]
    if any(map(named_like_image, first)):
        return False
    if any(map(is_known, first)):
        return True
    if len(first) == 1:  # one name or path a line
        return False
    for number, cell in enumerate(first):
        below = [row[number] for row in others if number < len(row)]
        numbers = sum(_NUMBER.fullmatch(one) is not None for one in below)
        if _NUMBER.fullmatch(cell):
            if below and numbers == len(below):
                return False
        elif below and (numbers == len(below) or all(map(named_like_image, below))):
            return True
    # a name of a column is rarely one of its values
    if any(cell.strip() and cell in {row[n] for row in rows[1:] if n < len(row)} for n, cell in enumerate(first)):
        return False
    return kind != "spaces"


def _even(place: str, names: tuple[str, ...], rows: list[list[str]], lines: list[int], unit: str) -> list[list[str]]:
    """Rows of one width; cells beyond it must be empty."""
    width = len(names)
    if all(len(row) == width for row in rows):
        return rows
    even = []
    for row, line in zip(rows, lines, strict=True):
        if len(row) > width and any(map(str.strip, row[width:])):
            raise ImageSetError(
                f"{place}, {unit} {line} has {len(row)} cells where there are {width} columns "
                f"({_shown(names)}); put a cell that holds the separator in quotes"
            )
        even.append(row[:width] + [""] * (width - len(row)))
    return even


def _shown(names: Iterable[str]) -> str:
    return ", ".join(map(repr, list(names)[:6]))


def _unzipped(content: bytes, place: str) -> bytes:
    """What is in a gzip file, of at most `LIST_BYTES`."""
    try:
        inner = zlib.decompressobj(31)
        found = inner.decompress(content, LIST_BYTES + 1)
    except zlib.error as error:
        raise ImageSetError(f"{place} is a damaged gzip file ({error}); expected a list of images") from error
    if len(found) > LIST_BYTES:
        raise ImageSetError(f"{place} holds more than {LIST_BYTES >> 20} MiB; expected a list of images")
    if not inner.eof:
        raise ImageSetError(f"{place} is a gzip file that ends too early; expected a whole list")
    return found
