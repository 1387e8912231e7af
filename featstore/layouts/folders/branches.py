"""Branches: the images found in class folders, and what is said of all others."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from featstore.images.listing import Skipped
from featstore.images.reading import Reading
from featstore.layouts.folders.masks import MASK
from featstore.layouts.folders.place import Place, together
from featstore.layouts.folders.spans import Row, Span

NO_CLASS = "lies in no class folder"
"""The reason why an image beside class folders is left out."""


class Branch(NamedTuple):
    """Images of one folder, and the folders from the outermost class folder down to it.

    Examples
    --------
    >>> Branch([(0, 2)], (b"cats", b"images"), "train").folders[0]
    b'cats'
    """

    spans: list[tuple[int, int]]
    folders: tuple[bytes, ...]
    split: str


@dataclass
class Branches:
    """What was found below a folder: branches of classes, and images without a class.

    Examples
    --------
    >>> from featstore.images.tree import Tree
    >>> found = Branches()
    >>> found.leave(Place(Tree(b"/p", [b"masks/1.png"], folders=[(b"masks", 1)])), b"masks", "no class")
    >>> found.others
    [(0, 1, 'no class')]
    """

    branches: list[Branch] = field(default_factory=list)
    others: list[Span] = field(default_factory=list)  # without a class
    skipped: list[Skipped] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    pieces: list[bytes] = field(default_factory=list)  # of one heap of images
    masks: set[int] = field(default_factory=set)  # files named like a mask of the picture beside them
    in_part: bool = False  # the pieces lie in a part
    parts: dict[bytes, str] = field(default_factory=dict)
    used: set[bytes] = field(default_factory=set)  # parts that gave rows
    inner_parts: str = ""  # where parts are told by other than part folders

    def leave(self, base: Place, path: bytes, reason: str, deep: bool = True) -> None:
        """Leave out the images of a folder; with `deep` also those of all folders below it."""
        place = base.at(path)
        for folder, _ in place.folders() if deep else [(b"", ())]:
            self.others += [(start, count, reason) for start, count in place.spans(folder)]

    def loose(self, base: Place, split: str, reading: Reading) -> None:
        """Take or leave out images beside class folders."""
        row: Row | str = Row(None, split) if reading.unlabelled else NO_CLASS
        self.others += [(start, count, row) for start, count in base.spans()]

    def without_masks(self, spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
        """Spans of a class folder without the masks in them, which are left out."""
        if not self.masks:
            return spans
        rows = [row for start, count in spans for row in range(start, start + count)]
        self.others += [(row, 1, MASK) for row in rows if row in self.masks]
        return [(row, 1) for row in rows if row not in self.masks]

    def parts_from(self) -> str:
        """Where the parts come from, in a sentence; "" where there are none."""
        used = {row.split for _, _, row in self.others if isinstance(row, Row)} | {one.split for one in self.branches}
        parts = [part for part in ("train", "val", "test") if part in used]
        if not parts:
            return ""
        told = together(parts)
        if self.inner_parts:
            return f"{told} from {self.inner_parts}"
        names = [
            name for part in parts for name in sorted(self.parts) if self.parts[name] == part and name in self.used
        ]
        return f"{told} from the folder{'s' * (len(names) > 1)} {together(names)}" if names else ""
