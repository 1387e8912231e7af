"""ImageSet: which images, in which order, with which label and split."""

# Paths are bytes here, which pathlib does not know.
# ruff: noqa: PTH118

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from featstore.errors import ImageSetError
from featstore.images.listing import Skipped
from featstore.system.canonical_json import canonical_json
from featstore.system.reporting import printable_path

SPLITS = ("train", "val", "test")

_BY_ROW = ("paths", "digests", "sizes", "mtimes", "labels", "splits", "problems", "groups", "kinds")
"""Fields that hold one entry an image."""


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
        Index into `classes`; -1 for images without a label.
    splits : ndarray of shape (n,), str
        "train", "val", "test", or "" where no split is given.
    classes : tuple of str
        Display names, in natural order.
    problems : tuple of n str
        "", or why the file could not be read.
    skipped : tuple of Skipped
        Everything in the tree that is no row, with the reason.
    groups : tuple of n str, or ()
        Images that belong together, such as those of one patient; "" for an image that stands alone.
    kinds : tuple of n str, or ()
        Format of each file, as `formats.kind` tells it; "" where it is not known.
    about : mapping
        How the data were read, as JSON values: `layout`, `labels_from`, `parts_from`, `notes`, `reading`, `doubts`.

    Raises
    ------
    ImageSetError
        Where the fields' lengths or dtypes do not fit together.

    Examples
    --------
    >>> digests = np.random.default_rng(0).integers(0, 256, (8, 32), dtype=np.uint8)
    >>> pets = ImageSet(
    ...     name="pets", root=b"/pets", paths=tuple(b"%d.jpg" % i for i in range(8)), digests=digests,
    ...     sizes=np.full(8, 900), mtimes=np.zeros(8, np.int64), labels=np.repeat([0, 1], 4),
    ...     splits=np.full(8, "", "<U5"), classes=("cat", "dog"), problems=("",) * 8,
    ... )
    >>> pets.counts(), pets.display(7)
    ({'': {'cat': 4, 'dog': 4}}, '7.jpg')
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
    groups: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()
    about: Mapping[str, Any] = dataclasses.field(default_factory=dict)

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
        # A tuple and the list that JSON makes of it must be equal.
        object.__setattr__(self, "about", json.loads(canonical_json(dict(self.about))))
        for what, texts in (("groups", self.groups), ("kinds", self.kinds)):
            if texts and len(texts) != n:
                raise ImageSetError(f"image set {self.name!r}: {len(texts)} {what} for {n} images")
        if n and not (self.labels.min() >= -1 and self.labels.max() < len(self.classes)):
            raise ImageSetError(f"image set {self.name!r}: a label outside of its {len(self.classes)} classes")

    def __len__(self) -> int:
        return len(self.paths)

    def display(self, i: int) -> str:
        """Path of row `i` as text that can be printed: undecodable and invisible characters are escaped."""
        return printable_path(self.paths[i])

    def absolute(self, i: int) -> bytes:
        """Full path of row `i`."""
        return os.path.join(self.root, self.paths[i])

    def readable(self) -> NDArray[np.bool_]:
        """Rows whose file could be read, shape (n,)."""
        return np.array([not problem for problem in self.problems], dtype=bool)

    def labelled(self) -> NDArray[np.bool_]:
        """Rows that have a label, shape (n,)."""
        return np.greater_equal(self.labels, 0)

    def counts(self) -> dict[str, dict[str, int]]:
        """Images by split and class: `{split: {class: count}}`, splits as they occur of train, val, test and "".

        Images without a label are not counted.
        """
        table: dict[str, dict[str, int]] = {}
        for split in (*SPLITS, ""):
            here = self.splits == split
            if here.any():
                numbers = np.bincount(self.labels[here & self.labelled()], minlength=len(self.classes))
                table[split] = dict(zip(self.classes, numbers.tolist(), strict=True))
        return table

    def subset(self, chosen: NDArray[np.bool_]) -> ImageSet:
        """Some of the images, with all classes and everything that was skipped.

        Parameters
        ----------
        chosen : ndarray of shape (n,), bool
        """
        rows = np.flatnonzero(chosen)
        fields: dict[str, Any] = {}
        for name in _BY_ROW:
            values = getattr(self, name)
            if isinstance(values, np.ndarray):
                fields[name] = values[rows]
            elif values:  # groups and kinds may be left out
                fields[name] = tuple(values[row] for row in rows.tolist())
        return dataclasses.replace(self, **fields)

    def same_as(self, other: ImageSet) -> bool:
        """Whether every field of both is equal."""
        if len(self) != len(other):
            return False
        for field in dataclasses.fields(self):
            mine, theirs = getattr(self, field.name), getattr(other, field.name)
            if not (np.array_equal(mine, theirs) if isinstance(mine, np.ndarray) else mine == theirs):
                return False
        return True

    def with_about(self, **entries: Any) -> ImageSet:
        """The same images with more said of how they were read."""
        return dataclasses.replace(self, about={**self.about, **entries})


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

    Examples
    --------
    >>> digests = np.random.default_rng(0).integers(0, 256, (8, 32), dtype=np.uint8)
    >>> pets = ImageSet(
    ...     name="pets", root=b"/pets", paths=tuple(b"%d.jpg" % i for i in range(8)), digests=digests,
    ...     sizes=np.full(8, 900), mtimes=np.zeros(8, np.int64), labels=np.repeat([0, 1], 4),
    ...     splits=np.full(8, "", "<U5"), classes=("cat", "dog"), problems=("",) * 8,
    ... )
    >>> hold_out(pets, "test", 0.25, seed=0).counts()
    {'train': {'cat': 3, 'dog': 3}, 'test': {'cat': 1, 'dog': 1}}
    """
    if name not in ("val", "test"):
        raise ImageSetError(f"cannot hold out a part called {name!r}; expected val or test")
    if not 0 < fraction < 1:
        raise ImageSetError(f"cannot hold out a fraction of {fraction}; expected a number between 0 and 1, such as 0.2")
    if (images.splits == name).any():
        raise ImageSetError(
            f"{images.name!r} already has {int((images.splits == name).sum())} images in {name}; nothing to hold out"
        )
    pool = ((images.splits == "train") | (images.splits == "")) & images.labelled()
    elsewhere = {digest.tobytes() for digest in images.digests[~pool]}
    # Drawing a picture that another part holds as well would put it in two parts.
    alone = np.array([digest.tobytes() not in elsewhere for digest in images.digests], dtype=bool)
    drawn = stratified_sample(images.digests, images.labels, pool & alone & images.readable(), fraction, seed)
    if not drawn.any():
        raise ImageSetError(
            f"cannot hold out {name} from {images.name!r}: no class has two different readable images in train"
        )
    splits = np.where(drawn, name, np.where(pool, "train", images.splits)).astype("<U5")
    return dataclasses.replace(images, splits=splits)


def stratified_sample(
    digests: NDArray[np.uint8], labels: NDArray[np.int64], drawable: NDArray[np.bool_], fraction: float, seed: int
) -> NDArray[np.bool_]:
    """Draw a fraction of the images of every class: a stratified random sample.

    Files of the same bytes are drawn together, also across classes (they count for the class with the smallest index).
    Every class with two different images keeps one and gives one.

    Parameters
    ----------
    digests : ndarray of shape (n, 32), uint8
    labels : ndarray of shape (n,), int64
    drawable : ndarray of shape (n,), bool
        Images that may be drawn.
    fraction : float in (0, 1)
    seed : int

    Returns
    -------
    ndarray of shape (n,), bool
        The images drawn.

    Examples
    --------
    >>> digests = np.random.default_rng(0).integers(0, 256, (8, 32), dtype=np.uint8)
    >>> labels = np.repeat([0, 1], 4)
    >>> drawn = stratified_sample(digests, labels, np.ones(8, bool), 0.5, seed=0)
    >>> np.bincount(labels[drawn])
    array([2, 2])
    """
    names = [digest.tobytes() for digest in digests]
    groups: dict[int, Counter[bytes]] = {}  # class -> digest -> number of files
    home: dict[bytes, int] = {}
    rows = np.flatnonzero(drawable)
    for row in rows[np.argsort(labels[rows], kind="stable")].tolist():
        group = groups.setdefault(home.setdefault(names[row], int(labels[row])), Counter())
        group[names[row]] += 1
    chosen: set[bytes] = set()
    for group in groups.values():
        chosen |= _nearest(group, fraction, seed)
    drawn: NDArray[np.bool_] = np.array([name in chosen for name in names], dtype=bool)
    return np.logical_and(drawable, drawn)


def _nearest(group: Counter[bytes], fraction: float, seed: int) -> set[bytes]:
    """Take digests, in an order that only the seed decides, while that brings their files closer to the fraction."""
    order = sorted(group, key=lambda digest: hashlib.sha256(b"%d:" % seed + digest).digest())
    target = fraction * group.total()
    chosen: set[bytes] = set()
    count = 0
    for digest in order[:-1]:
        if not chosen or abs(count + group[digest] - target) < abs(count - target):
            chosen.add(digest)
            count += group[digest]
    return chosen
