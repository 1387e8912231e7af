"""PinnedRows: the features of some images as one state of the store has them, whatever others do to it meanwhile."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable
from typing import Self

import numpy as np
from numpy.typing import NDArray

from featstore.errors import StoreError
from featstore.store.format.checksum import checksum
from featstore.store.format.rows import OK
from featstore.store.tables.feature_table import FeatureTable
from featstore.store.tables.layout import SHARDS
from featstore.store.tables.shard_rows import ShardRows
from featstore.store.tables.snapshot import Snapshot
from featstore.system import fsread


class PinnedRows:
    """Rows of one snapshot, read as often as wanted and checked at every reading.

    The files of a snapshot go where somebody compacts the store and collects garbage. Their rows are then looked up in
    the newest state, and read there only if they are proven to be the same bits: every shard that is gone is put
    together from the new ones, and must have the checksum that the pinned manifest says.

    Parameters
    ----------
    table : FeatureTable
    snapshot : Snapshot
        Of that table.
    at : ndarray of shape (n,), int64
        Position of each row in the snapshot; all of them have features.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from featstore.fingerprint import Fingerprint
    >>> from featstore.store.format.rows import Rows
    >>> made = Fingerprint("resnet50", "0" * 64, "avgpool", "none", {}, {}, "fp32", "IMAGENET1K_V2")
    >>> digests = np.arange(1, 97, dtype=np.uint8).reshape(3, 32)
    >>> rows = Rows(digests, np.arange(12, dtype=np.float32).reshape(3, 4), np.zeros(3, np.uint8), ("", "", ""))
    >>> with tempfile.TemporaryDirectory() as store:
    ...     table = FeatureTable(Path(store), made.key)
    ...     table.commit(made, rows, {})
    ...     pinned = PinnedRows(table, table.snapshot(), np.array([0, 1, 2]))
    ...     X = pinned.take(np.array([2, 0]))
    >>> X[:, 0]
    array([8., 0.], dtype=float32)
    """

    def __init__(self, table: FeatureTable, snapshot: Snapshot, at: NDArray[np.int64]) -> None:
        self._table = table
        self._lock = threading.Lock()
        self._place = _Place.of(snapshot, at)

    def __len__(self) -> int:
        return len(self._place.at)

    @property
    def stored_dtype(self) -> str:
        """NumPy's name of the type on disk."""
        shards = self._place.snapshot.manifest.shards
        return shards[0].layout["features"].dtype if shards else "<f4"

    @property
    def layout(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Where each row lies now, shape (n,), counted through the shards; position of each shard's first row, and
        the number of all rows. Both of one state."""
        place = self._place
        return place.at, place.snapshot.starts

    def check_files(self) -> None:
        """See that every shard is there with its size.

        Raises
        ------
        FileNotFoundError, StoreDamagedError
            Where one is not.
        """
        self._place.check_files()

    def take(self, rows: NDArray[np.int64], between: Callable[[], None] = lambda: None) -> NDArray[np.float32]:
        """The features of some rows.

        Parameters
        ----------
        rows : ndarray of shape (m,), int64
            In any order, also repeated.
        between : callable
            Called before each piece of at most 1 MiB is read; may raise.

        Returns
        -------
        ndarray of shape (m, d), float32

        Raises
        ------
        StoreDamagedError
            Where features are not those that were committed.
        StoreError
            Where the pinned files were removed, and what is there now is not the same.
        """
        while True:
            place = self._place
            try:
                return place.take(rows, between)
            except FileNotFoundError as error:
                with self._lock:
                    if self._place is place:
                        self._place = self._moved(place, error)

    def _moved(self, old: _Place, error: FileNotFoundError) -> _Place:
        """Where the rows lie in the newest state, every bit of which has been compared."""
        snapshot = old.snapshot
        while True:
            self._table.moved_on(snapshot, error)
            snapshot = self._table.snapshot()
            try:
                return _proven(old, snapshot)
            except FileNotFoundError as next_error:
                error = next_error


@dataclasses.dataclass(frozen=True, eq=False)
class _Place:
    snapshot: Snapshot
    at: NDArray[np.int64]
    shards: tuple[ShardRows, ...]

    @classmethod
    def of(cls, snapshot: Snapshot, at: NDArray[np.int64]) -> Self:
        folder = snapshot.folder / SHARDS
        return cls(snapshot, at, tuple(ShardRows(folder / e.file_name, e) for e in snapshot.manifest.shards))

    @property
    def used(self) -> list[int]:
        """Numbers of the shards that hold any of the rows."""
        return [int(shard) for shard in np.unique(self.snapshot.shard_of(self.at))]

    def check_files(self) -> None:
        for shard in self.used:
            fsread.check_size(self.shards[shard].path, self.shards[shard].entry.size)

    def take(self, rows: NDArray[np.int64], between: Callable[[], None]) -> NDArray[np.float32]:
        X = np.empty((len(rows), self.snapshot.manifest.dim), dtype=np.float32)
        at = self.at[rows]
        shards = self.snapshot.shard_of(at)
        order = np.argsort(shards, kind="stable")
        for places in np.split(order, np.flatnonzero(np.diff(shards[order])) + 1) if len(order) else []:
            shard = int(shards[places[0]])
            self.shards[shard].read(at[places] - self.snapshot.starts[shard], X, places, between)
        return X


def _proven(old: _Place, snapshot: Snapshot) -> _Place:
    """The same rows in a newer state.

    Raises
    ------
    StoreError
        Where they are not all there, or not with the same bits.
    """
    there = snapshot.find(old.snapshot.digests)
    new = _Place.of(snapshot, there)
    for shard in old.used:
        entry, first = old.snapshot.manifest.shards[shard], int(old.snapshot.starts[shard])
        good = first + np.flatnonzero(old.snapshot.indexes[shard].status == OK)
        stored = np.zeros((entry.rows, entry.dim), dtype=entry.layout["features"].dtype)
        found = bool((there[good] >= 0).all()) and bool((snapshot.status[there[good]] == OK).all())
        if found:
            stored[good - first] = new.take(good, lambda: None)
        if not found or checksum(stored.reshape(-1).view(np.uint8).data) != entry.features_check:
            raise StoreError(
                f"the features {snapshot.manifest.key} were changed while they were read: files of the state that was "
                f"being read are gone, and the newest state does not hold the same rows; start again"
            )
    return dataclasses.replace(new, at=there[old.at])
