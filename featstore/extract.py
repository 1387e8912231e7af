"""The pipeline: missing rows -> decode pool -> engine -> shards.

Only rows that the store lacks are computed; decoding (worker processes), the network (this thread) and the store
(a writer thread) overlap. An interrupted run commits what is done.
"""

from __future__ import annotations

import dataclasses
import os
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from featstore import identity
from featstore.errors import ImageSetError, StoreConflictError
from featstore.extraction import Extraction
from featstore.fingerprint import Fingerprint
from featstore.imageset import ImageSet, hold_out, scan
from featstore.recall import Recalled, recall, remember
from featstore.store import FeatureStore
from featstore.transform import TransformSpec
from featstore.writer import RowWriter

if TYPE_CHECKING:
    from featstore.backbone import Backbone
    from featstore.computation import Features
    from featstore.engine import Engine
    from featstore.pool import Batch, DecodePool

Progress = Callable[[str, int, int, str], None]
"""`(stage, done, total, note)`; stages are "scan", "prepare" and "extract"."""


def extract(
    data: str | bytes | os.PathLike[str],
    store: FeatureStore | str | os.PathLike[str],
    *,
    backbone: Backbone | str = "mobilenet_v3_large",
    weights: str | os.PathLike[str] = "auto",
    nodes: Sequence[str] = ("avgpool",),
    pool: str = "avg",
    input_size: int | None = None,
    weights_seed: int = 0,
    jpeg_scaling: bool = False,
    dataset: str | None = None,
    split: Mapping[str, float] | None = None,
    split_seed: int = 0,
    content: bool = False,
    retry_failed: bool = False,
    strict: bool = False,
    precision: str = "fp32",
    engine: str = "auto",
    device: str = "auto",
    batch_size: int | None = None,
    workers: int | None = None,
    progress: Progress | None = None,
) -> Extraction:
    """Build or complete the features of an image set in a store.

    Parameters
    ----------
    data : path
        An image folder (class folders, optionally under train/val/test) or a `.csv` of `path,label[,split]`.
    store : FeatureStore or path
        Created where there is none.
    backbone : Backbone or str
        A ready network, or a name to build one from `weights`, `nodes`, `pool`, `input_size`, `weights_seed` and
        `jpeg_scaling`.
    dataset : str, optional
        Name of the image set in the store; default: the folder's or file's name.
    split : mapping of {"val", "test"} to fraction in (0, 1), optional
        Parts to hold out, stratified by class, where the data has none. Without it an earlier hold-out is kept; an
        empty mapping gives it up.
    content : bool
        Hash every file again, also where size and modification time are as recorded.
    retry_failed : bool
        Try images again that failed before for a passing reason (time-out, crash, memory).
    strict : bool
        Refuse to add rows to features made by another engine or other library versions.
    workers : int, optional
        Decoding processes; 0 decodes in this one. Default: one a core.

    Returns
    -------
    Extraction

    Raises
    ------
    ImageSetError, ImagesNotFoundError, WeightsError, StoreError, DeviceError
    KeyboardInterrupt
        After what was computed has been committed.
    """
    began = time.perf_counter()
    report = progress or _silent
    opened = _open(store)
    images, notes = _image_set(data, opened, dataset, split, split_seed, content, report)

    request = {
        "weights": os.fspath(weights),
        "nodes": tuple(nodes),
        "pool": pool,
        "input_size": input_size,
        "seed": weights_seed,
        "jpeg_scaling": jpeg_scaling,
    }
    recalled = recall(backbone, precision, request) if isinstance(backbone, str) else None
    if recalled is None:
        network = _build(backbone, request)
        recalled = Recalled(network.fingerprints(precision), dict(network.widths))
        if isinstance(backbone, str):
            remember(backbone, precision, request, recalled, network.weights.path)
        backbone = network
    fingerprints = recalled.fingerprints

    # Made only now that the images and the network are known to be usable.
    cache = opened or FeatureStore(os.fspath(store), create=True)  # type: ignore[arg-type]
    cache.put_imageset(images)
    readable = np.array([not problem for problem in images.problems], dtype=bool)
    missing = {
        node: cache.missing(fingerprint, images.digests, retry=retry_failed) & readable
        for node, fingerprint in fingerprints.items()
    }
    wanted = np.zeros(len(images), dtype=bool)
    for mask in missing.values():
        wanted |= mask

    work = _Work()
    if wanted.any():
        from featstore.pool import DecodePool

        transform = TransformSpec.from_json(next(iter(fingerprints.values())).transform)
        options = {"precision": precision, "engine": engine, "device": device, "batch_size": batch_size}
        with DecodePool(transform, workers=workers) as decoders:  # their imports take as long as the engine's
            backbone = _build(backbone, request)
            _compute(backbone, cache, images, fingerprints, missing, wanted, options, decoders, strict, report, work)

    failed = _failures(cache, images, fingerprints.values(), work.changed)
    if len(failed) == len(images):
        raise ImageSetError(
            f"none of the {len(images)} images of {images.name!r} could be read, so there are no features; the first: "
            f"{failed[0][0]}: {failed[0][1]}"
        )
    seconds = time.perf_counter() - began
    computed = int(np.count_nonzero(wanted))
    return Extraction(
        dataset=images.name,
        images=len(images),
        computed=computed,
        cached=int(np.count_nonzero(readable)) - computed,
        failed=failed,
        seconds=seconds,
        images_per_second=computed / work.seconds if work.seconds else 0.0,
        waiting=work.waited / work.seconds if work.seconds else 0.0,
        preparation_seconds=work.preparation,
        features=tuple((f, recalled.widths[node]) for node, f in fingerprints.items()),
        provenance=work.provenance,
        notes=tuple(notes + work.notes),
    )


