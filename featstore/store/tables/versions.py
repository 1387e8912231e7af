"""The versions of a feature set: the newest one read, as a snapshot, and what a commit adds to make the next."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, MutableMapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from featstore.errors import StoreConflictError, StoreDamagedError
from featstore.store.format.manifest import SIZE_LIMIT, Manifest, following, numbered, numbered_name
from featstore.store.format.rows import OK, Index, Rows
from featstore.store.format.shard import ShardEntry, parse_index
from featstore.store.tables.layout import MANIFESTS, SHARDS
from featstore.store.tables.snapshot import Snapshot
from featstore.system import fsread


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
    entries = {} if last is None else {entry.sha256: entry for entry in last.manifest.shards}
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
                try:
                    manifest = load_manifest(folder, key, number, entries)
                except StoreDamagedError:
                    damaged.append(number)
                    continue
                indexes = tuple(load_index(folder, entry, known) for entry in manifest.shards)
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


def load_manifest(folder: Path, key: str, number: int, known: Mapping[str, ShardEntry] | None = None) -> Manifest:
    """Read one manifest.

    Parameters
    ----------
    folder : Path
        `features/<key>`.
    key : str
    number : int
    known : mapping of shard hash to ShardEntry, optional
        As `Manifest.from_bytes` takes it.

    Raises
    ------
    FileNotFoundError
        Where there is none of that number.
    StoreDamagedError, StoreFormatError
        As `Manifest.from_bytes`.
    """
    path = folder / MANIFESTS / numbered_name(number, ".json")
    return Manifest.from_bytes(fsread.read_bytes(path, SIZE_LIMIT), path, number, key, known)


def load_index(folder: Path, entry: ShardEntry, known: MutableMapping[str, Index]) -> Index:
    """Read which rows a shard has, without its features.

    Parameters
    ----------
    folder : Path
        `features/<key>`.
    known : mutable mapping of shard hash to Index
        Read before; completed here.

    Raises
    ------
    FileNotFoundError
        Where the shard is not there.
    StoreDamagedError
        Where its rows are not those that were committed.
    """
    if entry.sha256 not in known:
        path = folder / SHARDS / entry.file_name
        try:
            known[entry.sha256] = parse_index(fsread.read_spans(path, entry.size, entry.index_spans), entry)
        except StoreDamagedError as error:
            raise StoreDamagedError(f"{path} is damaged: {error}; run `featstore repair`") from error
    return known[entry.sha256]


def rows_to_add(snapshot: Snapshot, rows: Rows, provenance: dict[str, Any], own: set[str]) -> NDArray[np.bool_]:
    """Which rows a commit adds: new ones, features where a failure was, a lasting failure where a passing one was.

    Parameters
    ----------
    snapshot : Snapshot
        The state to add to.
    rows : Rows
        Settled and distinct.
    provenance : dict
        Of `rows`.
    own : set of str
        Hashes of shards that the caller made of these very rows.

    Returns
    -------
    ndarray of shape (len(rows),), bool

    Raises
    ------
    StoreConflictError
        Where a row is there with other bits and the same provenance. Of another provenance, the first one counts.
    FileNotFoundError
        Where a shard of the snapshot is gone.
    """
    at = snapshot.find(rows.digests)
    there = np.flatnonzero(at >= 0)
    fresh = at < 0
    if not len(there):
        return fresh
    before = snapshot.status[at[there]]
    fresh[there] = rows.status[there] < before
    both = there[(before == OK) & (rows.status[there] == OK)]
    entries = snapshot.manifest.shards
    shards = snapshot.shard_of(at[both]).tolist()
    compare = [entries[s].sha256 not in own and entries[s].provenance == provenance for s in shards]
    both = both[np.array(compare, dtype=bool)]
    if len(both):
        old, new = snapshot.gather(at[both]), rows.X[both]
        different = (old.view(np.uint32) != new.view(np.uint32)).any(axis=1)
        if different.any():
            first = int(np.flatnonzero(different)[0])
            raise StoreConflictError(
                f"{different.sum()} rows of feature set {snapshot.manifest.key} are stored with other numbers and the "
                f"same provenance, by up to {np.abs(old - new).max():.3g}, first the image with SHA-256 "
                f"{rows.digests[both[first]].tobytes().hex()}; one of the two computations is wrong: run `featstore "
                f"verify` and check the machine's memory. Nothing was overwritten"
            )
    return fresh


def next_manifest(snapshot: Snapshot, fresh: Rows, entries: Sequence[ShardEntry]) -> Manifest:
    """The manifest after `snapshot`, with the shards of fresh rows; one that is named already is not named again."""
    before = snapshot.manifest
    named = {entry.sha256 for entry in before.shards}
    replaced = int((snapshot.find(fresh.digests) >= 0).sum())
    good = int((fresh.status == OK).sum())
    return Manifest(
        number=following(snapshot.highest, snapshot.folder / MANIFESTS),
        key=before.key,
        parent=before.number,
        rows=before.rows + good,
        failed=before.failed + len(fresh) - good - replaced,
        shards=(*before.shards, *(entry for entry in entries if entry.sha256 not in named)),
    )
