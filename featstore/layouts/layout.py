"""Layout: one way in which images, folders and lists lie, and what its lists name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from featstore.errors import UnknownNameError
from featstore.images.reading import Reading
from featstore.images.tree import Labelled
from featstore.layouts.folders.place import Place, number
from featstore.layouts.folders.spans import Row, Span
from featstore.system.reporting import printable_path


@dataclass(frozen=True)
class Layout:
    """One way in which data lie.

    Attributes
    ----------
    name : str
        By which `layout` names it.
    looks : str
        What it looks like: names of files and folders.
    labels, parts : str
        Where these come from; "" where there are none.
    columns : tuple of str
        Kinds of label that `label_column` may name, the usual one first.
    recognises : callable
        Whether a `Place` looks so.
    read : callable
        Place and `Reading` to `Labelled`.

    Examples
    --------
    >>> Layout("x", "a/", "folders", "", (), lambda place: False, lambda place, reading: NotImplemented).name
    'x'
    """

    name: str
    looks: str
    labels: str
    parts: str
    columns: tuple[str, ...] = field(compare=False)
    recognises: Callable[[Place], bool] = field(compare=False)
    read: Callable[[Place, Reading], Labelled] = field(compare=False)


@dataclass
class Listed:
    """Images that the lists of a data set name, each with its row.

    Examples
    --------
    >>> from featstore.images.tree import Tree
    >>> place = Place(Tree(b"/pets", [b"cats/1.jpg"], [900], [0], [(b"", 0), (b"cats", 1)]))
    >>> listed = Listed(place)
    >>> listed.add(place.row(b"cats/1.jpg"), b"cats/1.jpg", Row(b"cats"))
    >>> listed.add(place.row(b"cats/2.jpg"), b"cats/2.jpg", Row(b"cats"))
    >>> listed.notes()
    ['1 image that the lists name is not there (such as cats/2.jpg)']
    """

    place: Place
    rows: dict[int, Row] = field(default_factory=dict)
    missing: list[bytes] = field(default_factory=list)
    doubled: list[bytes] = field(default_factory=list)

    def add(self, row: int | None, name: bytes, says: Row) -> None:
        """Note what a list says of an image; `row` is its position, None where it is not there."""
        if row is None:
            self.missing.append(name)
        elif self.rows.setdefault(row, says) != says:
            self.doubled.append(name)

    def spans(self) -> list[Span]:
        """As `labelled` takes them."""
        return [(row, 1, says) for row, says in self.rows.items()]

    def notes(self) -> list[str]:
        """What does not fit, for people."""
        notes = []
        if self.missing:
            notes.append(
                f"{number(len(self.missing), 'image that the lists name is', 'images that the lists name are')} not "
                f"there (such as {printable_path(self.missing[0])})"
            )
        if self.doubled:
            notes.append(
                f"{number(len(self.doubled), 'image is', 'images are')} named twice with different parts or labels, "
                f"such as {printable_path(self.doubled[0])}: the first is taken"
            )
        return notes


def chosen_column(reading: Reading, columns: Sequence[str], layout: str) -> str:
    """Which kind of label is asked for.

    Raises
    ------
    UnknownNameError
        Where the layout has none of that name.
    """
    if reading.label_column is None:
        return columns[0]
    if reading.label_column not in columns:
        raise UnknownNameError("label column", reading.label_column, columns, f"these are the labels of {layout}")
    return reading.label_column
