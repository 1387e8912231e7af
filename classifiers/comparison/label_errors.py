"""Suspected wrong labels, by predictions of heads that had not seen the image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from classifiers.comparison.evaluate import Run
from featstore.features import FeatureSet

MOST = 2000
"""Images that are listed at most."""

_GOOD = 0.03  # heads this far behind the best are asked too: several opinions are steadier than one
_FIRM = 0.5


def wrong_labels(
    features: FeatureSet, runs: Sequence[Run], *, aside: NDArray[np.intp] | None = None
) -> dict[str, Any] | None:
    """Rank images by how firmly heads that never saw them contradict their labels.

    For images that train these are out-of-fold probabilities, for others those that were judged. Probabilities are
    averaged over the good heads; the score is the best other class's share less the given label's. An image is
    suspected where the other class has at least the share that it usually has in images of its own (confident
    learning), and half of everything more than the given label: heads that are often wrong are no witnesses.

    Parameters
    ----------
    features : FeatureSet
    runs : sequence of Run
        References, and runs on other feature sets, are left out.
    aside : ndarray of int, optional
        Rows that are not suspected: images of another kind than those that trained, which heads take for other classes
        though their labels are right.

    Returns
    -------
    dict or None
        heads, images, threshold_count (suspected images) and suspects, most suspect first: image (row), label,
        suggested, share_label, share_suggested, score, suspected. None where no head has out-of-fold predictions.

    References
    ----------
    Northcutt, C., Jiang, L., Chuang, I. (2021). Confident learning: estimating uncertainty in dataset labels. JAIR 70.
    """
    asked = [run for run in runs if not run.reference and run.features is features and len(run.oof_rows)]
    if not asked:
        return None
    best = max(run.cv_accuracy or 0.0 for run in asked)
    asked = [run for run in asked if (run.cv_accuracy or 0.0) >= best - _GOOD]
    total = np.zeros((len(features), len(features.classes)))
    opinions = np.zeros(len(features))
    for run in asked:
        rows, proba = _unseen(run)
        total[rows] += proba
        opinions[rows] += 1
    opinions[[] if aside is None else aside] = 0
    rows = np.flatnonzero(opinions)
    proba = total[rows] / opinions[rows, None]
    y = features.y[rows]
    own = proba[np.arange(len(rows)), y]
    others = proba.copy()
    others[np.arange(len(rows)), y] = -1.0
    suggested, share = others.argmax(axis=1), others.max(axis=1)
    counts = np.bincount(y, minlength=proba.shape[1])
    usual = np.divide(
        np.bincount(y, own, minlength=proba.shape[1]), counts, out=np.full(len(counts), np.inf), where=counts > 0
    )
    score = share - own
    suspected = (share >= usual[suggested]) & (score >= _FIRM)
    order = np.lexsort((rows, -score))[:MOST]
    return {
        "heads": [run.name for run in asked],
        "images": len(rows),
        "threshold_count": int(suspected.sum()),
        "suspects": [
            {
                "image": int(rows[i]),
                "label": int(y[i]),
                "suggested": int(suggested[i]),
                "share_label": round(float(own[i]), 5),
                "share_suggested": round(float(share[i]), 5),
                "score": round(float(score[i]), 5),
                "suspected": bool(suspected[i]),
            }
            for i in order
        ],
    }


def _unseen(run: Run) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Each row once, with probabilities of a head that had not seen it."""
    fresh = ~np.isin(run.rows[run.first], run.oof_rows)
    rows = np.concatenate([run.oof_rows, run.rows[run.first][fresh]])
    return rows, np.concatenate([run.oof_proba, run.proba[run.first][fresh]])