@dataclasses.dataclass
class _Work:
    """What the computing part of a run measured."""

    seconds: float = 0.0
    waited: float = 0.0
    preparation: float = 0.0
    provenance: dict[str, Any] = dataclasses.field(default_factory=dict)
    changed: set[bytes] = dataclasses.field(default_factory=set)
    notes: list[str] = dataclasses.field(default_factory=list)


def _silent(stage: str, done: int, total: int, note: str) -> None:
    """Report to nobody."""


def _open(store: FeatureStore | str | os.PathLike[str]) -> FeatureStore | None:
    """The store, or None where there is nothing yet."""
    if isinstance(store, FeatureStore):
        return store
    return None if identity.vacant(Path(os.fsdecode(store))) else FeatureStore(store)


def _build(backbone: Backbone | str, request: Mapping[str, Any]) -> Backbone:
    from featstore.backbone import Backbone

    if isinstance(backbone, Backbone):
        return backbone
    return Backbone(backbone, **request)


def _image_set(
    data: str | bytes | os.PathLike[str],
    store: FeatureStore | None,
    dataset: str | None,
    split: Mapping[str, float] | None,
    split_seed: int,
    content: bool,
    report: Progress,
) -> tuple[ImageSet, list[str]]:
    """The images as they are now, split as asked for or as before."""
    name = dataset if dataset is not None else Path(os.path.realpath(os.fsdecode(data))).stem
    previous = store.imageset(name) if store is not None and name in store.datasets() else None
    images = scan(data, name=name, previous=previous, content=content, progress=lambda d, t: report("scan", d, t, ""))
    notes: list[str] = []
    if skipped := sum(entry.reason != "hidden" for entry in images.skipped):
        what = "1 other file was" if skipped == 1 else f"{skipped} other files were"
        notes.append(f"{what} skipped; `featstore info` lists the reasons")
    if split:
        if (images.splits != "").any():
            notes.append("the data brings its own train/val/test parts; --split changed nothing")
        else:
            for part, fraction in split.items():
                images = hold_out(images, part, fraction, split_seed)
    elif split is None and previous is not None and (images.splits == "").all() and (previous.splits != "").any():
        images = _keep_splits(images, previous)
        notes.append("kept the parts held out by an earlier --split; new images go to train")
    return images, notes


def _keep_splits(images: ImageSet, previous: ImageSet) -> ImageSet:
    """Give every image the part that its bytes had before; new images are for training."""
    known = dict(zip((d.tobytes() for d in previous.digests), previous.splits.tolist(), strict=True))
    splits = np.array([known.get(d.tobytes(), "train") for d in images.digests], dtype=images.splits.dtype)
    return dataclasses.replace(images, splits=splits)


