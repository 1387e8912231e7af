"""Listing: image files with size, time, class and split, before their bytes are hashed."""

from __future__ import annotations

import os
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

    `paths` are relative to the listed folder, `sizes` bytes, `mtimes` ns since the epoch; `groups` are runs of rows of
    one class and split: (number of rows, class name, split).
    """

    paths: list[bytes] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)
    mtimes: list[int] = field(default_factory=list)
    groups: list[tuple[int, bytes, str]] = field(default_factory=list)

    def add(self, path: bytes, status: os.stat_result, class_name: bytes, split: str) -> None:
        """Add one file."""
        self.paths.append(path)
        self.sizes.append(status.st_size)
        self.mtimes.append(status.st_mtime_ns)
        if self.groups and self.groups[-1][1:] == (class_name, split):
            self.groups[-1] = (self.groups[-1][0] + 1, class_name, split)
        else:
            self.groups.append((1, class_name, split))


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
        Index into `classes`.
    splits : ndarray of shape (n,), str
    classes : tuple of str
        As they are displayed, in byte order of their names.
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
        names = sorted({class_name for count, class_name, _ in found.groups if count})
        classes = tuple(printable_path(name) for name in names)
        if len(set(classes)) < len(classes):
            double = next(c for c in classes if classes.count(c) > 1)
            raise ImageSetError(
                f"{printable_path(place)}: two different classes are both shown as {double!r}; rename one"
            )
        code = {name: number for number, name in enumerate(names)}
        order = sorted(range(len(found.paths)), key=found.paths.__getitem__)
        counts = [count for count, _, _ in found.groups]
        labels = np.array([code.get(name, 0) for _, name, _ in found.groups], dtype=np.int64)
        splits = np.array([split for _, _, split in found.groups], dtype="<U5")
        return cls(
            paths=tuple(map(found.paths.__getitem__, order)),
            sizes=np.array(found.sizes, dtype=np.int64)[order],
            mtimes=np.array(found.mtimes, dtype=np.int64)[order],
            labels=np.repeat(labels, counts)[order],
            splits=np.repeat(splits, counts)[order],
            classes=classes,
            skipped=tuple(sorted(skipped)),
        )
