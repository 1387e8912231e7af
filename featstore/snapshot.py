"""Snapshot: one committed state of a feature set, as readers see it; finds rows and reads their features.

A snapshot never changes: what it names is immutable. Readers take no lock.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
from collections.abc import MutableMapping
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from featstore import fsread
from featstore.container import view
from featstore.errors import StoreDamagedError
from featstore.manifest import SIZE_LIMIT, Manifest, numbered, numbered_name
from featstore.rows import OK, Index, as_keys
from featstore.shard import ShardEntry, parse_index

MANIFESTS, SHARDS = "manifests", "shards"
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

    def gather(self, positions: NDArray[np.int64]) -> NDArray[np.float32]:
        """Read features. Every byte of every shard that is touched is hashed before anything is returned.

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
            Where a shard's bytes are not those that were committed.
        """
        shards = self.shard_of(positions)
        order = np.argsort(shards, kind="stable")
        cuts = np.flatnonzero(np.diff(shards[order])) + 1
        groups = np.split(order, cuts) if len(order) else []
        for group in groups:
            entry = self.manifest.shards[shards[group[0]]]
            fsread.check_size(self.folder / SHARDS / entry.file_name, entry.size)
        X = np.empty((len(positions), self.manifest.dim), dtype=np.float32)

        def load(places: NDArray[np.intp]) -> None:
            shard = int(shards[places[0]])
            entry = self.manifest.shards[shard]
            _load(self.folder / SHARDS / entry.file_name, entry, positions[places] - self.starts[shard], X, places)

        if len(groups) == 1:
            load(groups[0])
        elif groups:
            with ThreadPoolExecutor(min(len(groups), _cores(), THREADS)) as pool:
                list(pool.map(load, groups))
        return X


def load_snapshot(folder: Path, key: str, last: Snapshot | None = None) -> Snapshot:
    """Read the highest manifest that is intact, and the digests and status of its rows.

    Parameters
    ----------
    folder : Path
        `features/<key>`; without manifests the snapshot is empty.
    key : str
    last : Snapshot, optional
        What was read before, so that only what is new is read.

    Raises
    ------
    StoreDamagedError
        Where there are manifests but none is intact, or a shard's index is damaged.
    StoreFormatError
        Where a newer version wrote here.
    """
    known = {} if last is None else dict(zip((e.sha256 for e in last.manifest.shards), last.indexes, strict=True))
    while True:
        numbers = numbered(folder / MANIFESTS, ".json")
        damaged: list[int] = []
        try:
            for number in reversed(numbers.present):
                if last is not None and last.manifest.number == number:
                    if (last.damaged, last.highest) == (tuple(damaged), numbers.highest):
                        return last
                    return dataclasses.replace(last, damaged=tuple(damaged), highest=numbers.highest)
                path = folder / MANIFESTS / numbered_name(number, ".json")
                try:
                    manifest = Manifest.from_bytes(fsread.read_bytes(path, SIZE_LIMIT), path, number, key)
                except StoreDamagedError:
                    damaged.append(number)
                    continue
                indexes = tuple(_index(folder, entry, known) for entry in manifest.shards)
                return Snapshot(folder, manifest, indexes, tuple(damaged), numbers.highest)
        except FileNotFoundError as error:
            if numbered(folder / MANIFESTS, ".json").highest > numbers.highest:
                continue  # the folder moved on between listing and reading
            raise StoreDamagedError(f"{error.filename} is missing; run `featstore repair`") from error
        if numbers.present:
            raise StoreDamagedError(
                f"all {len(damaged)} manifests in {folder / MANIFESTS} are damaged; run `featstore repair` to rebuild "
                f"them from the shards"
            )
        return Snapshot(folder, Manifest(0, key, 0, 0, 0, ()), (), (), numbers.highest)


def _index(folder: Path, entry: ShardEntry, known: MutableMapping[str, Index]) -> Index:
    if entry.sha256 not in known:
        path = folder / SHARDS / entry.file_name
        try:
            known[entry.sha256] = parse_index(fsread.read_spans(path, entry.size, entry.index_spans), entry)
        except StoreDamagedError as error:
            raise StoreDamagedError(f"{path} is damaged: {error}; run `featstore repair`") from error
    return known[entry.sha256]


def _load(
    path: Path, entry: ShardEntry, rows: NDArray[np.int64], X: NDArray[np.float32], places: NDArray[np.intp]
) -> None:
    """Read and check one shard, and put its `rows` at the `places` of X."""
    block = entry.layout["features"]
    first = int(places[0])
    in_order = (
        len(rows) == entry.rows
        and np.array_equal(rows, np.arange(entry.rows))
        and np.array_equal(places, np.arange(first, first + entry.rows))
    )
    digest = hashlib.sha256()
    if in_order and block.dtype == X.dtype.str:
        # The usual case: the rows lie in the shard as they are wanted, so the disk's bytes go straight into X.
        target = X[first : first + entry.rows].reshape(-1).view(np.uint8).data
        rest = bytearray(entry.size - block.offset - block.nbytes)
        fsread.read_into(path, [memoryview(bytearray(block.offset)), target, memoryview(rest)], digest.update)
    else:
        data = np.empty(entry.size, dtype=np.uint8).data
        fsread.read_into(path, [data], digest.update)
    if digest.hexdigest() != entry.sha256:
        raise StoreDamagedError(
            f"{path} is damaged: its bytes are not those that were committed; run `featstore repair`"
        )
    if not (in_order and block.dtype == X.dtype.str):
        X[places] = view(data, block)[rows]


def _first_two_bytes(digests: NDArray[np.uint8]) -> NDArray[np.uint16]:
    return np.ascontiguousarray(digests[:, :2]).view(np.uint16).reshape(-1)


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
