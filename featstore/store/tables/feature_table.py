"""FeatureTable: the rows of one fingerprint on disk, `features/<key>`. Commits rows; takes snapshots.

A commit publishes shards first and then the next manifest number. Who finds that number taken was overtaken by another
writer: it looks at the new state, leaves out what is there by now, and tries the next number.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from featstore.errors import (
    FeaturesError,
    FingerprintMismatchError,
    StoreDamagedError,
    StoreWriteError,
)
from featstore.fingerprint import Fingerprint
from featstore.store.format.manifest import Manifest, numbered, numbered_name
from featstore.store.format.rows import OK, Rows
from featstore.store.format.sealed import seal, unseal
from featstore.store.format.shard import ROUNDED_FORMAT, ShardEntry, encode, format_of, stored_dtype
from featstore.store.tables.layout import (
    FEATURES,
    FINGERPRINT,
    MANIFESTS,
    SHARD_BYTES,
    SHARD_ROWS,
    SHARDS,
    TMP,
    quarantine,
)
from featstore.store.tables.snapshot import Snapshot
from featstore.store.tables.versions import load_snapshot, next_manifest, rows_to_add
from featstore.system import fsio, fsread
from featstore.system.canonical_json import canonical_json

FINGERPRINT_LIMIT = 1 << 20
KEPT_MANIFESTS = 16
"""A commit drops manifests older than the last so many; each holds all that the one before it said."""

PUBLISH_LIMIT = 5
"""A writer that is overtaken by `gc` at every turn, or whose disk does not give back what it took, gives up."""

Encoded = tuple[memoryview, ShardEntry]


class FeatureTable:
    """The rows of one fingerprint.

    Parameters
    ----------
    store : Path
        Folder of the store.
    key : str
        Of the fingerprint.

    Examples
    --------
    >>> import tempfile
    >>> made = Fingerprint("resnet50", "0" * 64, "avgpool", "none", {}, {}, "fp32", "IMAGENET1K_V2")
    >>> digests = np.arange(1, 65, dtype=np.uint8).reshape(2, 32)
    >>> rows = Rows(digests, np.ones((2, 4), np.float32), np.zeros(2, np.uint8), ("", ""))
    >>> with tempfile.TemporaryDirectory() as store:
    ...     table = FeatureTable(Path(store), made.key)
    ...     table.commit(made, rows, {"engine": "eager"})
    ...     snapshot, at, X = table.read(digests[::-1].copy())
    >>> at, X.shape, snapshot.manifest.number
    (array([1, 0]), (2, 4), 1)
    """

    def __init__(self, store: Path, key: str) -> None:
        self.store = store
        self.key = key
        self.folder = store / FEATURES / key
        self._last: Snapshot | None = None
        self._prepared = False

    def fingerprint(self) -> tuple[Fingerprint, int]:
        """The fingerprint, with the label of its weights, and the numbers a row.

        Raises
        ------
        FileNotFoundError
            Where there is none (yet).
        StoreDamagedError
            Where it is not as it was written.
        """
        path = self.folder / FINGERPRINT
        document = unseal(fsread.read_bytes(path, FINGERPRINT_LIMIT), path, newest=ROUNDED_FORMAT)
        try:
            fingerprint, dim = Fingerprint.from_json(document["fingerprint"]), document["dim"]
        except (KeyError, FingerprintMismatchError) as error:
            raise StoreDamagedError(f"{path} holds no fingerprint ({error}); run `featstore repair`") from error
        if fingerprint.key != self.key or type(dim) is not int or dim < 1:
            raise StoreDamagedError(f"{path} belongs to key {fingerprint.key}; run `featstore repair`")
        return fingerprint, dim

    def snapshot(self) -> Snapshot:
        """The newest state, empty where nothing is committed.

        Raises
        ------
        StoreDamagedError
            Where manifests or the index of a shard are damaged beyond use.
        StoreFormatError
            Where a newer version wrote here.
        """
        self._last = load_snapshot(self.folder, self.key, self._last)
        return self._last

    def commit(self, fingerprint: Fingerprint, rows: Rows, provenance: Mapping[str, Any]) -> None:
        """Make rows last. When this returns, they are on disk and every reader sees them.

        A row that is there already is left out: the first one committed counts, and features replace a failure. Rows of
        one provenance must have the same bits.

        Parameters
        ----------
        fingerprint : Fingerprint
        rows : Rows
            Cut into shards of at most 1024 rows.
        provenance : mapping
            JSON-able: how the rows were computed.

        Raises
        ------
        StoreConflictError
            Where a row is there with other bits and the same provenance.
        StoreWriteError
            Where the disk refuses; a later commit of the same rows completes this one.
        """
        if not len(rows):
            return
        rows = rows.settled(stored_dtype(fingerprint)).distinct()
        provenance = _plain(provenance)
        self._prepare(fingerprint, rows.X.shape[1])
        shards: list[Encoded] = []
        encoded: NDArray[np.bool_] | None = None
        published = 0
        while published < PUBLISH_LIMIT:
            snapshot = self.snapshot()
            try:
                fresh = rows_to_add(snapshot, rows, provenance, own={entry.sha256 for _, entry in shards})
            except FileNotFoundError as error:
                self.moved_on(snapshot, error)
                continue
            if not fresh.any():
                return
            added = rows if fresh.all() else rows.take(fresh)
            if encoded is None or not np.array_equal(fresh, encoded):
                shards = list(_encode(added, fingerprint, provenance))
                encoded = fresh
            for data, entry in shards:
                self.put_shard(data, entry)
            manifest = next_manifest(snapshot, added, [entry for _, entry in shards])
            if self.put_manifest(manifest):
                published += 1
                # `gc` may have taken a shard left by a killed writer for garbage just before it was named.
                for data, entry in shards:
                    if not (self.folder / SHARDS / entry.file_name).exists():
                        self.put_shard(data, entry)
                self._drop_manifests(manifest.number - KEPT_MANIFESTS)
        raise StoreWriteError(f"{self.folder}: what was written does not read back; check the disk, then run again")

    def read(
        self, digests: NDArray[np.uint8], check: Callable[[Snapshot, NDArray[np.int64]], None] | None = None
    ) -> tuple[Snapshot, NDArray[np.int64], NDArray[np.float32]]:
        """Find rows and read the features of those that have some.

        Parameters
        ----------
        digests : ndarray of shape (m, 32), uint8
        check : callable, optional
            Gets the snapshot and the positions before any features are read, and may raise.

        Returns
        -------
        snapshot : Snapshot
        at : ndarray of shape (m,), int64
            Positions in the snapshot, -1 where there is no row.
        X : ndarray of shape (number of rows with status `OK`, d), float32

        Raises
        ------
        StoreDamagedError
            Where a byte that was read is not as it was committed.
        FeaturesError
            Where memory does not hold the features.
        """
        while True:
            snapshot = self.snapshot()
            at = snapshot.find(digests)
            found = at[at >= 0]
            if check is not None:
                check(snapshot, at)
            try:
                return snapshot, at, snapshot.gather(found[snapshot.status[found] == OK])
            except FileNotFoundError as error:
                self.moved_on(snapshot, error)

    def moved_on(self, snapshot: Snapshot, error: FileNotFoundError) -> None:
        """Return where a missing shard is explained by a newer state (compact and gc ran meanwhile).

        Raises
        ------
        StoreDamagedError
            Where it is not.
        """
        if self.snapshot().manifest.number <= snapshot.manifest.number:
            raise StoreDamagedError(f"{error.filename} is missing; run `featstore repair`") from error

    def put_shard(self, data: bytes | memoryview, entry: ShardEntry) -> None:
        """Publish a shard; one with the same bytes that is there already is made young again.

        Raises
        ------
        StoreWriteError
            Where the disk refuses.
        """
        path = self.folder / SHARDS / entry.file_name
        while not fsio.publish(path, data, tmp=self.store / TMP, by_content=True):
            try:
                if fsread.read_bytes(path, max(len(data), 1)) == data:
                    fsio.renew(path)
                    return
                raise StoreDamagedError(f"{path} does not have the bytes that its name says")
            except StoreDamagedError:
                quarantine(self.store, path)
            except FileNotFoundError:
                continue  # removed since, publish it again

    def put_manifest(self, manifest: Manifest) -> bool:
        """Publish a manifest; False where its number is taken.

        Raises
        ------
        StoreWriteError
            Where the disk refuses.
        """
        path = self.folder / MANIFESTS / manifest.file_name
        return fsio.publish(path, manifest.to_bytes(), tmp=self.store / TMP)

    def put_fingerprint(self, fingerprint: Fingerprint, dim: int) -> bool:
        """Publish the fingerprint; False where there is one."""
        document = {"key": fingerprint.key, "fingerprint": fingerprint.to_json(), "dim": dim}
        data = seal(document, format_of(fingerprint))
        return fsio.publish(self.folder / FINGERPRINT, data, tmp=self.store / TMP)

    def make_folders(self) -> None:
        """Make the folders of this feature set, and make them last."""
        for folder in (self.store / TMP, self.folder / SHARDS, self.folder / MANIFESTS):
            fsio.make_directory(folder, below=self.store)

    def _prepare(self, fingerprint: Fingerprint, dim: int) -> None:
        if not self._prepared:
            self.make_folders()
            self.put_fingerprint(fingerprint, dim)  # also where there is one: its maker may have died before the sync
        _, width = self.fingerprint()
        if width != dim:
            raise FeaturesError(f"rows of {dim} numbers for feature set {self.key}, which has {width} a row")
        self._prepared = True

    def _drop_manifests(self, up_to: int) -> None:
        with contextlib.suppress(StoreWriteError):  # the commit stands; `gc` will do it
            for number in numbered(self.folder / MANIFESTS, ".json").present:
                if number <= up_to:
                    fsio.remove(self.folder / MANIFESTS / numbered_name(number, ".json"))


def feature_keys(store: Path) -> list[str]:
    """Keys of the feature sets of a store, sorted; folders of other names are passed over."""
    return [name for name in fsread.list_folders(store / FEATURES) if re.fullmatch("[0-9a-f]{16}", name)]


def _plain(provenance: Mapping[str, Any]) -> dict[str, Any]:
    try:
        plain = json.loads(canonical_json(dict(provenance)))
    except (ValueError, TypeError) as error:
        raise FeaturesError(f"a provenance that JSON cannot hold: {error}") from error
    return dict(plain)


def _encode(rows: Rows, fingerprint: Fingerprint, provenance: dict[str, Any]) -> Iterator[Encoded]:
    width = np.dtype(stored_dtype(fingerprint)).itemsize * rows.X.shape[1]
    step = max(1, min(SHARD_ROWS, SHARD_BYTES // width))
    for start in range(0, len(rows), step):
        yield encode(rows.take(slice(start, start + step)), fingerprint, provenance)
