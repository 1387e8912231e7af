"""Extract: build or complete the features of an image set. Only rows that the store lacks are computed."""

from __future__ import annotations

import dataclasses
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from featstore.backbone.fingerprint_cache import Recalled, recall, remember
from featstore.decoding.nvjpeg_pool import open_pool
from featstore.decoding.transform import TransformSpec
from featstore.errors import DeviceError, ImageSetError
from featstore.extract.extraction import Extraction
from featstore.extract.multi_device import compute_on
from featstore.extract.pipeline import Plan, Work, compute
from featstore.images.discovery import scan
from featstore.images.image_set import ImageSet, hold_out
from featstore.images.listing import UNREADABLE
from featstore.store.feature_store import FeatureStore
from featstore.store.tables import identity
from featstore.store.tables.layout import SHARD_ROWS
from featstore.system.reporting import Progress, printable

if TYPE_CHECKING:
    from featstore.backbone.backbone import Backbone
import json
import sys

from featstore import errors
from featstore.system.reporting import silent

SERVE = "featstore.extract.job:serve"
"""What a process of its own is told to call, one a device."""


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
    nvjpeg: bool = False,
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
    share: tuple[int, int] = (0, 1),
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
        A ready network, or a name to build one from `weights`, `nodes`, `pool`, `input_size`, `weights_seed`,
        `jpeg_scaling` and `nvjpeg`.
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
    device : str
        As `make_engine` takes it. Several with commas, or "auto" and "cuda" where there are several GPUs and images
        enough: a process a device, where `backbone` is a name.
    workers : int, optional
        Decoding processes; 0 decodes in this one. Default: one a core.
    share : tuple of two int
        (i, n): compute only the i-th of n parts of the images, disjoint by their bytes.

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
    report = progress or silent
    opened = _open(store)
    images, notes = _image_set(data, opened, dataset, split, split_seed, content, report)

    request = {
        "weights": os.fspath(weights),
        "nodes": tuple(nodes),
        "pool": pool,
        "input_size": input_size,
        "seed": weights_seed,
        "jpeg_scaling": jpeg_scaling,
        "nvjpeg": nvjpeg,
    }
    recalled, network = recall(backbone, precision, request) if isinstance(backbone, str) else None, None
    if recalled is None:
        network = _build(backbone, request)
        recalled = Recalled(network.fingerprints(precision), dict(network.widths))
        if isinstance(backbone, str):
            remember(backbone, precision, request, recalled, network.weights.path)
    fingerprints = recalled.fingerprints

    if opened is None:
        _refuse_early(device, engine, precision, nvjpeg)
    # Made only now that the images, the network and the device are known to be usable.
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

    if share != (0, 1):
        wanted &= images.digests[:, :4].copy().view("<u4").ravel() % share[1] == share[0]

    work = Work()
    if wanted.any():
        if batch_size is not None and batch_size > SHARD_ROWS:
            notes.append(f"{SHARD_ROWS:,} images are computed at a time, not {batch_size:,}; a shard holds no more")
        options = {"precision": precision, "engine": engine, "batch_size": batch_size}
        plan = Plan(cache, images, fingerprints, missing, wanted, strict)
        devices = _devices(device, backbone, share, int(np.count_nonzero(wanted)))
        if len(devices) > 1:
            place = {"data": os.fsdecode(data), "store": str(cache.path), "dataset": images.name, "backbone": backbone}
            how = {"strict": strict, "retry_failed": retry_failed, "workers": workers}
            seed = {"weights_seed": request["seed"]}
            built = {key: value for key, value in request.items() if key != "seed"}
            work = compute_on(devices, plan, {**place, **built, **seed, **options, **how}, report, target=SERVE)
        else:
            transform = TransformSpec.from_json(next(iter(fingerprints.values())).transform)
            with open_pool(
                transform, devices[0], workers=workers
            ) as decoders:  # their imports take as long as the engine's
                network = network or _build(backbone, request)
                work = compute(network, plan, {**options, "device": devices[0]}, decoders, report)

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


def _open(store: FeatureStore | str | os.PathLike[str]) -> FeatureStore | None:
    """The store, or None where there is nothing yet."""
    if isinstance(store, FeatureStore):
        return store
    return None if identity.vacant(Path(os.fsdecode(store))) else FeatureStore(store)


def _build(backbone: Backbone | str, request: Mapping[str, Any]) -> Backbone:
    from featstore.backbone.backbone import Backbone

    if isinstance(backbone, Backbone):
        return backbone
    return Backbone(backbone, **request)


def _refuse_early(device: str, engine: str, precision: str, nvjpeg: bool) -> None:
    """Raise what would be raised once there is a store."""
    from featstore.decoding.nvjpeg_decoder import require_cuda
    from featstore.engines.devices import find_devices
    from featstore.engines.engine import check_request

    for place in find_devices(device):
        check_request(engine, place, precision)
        if nvjpeg:
            require_cuda(place)


def _devices(device: str, backbone: Backbone | str, share: tuple[int, int], images: int) -> tuple[str, ...]:
    """The devices to compute on: several where they were named, or where there are several GPUs and images enough."""
    from featstore.engines.devices import find_devices
    from featstore.extract.multi_device import WORTH

    devices = find_devices(device)
    named = isinstance(backbone, str)  # only then other processes can build it
    if "," in device and not named:
        raise DeviceError(f"{device}: several devices take the name of a network, not one that is built already")
    if not named or share != (0, 1) or ("," not in device and images < WORTH * len(devices)):
        return devices[:1]
    return devices


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
    shut = [entry for entry in images.skipped if entry.reason.startswith(UNREADABLE)]
    notes += [f"{printable(entry.path)}: {entry.reason}; its images are left out" for entry in shut]
    if skipped := sum(entry.reason != "hidden" for entry in images.skipped) - len(shut):
        what = "1 other file was" if skipped == 1 else f"{skipped} other files were"
        notes.append(f"{what} skipped; `featstore info` lists the reasons")
    if split:
        if (images.splits != "").any():
            notes.append("the data brings its own train/val/test parts; `split` changed nothing")
        else:
            for part, fraction in split.items():
                images = hold_out(images, part, fraction, split_seed)
    elif split is None and previous is not None and (images.splits == "").all() and (previous.splits != "").any():
        images = _keep_splits(images, previous)
        notes.append("kept the parts held out by an earlier `split`; new images go to train")
    return images, notes


def _keep_splits(images: ImageSet, previous: ImageSet) -> ImageSet:
    """Give every image the part that its bytes had before; new images are for training."""
    known = dict(zip((d.tobytes() for d in previous.digests), previous.splits.tolist(), strict=True))
    splits = np.array([known.get(d.tobytes(), "train") for d in images.digests], dtype=images.splits.dtype)
    return dataclasses.replace(images, splits=splits)


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


def serve(request: dict[str, Any]) -> None:
    """Called in a member's process: extract, say what happened."""

    share = tuple(request.pop("share"))

    def say(message: Mapping[str, Any]) -> None:
        sys.stdout.write(json.dumps(message) + "\n")
        sys.stdout.flush()  # a parent that is gone ends this run here

    try:
        result = extract(share=share, progress=lambda *now: say({"progress": now}), **request)
        say({"done": result.to_json()})
    except errors.FeatstoreError as error:
        say({"failed": str(error), "kind": type(error).__name__})
        sys.exit(1)
    except KeyboardInterrupt:
        os._exit(130)
