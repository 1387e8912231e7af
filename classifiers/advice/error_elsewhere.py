"""ErrorElsewhere: how often a linear head will be wrong on images of another kind, guessed without their labels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from classifiers.linalg import standardiser
from classifiers.types import Fold

MOST_ROWS = 3000
"""Rows of either part that are looked at, at most."""

RIDGE = 1.0
"""Penalty relative to the squared length of an image, as that of the learning curve."""


@dataclass(frozen=True)
class ErrorElsewhere:
    """The error of a linear head at home and elsewhere.

    Attributes
    ----------
    here : float
        Share in [0, 1] of the training images that are judged wrongly, out of fold.
    there : float
        Expected share in [0, 1] of the other images; a guess, which stands on how unsure the head is of them. It was
        too low on five of the eight shifted problems of docs/judgement.md, by more than 0.1 on three.
    """

    here: float
    there: float


def error_elsewhere(
    X: NDArray[np.float32],
    y: NDArray[np.int64],
    folds: list[Fold],
    other: NDArray[np.float32],
    *,
    error: float | None = None,
    seed: int = 0,
) -> ErrorElsewhere:
    """Guess the error on images of another kind by average thresholded confidence.

    The margin below which as many out-of-fold answers lie as are wrong is the threshold; the error elsewhere is the
    share of answers below it there. Margins are those of a ridge classifier of the features' directions.

    Parameters
    ----------
    X : ndarray of shape (n, d), float32
        Features of the training part.
    y : ndarray of shape (n,), int64
    folds : list of (train, valid)
    other : ndarray of shape (m, d), float32
        Features of the other images; their labels are not needed.
    error : float in [0, 1], optional
        How often the head in question is wrong on the training images, out of fold; by default as often as the
        classifier whose margins are looked at.
    seed : int
        Of the sampling above `MOST_ROWS` rows.

    References
    ----------
    Garg, S. et al. (2022). Leveraging Unlabeled Data to Predict Out-of-Distribution Performance. ICLR.

    Examples
    --------
    >>> rng, y = np.random.default_rng(0), np.arange(90) % 3
    >>> X = (np.eye(3, 8)[y] + 0.2 * rng.normal(size=(90, 8))).astype(np.float32)
    >>> folds = [(np.flatnonzero(np.arange(90) % 5 != k), np.flatnonzero(np.arange(90) % 5 == k)) for k in range(5)]
    >>> found = error_elsewhere(X, y, folds, (0.5 * X + 0.5 * rng.normal(size=X.shape)).astype(np.float32))
    >>> found.here < 0.05 < 0.2 < found.there
    True
    """
    rng = np.random.default_rng(seed)
    few = np.sort(rng.permutation(len(X))[:MOST_ROWS])
    beyond = other[np.sort(rng.permutation(len(other))[:MOST_ROWS])]
    place = np.full(len(X), -1)
    place[few] = np.arange(len(few))
    codes = np.unique(y[few], return_inverse=True)[1]
    target = np.eye(int(codes.max()) + 1, dtype=np.float32)[codes]
    mean, gain = standardiser(X[few], np.ones(len(few)))
    # All of one length: what is strange makes large numbers, which a linear head would take for a wide margin.
    inside, outside = (_unit((part - mean) * gain) for part in (X[few], beyond))
    margin, wrong = np.full(len(few), np.nan), np.zeros(len(few), dtype=bool)
    far: list[NDArray[np.float64]] = []
    for train, valid in folds:
        a, b = (place[rows][place[rows] >= 0] for rows in (train, valid))
        if not len(a) or not len(b):
            continue
        inner = (inside[a] @ inside[a].T).astype(np.float64)
        inner[np.arange(len(a)), np.arange(len(a))] += RIDGE
        centre = target[a].mean(axis=0)
        solved = inside[a].T @ np.linalg.solve(inner, target[a] - centre)
        scores = inside[b] @ solved + centre
        margin[b], wrong[b] = _margin(scores), scores.argmax(axis=1) != codes[b]
        far.append(_margin(outside @ solved + centre))
    known = np.isfinite(margin)
    here = float(wrong[known].mean()) if error is None else error
    threshold = float(np.quantile(margin[known], here))
    return ErrorElsewhere(here, float((np.concatenate(far) <= threshold).mean()))


def _unit(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12), dtype=np.float32)


def _margin(scores: NDArray[np.floating]) -> NDArray[np.float64]:
    """How far the first class is ahead of the second."""
    ordered = np.sort(scores, axis=1)
    return np.asarray(ordered[:, -1] - ordered[:, -2], dtype=np.float64)
