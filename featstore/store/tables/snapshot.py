"""Snapshot: one committed state of a feature set, as readers see it; finds rows and reads their features.

A snapshot never changes: what it names is immutable. Readers take no lock.
"""

from __future__ import annotations

import dataclasses
import hashlib
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from featstore.errors import StoreDamagedError
from featstore.store.format.checksum import PIECE, Checksum
from featstore.store.format.half import widen
from featstore.store.format.manifest import Manifest
from featstore.store.format.rows import OK, Index, Rows, as_keys
from featstore.store.format.shard import ShardEntry
from featstore.store.tables.layout import SHARDS
from featstore.system import fsread
from featstore.system.machine import usable_cores

THREADS = 8


@dataclasses.dataclass(frozen=True, eq=False)
class Snapshot:
    """The rows of a feature set at one manifest. A row's position counts through the shards in their order.

    Attributes
    ----------
    folder : Path
        `features/<key>`.
    manifest : Manifest
    indexes : tuple of Index
        One for each shard.
    damaged : tuple of int
        Numbers of newer manifests that cannot be used.
    highest : int
        The highest manifest number in use, damaged ones too.

    Examples
    --------
    >>> import tempfile
    >>> from featstore.fingerprint import Fingerprint
    >>> from featstore.store.tables.feature_table import FeatureTable
    >>> made = Fingerprint("resnet50", "0" * 64, "avgpool", "none", {}, {}, "fp32", "IMAGENET1K_V2")
    >>> digests = np.arange(1, 65, dtype=np.uint8).reshape(2, 32)
    >>> with tempfile.TemporaryDirectory() as store:
    ...     table = FeatureTable(Path(store), made.key)
    ...     table.commit(made, Rows(digests, np.ones((2, 4), np.float32), np.zeros(2, np.uint8), ("", "")), {})
    ...     table.snapshot().find(digests[1:]), table.snapshot().failures()
    (array([1]), {})
    """

    folder: Path
    manifest: Manifest
    indexes: tuple[Index, ...]
    damaged: tuple[int, ...]
    highest: int

    @cached_property
    def digests(self) -> NDArray[np.uint8]:
        """Of all rows, shape (n, 32)."""
        return np.concatenate([np.empty((0, 32), np.uint8), *(index.digests for index in self.indexes)])

    @cached_property
    def status(self) -> NDArray[np.uint8]:
        """Of all rows, shape (n,)."""
        return np.concatenate([np.empty(0, np.uint8), *(index.status for index in self.indexes)])

    @cached_property
    def starts(self) -> NDArray[np.int64]:
        """Position of each shard's first row, and the number of all rows."""
        return np.cumsum([0, *(entry.rows for entry in self.manifest.shards)], dtype=np.int64)

    def find(self, digests: NDArray[np.uint8]) -> NDArray[np.int64]:
        """Positions of rows by digest.

        Where a digest has several rows, features count before failures, and what was committed first counts.

        Parameters
        ----------
        digests : ndarray of shape (m, 32), uint8

        Returns
        -------
        ndarray of shape (m,), int64
            -1 where there is no row.
        """
        if np.array_equal(digests, self.digests) and self.manifest.rows + self.manifest.failed == len(self.digests):
            return np.arange(len(digests))  # the usual case: all of the images that were extracted, in their order
        found = np.full(len(digests), -1, dtype=np.int64)
        if len(self.digests) > 8 * len(digests):
            # Few are looked for among many: two bytes of the digest rule out nearly all rows before anything is sorted.
            wanted = np.zeros(1 << 16, dtype=bool)
            wanted[_first_two_bytes(digests)] = True
            candidates = np.flatnonzero(wanted[_first_two_bytes(self.digests)])
        else:
            candidates = np.arange(len(self.digests))
        if not len(candidates) or not len(digests):
            return found
        candidates = candidates[np.argsort(self.status[candidates], kind="stable")]
        keys = as_keys(self.digests[candidates])
        order = np.argsort(keys, kind="stable")
        keys, candidates = keys[order], candidates[order]
        looked_for = as_keys(digests)
        at = np.minimum(np.searchsorted(keys, looked_for), len(keys) - 1)
        hit = keys[at] == looked_for
        found[hit] = candidates[at[hit]]
        return found

    def live(self) -> NDArray[np.int64]:
        """Positions of the rows that count, one for each digest, ascending."""
        order = np.argsort(self.status, kind="stable")
        _, first = np.unique(as_keys(self.digests[order]), return_index=True)
        return np.sort(order[first])

    def shard_of(self, positions: NDArray[np.int64]) -> NDArray[np.int64]:
        """Number of the shard that each position lies in."""
        return np.searchsorted(self.starts, positions, side="right") - 1

    def reasons(self, positions: NDArray[np.int64]) -> list[str]:
        """Why rows failed, "" for those that did not."""
        shards = self.shard_of(positions)
        rows = positions - self.starts[shards]
        pairs = zip(shards.tolist(), rows.tolist(), strict=True)
        return [bytes(self.indexes[shard].reasons[row]).decode("utf-8", "replace") for shard, row in pairs]

    def failures(self) -> dict[bytes, str]:
        """Digest -> reason of every row that failed and was not replaced since."""
        if (self.status == OK).all():
            return {}
        live = self.live()
        failed = live[self.status[live] != OK]
        digests = [digest.tobytes() for digest in self.digests[failed]]
        return dict(zip(digests, self.reasons(failed), strict=True))

    def rows(self, positions: NDArray[np.int64]) -> Rows:
        """Rows with everything that is known about them.

        Raises
        ------
        FileNotFoundError, StoreDamagedError
            As `gather`.
        """
        status = self.status[positions]
        X = np.zeros((len(positions), self.manifest.dim), dtype=np.float32)
        X[status == OK] = self.gather(positions[status == OK])
        return Rows(self.digests[positions], X, status, tuple(self.reasons(positions)))

    def content_sha256(self) -> str:
        """SHA-256 over digest, status and features of every row that counts, in the order of their own hashes.

        Two stores with the same content have the same one, whatever the order of commits and the cut into shards.
        """
        hashes = []
        live = self.live()
        for part in np.split(live, np.searchsorted(live, self.starts[1:-1])):
            if not len(part):
                continue
            rows = self.rows(part)
            for digest, status, x in zip(rows.digests, rows.status, rows.X, strict=True):
                hashes.append(hashlib.sha256(digest.tobytes() + bytes([status]) + x.tobytes()).digest())
        return hashlib.sha256(b"".join(sorted(hashes))).hexdigest()

    def gather(self, positions: NDArray[np.int64]) -> NDArray[np.float32]:
        """Read features. All features of every shard that is touched are checked before any are returned.

        Parameters
        ----------
        positions : ndarray of shape (m,), int64
            In any order, also repeated.

        Returns
        -------
        ndarray of shape (m, d), float32

        Raises
        ------
        FileNotFoundError
            Where a shard is not there (any more).
        StoreDamagedError
            Where features are not those that were committed.
        """
        shards = self.shard_of(positions)
        order = np.argsort(shards, kind="stable")
        cuts = np.flatnonzero(np.diff(shards[order])) + 1
        groups = np.split(order, cuts) if len(order) else []
        for group in groups:
            entry = self.manifest.shards[shards[group[0]]]
            fsread.check_size(self.folder / SHARDS / entry.file_name, entry.size)
        X = np.empty((len(positions), self.manifest.dim), dtype=np.float32)

        waiting = iter(groups)  # shared by the threads: whoever is free takes the next shard

        def load(_thread: int) -> None:
            for places in waiting:
                shard = int(shards[places[0]])
                entry = self.manifest.shards[shard]
                _load(self.folder / SHARDS / entry.file_name, entry, positions[places] - self.starts[shard], X, places)

        threads = min(len(groups), usable_cores(), THREADS)
        if threads > 1:
            with ThreadPoolExecutor(threads) as pool:
                list(pool.map(load, range(threads)))
        else:
            load(0)
        return X


