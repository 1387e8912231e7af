"""What a commit adds to a snapshot: which of its rows, and the manifest that names them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from featstore.errors import StoreConflictError
from featstore.store.format.manifest import Manifest, following
from featstore.store.format.rows import OK, Rows
from featstore.store.format.shard import ShardEntry
from featstore.store.tables.layout import MANIFESTS
from featstore.store.tables.snapshot import Snapshot


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
