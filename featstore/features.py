"""FeatureSet: X, y, ids, classes, splits; all that a head ever sees."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from featstore.errors import FeaturesError
from featstore.fingerprint import Fingerprint

CHUNK_ROWS = 8192
"""Rows that are read at a time."""


class Chunk(NamedTuple):
    """Some rows of a feature set.

    Attributes
    ----------
    rows : ndarray of shape (m,), int64
        Their numbers in the feature set.
    X : ndarray of shape (m, d), float32

    Examples
    --------
    >>> rows, X = Chunk(np.array([3, 4]), np.ones((2, 5), np.float32))
    >>> np.arange(10)[rows] @ X
    array([7., 7., 7., 7., 7.])
    """

    rows: NDArray[np.int64]
    X: NDArray[np.float32]


def row_numbers(index: Any, n: int) -> NDArray[np.int64]:
    """Row numbers of a feature set of `n` rows, from 0 on.

    Parameters
    ----------
    index : array-like of int, or of n bool
        Row numbers in the wanted order, or a mask.

    Raises
    ------
    FeaturesError
        Where a mask has another length, or a row number does not exist.
    """
    rows = np.asarray(index)
    if rows.size == 0 and rows.dtype != np.bool_:
        rows = rows.astype(np.int64)
    if rows.ndim != 1 or rows.dtype.kind not in "iub":
        raise FeaturesError(f"index is {rows.dtype} of shape {rows.shape}, expected row numbers or a mask")
    if rows.dtype == np.bool_:
        if len(rows) != n:
            raise FeaturesError(f"the mask has {len(rows)} entries, expected {n}: one for each row")
        return np.flatnonzero(rows)
    if rows.size and not (-n <= rows.min() and rows.max() < n):
        raise FeaturesError(f"the index goes from {rows.min()} to {rows.max()}; the feature set has {n} rows")
    return np.where(rows < 0, rows + n, rows).astype(np.int64)


def require_chunks(rows: int, order: str) -> None:
    """Refuse chunks that there cannot be.

    Raises
    ------
    FeaturesError
        Where `rows` is no number of rows, or `order` none of the three.
    """
    if rows < 1:
        raise FeaturesError(f"chunks of {rows} rows were asked for; expected at least 1")
    if order not in ("rows", "stored", "shuffled"):
        raise FeaturesError(f"the order {order!r} was asked for; expected one of rows, stored, shuffled")


def testing_part(splits: NDArray[np.str_]) -> NDArray[np.intp]:
    """Row numbers of the test part: the split "test" where there is one, else "val", else none."""
    for part in ("test", "val"):
        rows = np.flatnonzero(splits == part)
        if rows.size:
            return rows
    return np.empty(0, dtype=np.intp)


def training_part(splits: NDArray[np.str_]) -> NDArray[np.intp]:
    """Row numbers of the training part: every row that is not for testing."""
    keep = np.ones(len(splits), dtype=bool)
    keep[testing_part(splits)] = False
    return np.flatnonzero(keep)


@dataclasses.dataclass(frozen=True, eq=False)
class FeatureSet:
    """The features of one data set's images, in the order of its image set.

    Attributes
    ----------
    X : ndarray of shape (n, d), float32
        Rounded to float16 where the fingerprint says so.
    y : ndarray of shape (n,), int64
        Index into `classes`; -1 for images without a label.
    ids : tuple of n str
        Printable paths.
    classes : tuple of k str
    splits : ndarray of shape (n,), str
        "train", "val", "test" or "" where the data brings no parts.
    digests : ndarray of shape (n, 32), uint8
        SHA-256 of each image file's bytes; equal digests are the same picture.
    fingerprint : Fingerprint
    dataset : str
    root : bytes
        Folder that `paths` are relative to.
    paths : tuple of n bytes
    failed : tuple of (path, reason)
        Images of the data set that have no row here, printable path and why.
    groups : tuple of n str, or ()
        Images that belong together, such as those of one patient; "" for an image that stands alone.
    about : mapping
        How the data were read, see `ImageSet.about`.

    Examples
    --------
    >>> import numpy as np
    >>> from featstore.fingerprint import Fingerprint
    >>> made = Fingerprint("resnet50", "0" * 64, "avgpool", "none", {}, {}, "fp32", "IMAGENET1K_V2")
    >>> cats = FeatureSet(
    ...     X=np.ones((3, 4), np.float32), y=np.array([0, 1, 0]), ids=("a.jpg", "b.jpg", "c.jpg"),
    ...     classes=("cat", "dog"), splits=np.array(["train", "train", "test"]),
    ...     digests=np.zeros((3, 32), np.uint8), fingerprint=made, dataset="pets", root=b"/pets",
    ...     paths=(b"a.jpg", b"b.jpg", b"c.jpg"),
    ... )
    >>> len(cats.subset(cats.training())), cats.subset(cats.testing()).ids
    (2, ('c.jpg',))
    """

    X: NDArray[np.float32]
    y: NDArray[np.int64]
    ids: tuple[str, ...]
    classes: tuple[str, ...]
    splits: NDArray[np.str_]
    digests: NDArray[np.uint8]
    fingerprint: Fingerprint
    dataset: str
    root: bytes
    paths: tuple[bytes, ...]
    failed: tuple[tuple[str, str], ...] = ()
    groups: tuple[str, ...] = ()
    about: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.X.ndim != 2 or self.X.dtype != np.float32:
            raise FeaturesError(f"X is {self.X.dtype} of shape {self.X.shape}, expected float32 of shape (n, d)")
        n = len(self.X)
        found = {"y": self.y.shape, "splits": self.splits.shape, "ids": (len(self.ids),), "paths": (len(self.paths),)}
        if self.groups:
            found["groups"] = (len(self.groups),)
        for name, shape in found.items():
            if shape != (n,):
                raise FeaturesError(f"{name} has shape {shape}, expected ({n},): one for each row of X")
        if self.digests.shape != (n, 32) or self.digests.dtype != np.uint8:
            raise FeaturesError(f"digests is {self.digests.dtype} {self.digests.shape}, expected uint8 ({n}, 32)")
        if n and not (self.y.min() >= -1 and self.y.max() < len(self.classes)):
            raise FeaturesError(f"y goes from {self.y.min()} to {self.y.max()} with {len(self.classes)} classes")

    def __len__(self) -> int:
        return len(self.X)

    def __repr__(self) -> str:
        f = self.fingerprint
        return (
            f"FeatureSet({self.dataset!r}: X {self.X.shape}, {len(self.classes)} classes, {len(self.failed)} failed; "
            f"{f.backbone}/{f.node}/{f.pool}, weights {f.weights}, {f.numbers}, key {f.key})"
        )

    def subset(self, index: Any) -> FeatureSet:
        """Some of the rows, as a FeatureSet of its own.

        Parameters
        ----------
        index : array-like of int, or of n bool
            Row numbers in the wanted order, or a mask.

        Raises
        ------
        FeaturesError
            Where a mask has another length than `X`, or a row number does not exist.
        """
        rows = row_numbers(index, len(self))
        chosen = rows.tolist()
        return dataclasses.replace(
            self,
            X=self.X[rows],
            y=self.y[rows],
            ids=tuple(self.ids[i] for i in chosen),
            splits=self.splits[rows],
            digests=self.digests[rows],
            paths=tuple(self.paths[i] for i in chosen),
            groups=tuple(self.groups[i] for i in chosen) if self.groups else (),
        )

    def labelled(self) -> NDArray[np.bool_]:
        """Rows that have a label, shape (n,)."""
        return np.greater_equal(self.y, 0)

    def testing(self) -> NDArray[np.intp]:
        """Row numbers of the test part: the split "test" where there is one, else "val", else none."""
        return testing_part(self.splits)

    def training(self) -> NDArray[np.intp]:
        """Row numbers of the training part: every row that is not for testing."""
        return training_part(self.splits)

    @property
    def width(self) -> int:
        """Features a row."""
        return int(self.X.shape[1])

    def chunks(self, rows: int = CHUNK_ROWS, *, order: str = "rows", seed: int = 0) -> Iterator[Chunk]:
        """The rows in chunks, as `FeatureStream.chunks` gives them; here they are in memory.

        Parameters
        ----------
        rows : int
            Rows a chunk at most.
        order : {"rows", "stored", "shuffled"}
            "stored" is the order of the rows here.
        seed : int
            Of the shuffle.

        Yields
        ------
        Chunk
            `X` is a view where the rows are not shuffled: not to be written to.

        Raises
        ------
        FeaturesError
            Where `rows` or `order` is none.
        """
        require_chunks(rows, order)
        mixed = np.random.default_rng(seed).permutation(len(self)) if order == "shuffled" else None
        for first in range(0, len(self), rows):
            part = slice(first, first + rows)
            if mixed is None:
                yield Chunk(np.arange(len(self))[part], self.X[part])
            else:
                yield Chunk(mixed[part], self.X[mixed[part]])
