"""Heads that look at all rows at once, fitted to as many rows as memory allows."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from classifiers.streamed.feature_rows import gathered, require_finite_chunk
from classifiers.streamed.training import OutOfFold, StreamedTraining
from classifiers.types import Fold
from featstore.errors import FeaturesError

FEWEST = 20
"""Rows a class, on average, below which a sample says nothing of what a head could do."""
COPIES = 4
"""Times that a head holds the features in memory while it is fitted, about."""


def fit_sampled(head: Any, training: StreamedTraining, *, memory: int) -> tuple[OutOfFold, int]:
    """Fit a head of memory to a sample of the rows, in which every class has its share.

    Parameters
    ----------
    head : estimator
        With `cv`, unfitted; afterwards fitted, but for `oof_proba_`, which is None.
    training : StreamedTraining
    memory : int
        Bytes that the sample and the head's copies of it may take.

    Returns
    -------
    found : OutOfFold
    rows : int
        Of the sample.

    Raises
    ------
    FeaturesError
        Where so few rows fit in memory that the head could not learn from them; with the sizes.

    Examples
    --------
    >>> from classifiers.heads.knn import KNNHead
    >>> from classifiers.streamed.feature_rows import ArrayRows
    >>> y = np.repeat([0, 1], 50)
    >>> X = (np.random.default_rng(0).normal(size=(100, 3)) + 9 * y[:, None]).astype(np.float32)
    >>> training = StreamedTraining.of(ArrayRows(X), y, folds=2)
    >>> fit_sampled(KNNHead(budget="quick"), training, memory=2000)[1]
    42
    """
    n, k, width = len(training), len(training.classes), training.rows.width
    most = memory // (4 * width * COPIES)
    if most < min(n, FEWEST * k):
        raise FeaturesError(
            f"{head.head_name} looks at all images at once: {n:,} images of {width:,} features are "
            f"{4 * n * width / 1e9:.1f} GB, and {max(most, 0):,} of them fit in the memory that is free, expected at "
            f"least {FEWEST} for each of {k:,} classes; choose logistic, svm or centroid"
        )
    rows = shares(training.codes, most, training.seed)
    X = gathered(training.rows, rows)
    require_finite_chunk(rows, X, training.named)
    head.set_params(cv=_restricted(training.folds, rows, n))
    y = training.classes[training.codes[rows]]
    head.fit(X, y)
    proba, head.oof_proba_ = head.oof_proba_, None
    if proba is None:
        return OutOfFold(np.empty(0, dtype=np.intp), np.empty((0, k), dtype=np.float32)), len(rows)
    known = np.flatnonzero(np.isfinite(proba).all(axis=1) & (proba.sum(axis=1) > 0))
    return OutOfFold(rows[known], proba[known].astype(np.float32)), len(rows)


def shares(codes: NDArray[np.intp], most: int, seed: int) -> NDArray[np.intp]:
    """Rows, ascending: at most about `most`, each class with its share, and with a few at least.

    Examples
    --------
    >>> len(shares(np.repeat([0, 1], [90, 10]), 20, seed=0))
    23
    """
    if len(codes) <= most:
        return np.arange(len(codes))
    rng = np.random.default_rng([seed, 3])
    mixed = rng.permutation(len(codes))
    mixed = mixed[np.argsort(codes[mixed], kind="stable")]
    counts = np.bincount(codes)
    wanted = np.minimum(counts, np.maximum(np.ceil(counts * most / len(codes)).astype(int), 5))
    starts = np.concatenate([[0], np.cumsum(counts)[:-1]])
    picked = [mixed[start : start + count] for start, count in zip(starts, wanted, strict=True)]
    return np.sort(np.concatenate(picked))


def _restricted(folds: list[Fold], rows: NDArray[np.intp], n: int) -> list[Fold]:
    """The folds of n rows among those that are kept, in their numbers."""
    place = np.full(n, -1)
    place[rows] = np.arange(len(rows))
    parts = [(place[train], place[valid]) for train, valid in folds]
    return [(train[train >= 0], valid[valid >= 0]) for train, valid in parts]
