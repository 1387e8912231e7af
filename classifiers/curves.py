"""Accuracy against the number of training images, and against the depth of the node."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from classifiers.evaluate import Run
from classifiers.linear import SoftmaxRegression
from classifiers.plan import Plan
from classifiers.significance import wilson
from featstore.features import FeatureSet

SHARES = (0.1, 0.2, 0.4, 0.7, 1.0)
SEEDS = 2
STRENGTH = 0.003
"""C of the head on standardised features: one for all sizes, so that the curve shows the data and not the search."""


def learning_curve(features: FeatureSet, plan: Plan, *, seed: int = 0) -> dict[str, Any] | None:
    """Accuracy of the logistic head fitted to shares of the training part, judged on images it was not fitted to.

    The judges are the out-of-fold images of the training part, so that the test part is looked at once only.

    Returns
    -------
    dict or None
        None where fewer than three sizes can be had.
    """
    rows, folds = plan.whole if plan.whole is not None else (plan.outer[0][0], plan.inner[0])
    y = features.y[rows]
    X = features.X[rows]
    smallest = int(np.bincount(y)[np.unique(y)].min())
    points: list[dict[str, Any]] = []
    for share in SHARES:
        hits = judged = 0
        size = 0
        seeds = 1 if share == 1.0 else SEEDS
        for turn in range(seeds):
            for f, (train, valid) in enumerate(folds):
                rng = np.random.default_rng([seed, turn, f])
                # A nested subset, class by class, so that every class is there.
                kept = np.concatenate(
                    [
                        own[rng.permutation(len(own))][: max(1, round(share * len(own)))]
                        for own in (train[y[train] == c] for c in np.unique(y[train]))
                    ]
                )
                head = SoftmaxRegression(C=STRENGTH)
                mean, scale = X[kept].mean(axis=0), X[kept].std(axis=0)
                scale = np.where(scale > 1e-12, scale, 1.0)
                head.fit((X[kept] - mean) / scale, y[kept])
                hits += int((head.predict((X[valid] - mean) / scale) == y[valid]).sum())
                judged += len(valid)
                size += len(kept)
        n = judged // seeds
        accuracy = hits / judged
        points.append(
            {
                "train": round(size / (seeds * len(folds))),
                "accuracy": accuracy,
                "accuracy_ci": list(wilson(accuracy * n, n)),
                "n": n,
                "seeds": seeds,
            }
        )
    if smallest < 2 or len({p["train"] for p in points}) < 3:
        return None
    last, before = points[-1], points[-2]
    rising = last["accuracy"] - before["accuracy"]
    text = (
        f"Going from {before['train']} to {last['train']} training images changed the out-of-fold accuracy by "
        f"{100 * rising:+.1f} points."
    )
    return {"head": "logistic", "params": {"C": STRENGTH}, "points": points, "text": text}


def layer_curve(sets: Sequence[FeatureSet], runs: Sequence[Run]) -> list[dict[str, Any]] | None:
    """The best head at each node, where several nodes of one backbone were compared."""
    backbones = [s.fingerprint.backbone for s in sets]
    if len(set(backbones)) == len(backbones):
        return None
    points = []
    for index, one in enumerate(sets):
        if backbones.count(one.fingerprint.backbone) < 2:
            continue
        own = [run for run in runs if run.feature == index and not run.reference]
        best = max(own, key=lambda run: run.cv_accuracy or 0.0)
        scores = best.scores
        points.append(
            {
                "backbone": one.fingerprint.backbone, "node": one.fingerprint.node, "pool": one.fingerprint.pool,
                "dim": one.X.shape[1], "head": best.head, "accuracy": scores.accuracy,
                "accuracy_ci": list(scores.accuracy_interval()), "cv_accuracy": best.cv_accuracy,
            }
        )  # fmt: skip
    return points
