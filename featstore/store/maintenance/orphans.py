"""Shards that no manifest names: of killed writers, replaced by compaction, or orphaned by the loss of a manifest."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from featstore.errors import FeatstoreError
from featstore.store.format.manifest import Manifest
from featstore.store.format.rows import OK, Index
from featstore.store.format.shard import ShardEntry
from featstore.store.maintenance.shard_check import check_shard
from featstore.store.tables.layout import SHARDS
from featstore.store.tables.snapshot import Snapshot
from featstore.store.tables.versions import load_index


def worth_naming(folder: Path, key: str, named: Sequence[ShardEntry], good: Mapping[str, ShardEntry]) -> Snapshot:
    """Named shards that are intact, then others that have rows which these lack, as the state that they make.

    Parameters
    ----------
    folder : Path
        `features/<key>`.
    key : str
    named : sequence of ShardEntry
        In the order of a manifest.
    good : mapping of hash to ShardEntry
        All shards that are intact.
    """
    known: dict[str, Index] = {}
    state = state_of(folder, key, [good[entry.sha256] for entry in named if entry.sha256 in good], known)
    for sha256 in sorted(good.keys() - {entry.sha256 for entry in named}):
        index = load_index(folder, good[sha256], known)
        at = state.find(index.digests)
        if (at < 0).any() or (index.status < state.status[at]).any():
            state = state_of(folder, key, [*state.manifest.shards, good[sha256]], known)
    return state


def state_of(folder: Path, key: str, shards: Sequence[ShardEntry], known: dict[str, Index]) -> Snapshot:
    """What the rows of some shards are together; `known` holds indexes read before and is completed."""
    indexes = tuple(load_index(folder, entry, known) for entry in shards)
    state = Snapshot(folder, Manifest(0, key, 0, 0, 0, tuple(shards)), indexes, (), 0)
    live = state.live()
    good = int((state.status[live] == OK).sum())
    return dataclasses.replace(state, manifest=dataclasses.replace(state.manifest, rows=good, failed=len(live) - good))


def only_there(
    folder: Path, key: str, named: Sequence[ShardEntry], names: Collection[str]
) -> tuple[frozenset[str], int]:
    """Which of some unnamed shards hold rows that nothing else holds.

    Parameters
    ----------
    folder, key
        As in `worth_naming`.
    named : sequence of ShardEntry
        Of all manifests that count.
    names : collection of str
        Files in `shards/`, each of which is read whole. Damaged ones hold nothing.

    Returns
    -------
    frozenset of str
        File names.
    int
        Rows.

    Raises
    ------
    FeatstoreError, FileNotFoundError
        Where a named shard is damaged or missing.
    """
    found = {}
    for name in names:
        try:
            entry = check_shard(folder / SHARDS / name, None, key)
        except (FeatstoreError, FileNotFoundError):
            continue
        found[entry.sha256] = entry
    if not found:
        return frozenset(), 0
    before = state_of(folder, key, named, {}).manifest
    after = worth_naming(folder, key, named, {entry.sha256: entry for entry in named} | found).manifest
    files = {entry.file_name for entry in after.shards} - {entry.file_name for entry in before.shards}
    return frozenset(files), after.rows + after.failed - before.rows - before.failed
