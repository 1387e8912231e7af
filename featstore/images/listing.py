"""Listing: image files with size, time, class and split, before their bytes are hashed."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from featstore.errors import ImageSetError
from featstore.system.reporting import printable_path

UNREADABLE = "unreadable folder"
"""How the reason begins where a whole folder is missing."""


class Skipped(NamedTuple):
    """Something in the tree that is no row, and why; `size` and `mtime` (ns) of files, -1 of anything else.

    Examples
    --------
    >>> Skipped(b"notes.txt", "not a supported image").reason
    'not a supported image'
    """

    path: bytes
    reason: str
    size: int = -1
    mtime: int = -1


@dataclass
class Found:
    """Image files as they are come upon, column by column: 100,000 tuples would cost more than their `stat`.

    `paths` are relative to the listed folder, `sizes` bytes, `mtimes` ns since the epoch; `runs` are rows of one class
    and split that follow each other: (number of rows, class name or None for unlabelled, split).

    Examples
    --------
    >>> found = Found()
    >>> found.add(b"a/1.jpg", 900, 0, b"a", "train")
    >>> found.runs
    [(1, b'a', 'train')]
    """

    paths: list[bytes] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)
    mtimes: list[int] = field(default_factory=list)
    runs: list[tuple[int, bytes | None, str]] = field(default_factory=list)

    def add(self, path: bytes, size: int, mtime: int, class_name: bytes | None, split: str) -> None:
        """Add one file; `class_name` None where it has no label."""
        self.paths.append(path)
        self.sizes.append(size)
        self.mtimes.append(mtime)
        if self.runs and self.runs[-1][1:] == (class_name, split):
            self.runs[-1] = (self.runs[-1][0] + 1, class_name, split)
        else:
            self.runs.append((1, class_name, split))

    def parts_from(self, source: str) -> str:
        """Which parts there are, as the end of a sentence; "" for none.

        Examples
        --------
        >>> Found(runs=[(1, b"a", "val"), (1, b"a", "train"), (1, None, "")]).parts_from("names of files")
        'train and val from names of files'
        """
        there = {split for _, _, split in self.runs}
        used = [part for part in ("train", "val", "test") if part in there]
        return f"{', '.join(used[:-1])}{' and ' if len(used) > 1 else ''}{used[-1]} from {source}" if used else ""


@dataclass
class Listing:
    """Image files in byte order of their paths.

    Attributes
    ----------
    paths : tuple of n bytes
        Relative to the folder that was listed.
    sizes, mtimes : ndarray of shape (n,), int64
        Bytes; nanoseconds since the epoch.
    labels : ndarray of shape (n,), int64
        Index into `classes`; -1 for images without a label.
    splits : ndarray of shape (n,), str
    classes : tuple of str
        As they are displayed, in the order of their names; numbers in them count as numbers (class 2 before 10).
    skipped : tuple of Skipped
        In byte order of their paths.

    Examples
    --------
    >>> found = Found([b"b/2.jpg", b"a/1.jpg"], [700, 900], [0, 0], [(1, b"b", ""), (1, b"a", "")])
    >>> listed = Listing.of(found, [], b"/pets")
    >>> listed.paths, listed.classes, listed.labels
    ((b'a/1.jpg', b'b/2.jpg'), ('a', 'b'), array([0, 1]))
    """

    paths: tuple[bytes, ...]
    sizes: NDArray[np.int64]
    mtimes: NDArray[np.int64]
    labels: NDArray[np.int64]
    splits: NDArray[np.str_]
    classes: tuple[str, ...]
    skipped: tuple[Skipped, ...]

    @classmethod
    def of(cls, found: Found, skipped: Iterable[Skipped], place: bytes) -> Listing:
        """Sort what was found into a listing.

        Parameters
        ----------
        found : Found
        skipped : iterable of Skipped
        place : bytes
            Where they come from, for the message.

        Raises
        ------
        ImageSetError
            Where two class names look the same when printed.
        """
        names = sorted({name for count, name, _ in found.runs if count and name is not None}, key=natural_key)
        classes = tuple(printable_path(name) for name in names)
        if len(set(classes)) < len(classes):
            double = next(c for c in classes if classes.count(c) > 1)
            raise ImageSetError(
                f"{printable_path(place)}: two different classes are both shown as {double!r}; rename one"
            )
        code: dict[bytes | None, int] = {name: number for number, name in enumerate(names)}
        code[None] = -1
        order = sorted(range(len(found.paths)), key=found.paths.__getitem__)
        counts = [count for count, _, _ in found.runs]
        labels = np.array([code.get(name, 0) for _, name, _ in found.runs], dtype=np.int64)
        splits = np.array([split for _, _, split in found.runs], dtype="<U5")
        return cls(
            paths=tuple(map(found.paths.__getitem__, order)),
            sizes=np.array(found.sizes, dtype=np.int64)[order],
            mtimes=np.array(found.mtimes, dtype=np.int64)[order],
            labels=np.repeat(labels, counts)[order],
            splits=np.repeat(splits, counts)[order],
            classes=classes,
            skipped=tuple(sorted(skipped)),
        )


def natural_key(name: bytes) -> tuple[tuple[bytes, ...], bytes]:
    """What to sort names by so that 2 comes before 10: numbers by their value, all else by its bytes.

    Examples
    --------
    >>> sorted([b"10", b"2", b"a10", b"a9", b"a"], key=natural_key)
    [b'2', b'10', b'a', b'a9', b'a10']
    """
    parts = re.split(rb"([0-9]+)", name)
    digits = [part.lstrip(b"0") for part in parts[1::2]]
    # a number begins with "0" to sort where digits do; then its length, then its digits
    parts[1::2] = [b"0" + len(number).to_bytes(4, "big") + number for number in digits]
    return tuple(parts), name
