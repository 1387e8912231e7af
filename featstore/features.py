"""FeatureSet: X, y, ids, classes, splits; all that a head ever sees."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from featstore.errors import FeaturesError
from featstore.fingerprint import Fingerprint


@dataclasses.dataclass(frozen=True, eq=False)
class FeatureSet:
    """The features of one data set's images, in the order of its image set.

    Attributes
    ----------
    X : ndarray of shape (n, d), float32
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
            f"{f.backbone}/{f.node}/{f.pool}, weights {f.weights}, {f.precision}, key {f.key})"
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
        rows = np.asarray(index)
        if rows.size == 0 and rows.dtype != np.bool_:
            rows = rows.astype(np.int64)
        if rows.ndim != 1 or rows.dtype.kind not in "iub":
            raise FeaturesError(f"index is {rows.dtype} of shape {rows.shape}, expected row numbers or a mask")
        if rows.dtype == np.bool_:
            if len(rows) != len(self):
                raise FeaturesError(f"the mask has {len(rows)} entries, expected {len(self)}: one for each row")
            rows = np.flatnonzero(rows)
        if rows.size and not (-len(self) <= rows.min() and rows.max() < len(self)):
            raise FeaturesError(
                f"the index goes from {rows.min()} to {rows.max()}; the feature set has {len(self)} rows"
            )
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
        for part in ("test", "val"):
            rows = np.flatnonzero(self.splits == part)
            if rows.size:
                return rows
        return np.empty(0, dtype=np.intp)

    def training(self) -> NDArray[np.intp]:
        """Row numbers of the training part: every row that is not for testing."""
        keep = np.ones(len(self), dtype=bool)
        keep[self.testing()] = False
        return np.flatnonzero(keep)
