"""evaluate_bundle: a saved classifier judged on labelled images that it has not been made with, as a report."""

from __future__ import annotations

import dataclasses
import difflib
import os
import time
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from classifiers.comparison.document import document, environment
from classifiers.comparison.evaluate import Run
from classifiers.formatting import count, listing, printable
from classifiers.models.bundle import Bundle
from classifiers.models.network_features import network_features
from classifiers.report.report import Report
from classifiers.report.verdict import verdict
from classifiers.validation.calibration import Calibration
from classifiers.validation.protocol import EvaluationProtocol
from featstore.errors import FeaturesError
from featstore.features import FeatureSet
from featstore.images.image_set import ImageSet
from featstore.sources.addresses import addresses
from featstore.store.feature_set_reader import make_feature_set
from featstore.system.reporting import Progress, printable_path, silent

_NOBODY = np.empty(0, dtype=np.intp)


def evaluate_bundle(
    bundle: Bundle,
    images: ImageSet,
    *,
    weights: str | os.PathLike[str] | None = None,
    engine: str = "auto",
    device: str = "auto",
    batch_size: int | None = None,
    workers: int | None = None,
    progress: Progress | None = None,
) -> Report:
    """Judge a saved classifier on labelled images.

    The test part of the images is judged where they have one, else their val part, else all; images without a label
    are left out. Nothing is fitted: the figures are those that the bundle has on new images. Beside it stands the
    strongest constant answer, the most frequent class of these images.

    Parameters
    ----------
    bundle : Bundle
    images : ImageSet
        Its classes are matched with the bundle's by name.
    weights : str or path, optional
        Where the network's weights are now, if not where they were.
    engine, device, batch_size, workers
        As for `featstore.extract.extract`; they do not change the answers beyond rounding.
    progress : callable, optional
        `progress(stage, done, total, note)`.

    Returns
    -------
    Report
        As that of `compare`, with one head.

    Raises
    ------
    FeaturesError
        No image has a label or can be read, or a class that the bundle does not know.
    WeightsError, FingerprintMismatchError
        The network is not that of the bundle.
    DeviceError

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from classifiers.models import load_bundle, train
    >>> from featstore import FeatureStore
    >>> from featstore.extract import extract
    >>> from featstore.images.samples import write_textures
    >>> folder = tempfile.TemporaryDirectory()
    >>> images, store = write_textures(Path(folder.name, "textures"), per_class=4), Path(folder.name, "store")
    >>> network = {"backbone": "mobilenet_v3_small", "weights": "none", "input_size": 32}
    >>> _ = extract(images, store, engine="eager", workers=0, **network)
    >>> place = Path(folder.name, "textures.bundle")
    >>> bundle = train(FeatureStore(store).read(), "centroid", budget="quick", folds=3).save(place)
    >>> report = evaluate_bundle(bundle, FeatureStore(store).imageset(), engine="eager", workers=0)
    >>> [run["head"] for run in report.data["runs"]], report.data["protocol"]["name"]
    (['centroid', 'majority'], 'bundle')
    >>> folder.cleanup()
    """
    began = time.perf_counter()
    rows, part = _judged_rows(images)
    number = _numbers(bundle, images, rows)
    features, failed = _features(
        bundle, images, rows, weights=weights, engine=engine, device=device, batch_size=batch_size, workers=workers,
        progress=progress or silent,
    )  # fmt: skip
    features = dataclasses.replace(features, y=number[features.y], classes=bundle.classes, failed=failed)
    predicting = time.perf_counter()
    proba = bundle.predict_proba(features)
    run = _run(bundle, bundle.name, features, proba, time.perf_counter() - predicting)
    runs = [run, _run(bundle, "majority", features, _constant(features), 0.0)]
    plan = _protocol(bundle, features, part)
    data = document(
        [features], plan, runs, [], None, _notes(bundle, images, features), asked=[bundle.name], members=None,
        seed=run.seed, budget=run.budget, groups=None, drop_leaks=False, class_weight=None, store=None,
    )  # fmt: skip
    data["bundle"] = _about(bundle)
    data["environment"] = environment() | {"seconds": time.perf_counter() - began}
    data["verdict"] = verdict(data)
    return Report(data)


def _judged_rows(images: ImageSet) -> tuple[NDArray[np.intp], str]:
    """Rows that judge, and what they are in words."""
    labelled = images.labelled()
    if not labelled.any():
        raise FeaturesError(
            f"no image of {printable(images.name)!r} has a label ({count(len(images), 'image')} found), so there is "
            "nothing to judge by; `featstore predict` classifies images without labels"
        )
    for part in ("test", "val"):
        rows = np.flatnonzero(labelled & (images.splits == part))
        if rows.size:
            return rows, f"images of the {part} part"
    return np.flatnonzero(labelled), "images"


def _numbers(bundle: Bundle, images: ImageSet, rows: NDArray[np.intp]) -> NDArray[np.int64]:
    """The bundle's number of each class of the images; -1 for those that no judged image has."""
    place = {name: i for i, name in enumerate(bundle.classes)}
    numbers = np.array([place.get(name, -1) for name in images.classes], dtype=np.int64)
    counts = np.bincount(images.labels[rows], minlength=len(images.classes))
    unknown = np.flatnonzero((counts > 0) & (numbers < 0)).tolist()
    if unknown:
        named = []
        for i in unknown:
            name = images.classes[i]
            lower = {known.casefold(): known for known in bundle.classes}
            near = difflib.get_close_matches(name.casefold(), list(lower), n=1, cutoff=0.6)
            hint = f", perhaps {printable(lower[near[0]])!r}" if near else ""
            named.append(f"{printable(name)!r} ({count(int(counts[i]), 'image')}{hint})")
        raise FeaturesError(
            f"the bundle does not know {count(len(unknown), 'class', 'classes')} of the images: "
            f"{listing(named, most=3)}; it knows {listing([repr(printable(c)) for c in bundle.classes], most=5)}. Name "
            "the classes as the bundle does, or leave these images out"
        )
    return numbers


