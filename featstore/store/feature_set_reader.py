"""Reading a FeatureSet or a FeatureStream: the images of an image set and the rows of a table, matched by digest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from featstore.errors import FingerprintMismatchError, StoreDamagedError, StoreNotFoundError
from featstore.features import FeatureSet
from featstore.fingerprint import Fingerprint
from featstore.images.image_set import ImageSet
from featstore.store.feature_info import FeatureInfo
from featstore.store.feature_stream import FeatureStream, printable_paths
from featstore.store.format.rows import OK
from featstore.store.pinned_rows import PinnedRows
from featstore.store.tables.feature_table import FeatureTable
from featstore.store.tables.snapshot import Snapshot
from featstore.system.canonical_json import canonical_json
from featstore.system.machine import require_memory


def read_feature_set(
    table: FeatureTable, info: FeatureInfo, images: ImageSet, *, partial: bool = False, strict: bool = False
) -> FeatureSet:
    """The features of an image set; see `FeatureStore.read`.

    Parameters
    ----------
    table : FeatureTable
        Of the feature set that `info` describes.
    images : ImageSet
    partial, strict : bool
        As in `FeatureStore.read`.

    Raises
    ------
    StoreNotFoundError, StoreDamagedError, FingerprintMismatchError, FeaturesError
        As `FeatureStore.read`.
    """
    failed: dict[int, str] = {}

    def check(snapshot: Snapshot, at: NDArray[np.int64]) -> None:
        nonlocal failed  # the last call counts: a read starts anew where `gc` was faster
        failed = _rows_without_features(table, info, images, snapshot, at, partial=partial)
        rows = int(np.count_nonzero(at >= 0))
        shard = max((entry.size for entry in snapshot.manifest.shards), default=0)
        require_memory(
            4 * info.dim * rows + shard,
            f"reading {rows:,} images of {info.dim:,} features",
            "use a node or `pool` with fewer features, or fewer images",
        )

    snapshot, at, X = table.read(images.digests, check)
    good = _have_features(snapshot, at)
    if strict:
        _require_one_way(images, snapshot, at[good])
    return make_feature_set(images, info.fingerprint, good, X, failed)


def open_feature_stream(
    table: FeatureTable,
    info: FeatureInfo,
    images: ImageSet,
    *,
    rows: int | None = None,
    partial: bool = False,
    strict: bool = False,
) -> FeatureStream:
    """The features of an image set as a stream; see `FeatureStore.iter`.

    Parameters
    ----------
    table : FeatureTable
        Of the feature set that `info` describes.
    info : FeatureInfo
    images : ImageSet
    rows : int, optional
        Rows a chunk at most.
    partial, strict : bool
        As in `FeatureStore.read`.

    Raises
    ------
    StoreNotFoundError, StoreDamagedError, FingerprintMismatchError, FeaturesError
        As `FeatureStore.iter`.
    """
    while True:
        snapshot = table.snapshot()
        at = snapshot.find(images.digests)
        failed = _rows_without_features(table, info, images, snapshot, at, partial=partial)
        good = _have_features(snapshot, at)
        if strict:
            _require_one_way(images, snapshot, at[good])
        pinned = PinnedRows(table, snapshot, at[good])
        try:
            pinned.check_files()
        except FileNotFoundError as error:
            table.moved_on(snapshot, error)
            continue
        listed = tuple((images.display(row), reason) for row, reason in sorted(failed.items()))
        return FeatureStream(pinned, images, info, np.flatnonzero(good), rows=rows, failed=listed)


def _rows_without_features(
    table: FeatureTable,
    info: FeatureInfo,
    images: ImageSet,
    snapshot: Snapshot,
    at: NDArray[np.int64],
    *,
    partial: bool,
) -> dict[int, str]:
    """Row -> why it has no features; refused where they are to be computed yet, unless `partial`."""
    failed = failed_rows(images, snapshot, at)
    absent = [row for row in np.flatnonzero(at < 0).tolist() if row not in failed]
    _require_rows(table, info, images, snapshot, failed, absent, partial=partial)
    return failed | dict.fromkeys(absent, "its features are not computed yet")


def _have_features(snapshot: Snapshot, at: NDArray[np.int64]) -> NDArray[np.bool_]:
    good = at >= 0
    good[good] = snapshot.status[at[good]] == OK
    return good


def _require_one_way(images: ImageSet, snapshot: Snapshot, at: NDArray[np.int64]) -> None:
    shards = snapshot.manifest.shards
    if len({canonical_json(shards[shard].provenance) for shard in set(snapshot.shard_of(at).tolist())}) > 1:
        raise FingerprintMismatchError(
            f"the features of data set {images.name!r} were computed in several ways (engine, device or library "
            f"versions; see `featstore info`); extract into a new store, or read without strict"
        )


def _require_rows(
    table: FeatureTable,
    info: FeatureInfo,
    images: ImageSet,
    snapshot: Snapshot,
    failed: Mapping[int, str],
    absent: Sequence[int],
    *,
    partial: bool,
) -> None:
    """Refuse to read where images have no row."""
    lacking = len(absent) + sum(not images.problems[row] for row in failed)
    if snapshot.damaged and lacking:
        raise StoreDamagedError(
            f"manifest {snapshot.damaged[0]} of feature set {info.key} is damaged, and the one before it lacks "
            f"features of {lacking} images; run `featstore repair {table.store}`"
        )
    if absent and not partial:
        raise StoreNotFoundError(
            f"{len(absent)} of {len(images)} images of data set {images.name!r} have no features of "
            f"{info.describe(('backbone', 'node', 'pool', 'weights'))} yet, first {images.display(absent[0])}; run "
            f"`featstore extract` on the images again to complete them"
        )


def failed_rows(images: ImageSet, snapshot: Snapshot, at: NDArray[np.int64]) -> dict[int, str]:
    """Rows of an image set that have a reason not to have features.

    Parameters
    ----------
    images : ImageSet
    snapshot : Snapshot
    at : ndarray of shape (n,), int64
        Position of each image's row, -1 for none.

    Returns
    -------
    dict of row number to reason
    """
    failed = {row: problem for row, problem in enumerate(images.problems) if problem} if any(images.problems) else {}
    there = np.flatnonzero(at >= 0)
    bad = there[snapshot.status[at[there]] != OK]
    return failed | dict(zip(bad.tolist(), snapshot.reasons(at[bad]), strict=True))


def make_feature_set(
    images: ImageSet,
    fingerprint: Fingerprint,
    good: NDArray[np.bool_],
    X: NDArray[np.float32],
    failed: dict[int, str],
) -> FeatureSet:
    """A feature set of the images that have features.

    Parameters
    ----------
    images : ImageSet
    fingerprint : Fingerprint
    good : ndarray of shape (n,), bool
        Images that have features.
    X : ndarray of shape (good.sum(), d), float32
        In the order of the image set.
    failed : dict of row number to reason
    """
    ids, paths, groups = printable_paths(images), images.paths, images.groups
    if not good.all():
        rows = np.flatnonzero(good).tolist()
        ids, paths = tuple(ids[row] for row in rows), tuple(paths[row] for row in rows)
        groups = tuple(groups[row] for row in rows) if groups else ()
    return FeatureSet(
        X=X,
        y=images.labels[good],
        ids=ids,
        classes=images.classes,
        splits=images.splits[good],
        digests=images.digests[good],
        fingerprint=fingerprint,
        dataset=images.name,
        root=images.root,
        paths=paths,
        failed=tuple((images.display(row), reason) for row, reason in sorted(failed.items())),
        groups=groups,
        about=images.about,
    )
