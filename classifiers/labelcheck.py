"""Suspected wrong labels, by out-of-fold confidence."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from classifiers.evaluate import Run
from featstore.features import FeatureSet

MOST = 2000


def wrong_labels(features: FeatureSet, runs: Sequence[Run]) -> dict[str, Any] | None:
    """Rank training images by how firmly heads that never saw them contradict their labels.

    The score is the margin between the given label's probability and the best other class's, averaged over the heads
    with out-of-fold probabilities. An image is suspected where another class reaches its usual self-confidence.

    References
    ----------
    Northcutt, Jiang, Chuang: "Confident Learning: Estimating Uncertainty in Dataset Labels", 2021.
    """
    useful = [r for r in runs if r.feature == runs[0].feature and len(r.oof_rows)]
    if not useful:
        return None
    useful = [r for r in useful if (r.cv_accuracy or 0) >= max(x.cv_accuracy or 0 for x in useful) - 0.03]
    rows = useful[0].oof_rows
    useful = [r for r in useful if np.array_equal(r.oof_rows, rows)]
    proba = np.mean([r.oof_proba for r in useful], axis=0)
    y = features.y[rows]
    own = proba[np.arange(len(rows)), y]
    others = proba.copy()
    others[np.arange(len(rows)), y] = -1.0
    suggested = others.argmax(axis=1)
    share = others.max(axis=1)
    usual = np.array([own[y == c].mean() if (y == c).any() else np.inf for c in range(proba.shape[1])])
    suspected = (share >= usual[suggested]) & (share > own)
    score = share - own
    order = np.lexsort((rows, -score))[:MOST]
    return {
        "heads": [r.name for r in useful],
        "images": len(rows),
        "threshold_count": int(suspected.sum()),
        "suspects": [
            {
                "image": int(rows[i]), "label": int(y[i]), "suggested": int(suggested[i]),
                "share_label": round(float(own[i]), 5), "share_suggested": round(float(share[i]), 5),
                "score": round(float(score[i]), 5), "suspected": bool(suspected[i]),
            }
            for i in order
        ],
    }  # fmt: skip
