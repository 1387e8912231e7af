"""ImageSet: which images, in which order, with which label and split. Row order is decided here and nowhere else."""

# Paths are bytes here, which pathlib does not know.
# ruff: noqa: PTH100, PTH110, PTH112, PTH113, PTH118, PTH119, PTH120

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from featstore.csvlist import list_csv
from featstore.errors import ImageSetError, ImagesNotFoundError
from featstore.hashing import hash_files
from featstore.holdout import draw
from featstore.labelcheck import check_labels
from featstore.listing import Listing, Skipped, printable
from featstore.scan import Remembered, list_folder

__all__ = ["ImageSet", "Skipped", "hold_out", "scan"]

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


def scan(
    data: str | bytes | os.PathLike[str],
    *,
    name: str | None = None,
    previous: ImageSet | None = None,
    content: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> ImageSet:
    """List and hash the images of a folder or CSV.

    A folder holds one sub-folder a class, all of it optionally under `train`, `val` and `test`; what lies in nested
    folders belongs to the class folder above. A CSV has the columns `path,label[,split]`, paths relative to its folder.

    Parameters
    ----------
    data : path
        A folder, or a file whose name ends in `.csv`.
    name : str, optional
        Name of the data set; default: the folder's or file's name.
    previous : ImageSet, optional
        An earlier scan. Where root, path, size and modification time are as in it, no byte of the file is read.
    content : bool
        Read every file, whatever `previous` says.
    progress : callable, optional
        Called with (files hashed, files to hash).

    Raises
    ------
    ImagesNotFoundError
        Where `data` does not exist.
    ImageSetError
        Where it holds no usable image set; the message says what was found and what was expected.
    """
    place = os.path.abspath(os.fsencode(data))
    if not os.path.exists(place):
        raise ImagesNotFoundError(f"{printable(place)} does not exist; expected a folder of images or a .csv file")
    is_folder = os.path.isdir(place)
    if not is_folder and not (place.lower().endswith(b".csv") and os.path.isfile(place)):
        raise ImageSetError(
            f"{printable(place)} is a file; expected a folder of images or a .csv of path,label[,split]"
        )

    root = os.path.realpath(place if is_folder else os.path.dirname(place))
    known = previous if previous is not None and previous.root == root and not content else None
    listing = list_folder(root, _remembered(known)) if is_folder else list_csv(place, root)
    digests, problems = _digests(root, listing, known, progress)
    if all(problems):
        raise ImageSetError(
            f"none of the {len(problems)} images in {printable(place)} can be read; "
            f"the first, {printable(listing.paths[0])}: {problems[0]}"
        )
    if name is None:
        name = printable(os.path.basename(root) if is_folder else os.path.basename(place)[: -len(b".csv")])
    return ImageSet(
        name=name,
        root=root,
        paths=listing.paths,
        digests=digests,
        sizes=listing.sizes,
        mtimes=listing.mtimes,
        labels=listing.labels,
        splits=listing.splits,
        classes=listing.classes,
        problems=tuple(problems),
        skipped=listing.skipped,
    )


def _remembered(known: ImageSet | None) -> Remembered:
    """What the walk need not look into again: (path, size, mtime) of rows and of files that were no image."""
    if known is None:
        return Remembered(frozenset, {})
    others = {(s.path, s.size, s.mtime): s.reason for s in known.skipped if s.size >= 0}
    return Remembered(
        lambda: frozenset(zip(known.paths, known.sizes.tolist(), known.mtimes.tolist(), strict=True)), others
    )


def _digests(
    root: bytes, listing: Listing, known: ImageSet | None, progress: Callable[[int, int], None] | None
) -> tuple[NDArray[np.uint8], list[str]]:
    """Digest of every row, taken from `known` where the file is unchanged; updates the listing's sizes and mtimes."""
    n = len(listing.paths)
    digests = np.zeros((n, 32), dtype=np.uint8)
    problems = [""] * n
    stale = np.ones(n, dtype=bool)
    if known is not None and len(known):
        if listing.paths == known.paths:
            here = there = np.arange(n)
        else:
            row_of = {path: row for row, path in enumerate(known.paths)}
            rows = np.array([row_of.get(path, -1) for path in listing.paths], dtype=np.int64)
            here = np.flatnonzero(rows >= 0)
            there = rows[here]
        same = (listing.sizes[here] == known.sizes[there]) & (listing.mtimes[here] == known.mtimes[there])
        same &= known.readable()[there]
        digests[here[same]] = known.digests[there[same]]
        stale[here[same]] = False
    todo = np.flatnonzero(stale)
    paths = [os.path.join(root, listing.paths[row]) for row in todo]
    for row, hashed in zip(todo.tolist(), hash_files(paths, progress), strict=True):
        if hashed.problem:
            problems[row] = hashed.problem
        else:
            digests[row] = np.frombuffer(hashed.digest, dtype=np.uint8)
            listing.sizes[row], listing.mtimes[row] = hashed.size, hashed.mtime
    return digests, problems


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
