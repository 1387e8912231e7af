"""Extract: build or complete the features of an image set. Only rows that the store lacks are computed."""

from __future__ import annotations

import dataclasses
import json
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from featstore import errors
from featstore.decoding.nvjpeg_pool import open_pool
from featstore.decoding.pixels.decode import outdated
from featstore.discovery.pictures import Pictures
from featstore.discovery.summary import found_json
from featstore.engines.deferred_backbone import DeferredBackbone, deferred_backbone
from featstore.errors import ImageSetError
from featstore.extract.current_image_set import current_image_set
from featstore.extract.device_choice import check_devices, choose_devices
from featstore.extract.extraction import Extraction
from featstore.extract.multi_device import compute_on_devices
from featstore.extract.pipeline import ExtractionPlan, PipelineResult, compute
from featstore.extract.remarks import remark_notes
from featstore.images.image_set import ImageSet
from featstore.images.reading import Reading
from featstore.store.feature_store import FeatureStore
from featstore.store.tables import identity
from featstore.store.tables.layout import SHARD_ROWS
from featstore.system.reporting import Progress, silent

if TYPE_CHECKING:
    from featstore.backbone.backbone import Backbone

SERVE = "featstore.extract.job:serve"
"""What a process of its own is told to call, one a device."""


def extract(
    data: str | bytes | os.PathLike[str] | Pictures,
    store: FeatureStore | str | os.PathLike[str],
    *,
    reading: Reading | None = None,
    backbone: Backbone | str = "mobilenet_v3_large",
    weights: str | os.PathLike[str] = "auto",
    nodes: Sequence[str] = ("avgpool",),
    pool: str = "avg",
    input_size: int | None = None,
    weights_seed: int = 0,
    jpeg_scaling: bool = False,
    nvjpeg: bool = False,
    bit_depth: int | None = None,
    allow_truncated: bool = False,
    dataset: str | None = None,
    split: Mapping[str, float] | None = None,
    split_seed: int = 0,
    content: bool = False,
    retry_failed: bool = False,
    strict: bool = False,
    precision: str = "fp32",
    store_dtype: str = "fp32",
    engine: str = "auto",
    device: str = "auto",
    batch_size: int | None = None,
    workers: int | None = None,
    share: tuple[int, int] = (0, 1),
    progress: Progress | None = None,
    told: Callable[[ImageSet], None] | None = None,
) -> Extraction:
    """Build or complete the features of an image set in a store.

    Parameters
    ----------
    data : path, address or Pictures
        A folder of images, a list of them, an archive, Parquet files or pictures in memory, as
        `featstore.discovery.scan` takes them.
    store : FeatureStore or path
        Created where there is none.
    reading : Reading, optional
        How the data are to be read; default: found out.
    backbone : Backbone or str
        A ready network, or a name to build one from `weights`, `nodes`, `pool`, `input_size`, `weights_seed`,
        `jpeg_scaling`, `nvjpeg`, `bit_depth` and `allow_truncated`.
    dataset : str, optional
        Name of the image set in the store; default: the folder's or file's name.
    split : mapping of {"val", "test"} to fraction in (0, 1), optional
        Parts to hold out, stratified by class, where the data has none. Without it an earlier hold-out is kept; an
        empty mapping gives it up.
    content : bool
        Hash every file again, also where size and modification time are as recorded.
    retry_failed : bool
        Try images again that failed before for a passing reason (time-out, crash, memory), or for one that is none any
        more (a format that is decoded by now).
    strict : bool
        Refuse to add rows to features made by another engine or other library versions.
    store_dtype : {"fp32", "fp16"}
        What the features are kept as. "fp16" halves the disk; the features are rounded to 11 bits (numbers below 6e-5
        to fewer) and kept apart from those that are not. An image with a feature beyond 65504 fails.
    device : str
        As `make_engine` takes it. Several with commas, or "auto" and "cuda" where there are several GPUs and images
        enough: a process a device, where `backbone` is a name.
    workers : int, optional
        Decoding processes; 0 decodes in this one. Default: one a core.
    share : tuple of two int
        (i, n): compute only the i-th of n parts of the images, disjoint by their bytes.
    told : callable, optional
        Called with the image set before anything is computed: what was found, and its doubts.

    Returns
    -------
    Extraction

    Raises
    ------
    ImageSetError, ImagesNotFoundError, WeightsError, StoreError, DeviceError
    KeyboardInterrupt
        After what was computed has been committed.

    Examples
    --------
    >>> import tempfile
    >>> from featstore.images.samples import write_textures
    >>> network = {"backbone": "resnet18", "weights": "none", "input_size": 32, "engine": "eager", "device": "cpu"}
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     images = write_textures(Path(folder, "textures"), per_class=1)
    ...     first = extract(images, Path(folder, "store"), workers=0, **network)
    ...     again = extract(images, Path(folder, "store"), workers=0, **network)
    >>> (first.computed, first.cached), (again.computed, again.cached)
    ((8, 0), (0, 8))
    """
    began = time.perf_counter()
    report = progress or silent
    opened = _open(store)
    images, notes = current_image_set(
        data,
        opened,
        dataset=dataset,
        split=split,
        split_seed=split_seed,
        content=content,
        report=report,
        reading=reading,
    )
    if told is not None:
        told(images)
    request = {
        "weights": os.fspath(weights),
        "nodes": tuple(nodes),
        "pool": pool,
        "input_size": input_size,
        "seed": weights_seed,
        "jpeg_scaling": jpeg_scaling,
        "nvjpeg": nvjpeg,
        "bit_depth": bit_depth,
        "allow_truncated": allow_truncated,
    }
    network = _network(backbone, precision, request)
    stored = {node: made.stored_as(store_dtype) for node, made in network.specs.fingerprints.items()}
    specs = dataclasses.replace(network.specs, fingerprints=stored)
    if specs.weights_note:
        notes.append(specs.weights_note)
    if opened is None:
        check_devices(device, engine=engine, precision=precision, nvjpeg=nvjpeg)
    # Made only now that the images, the network and the device are known to be usable.
    cache = opened or FeatureStore(os.fspath(store), create=True)  # type: ignore[arg-type]  # a store is `opened`
    cache.put_imageset(images)
    plan = ExtractionPlan.of(cache, images, specs.fingerprints, retry_failed=retry_failed, share=share, strict=strict)
    computed = int(np.count_nonzero(plan.wanted))

    result = PipelineResult()
    if computed:
        if batch_size is not None and batch_size > SHARD_ROWS:
            notes.append(f"{SHARD_ROWS:,} images are computed at a time, not {batch_size:,}; a shard holds no more")
        options = {"precision": precision, "engine": engine, "batch_size": batch_size}
        # neither a network nor pictures in memory can be handed to other processes
        built = isinstance(data, Pictures) or not isinstance(backbone, str)
        devices = choose_devices(device, images=computed, built=built, share=share)
        if len(devices) > 1 and not isinstance(data, Pictures):
            how_read = (reading or Reading()).to_json()
            place = {
                "data": os.fsdecode(data),
                "reading": how_read,
                "store": str(cache.path),
                "dataset": images.name,
                "backbone": backbone,
            }
            network_options = {"weights_seed" if key == "seed" else key: value for key, value in request.items()}
            how = {"store_dtype": store_dtype, "strict": strict, "retry_failed": retry_failed, "workers": workers}
            result = compute_on_devices(
                devices, plan, {**place, **network_options, **options, **how}, report, target=SERVE
            )
        else:
            # the decoders' imports take as long as the engine's
            with open_pool(network.transform, devices[0], workers=workers) as decoders:
                result = compute(network, plan, {**options, "device": devices[0]}, decoders, report)

    failed = _failures(cache, images, specs.fingerprints.values(), result)
    if not retry_failed and (curable := sum(outdated(reason) for _, reason in failed)):
        those = "1 image" if curable == 1 else f"{curable:,} images"
        notes.append(f"{those} failed earlier and may be decoded by now: `retry_failed=True` tries again")
    remarks = _remarks(images, result.remarks)
    if len(failed) == len(images):
        raise ImageSetError(
            f"none of the {len(images)} images of {images.name!r} could be read, so there are no features; the first: "
            f"{failed[0][0]}: {failed[0][1]}"
        )
    return Extraction(
        dataset=images.name,
        images=len(images),
        computed=computed,
        cached=int(np.count_nonzero(images.readable())) - computed,
        failed=failed,
        seconds=time.perf_counter() - began,
        images_per_second=computed / result.seconds if result.seconds else 0.0,
        waiting=result.waited / result.seconds if result.seconds else 0.0,
        preparation_seconds=result.preparation,
        features=tuple((f, specs.widths[node]) for node, f in specs.fingerprints.items()),
        provenance=result.provenance,
        notes=tuple(notes + result.notes + remark_notes([text for _, text in remarks])),
        remarks=remarks,
        found=found_json(images),
        weights_record=specs.weights_record,
        engine_start=result.start,
    )


