"""train_streamed: one head, tuned and fitted in passes over features that do not fit in memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from classifiers.heads.registry import check_name
from classifiers.leakage.data_groups import data_groups, group_text, joined, same_bytes
from classifiers.models.trained_head import TrainedHead, full_proba
from classifiers.streamed.feature_rows import FeatureRows
from classifiers.streamed.feature_source import FeatureSource, without_features
from classifiers.streamed.fitting import fit_streamed
from classifiers.streamed.memory_limit import free_memory
from classifiers.streamed.stream_plan import stream_plan
from classifiers.streamed.training import StreamedTraining
from classifiers.types import Budget
from classifiers.validation.alignment import check_few
from classifiers.validation.labelled import labelled_part
from classifiers.validation.scores import Scores
from classifiers.validation.splits import group_by, stratified_folds
from featstore.errors import FeaturesError
from featstore.features import FeatureSet
from featstore.system.reporting import Progress

USED = 0.35
"""Part of the free memory that a head's sample may take."""
BLOCK = 65536
"""Test images whose probabilities are held at a time."""


def train_streamed(
    features: FeatureSource,
    name: str = "logistic",
    *,
    seed: int = 0,
    budget: Budget = "normal",
    folds: int = 5,
    class_weight: Any = None,
    groups: str | None = None,
    allow_few: bool = False,
    memory: int | None = None,
    progress: Progress | None = None,
    said: Callable[[str], None] | None = None,
) -> TrainedHead:
    """Tune and fit one head on the training part, then judge it on the test part, once.

    Parameters
    ----------
    features : FeatureStream or FeatureSet
    name, seed, budget, folds, class_weight, groups, allow_few
        As `classifiers.models.trained_head.train`. `groups="auto"` is not known here.
    memory : int, optional
        Bytes that may be taken (default: what this process may still take).
    progress : callable, optional
        `progress("tune and fit", done, total, note)`.
    said : callable, optional
        Told first what it will take: bytes, passes, time.

    Raises
    ------
    UnknownNameError
        No such head.
    FeaturesError
        Features that cannot be learnt from.

    Examples
    --------
    >>> from featstore.fingerprint import Fingerprint
    >>> made = Fingerprint("resnet50", "0" * 64, "avgpool", "none", {}, {}, "fp32", "IMAGENET1K_V2")
    >>> y, names = np.repeat([0, 1], 20), tuple(f"{i}.jpg" for i in range(40))
    >>> X = np.random.default_rng(0).normal(size=(40, 16)).astype(np.float32) + 9 * y[:, None].astype(np.float32)
    >>> digests = np.arange(40 * 32, dtype=np.int64).astype(np.uint8).reshape(40, 32)
    >>> features = FeatureSet(
    ...     X, y, names, ("ants", "bees"), np.array(["train", "train", "train", "test"] * 10), digests, made, "insects",
    ...     b"/insects", tuple(name.encode() for name in names),
    ... )
    >>> trained = train_streamed(features, "centroid", budget="quick", folds=3)
    >>> trained.cv_accuracy, trained.scores.accuracy
    (1.0, 1.0)
    """
    check_name(name)
    if groups == "auto":
        raise FeaturesError(
            '`groups="auto"` looks for copies among all pairs of images, which streamed features do not offer; '
            "expected a regular expression, or nothing for the groups that the data name"
        )
    everything, remarks = labelled_part(without_features(features))
    rows: FeatureRows = features
    if len(everything) < len(features):
        rows = features.subset(np.flatnonzero(features.y >= 0))
    train, test = everything.training(), everything.testing()
    if not len(train):
        raise FeaturesError(f"data set {features.dataset!r} has no row to train on; `featstore info` says why")
    y = everything.y[train]
    check_few(np.bincount(y, minlength=len(everything.classes)), everything.classes, folds, allow_few=allow_few)
    named = data_groups(everything) if groups is None else group_by(everything.ids, groups)
    members = joined(named, same_bytes(everything))
    together = None if members is None else members[train]
    if named is not None and groups is None:
        remarks = [*remarks, group_text(named)]
    memory = free_memory() if memory is None else memory
    memory = 1 << 62 if memory is None else memory
    if said is not None:
        said(stream_plan(rows, len(everything.classes), [name], folds, budget, memory).text())
    last = {"done": 0}

    def tell(note: str, share: float) -> None:
        if progress is not None:
            progress("tune and fit", last["done"], 100, f"{note}, pass {100 * share:.0f} %" if note else name)

    def tried(_: dict[str, Any]) -> None:
        last["done"] = min(90, last["done"] + 10)

    def called(row: int) -> str:
        return everything.ids[int(train[row])]

    if len(np.unique(y)) < 2:
        raise FeaturesError(
            f"the training part of {features.dataset!r} has images of one class only; expected at least two classes"
        )
    training = StreamedTraining.of(
        rows.subset(train), y, stratified_folds(y, folds, seed, together), seed=seed, named=called
    )
    fitted = fit_streamed(
        name, training, memory=int(USED * memory), seed=seed, budget=budget, class_weight=class_weight,
        progress=tried, told=tell,
    )  # fmt: skip
    found = fitted.out_of_fold
    predicted = found.proba.argmax(axis=1)
    accuracy = float((predicted == training.codes[found.rows]).mean()) if len(found.rows) else None
    settings = {"seed": seed, "budget": budget, "folds": folds, "class_weight": class_weight, "groups": groups}
    scores, judged = _judged(fitted.head, rows, everything, test, seed)
    notes = (*remarks, *([fitted.note] if fitted.note else []), *judged)
    return TrainedHead(name, fitted.head, everything, settings, accuracy, scores, notes)


def _judged(
    head: Any, rows: FeatureRows, features: FeatureSet, test: np.ndarray[Any, np.dtype[np.intp]], seed: int
) -> tuple[Scores | None, list[str]]:
    """Scores on the test part, or on as many of its images as probabilities may be held."""
    if not len(test):
        return None, []
    kept, said = test, []
    if len(test) > BLOCK:
        kept = np.sort(np.random.default_rng([seed, 5]).choice(test, BLOCK, replace=False))
        said = [f"The head was judged on {BLOCK:,} of {len(test):,} test images, drawn at random."]
    k = len(features.classes)
    proba = np.empty((len(kept), k), dtype=np.float32)
    for at, X in rows.subset(kept).chunks(order="stored"):
        proba[at] = full_proba(head, X, k)
    return Scores.of(features.y[kept], np.clip(proba, 0, 1), features.classes), said