def _features(
    bundle: Bundle, images: ImageSet, rows: NDArray[np.intp], **options: Any
) -> tuple[FeatureSet, tuple[tuple[str, str], ...]]:
    """The features of the judged images that can be read, and the images that cannot, with the reason."""
    readable = rows[images.readable()[rows]]
    where = addresses([images.absolute(row) for row in readable.tolist()])
    items = [(address, images.digests[row].tobytes()) for address, row in zip(where, readable.tolist(), strict=True)]
    X, reasons = network_features(bundle, items, **options)
    good = np.array([not reason for reason in reasons], dtype=bool)
    failed = {row: images.problems[row] for row in rows.tolist() if images.problems[row]}
    failed |= {row: reason for row, reason in zip(readable.tolist(), reasons, strict=True) if reason}
    if not good.any():
        row, reason = min(failed.items())
        raise FeaturesError(
            f"none of the {count(len(rows), 'image')} that are to judge can be read; the first is "
            f"{images.display(row)}: {reason}"
        )
    mask = np.zeros(len(images), dtype=bool)
    mask[readable[good]] = True
    named = tuple((images.display(row), reason) for row, reason in sorted(failed.items()))
    return make_feature_set(images, bundle.fingerprint, mask, X[good], {}), named


def _run(bundle: Bundle, head: str, features: FeatureSet, proba: NDArray[np.float64], seconds: float) -> Run:
    """What was answered, as a row of the report."""
    summary, own = bundle.summary, head == bundle.name
    params = summary.get("params") if own else None
    return Run(
        head=head,
        name=head,
        features=features,
        feature=0,
        params=dict(params) if isinstance(params, Mapping) else {},
        selected_on="cross-validation when it was trained" if own else "nothing: it is given by the images",
        rows=np.arange(len(features)),
        y=features.y,
        proba=proba,
        oof_rows=_NOBODY,
        oof_proba=np.empty((0, len(features.classes))),
        calibration=Calibration(),
        cv_results=[],
        converged=bool(getattr(bundle.head, "converged_", True)) if own else True,
        certificate=dict(getattr(bundle.head, "certificate_", None) or {}) if own else {},
        search_seconds=0.0,
        fit_seconds=0.0,
        predict_seconds=seconds,
        seed=_whole(summary.get("seed")),
        budget=str(summary.get("budget", "")),
        repeats=1,
        n_train=_whole(summary.get("train")) if own else 0,
        dim=features.X.shape[1],
        notes=() if own else ("shares of the classes among the judged images themselves",),
    )


def _constant(features: FeatureSet) -> NDArray[np.float64]:
    """The shares of the classes among the images, for every image."""
    shares = np.bincount(features.y, minlength=len(features.classes)) / len(features)
    return np.tile(shares, (len(features), 1))


def _protocol(bundle: Bundle, features: FeatureSet, part: str) -> EvaluationProtocol:
    rows = np.arange(len(features))
    return EvaluationProtocol(
        name="bundle",
        text=(
            f"{_name(bundle)}, trained before, judges {len(rows):,} {part} of {printable(features.dataset)} once; "
            "nothing was fitted."
        ),
        folds=0,
        repeats=1,
        seed=_whole(bundle.summary.get("seed")),
        selected_on="cross-validation when it was trained",
        outer=((_NOBODY, rows),),
        inner=([],),
    )


def _notes(bundle: Bundle, images: ImageSet, features: FeatureSet) -> list[str]:
    """What is to be said about the images and the classes."""
    notes = []
    if unlabelled := int(np.count_nonzero(~images.labelled())):
        notes.append(f"{count(unlabelled, 'image')} without a label took no part.")
    counts = np.bincount(features.y, minlength=len(bundle.classes))
    missing = [repr(printable(bundle.classes[i])) for i in np.flatnonzero(counts == 0).tolist()]
    if missing:
        notes.append(
            f"No image judges {count(len(missing), 'class', 'classes')} of the bundle: {listing(missing)}; nothing is "
            "said about them."
        )
    if features.failed:
        path, reason = features.failed[0]
        notes.append(f"{count(len(features.failed), 'image')} could not be read, the first {path}: {reason}.")
    seen = bundle.has_seen(features.digests)
    if seen is not None and seen.any():
        notes.append(
            f"{int(seen.sum()):,} of {count(len(seen), 'image')} are among those that the bundle was trained on, byte "
            "for byte: they make it look better than it is."
        )
    elif seen is None and bundle.summary.get("dataset") == images.name and not (images.splits == "test").any():
        notes.append(
            f"The bundle was trained on a data set of the same name, {printable(images.name)!r}: images that it was "
            "trained on make it look better than it is."
        )
    return notes


def _about(bundle: Bundle) -> dict[str, Any]:
    """What the bundle says of itself."""
    known = ("dataset", "train", "test", "accuracy", "cv_accuracy")
    return {"file": _name(bundle), **{key: bundle.summary.get(key) for key in known}}


def _name(bundle: Bundle) -> str:
    return "The bundle" if bundle.path is None else printable_path(os.fsencode(bundle.path.name))


def _whole(value: object) -> int:
    """A number of a bundle's summary, which may come from anybody."""
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else 0
