"""ImageSet: which images, in which order, with which label and split."""

# Paths are bytes here, which pathlib does not know.
# ruff: noqa: PTH100, PTH110, PTH112, PTH113, PTH118, PTH119, PTH120

from __future__ import annotations

import dataclasses
import os
from typing import Any

import numpy as np
from numpy.typing import NDArray

from featstore.errors import ImageSetError
from featstore.holdout import draw
from featstore.labelcheck import check_labels
from featstore.listing import Skipped
from featstore.reporting import printable

SPLITS = ("train", "val", "test")


@dataclasses.dataclass(frozen=True, eq=False)
class ImageSet:
    """An ordered list of image files with digests, labels and splits.

    Parameters
    ----------
    name : str
        Name of the data set.
    root : bytes
        Absolute folder that `paths` are relative to.
    paths : tuple of n bytes
        As on disk, sorted by bytes.
    digests : ndarray of shape (n, 32), uint8
        SHA-256 of each file's bytes; zeros where it could not be read.
    sizes : ndarray of shape (n,), int64
        Bytes.
    mtimes : ndarray of shape (n,), int64
        Modification times, nanoseconds since the epoch.
    labels : ndarray of shape (n,), int64
        Index into `classes`.
    splits : ndarray of shape (n,), str
        "train", "val", "test", or "" where no split is given.
    classes : tuple of str
        Display names, sorted by bytes.
    problems : tuple of n str
        "", or why the file could not be read.
    skipped : tuple of Skipped
        Everything in the tree that is no row, with the reason.

    Raises
    ------
    ImageSetError
        Where the fields' lengths or dtypes do not fit together.
    """

    name: str
    root: bytes
    paths: tuple[bytes, ...]
    digests: NDArray[np.uint8]
    sizes: NDArray[np.int64]
    mtimes: NDArray[np.int64]
    labels: NDArray[np.int64]
    splits: NDArray[np.str_]
    classes: tuple[str, ...]
    problems: tuple[str, ...]
    skipped: tuple[Skipped, ...] = ()

    def __post_init__(self) -> None:
        n = len(self.paths)
        shapes: dict[str, tuple[NDArray[Any], type, tuple[int, ...]]] = {
            "digests": (self.digests, np.uint8, (n, 32)),
            "sizes": (self.sizes, np.int64, (n,)),
            "mtimes": (self.mtimes, np.int64, (n,)),
            "labels": (self.labels, np.int64, (n,)),
            "splits": (self.splits, np.str_, (n,)),
        }
        for field, (array, dtype, shape) in shapes.items():
            if not np.issubdtype(array.dtype, dtype) or array.shape != shape:
                raise ImageSetError(
                    f"image set {self.name!r}: {field} is {array.dtype} {array.shape}, "
                    f"expected {dtype.__name__} {shape}"
                )
        if len(self.problems) != n:
            raise ImageSetError(f"image set {self.name!r}: {len(self.problems)} problems for {n} images")
        if n and not (self.labels.min() >= 0 and self.labels.max() < len(self.classes)):
            raise ImageSetError(f"image set {self.name!r}: a label outside of its {len(self.classes)} classes")

    def __len__(self) -> int:
        return len(self.paths)

    def display(self, i: int) -> str:
        """Path of row `i` as text that can be printed: undecodable and invisible characters are escaped."""
        return printable(self.paths[i])

    def absolute(self, i: int) -> bytes:
        """Full path of row `i`."""
        return os.path.join(self.root, self.paths[i])

    def readable(self) -> NDArray[np.bool_]:
        """Rows whose file could be read, shape (n,)."""
        return np.array([not problem for problem in self.problems], dtype=bool)

    def counts(self) -> dict[str, dict[str, int]]:
        """Images by split and class: `{split: {class: count}}`, splits as they occur of train, val, test and ""."""
        table: dict[str, dict[str, int]] = {}
        for split in (*SPLITS, ""):
            here = self.splits == split
            if here.any():
                numbers = np.bincount(self.labels[here], minlength=len(self.classes))
                table[split] = dict(zip(self.classes, numbers.tolist(), strict=True))
        return table

    def same_as(self, other: ImageSet) -> bool:
        """Whether every field of both is equal."""
        if len(self) != len(other):
            return False
        for field in dataclasses.fields(self):
            mine, theirs = getattr(self, field.name), getattr(other, field.name)
            if not (np.array_equal(mine, theirs) if isinstance(mine, np.ndarray) else mine == theirs):
                return False
        return True

    def check_labels(self) -> list[str]:
        """What is doubtful about classes and splits, one sentence each; empty where nothing is."""
        return check_labels(self)


def hold_out(images: ImageSet, name: str, fraction: float, seed: int) -> ImageSet:
    """Set a part of the training images aside, stratified by class.

    Drawn from the images in "train" and without a split; those not drawn are "train" afterwards. Which images are drawn
    depends on their bytes and the seed alone, not on names or order, and files of the same bytes fall in the same part,
    also across classes. Every class with at least two different images keeps one and gives one.

    Parameters
    ----------
    images : ImageSet
    name : {"val", "test"}
        The part to make.
    fraction : float in (0, 1)
        Share of each class, rounded to whole images.
    seed : int
        Another seed draws other images.

    Raises
    ------
    ImageSetError
        Where `name` or `fraction` is out of range, the part exists already, or nothing can be drawn.
    """
    if name not in ("val", "test"):
        raise ImageSetError(f"cannot hold out a part called {name!r}; expected val or test")
    if not 0 < fraction < 1:
        raise ImageSetError(f"cannot hold out a fraction of {fraction}; expected a number between 0 and 1, such as 0.2")
    if (images.splits == name).any():
        raise ImageSetError(
            f"{images.name!r} already has {int((images.splits == name).sum())} images in {name}; nothing to hold out"
        )
    pool = (images.splits == "train") | (images.splits == "")
    elsewhere = {digest.tobytes() for digest in images.digests[~pool]}
    # Drawing a picture that another part holds as well would put it in two parts.
    alone = np.array([digest.tobytes() not in elsewhere for digest in images.digests], dtype=bool)
    drawn = draw(images.digests, images.labels, pool & alone & images.readable(), fraction, seed)
    if not drawn.any():
        raise ImageSetError(
            f"cannot hold out {name} from {images.name!r}: no class has two different readable images in train"
        )
    splits = np.where(drawn, name, np.where(pool, "train", images.splits)).astype("<U5")
    return dataclasses.replace(images, splits=splits)
