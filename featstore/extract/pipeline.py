"""The pipeline: missing rows -> decoding processes -> engine -> shards, on one device or on several.

Decoding, the network (this thread) and the store (a writer thread) overlap. An interrupted run commits what is done.
"""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from featstore.decoding.pixels.decode import outdated
from featstore.errors import StoreConflictError
from featstore.extract.writer import RowWriter
from featstore.fingerprint import Fingerprint
from featstore.images.image_set import ImageSet
from featstore.sources.address import reading_order
from featstore.sources.addresses import addresses
from featstore.store.feature_store import FeatureStore
from featstore.system.reporting import Progress

if TYPE_CHECKING:
    from featstore.decoding.nvjpeg_pool import NvjpegPool
    from featstore.decoding.pool import DecodePool
    from featstore.decoding.scheduler import Batch
    from featstore.engines.deferred_backbone import DeferredBackbone
    from featstore.engines.engine import Engine
    from featstore.engines.runner import Features


@dataclasses.dataclass(frozen=True)
class ExtractionPlan:
    """What is to be computed.

    Attributes
    ----------
    fingerprints : mapping of node to Fingerprint
    missing : mapping of node to ndarray of shape (n,), bool
        Images that the node's feature set lacks.
    wanted : ndarray of shape (n,), bool
        Images to compute now.
    strict : bool
        Refuse to add to features of another provenance.
    """

    store: FeatureStore
    images: ImageSet
    fingerprints: Mapping[str, Fingerprint]
    missing: Mapping[str, NDArray[np.bool_]]
    wanted: NDArray[np.bool_]
    strict: bool

    @classmethod
    def of(
        cls,
        store: FeatureStore,
        images: ImageSet,
        fingerprints: Mapping[str, Fingerprint],
        *,
        retry_failed: bool,
        share: tuple[int, int],
        strict: bool,
    ) -> Self:
        """Find out what the store lacks of the images that can be read.

        Parameters
        ----------
        retry_failed : bool
            Images that failed before for a passing reason count as missing, and those whose format or fault is none
            any more.
        share : tuple of two int
            (i, n): want only the i-th of n parts of the images, disjoint by their bytes.
        """
        readable = images.readable()
        missing = {
            node: store.missing(fingerprint, images.digests, retry=retry_failed) & readable
            for node, fingerprint in fingerprints.items()
        }
        if retry_failed:
            for node, fingerprint in fingerprints.items():
                again = [digest for digest, reason in store.failures(fingerprint).items() if outdated(reason)]
                missing[node] |= np.isin(_as_items(images.digests), np.array(again, dtype="V32")) & readable
        wanted = np.logical_or.reduce(list(missing.values()))
        if share != (0, 1):
            wanted &= images.digests[:, :4].copy().view("<u4").ravel() % share[1] == share[0]
        return cls(store, images, fingerprints, missing, wanted, strict)

    def rows(self) -> NDArray[np.intp]:
        """Image rows to compute: one for images with the same bytes."""
        _, first = np.unique(self.images.digests.view("S32").ravel(), return_index=True)
        distinct = np.zeros(len(self.images), dtype=bool)
        distinct[first] = True
        return np.flatnonzero(self.wanted & distinct)


def _as_items(digests: NDArray[np.uint8]) -> NDArray[np.void]:
    """Digests as one value each, shape (n,)."""
    return np.ascontiguousarray(digests).view("V32").ravel()


@dataclasses.dataclass
class PipelineResult:
    """What a run measured. `changed` are digests of files that were found to be others; `remarks` and `failures` are
    what decoding said of images, by digest."""

    seconds: float = 0.0
    waited: float = 0.0
    preparation: float = 0.0
    provenance: dict[str, Any] = dataclasses.field(default_factory=dict)
    start: str = ""
    changed: set[bytes] = dataclasses.field(default_factory=set)
    notes: list[str] = dataclasses.field(default_factory=list)
    remarks: dict[bytes, str] = dataclasses.field(default_factory=dict)
    failures: dict[bytes, str] = dataclasses.field(default_factory=dict)


def compute(
    network: DeferredBackbone,
    plan: ExtractionPlan,
    options: Mapping[str, Any],
    decoders: DecodePool | NvjpegPool,
    report: Progress,
) -> PipelineResult:
    """Decode, run and commit a plan's rows on one device.

    Parameters
    ----------
    options : mapping
        Of `make_engine`.
    """
    from featstore.engines.factory import make_engine

    rows = plan.rows()
    report("prepare", 0, 1, "building the engine")
    engine = make_engine(network, expected_rows=len(rows), **options)
    try:
        result = _computed(engine, network, plan, decoders, report)
    except BaseException:
        with contextlib.suppress(Exception):  # what went wrong first is what is told
            engine.close(finish=False)
        raise
    engine.close()
    return result


