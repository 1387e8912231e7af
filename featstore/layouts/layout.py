"""Layout: one way in which images, folders and lists lie; and Place: a folder of a tree, as layouts look at it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from copy import copy
from dataclasses import dataclass, field
from typing import NamedTuple

from featstore.errors import ImageSetError, UnknownNameError
from featstore.images.listing import Found, Skipped
from featstore.images.reading import Reading
from featstore.images.tree import Labelled, Tree
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


class Place:
    """A folder of a tree: what lies in it, by paths relative to it.

    Parameters
    ----------
    tree : Tree
    base : bytes
        Path of the folder; "" for the root.

    Examples
    --------
    >>> place = Place(Tree(b"/pets", [b"cats/1.jpg"], [900], [0], [(b"", 0), (b"cats", 1)]))
    >>> place.children(), place.count(b"cats"), place.images(b"cats")
    ([b'cats'], 1, [(b'1.jpg', 0)])
    """

    def __init__(self, tree: Tree, base: bytes = b"") -> None:
        self.tree, self.base = tree, base
        self._spans: dict[bytes, list[tuple[int, int]]] = {}
        self._below: Counter[bytes] = Counter()
        self._inner: dict[bytes, set[bytes]] = {}
        self._sorted: dict[bytes, list[bytes]] = {}
        start = 0
        for path, count in tree.folders:
            if count:
                self._spans.setdefault(path, []).append((start, count))
                self._below[path] += count
            above, name = path, b""
            while above:
                above, _, name = above.rpartition(b"/")
                self._below[above] += count
                self._inner.setdefault(above, set()).add(name)
            start += count

    def at(self, path: bytes) -> Place:
        """The folder `path` in this one."""
        other = copy(self)
        other.base = self.whole(path)
        return other

    @property
    def name(self) -> bytes:
        """The folder's own name."""
        return (self.base or self.tree.root).rpartition(b"/")[2]

    def whole(self, path: bytes) -> bytes:
        """A path of this folder relative to the tree's root."""
        return self.base + b"/" + path if self.base and path else self.base or path

    def children(self, path: bytes = b"") -> list[bytes]:
        """Names of the folders in a folder that hold images somewhere below, in byte order."""
        whole = self.whole(path)
        inner = self._inner.get(whole)
        if inner is None:
            return []
        if whole not in self._sorted:
            prefix = whole + b"/" if whole else b""
            self._sorted[whole] = sorted(name for name in inner if self._below[prefix + name])
        return self._sorted[whole].copy()

    def empty(self, path: bytes = b"") -> list[bytes]:
        """Names of the folders in a folder that hold no image."""
        return sorted(self._inner.get(self.whole(path), set()) - set(self.children(path)))

    def count(self, path: bytes = b"") -> int:
        """Number of images somewhere below a folder."""
        return self._below[self.whole(path)]

    def direct(self, path: bytes = b"") -> int:
        """Number of images directly in a folder."""
        return sum(count for _, count in self._spans.get(self.whole(path), ()))

    def spans(self, path: bytes = b"") -> list[tuple[int, int]]:
        """Positions of the images directly in a folder: the first one's, and how many follow each other."""
        return self._spans.get(self.whole(path), [])

    def images(self, path: bytes = b"") -> list[tuple[bytes, int]]:
        """Names and positions of the images directly in a folder."""
        cut = len(self.whole(path)) + 1 if self.whole(path) else 0
        paths = self.tree.paths
        return [(paths[row][cut:], row) for start, count in self.spans(path) for row in range(start, start + count)]

    def row(self, path: bytes) -> int | None:
        """Position of an image."""
        return self.tree.row_of.get(self.whole(path))

    def has(self, *paths: bytes) -> bool:
        """Whether all these files that are no images are there."""
        return all(self.whole(path) in self.tree.others for path in paths)

    def content(self, path: bytes) -> bytes:
        """The bytes of a list file.

        Raises
        ------
        ImageSetError
            Where it cannot be read.
        """
        return self.tree.read(self.whole(path))

    def lines(self, path: bytes) -> list[bytes]:
        """The lines of a list file, without spaces around them, blank ones left out.

        Raises
        ------
        ImageSetError
            Where it cannot be read.
        """
        content = self.content(path).removeprefix(b"\xef\xbb\xbf")
        return [line for one in content.splitlines() if (line := one.strip())]


@dataclass
class Listed:
    """Images that the lists of a data set name, each with its row.

    Examples
    --------
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
        raise ImageSetError(
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


def shown(place: Place) -> str:
    """The folder's path as text."""
    return printable_path(b"/".join(part for part in (place.tree.root, place.base) if part))


def number(count: int, noun: str, plural: str = "") -> str:
    """A number with its noun.

    Examples
    --------
    >>> number(1, "class", "classes"), number(2, "image")
    ('1 class', '2 images')
    """
    return f"{count} {noun if count == 1 else plural or noun + 's'}"


def fields(place: Place, path: bytes, least: int, separator: bytes | None = None) -> list[list[bytes]]:
    """The lines of a list, cut into words; lines that begin with # are left out.

    Parameters
    ----------
    place : Place
    path : bytes
        Of the list, in the place.
    least : int
        Words that every line must have.
    separator : bytes, optional
        What is between words; spaces and tabs where it is not given.

    Raises
    ------
    ImageSetError
        Where the list cannot be read, or a line is too short.
    """
    lines = [line.split(separator) for line in place.lines(path) if not line.startswith(b"#")]
    for line in lines:
        if len(line) < least:
            raise ImageSetError(
                f"{shown(place)}: the line {printable_path(b' '.join(line)[:80])!r} of {printable_path(path)} has "
                f"{number(len(line), 'word')}; expected {least} or more"
            )
    return lines


def starts_with(place: Place, path: bytes, pattern: bytes) -> bool:
    """Whether the first line of a list that is no remark looks as expected; False where it cannot be read."""
    if not place.has(path):
        return False
    try:
        first = next((line for line in place.lines(path) if not line.startswith(b"#")), b"")
    except ImageSetError:
        return False
    return re.match(pattern, first) is not None


def together(names: Sequence[str | bytes], most: int = 5) -> str:
    """Names in a sentence.

    Examples
    --------
    >>> together(["train", "val", b"test"]), together("abcdefg", most=3)
    ('train, val and test', 'a, b and 5 more')
    """
    told = [printable_path(name) if isinstance(name, bytes) else name for name in names]
    if len(told) > most:
        told = [*told[: most - 1], f"{len(told) - most + 1} more"]
    return " and ".join([", ".join(told[:-1]), told[-1]] if len(told) > 1 else told)


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