def _compute(
    backbone: Backbone,
    store: FeatureStore,
    images: ImageSet,
    fingerprints: Mapping[str, Fingerprint],
    missing: Mapping[str, NDArray[np.bool_]],
    wanted: NDArray[np.bool_],
    options: Mapping[str, Any],
    decoders: DecodePool,
    strict: bool,
    report: Progress,
    work: _Work,
) -> None:
    """Decode, run and commit the wanted rows; one row for images with the same bytes."""
    from featstore.engine import make_engine

    _, first = np.unique(images.digests.view("S32").ravel(), return_index=True)
    distinct = np.zeros(len(images), dtype=bool)
    distinct[first] = True
    rows = np.flatnonzero(wanted & distinct)

    report("prepare", 0, 1, "building the engine")
    machine = make_engine(backbone, expected_rows=len(rows), **options)
    work.preparation = machine.prepare()
    work.provenance = dict(machine.provenance)
    if machine.provenance.get("engine_note"):
        work.notes.append(str(machine.provenance["engine_note"]))
    report("prepare", 1, 1, f"{machine.provenance.get('engine', '')} ready in {work.preparation:.1f} s")
    if strict:
        _refuse_other_provenance(store, fingerprints.values(), work.provenance)

    items = [(images.absolute(int(row)), images.digests[row].tobytes()) for row in rows]
    began = time.perf_counter()
    done = 0
    with RowWriter(store, fingerprints, backbone.widths, work.provenance) as writer:
        batches = iter(decoders.run(items, machine.batch_size))
        under_way: tuple[Batch, Features | None] | None = None  # one batch is computed while the next is gathered
        while True:
            asked = time.perf_counter()
            batch = next(batches, None)
            work.waited += time.perf_counter() - asked
            ahead = None if batch is None else (batch, _submitted(machine, batch))
            if under_way is not None:
                finished, features = under_way
                here = rows[finished.start : finished.start + len(finished.status)]
                work.changed.update(images.digests[row].tobytes() for row in here[finished.changed])
                writer.add(
                    images.digests[here],
                    finished.status,
                    finished.reasons,
                    {} if features is None else features.result(),
                    {node: mask[here] for node, mask in missing.items()},
                )
                done += len(here)
                work.seconds = time.perf_counter() - began
                report("extract", done, len(rows), f"waiting for data {work.waited / work.seconds:.0%}")
            if ahead is None:
                break
            under_way = ahead
    work.seconds = time.perf_counter() - began


def _submitted(machine: Engine, batch: Batch) -> Features | None:
    """Start the network on the images of a batch that were decoded; None where there are none."""
    good = batch.status == 0
    if not good.any():
        return None
    return machine.submit(batch.images if good.all() else batch.images[good])


def _refuse_other_provenance(
    store: FeatureStore, fingerprints: Sequence[Fingerprint] | Any, provenance: Mapping[str, Any]
) -> None:
    """The promise of `--strict`: one provenance a feature set."""
    keys = {fingerprint.key for fingerprint in fingerprints}
    for info in store.features():
        for other in info.provenance if info.fingerprint.key in keys else ():
            different = sorted(k for k in other.keys() | provenance.keys() if other.get(k) != provenance.get(k))
            if different:
                raise StoreConflictError(
                    f"feature set {info.fingerprint.key} was made with another {', '.join(different)}; "
                    f"--strict refuses to mix them: extract into a new store, or leave --strict out"
                )


def _failures(
    store: FeatureStore, images: ImageSet, fingerprints: Any, changed: set[bytes]
) -> tuple[tuple[str, str], ...]:
    """Every image that has no features, with its reason, in row order."""
    reasons: dict[bytes, str] = {}
    for fingerprint in fingerprints:
        reasons.update(store.failures(fingerprint))
    reasons.update(dict.fromkeys(changed, "the file changed during the run; extract again"))
    if not reasons and not any(images.problems):
        return ()
    found = []
    for row, problem in enumerate(images.problems):
        reason = problem or reasons.get(images.digests[row].tobytes(), "")
        if reason:
            found.append((images.display(row), reason))
    return tuple(found)