def _computed(
    engine: Engine, network: DeferredBackbone, plan: ExtractionPlan, decoders: DecodePool | NvjpegPool, report: Progress
) -> PipelineResult:
    result, images, rows = PipelineResult(), plan.images, plan.rows()
    found = addresses([images.absolute(int(row)) for row in rows])
    order = reading_order(found)
    if order is not None:  # containers are read from front to back
        rows, found = rows[order], [found[place] for place in order]
    items = [(address, images.digests[row].tobytes()) for address, row in zip(found, rows, strict=True)]
    batches = iter(decoders.run(items, engine.usual_batch_size))  # decoding begins while the engine is built
    began = time.perf_counter()
    engine.prepare()
    decoders.wait()
    result.preparation = time.perf_counter() - began
    result.provenance, result.start = dict(engine.provenance), engine.start
    if engine.provenance.get("engine_note"):
        result.notes.append(str(engine.provenance["engine_note"]))
    report("prepare", 1, 1, f"{engine.provenance.get('engine', '')} ready in {result.preparation:.1f} s")
    if plan.strict:
        _refuse_other_provenance(plan.store, plan.fingerprints.values(), result.provenance)

    began = time.perf_counter()
    done, ways = 0, {engine.batch_size: result.provenance}  # how rows are computed, by batch size
    with RowWriter(plan.store, plan.fingerprints, network.widths, result.provenance) as writer:
        under_way: tuple[Batch, Features | None] | None = None  # one batch is computed while the next is gathered
        while True:
            asked = time.perf_counter()
            batch = next(batches, None)
            result.waited += time.perf_counter() - asked
            ahead = None if batch is None else (batch, _submitted(engine, batch))
            if under_way is not None:
                finished, features = under_way
                here = rows[finished.start : finished.start + len(finished.status)]
                outputs = {} if features is None else features.result()
                size = engine.batch_size if features is None else features.batch_size
                if size not in ways:
                    result.notes.append(f"memory holds {size} images at a time, not {min(ways)}")
                    result.provenance = ways[size] = dict(engine.provenance)
                    if plan.strict:
                        _refuse_another_way(plan, result.provenance, done, size)
                if writer.provenance is not ways[size]:
                    writer.flush()
                    writer.provenance = ways[size]
                result.changed.update(images.digests[row].tobytes() for row in here[finished.changed])
                result.remarks.update(_said(images, here, finished.remarks))
                result.failures.update(_said(images, here[finished.status == 1], _failed(finished)))
                writer.add(
                    images.digests[here],
                    finished.status,
                    finished.reasons,
                    outputs,
                    {node: mask[here] for node, mask in plan.missing.items()},
                )
                done += len(here)
                result.seconds = time.perf_counter() - began
                report("extract", done, len(rows), f"waiting for data {result.waited / result.seconds:.0%}")
            if ahead is None:
                break
            under_way = ahead
    result.seconds = time.perf_counter() - began
    return result


def _said(images: ImageSet, rows: NDArray[np.intp], texts: Sequence[str]) -> dict[bytes, str]:
    """Digest -> text of the rows that have one; there may be no texts at all."""
    return {images.digests[row].tobytes(): text for row, text in zip(rows, texts, strict=False) if text}


def _failed(batch: Batch) -> list[str]:
    """The reasons of the images that cannot be decoded."""
    return [batch.reasons[row] for row in np.flatnonzero(batch.status == 1)]


def _submitted(engine: Engine, batch: Batch) -> Features | None:
    """Start the network on the images of a batch that were decoded; None where there are none."""
    good = batch.status == 0
    if not good.any():
        return None
    return engine.submit(batch.images if good.all() else batch.images[good])


def _refuse_another_way(plan: ExtractionPlan, provenance: Mapping[str, Any], done: int, size: int) -> None:
    """The promise of `--strict` once memory ran out: rows of this run may be there already, computed otherwise."""
    if done:
        raise StoreConflictError(
            f"memory holds only {size} images at a time, and {done} were computed more at a time; `strict=True` "
            f"refuses to mix them: extract into a new store with `batch_size={size}`, or leave `strict` out"
        )
    _refuse_other_provenance(plan.store, plan.fingerprints.values(), provenance)


def _refuse_other_provenance(
    store: FeatureStore, fingerprints: Sequence[Fingerprint] | Any, provenance: Mapping[str, Any]
) -> None:
    """The promise of `--strict`: one provenance a feature set."""
    keys = {fingerprint.key for fingerprint in fingerprints}
    for info in store.features():
        for other in info.provenance if info.fingerprint.key in keys else ():
            told = (other.keys() | provenance.keys()) - {"engine_note", "weights_note"}  # texts for people
            different = sorted(k for k in told if other.get(k) != provenance.get(k))
            if "pillow" not in other:  # was not recorded before
                different = [k for k in different if k != "pillow"]
            if different:
                ways = (f"{k} {other.get(k, 'none')} (now {provenance.get(k, 'none')})" for k in different)
                raise StoreConflictError(
                    f"feature set {info.fingerprint.key} was made with another {', '.join(ways)}; "
                    f"`strict=True` refuses to mix them: extract into a new store, or leave `strict` out"
                )