def _open(store: FeatureStore | str | os.PathLike[str]) -> FeatureStore | None:
    """The store, or None where there is nothing yet."""
    if isinstance(store, FeatureStore):
        return store
    return None if identity.vacant(Path(os.fsdecode(store))) else FeatureStore(store)


def _network(backbone: Backbone | str, precision: str, request: Mapping[str, Any]) -> DeferredBackbone:
    """The network with what its features are; built only where that is not known."""
    if not isinstance(backbone, str):
        return DeferredBackbone.of(backbone, precision)

    def build() -> Backbone:
        from featstore.backbone.backbone import Backbone

        return Backbone(backbone, **request)

    return deferred_backbone(backbone, precision, request, build)


def _failures(
    store: FeatureStore, images: ImageSet, fingerprints: Any, result: PipelineResult
) -> tuple[tuple[str, str], ...]:
    """Every image that has no features, with its reason, in row order."""
    reasons: dict[bytes, str] = {}
    for fingerprint in fingerprints:
        reasons.update(store.failures(fingerprint))
    reasons.update(result.failures)  # an older reason may stay in the store
    reasons.update(dict.fromkeys(result.changed, "the file changed during the run; extract again"))
    if not reasons and not any(images.problems):
        return ()
    found = []
    for row, problem in enumerate(images.problems):
        reason = problem or reasons.get(images.digests[row].tobytes(), "")
        if reason:
            found.append((images.display(row), reason))
    return tuple(found)


def _remarks(images: ImageSet, remarks: Mapping[bytes, str]) -> tuple[tuple[str, str], ...]:
    """(path, remark) of every image that has one, in row order."""
    if not remarks:
        return ()
    texts = ((row, remarks.get(images.digests[row].tobytes(), "")) for row in range(len(images)))
    return tuple((images.display(row), text) for row, text in texts if text)


def serve(request: dict[str, Any]) -> None:
    """Called in the process of one device: extract, and write what happened to the standard output."""

    share = tuple(request.pop("share"))

    def say(message: Mapping[str, Any]) -> None:
        sys.stdout.write(json.dumps(message) + "\n")
        sys.stdout.flush()  # a parent that is gone ends this run here

    try:
        reading = Reading.from_json(request.pop("reading", {}))
        result = extract(share=share, reading=reading, progress=lambda *now: say({"progress": now}), **request)
        say({"done": result.to_json()})
    except errors.FeatstoreError as error:
        say({"failed": str(error), "kind": type(error).__name__})
        sys.exit(1)
    except KeyboardInterrupt:
        os._exit(130)
