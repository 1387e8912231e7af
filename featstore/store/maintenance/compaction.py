"""Compaction: small shards merged into large ones, under a new manifest. The old ones stay until `gc`."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from featstore.errors import StoreDamagedError
from featstore.store.format.manifest import Manifest, following
from featstore.store.format.shard import ShardEntry, encode
from featstore.store.tables import identity
from featstore.store.tables.feature_table import FeatureTable, feature_keys
from featstore.store.tables.layout import MANIFESTS, SHARDS
from featstore.store.tables.snapshot import Snapshot

TARGET_BYTES = 32 << 20
TARGET_ROWS = 1 << 16


@dataclasses.dataclass
class Compaction:
    """What a compaction did.

    Attributes
    ----------
    before, after : dict of key to int
        Number of shards of every feature set.

    Examples
    --------
    >>> done = Compaction(before={"0123456789abcdef": 40}, after={"0123456789abcdef": 2})
    >>> sum(done.before.values()) - sum(done.after.values())
    38
    """

    before: dict[str, int] = dataclasses.field(default_factory=dict)
    after: dict[str, int] = dataclasses.field(default_factory=dict)


def compact(store: Path) -> Compaction:
    """Merge the shards of every feature set into shards of about 32 MiB.

    Rows keep their order but for their provenance: a shard has only one. Rows that others replaced are left out. A
    feature set that would not get fewer shards stays as it is. Writers and readers may go on meanwhile.

    Parameters
    ----------
    store : Path

    Raises
    ------
    StoreDamagedError
        Where something that would be copied is damaged.
    StoreWriteError
        Where the disk refuses.
    """
    identity.identify_own(store)
    done = Compaction()
    for key in feature_keys(store):
        table = FeatureTable(store, key)
        done.before[key] = len(table.snapshot().manifest.shards)
        while not _compacted(table):
            pass
        done.after[key] = len(table.snapshot().manifest.shards)
    return done


def _compacted(table: FeatureTable) -> bool:
    """Compact once; False where something came in between."""
    old = table.snapshot()
    if old.damaged:
        raise StoreDamagedError(
            f"manifest {old.damaged[0]} of feature set {table.key} is damaged; run `featstore repair {table.store}` "
            f"first"
        )
    plan = _plan(old)
    if len(plan) >= len(old.manifest.shards):
        return True
    try:
        entries = list(_write(table, old, plan))
    except FileNotFoundError as error:
        table.moved_on(old, error)
        return False
    replaced = {entry.sha256 for entry in old.manifest.shards}
    while True:
        now = table.snapshot()
        if not replaced <= {entry.sha256 for entry in now.manifest.shards}:
            return False  # somebody else compacted or repaired
        later = [entry for entry in now.manifest.shards if entry.sha256 not in replaced]
        made = [entry for entry in entries if entry not in later]
        before = now.manifest
        number = following(now.highest, table.folder / MANIFESTS)
        new = Manifest(number, table.key, before.number, before.rows, before.failed, (*made, *later))
        if table.put_manifest(new):
            return all((table.folder / SHARDS / entry.file_name).exists() for entry in made)


def _plan(old: Snapshot) -> list[NDArray[np.int64]]:
    """Positions of the rows of each new shard."""
    if not old.manifest.shards:
        return []
    shards = old.manifest.shards
    live = old.live()
    ways = old.manifest.provenance
    way_of = np.array([ways.index(entry.provenance) for entry in shards])[old.shard_of(live)]
    width = np.dtype(shards[0].layout["features"].dtype).itemsize * old.manifest.dim
    step = max(1, min(TARGET_ROWS, TARGET_BYTES // width))
    plan = []
    for way in range(len(ways)):
        rows = live[way_of == way]
        plan += [rows[start : start + step] for start in range(0, len(rows), step)]
    return plan


def _write(table: FeatureTable, old: Snapshot, plan: list[NDArray[np.int64]]) -> Iterator[ShardEntry]:
    fingerprint, _ = table.fingerprint()
    table.make_folders()
    for positions in plan:
        provenance = old.manifest.shards[int(old.shard_of(positions[:1])[0])].provenance
        data, entry = encode(old.rows(positions), fingerprint, provenance)
        table.put_shard(data, entry)
        yield entry
