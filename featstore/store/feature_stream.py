"""FeatureStream: a feature set that is read chunk by chunk, as often as wanted, and never is in memory as a whole."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from featstore.errors import FeaturesError
from featstore.features import CHUNK_ROWS, Chunk, FeatureSet, require_chunks, row_numbers, testing_part, training_part
from featstore.fingerprint import Fingerprint
from featstore.images.image_set import ImageSet
from featstore.store.chunk_order import chunk_order
from featstore.store.feature_info import FeatureInfo
from featstore.store.pinned_rows import PinnedRows
from featstore.store.read_ahead import read_ahead
from featstore.system.machine import require_memory

_Text = TypeVar("_Text", str, bytes)

CHUNK_BYTES = 64 << 20
"""A chunk has no more bytes where nobody says how many rows it is to have."""


class FeatureStream:
    """The features of one data set's images at one state of a store; `FeatureStore.iter` opens it.

    All but the features is known at once, under the names that `FeatureSet` has. Any number of passes may be made, also
    several at a time. A pass reads the next chunk in a thread while the caller works, so that at most two chunks are in
    memory: the one that the caller has and the next one.

    Parameters
    ----------
    pinned : PinnedRows
        Of the images that have features.
    images : ImageSet
    info : FeatureInfo
    image_rows : ndarray of shape (len(pinned),), int64
        Which image each row of `pinned` is.
    rows : int, optional
        Rows a chunk at most. Default: 8192, fewer where these would be more than 64 MiB.
    failed : tuple of (path, reason)
    chosen : ndarray of shape (n,), int64, optional
        Rows of `pinned`, in the order of the stream. Default: all.

    Raises
    ------
    FeaturesError
        Where `rows` is no number of rows.

    Attributes
    ----------
    width : int
        Features a row, d.
    chunk_rows : int
    failed : tuple of (path, reason)
        Images of the data set that have no row here, printable path and why.
    classes : tuple of k str
    fingerprint : Fingerprint
    dataset : str
    root : bytes
        Folder that `paths` are relative to.
    about : mapping
        How the data were read, see `ImageSet.about`.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from featstore.extract import extract
    >>> from featstore.images.samples import write_textures
    >>> from featstore.store.feature_store import FeatureStore
    >>> network = {"backbone": "resnet18", "weights": "none", "input_size": 32, "engine": "eager", "device": "cpu"}
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     images = write_textures(Path(folder, "textures"), per_class=5)
    ...     done = extract(images, Path(folder, "store"), workers=0, **network)
    ...     stream = FeatureStore(Path(folder, "store")).iter()
    ...     checked = stream.subset(stream.y == 3)
    ...     few = checked.read()
    >>> len(stream), stream.width, len(checked), few.X.shape, few.ids == checked.ids
    (40, 512, 5, (5, 512), True)
    """

    def __init__(
        self,
        pinned: PinnedRows,
        images: ImageSet,
        info: FeatureInfo,
        image_rows: NDArray[np.int64],
        *,
        rows: int | None = None,
        failed: tuple[tuple[str, str], ...] = (),
        chosen: NDArray[np.int64] | None = None,
    ) -> None:
        self.width = info.dim
        self.chunk_rows = max(1, min(CHUNK_ROWS, CHUNK_BYTES // (4 * self.width))) if rows is None else rows
        require_chunks(self.chunk_rows, "rows")
        self.failed = failed
        self.classes: tuple[str, ...] = images.classes
        self.fingerprint: Fingerprint = info.fingerprint
        self.dataset: str = images.name
        self.root: bytes = images.root
        self.about: Mapping[str, Any] = images.about
        self._pinned, self._images, self._info, self._image_rows = pinned, images, info, image_rows
        self._chosen = np.arange(len(pinned)) if chosen is None else chosen

    def __len__(self) -> int:
        return len(self._chosen)

    def __repr__(self) -> str:
        f = self.fingerprint
        return (
            f"FeatureStream({self.dataset!r}: {len(self)} x {self.width}, {len(self.classes)} classes, "
            f"{len(self.failed)} failed; {f.backbone}/{f.node}/{f.pool}, weights {f.weights}, {f.numbers}, "
            f"key {f.key})"
        )

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and features a row."""
        return len(self), self.width

    @property
    def dtype(self) -> np.dtype[np.float32]:
        """Of the chunks: float32, whatever is on disk."""
        return np.dtype(np.float32)

    @property
    def stored_dtype(self) -> np.dtype[Any]:
        """Of the features on disk, float32 or float16."""
        return np.dtype(self._pinned.stored_dtype)

    @property
    def nbytes(self) -> int:
        """Bytes of all features in memory, if they were."""
        return 4 * len(self) * self.width

    @cached_property
    def y(self) -> NDArray[np.int64]:
        """Labels, shape (n,): index into `classes`, -1 for images without one."""
        return self._images.labels[self._of_images]

    @cached_property
    def splits(self) -> NDArray[np.str_]:
        """Parts, shape (n,): "train", "val", "test", or "" where the data brings none."""
        return self._images.splits[self._of_images]

    @cached_property
    def digests(self) -> NDArray[np.uint8]:
        """SHA-256 of each image file's bytes, shape (n, 32)."""
        return self._images.digests[self._of_images]

    @cached_property
    def paths(self) -> tuple[bytes, ...]:
        """Path of each image below `root`."""
        return _picked(self._images.paths, self._of_images)

    @cached_property
    def ids(self) -> tuple[str, ...]:
        """Printable path of each image; made when they are first asked for."""
        return _picked(printable_paths(self._images), self._of_images)

    @cached_property
    def groups(self) -> tuple[str, ...]:
        """What each image belongs to, "" for one that stands alone; () where the data says nothing."""
        return _picked(self._images.groups, self._of_images) if self._images.groups else ()

    def labelled(self) -> NDArray[np.bool_]:
        """Rows that have a label, shape (n,)."""
        return np.greater_equal(self.y, 0)

    def testing(self) -> NDArray[np.intp]:
        """Row numbers of the test part, as `FeatureSet.testing`."""
        return testing_part(self.splits)

    def training(self) -> NDArray[np.intp]:
        """Row numbers of the training part: every row that is not for testing."""
        return training_part(self.splits)

    def subset(self, index: Any) -> FeatureStream:
        """Some of the rows as a stream of its own, of the same state of the store; nothing is read.

        Parameters
        ----------
        index : array-like of int, or of n bool
            Row numbers in the wanted order, or a mask.

        Raises
        ------
        FeaturesError
            Where a mask has another length than the stream, or a row number does not exist.
        """
        chosen = self._chosen[row_numbers(index, len(self))]
        return FeatureStream(
            self._pinned,
            self._images,
            self._info,
            self._image_rows,
            rows=self.chunk_rows,
            failed=self.failed,
            chosen=chosen,
        )

    def part(self, split: str) -> FeatureStream:
        """The images of one part.

        Raises
        ------
        FeaturesError
            Where there are none.
        """
        rows = np.flatnonzero(self.splits == split)
        if not len(rows):
            there = ", ".join(sorted(set(self.splits.tolist()) - {""})) or "none: its images have no parts"
            raise FeaturesError(
                f"data set {self.dataset!r} has no images of the part {split!r} with features; it has {there}"
            )
        return self.subset(rows)

    def chunks(self, rows: int | None = None, *, order: str = "rows", seed: int = 0) -> Iterator[Chunk]:
        """One pass over the features.

        Parameters
        ----------
        rows : int, optional
            Rows a chunk at most. Default: as the stream was opened.
        order : {"rows", "stored", "shuffled"}
            "rows": the order of the stream. "stored": as the rows lie on disk, each shard read once; the fastest where
            the order of the images is another. "shuffled": for every seed another order, in which rows of one block of
            128 KiB stay in one chunk or two, and each chunk has blocks from all over the set, its rows mixed.
        seed : int
            Of the shuffle.

        Yields
        ------
        Chunk
            `rows`, their numbers in the stream, and `X`, an array of its own.

        Raises
        ------
        FeaturesError
            Where `rows` or `order` is none.
        StoreDamagedError
            Where a byte that was read is not as it was committed; none of that chunk is returned.
        StoreError
            Where files of the state that is read were removed, and the store does not hold the same bits any more.
        """
        positions, starts = self._pinned.layout  # of one state, whatever another pass moves on to meanwhile
        plan = chunk_order(
            positions[self._chosen],
            starts,
            self.chunk_rows if rows is None else rows,
            order=order,
            seed=seed,
            row_bytes=self.width * self.stored_dtype.itemsize,
        )
        return read_ahead(self._read, plan)

    def __iter__(self) -> Iterator[Chunk]:
        return self.chunks()

    def read(self) -> FeatureSet:
        """All of it in memory, each shard read once.

        Raises
        ------
        FeaturesError
            Where memory does not hold it.
        StoreDamagedError, StoreError
            As `chunks`.
        """
        require_memory(
            self.nbytes + CHUNK_BYTES,
            f"reading {len(self):,} images of {self.width:,} features",
            "read fewer of them, or chunk by chunk",
        )
        X = np.empty(self.shape, dtype=np.float32)
        for rows, part in self.chunks(order="stored"):
            X[rows] = part
        return FeatureSet(
            X=X,
            y=self.y,
            ids=self.ids,
            classes=self.classes,
            splits=self.splits,
            digests=self.digests,
            fingerprint=self.fingerprint,
            dataset=self.dataset,
            root=self.root,
            paths=self.paths,
            failed=self.failed,
            groups=self.groups,
            about=self.about,
        )

    @property
    def _of_images(self) -> NDArray[np.int64]:
        """Rows of the image set."""
        return self._image_rows[self._chosen]

    def _read(self, rows: NDArray[np.int64], stop: Callable[[], None]) -> Chunk:
        return Chunk(rows, self._pinned.take(self._chosen[rows], stop))


def printable_paths(images: ImageSet) -> tuple[str, ...]:
    """Every path as text; all at once where all are plain ASCII, which is nearly always."""
    joined = b"\0".join(images.paths)
    letters = np.frombuffer(joined, dtype=np.uint8)
    if ((letters - np.uint8(32) < 95) | (letters == 0)).all():
        ids = tuple(joined.decode("ascii").split("\0"))
        if len(ids) == len(images):
            return ids
    return tuple(images.display(row) for row in range(len(images)))


def _picked(texts: tuple[_Text, ...], rows: NDArray[np.int64]) -> tuple[_Text, ...]:
    """Some of the texts; the same tuple where it is all of them in their order."""
    if np.array_equal(rows, np.arange(len(texts))):
        return texts
    return tuple(texts[row] for row in rows.tolist())
