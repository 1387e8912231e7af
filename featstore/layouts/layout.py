"""Layout: one way in which images, folders and lists lie, and how what it finds is put together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from featstore.errors import ImageSetError, UnknownNameError
from featstore.images.listing import Found, Skipped
from featstore.images.reading import Reading
from featstore.images.tree import Labelled
from featstore.layouts.place import Place, number, shown, together
from featstore.system.reporting import argument, printable_path


class Row(NamedTuple):
    """What a layout says of an image: its class, None without a label, and its part.

    Examples
    --------
    >>> Row(b"cats", "train").split
    'train'
    """

    class_name: bytes | None
    split: str = ""


class NothingListedError(ImageSetError):
    """The lists of a data set name none of the images that are there.

    Examples
    --------
    >>> issubclass(NothingListedError, ImageSetError)
    True
    """


Span = tuple[int, int, Row | str]
"""Images that follow each other: the first one's position, their number, and a row or the reason to leave them out."""


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


def labelled(
    place: Place,
    spans: Iterable[Span],
    layout: str,
    labels_from: str,
    parts_from: str = "",
    *,
    rest: str = "on no list of the data set",
    notes: Sequence[str] = (),
    told: Sequence[str] = (),
) -> Labelled:
    """Put together what a layout found.

    Parameters
    ----------
    place : Place
    spans : iterable of Span
        In any order, each image at most once.
    layout, labels_from, parts_from : str
    rest : str
        The reason why all other images are left out.
    notes : sequence of str
        What else there is to say.
    told : sequence of str
        Reasons that the notes speak of already.

    Raises
    ------
    ImageSetError
        Where no image is taken.
    """
    tree = place.tree
    found = Found()
    left: list[Skipped] = []
    at = 0
    for start, count, row in _gapless(spans, len(tree.paths), rest):
        at = start + count
        if isinstance(row, str):
            # without a size: what is an image is no file that need not be looked into again
            left += [Skipped(path, row) for path in tree.paths[start:at]]
            continue
        if count == 1:
            found.paths.append(tree.paths[start])
            found.sizes.append(tree.sizes[start])
            found.mtimes.append(tree.mtimes[start])
        else:
            found.paths += tree.paths[start:at]
            found.sizes += tree.sizes[start:at]
            found.mtimes += tree.mtimes[start:at]
        if found.runs and found.runs[-1][1:] == row:
            found.runs[-1] = (found.runs[-1][0] + count, *row)
        else:
            found.runs.append((count, *row))
    if not found.paths:
        raise NothingListedError(
            f"{shown(place)} looks like {layout}, but none of its {len(tree.paths)} images is named in its lists; "
            f"{argument('layout', 'class-folders')} reads folders as classes"
        )
    unsaid = [one for one in left if one.reason not in told]
    return Labelled(found, [*tree.skipped, *left], layout, labels_from, parts_from, [*notes, *left_out(unsaid)])


def left_out(left: Sequence[Skipped]) -> list[str]:
    """One note for each reason why images were left out."""
    first: dict[str, bytes] = {}
    counts: Counter[str] = Counter()
    for one in left:
        first.setdefault(one.reason, one.path)
        counts[one.reason] += 1
    return [
        f"{number(count, 'image')} left out: {reason} (such as {printable_path(first[reason])})"
        for reason, count in counts.items()
    ]


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


def parts_in(spans: Iterable[Span]) -> str:
    """The parts that have rows, in a sentence; "" for none.

    Examples
    --------
    >>> parts_in([(0, 1, Row(b"cat", "test")), (1, 2, Row(b"cat", "train")), (3, 1, "left out")])
    'train and test'
    """
    there = {row.split for _, _, row in spans if isinstance(row, Row)}
    return together([part for part in ("train", "val", "test") if part in there])


def classes_in(spans: Iterable[Span]) -> int:
    """Number of classes."""
    return len({row.class_name for _, _, row in spans if isinstance(row, Row) and row.class_name is not None})


def _gapless(spans: Iterable[Span], n: int, rest: str) -> Iterable[Span]:
    """The spans in order, and what lies between them."""
    at = 0
    for start, count, row in sorted(spans, key=lambda span: span[0]):
        if start > at:
            yield at, start - at, rest
        yield start, count, row
        at = start + count
    if at < n:
        yield at, n - at, rest
