"""Spans: images that follow each other, each with its class and part or the reason to leave it out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from featstore.errors import ImageSetError
from featstore.images.listing import Found, Skipped
from featstore.images.tree import Labelled
from featstore.layouts.folders.place import Place, number, shown, together
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