def _load(
    path: Path, entry: ShardEntry, rows: NDArray[np.int64], X: NDArray[np.float32], places: NDArray[np.intp]
) -> None:
    """Read and check one shard, and put its `rows` at the `places` of X."""
    block = entry.layout["features"]
    first = int(places[0])
    # The usual case: the rows lie in the shard as they are wanted, so the disk's bytes go straight into X.
    straight = (
        block.dtype == X.dtype.str
        and len(rows) == entry.rows
        and np.array_equal(rows, np.arange(entry.rows))
        and np.array_equal(places, np.arange(first, first + entry.rows))
    )
    stored = X[first : first + entry.rows] if straight else np.empty(block.shape, dtype=block.dtype)
    check = Checksum()
    target = stored.reshape(-1).view(np.uint8).data
    fsread.read_into(path, entry.size, block.offset, target, PIECE, check.update)
    if check.hexdigest() != entry.features_check:
        raise StoreDamagedError(
            f"{path} is damaged: its features are not those that were committed; run `featstore repair`"
        )
    if straight:
        return
    if stored.dtype != X.dtype:
        narrow, stored = stored, np.empty(stored.shape, dtype=X.dtype)
        widen(narrow.reshape(-1), stored.reshape(-1))
    X[places] = stored[rows]


def _first_two_bytes(digests: NDArray[np.uint8]) -> NDArray[np.uint16]:
    return np.ascontiguousarray(digests[:, :2]).view(np.uint16).reshape(-1)
