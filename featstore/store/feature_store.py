"""FeatureStore: what is on disk under which key. A folder of immutable shards and image sets, published by number.

The format is written down in `docs/format.md`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from featstore.errors import (
    AmbiguousFeaturesError,
    StoreDamagedError,
    StoreNotFoundError,
    UnknownNameError,
)
from featstore.features import FeatureSet
from featstore.fingerprint import Fingerprint
from featstore.images.image_set import ImageSet
from featstore.store.feature_info import FeatureInfo, select_feature_sets, single_feature_set
from featstore.store.feature_set_reader import open_feature_stream, read_feature_set
from featstore.store.feature_stream import FeatureStream
from featstore.store.format.rows import PASSING, Rows
from featstore.store.tables import identity
from featstore.store.tables.feature_table import FeatureTable, feature_keys
from featstore.store.tables.image_set_table import ImageSetTable
from featstore.system.reporting import StageProgress

if TYPE_CHECKING:
    from featstore.store.maintenance.compaction import Compaction
    from featstore.store.maintenance.garbage import Garbage
    from featstore.store.maintenance.repair import Repair
    from featstore.store.maintenance.verification import Verification

GRACE_SECONDS = 3600.0

__all__ = ["FeatureInfo", "FeatureStore", "Rows"]


class FeatureStore:
    """Features of images on disk, each computed once.

    Opening reads one small file; a store that is only read is never written to.

    Parameters
    ----------
    path : path
        Folder of the store.
    create : bool
        Make it where there is none. The folder may exist if it is empty.

    Raises
    ------
    StoreNotFoundError
        Where there is nothing at `path`.
    StoreFormatError
        Where there is something else, or a store of a newer format.
    StoreDamagedError
        Where `store.json` is damaged.
    StoreError
        Where a folder in it is a symbolic link.
    StoreWriteError
        Where it cannot be made.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> from featstore.store.format.rows import Rows
    >>> made = Fingerprint("resnet50", "0" * 64, "avgpool", "none", {}, {}, "fp32", "IMAGENET1K_V2")
    >>> digests = np.arange(1, 65, dtype=np.uint8).reshape(2, 32)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     store = FeatureStore(folder, create=True)
    ...     store.commit(made, Rows(digests, np.ones((2, 4), np.float32), np.zeros(2, np.uint8), ("", "")), {})
    ...     store.missing(made, digests), store.features()[0].rows, store.verify().ok
    (array([False, False]), 2, True)
    """

    def __init__(self, path: str | bytes | os.PathLike[Any], create: bool = False) -> None:
        self.path = Path(os.fsdecode(path))
        if create:
            identity.create(self.path)
        self.uuid = identity.identify_own(self.path)
        self._tables: dict[str, FeatureTable] = {}
        self._images = ImageSetTable(self.path)

    def __repr__(self) -> str:
        return f"FeatureStore({str(self.path)!r})"

    def datasets(self) -> list[str]:
        """Names of the data sets, sorted."""
        return self._images.names()

    def imageset(self, name: str | None = None) -> ImageSet:
        """The newest image set of a data set.

        Parameters
        ----------
        name : str, optional
            Default: the only one.

        Raises
        ------
        StoreNotFoundError
            Where the store has none.
        AmbiguousFeaturesError
            Where it has several and no name is given.
        UnknownNameError
            Where it has none of that name.
        StoreDamagedError
            Where a byte of it is not as it was written.
        """
        names = self.datasets()
        if not names:
            raise StoreNotFoundError(
                f"{self.path} holds no data set yet; run `featstore extract DATA --store {self.path}`"
            )
        if name is None:
            if len(names) > 1:
                raise AmbiguousFeaturesError(
                    f"{self.path} holds {len(names)} data sets, expected one; choose with `dataset`: {', '.join(names)}"
                )
            name = names[0]
        if name not in names:
            raise UnknownNameError("data set", name, names, hint=f"those in {self.path}")
        return self._images.newest(name)

    def put_imageset(self, images: ImageSet) -> bool:
        """Make an image set the newest one of its data set.

        Returns
        -------
        bool
            False, and not a byte is written, where it equals the newest one.

        Raises
        ------
        StoreWriteError
            Where the disk refuses.
        """
        return self._images.put(images)

    def features(self) -> list[FeatureInfo]:
        """Every feature set that has rows, sorted by key.

        Raises
        ------
        StoreDamagedError
            Where a fingerprint or all manifests of a feature set are damaged.
        """
        infos = []
        for key in feature_keys(self.path):
            snapshot = self.table(key).snapshot()
            manifest = snapshot.manifest
            if manifest.rows or manifest.failed:
                fingerprint, dim = self._fingerprint(key)
                counts = (manifest.rows, manifest.failed, manifest.size)
                infos.append(FeatureInfo(fingerprint, dim, *counts, manifest.provenance, snapshot.damaged))
        return infos

    def missing(
        self, fingerprint: Fingerprint, digests: NDArray[np.uint8], *, retry: bool = False
    ) -> NDArray[np.bool_]:
        """Which rows are still to be computed.

        Parameters
        ----------
        fingerprint : Fingerprint
        digests : ndarray of shape (n, 32), uint8
        retry : bool
            Also name rows that failed for a reason that may pass (time, memory, a crashed decoder).

        Returns
        -------
        ndarray of shape (n,), bool
            True where no row, neither features nor a failure, is committed.
        """
        snapshot = self.table(fingerprint.key).snapshot()
        at = snapshot.find(digests)
        absent = at < 0
        if retry:
            absent[~absent] = snapshot.status[at[~absent]] == PASSING
        return absent

    def commit(self, fingerprint: Fingerprint, rows: Rows, provenance: Mapping[str, Any]) -> None:
        """Make rows last; see `FeatureTable.commit`.

        Raises
        ------
        StoreConflictError
            Where a row is there with other bits and the same provenance.
        StoreWriteError
            Where the disk refuses.
        """
        self.table(fingerprint.key).commit(fingerprint, rows, provenance)

    def failures(self, fingerprint: Fingerprint) -> dict[bytes, str]:
        """Digest -> reason of every image that failed."""
        return self.table(fingerprint.key).snapshot().failures()

    def select(
        self,
        dataset: str | None = None,
        *,
        key: str | None = None,
        backbone: str | None = None,
        node: str | None = None,
        pool: str | None = None,
        weights: str | None = None,
        precision: str | None = None,
        store_dtype: str | None = None,
    ) -> FeatureInfo:
        """The one feature set that fits; of several, the one that has rows of the data set.

        Parameters
        ----------
        dataset : str, optional
        key, backbone, node, pool, weights, precision, store_dtype : str, optional
            See `FeatureInfo.fits`.

        Raises
        ------
        StoreNotFoundError
            Where none fits.
        AmbiguousFeaturesError
            Where several do; the message says how to tell them apart.
        """
        selectors = {
            "key": key,
            "backbone": backbone,
            "node": node,
            "pool": pool,
            "weights": weights,
            "precision": precision,
            "store_dtype": store_dtype,
        }
        infos = select_feature_sets(self.features(), selectors, self.path)
        if len(infos) > 1 and (dataset is not None or len(self.datasets()) == 1):
            digests = self.imageset(dataset).digests
            infos = [i for i in infos if (self.table(i.key).snapshot().find(digests) >= 0).any()] or infos
        return single_feature_set(infos, self.path)

    def read(
        self,
        dataset: str | None = None,
        *,
        key: str | None = None,
        backbone: str | None = None,
        node: str | None = None,
        pool: str | None = None,
        weights: str | None = None,
        precision: str | None = None,
        store_dtype: str | None = None,
        partial: bool = False,
        strict: bool = False,
    ) -> FeatureSet:
        """The features of a data set, in the order of its image set; every byte read is hashed first.

        Images that failed have no row; `FeatureSet.failed` lists them.

        Parameters
        ----------
        dataset : str, optional
            Default: the only one.
        key, backbone, node, pool, weights, precision, store_dtype : str, optional
            Which features, where the store has several; see `FeatureInfo.fits`.
        partial : bool
            Leave out images whose features are not computed yet (they are listed as failed) instead of raising.
        strict : bool
            Refuse rows of more than one provenance.

        Raises
        ------
        StoreNotFoundError
            Where there is no such data set or feature set, or images have no row yet.
        AmbiguousFeaturesError
            Where several fit; the message says how to tell them apart.
        StoreDamagedError
            Where a byte that was read is not as it was committed.
        FingerprintMismatchError
            With `strict`, where rows were computed in different ways.
        FeaturesError
            Where memory does not hold the features.
        """
        images = self.imageset(dataset)
        info = self.select(
            images.name,
            key=key,
            backbone=backbone,
            node=node,
            pool=pool,
            weights=weights,
            precision=precision,
            store_dtype=store_dtype,
        )
        return read_feature_set(self.table(info.key), info, images, partial=partial, strict=strict)

    def iter(
        self,
        dataset: str | None = None,
        rows: int | None = None,
        *,
        key: str | None = None,
        backbone: str | None = None,
        node: str | None = None,
        pool: str | None = None,
        weights: str | None = None,
        precision: str | None = None,
        store_dtype: str | None = None,
        split: str | None = None,
        partial: bool = False,
        strict: bool = False,
    ) -> FeatureStream:
        """The features of a data set in chunks, in the order of its image set, for sets that are larger than memory.

        Only which rows there are is read here. The stream keeps to the state of the store that is the newest one now,
        whatever is committed, compacted or collected later. As in `read`, every byte is hashed before it is returned.

        Parameters
        ----------
        dataset : str, optional
            Default: the only one.
        rows : int, optional
            Rows a chunk at most. Default: 8192, fewer where these would be more than 64 MiB.
        key, backbone, node, pool, weights, precision, store_dtype : str, optional
            Which features, where the store has several; see `FeatureInfo.fits`.
        split : str, optional
            Only the images of this part: "train", "val" or "test".
        partial, strict : bool
            As in `read`.

        Returns
        -------
        FeatureStream
            What it knows before any feature is read, and how it is read.

        Raises
        ------
        StoreNotFoundError, AmbiguousFeaturesError, StoreDamagedError, FingerprintMismatchError
            As `read`.
        FeaturesError
            Where `rows` is no number of rows, or no image is of that part.

        Examples
        --------
        >>> import tempfile
        >>> from featstore.extract import extract
        >>> from featstore.images.samples import write_textures
        >>> network = {"backbone": "resnet18", "weights": "none", "input_size": 32, "engine": "eager", "device": "cpu"}
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     images = write_textures(Path(folder, "textures"), per_class=5)
        ...     done = extract(images, Path(folder, "store"), workers=0, **network)
        ...     stream = FeatureStore(Path(folder, "store")).iter(rows=16)
        ...     total = sum(X.sum(axis=0) for rows, X in stream)
        ...     parts = [(len(rows), len(stream.y[rows])) for rows, X in stream]
        >>> stream.shape, total.shape, parts
        ((40, 512), (512,), [(16, 16), (16, 16), (8, 8)])
        """
        images = self.imageset(dataset)
        info = self.select(
            images.name,
            key=key,
            backbone=backbone,
            node=node,
            pool=pool,
            weights=weights,
            precision=precision,
            store_dtype=store_dtype,
        )
        stream = open_feature_stream(self.table(info.key), info, images, rows=rows, partial=partial, strict=strict)
        return stream if split is None else stream.part(split)

    def verify(self, full: bool = True, *, progress: StageProgress | None = None) -> Verification:
        """Check the store; damage is reported, never raised. See `verification.verify`."""
        from featstore.store.maintenance.verification import verify

        return verify(self.path, full=full, progress=progress)

    def repair(self) -> Repair:
        """Move damaged files to quarantine and rebuild what can be rebuilt. See `repair.repair`."""
        from featstore.store.maintenance.repair import repair

        return repair(self.path)

    def compact(self) -> Compaction:
        """Merge small shards into large ones. See `compaction.compact`."""
        from featstore.store.maintenance.compaction import compact

        return compact(self.path)

    def gc(self, dry_run: bool = False, *, grace_seconds: float = GRACE_SECONDS) -> Garbage:
        """Remove what no snapshot needs. See `garbage.collect`."""
        from featstore.store.maintenance.garbage import collect

        return collect(self.path, dry_run=dry_run, grace_seconds=grace_seconds)

    def table(self, key: str) -> FeatureTable:
        """The rows of one key, which may have none yet."""
        if key not in self._tables:
            self._tables[key] = FeatureTable(self.path, key)
        return self._tables[key]

    def _fingerprint(self, key: str) -> tuple[Fingerprint, int]:
        try:
            return self.table(key).fingerprint()
        except FileNotFoundError as error:
            raise StoreDamagedError(f"{error.filename} is missing; run `featstore repair {self.path}`") from error
