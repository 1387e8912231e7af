"""The `centroid` head fitted to features that do not fit in memory: one pass, and a sample that judges."""

from __future__ import annotations

import time
from functools import partial

import numpy as np
from sklearn.utils import compute_class_weight

from classifiers.heads.base.fold_table import FoldTable, Outcome, Params
from classifiers.heads.base.head_input import check_class_weight
from classifiers.heads.centroid import CentroidHead, Moments, affine, centroid_candidates, centroid_map
from classifiers.streamed.fold_sums import FoldSums
from classifiers.streamed.training import OutOfFold, StreamedTraining
from classifiers.validation.temperature import best_temperature, softmax


def fit_centroid(head: CentroidHead, training: StreamedTraining) -> OutOfFold:
    """Class means and variances of all rows; which candidate is best, a sample of rows says.

    Parameters
    ----------
    head : CentroidHead
        Unfitted; afterwards fitted, but for `oof_proba_`, which is None.
    training : StreamedTraining

    Returns
    -------
    OutOfFold
        Of the sample.

    Examples
    --------
    >>> from classifiers.streamed.feature_rows import ArrayRows
    >>> y = np.repeat([0, 1], 20)
    >>> X = (np.random.default_rng(0).normal(size=(40, 3)) + 9 * y[:, None]).astype(np.float32)
    >>> head = CentroidHead(budget="quick")
    >>> _ = fit_centroid(head, StreamedTraining.of(ArrayRows(X), y, folds=5))
    >>> head.predict(X[:2]).tolist(), head.certificate_["passes"]
    ([0, 0], 1)
    """
    began = time.perf_counter()
    head.classes_, head.n_features_in_ = training.classes, training.rows.width
    k = len(head.classes_)
    check_class_weight(head.class_weight)
    balance = np.ones(k)
    if head.class_weight is not None:
        balance = compute_class_weight(head.class_weight, classes=head.classes_, y=head.classes_[training.codes])
    odds = head.take_odds(balance)
    moments = [_moments(training.sums, fold, balance) for fold in range(len(training.masks))]
    sample, codes = training.sample, training.codes[training.sample]
    X, held = training.sample_X, training.held[:-1, training.sample]
    folds = [(np.empty(0, dtype=np.intp), np.flatnonzero(row)) for row in held]
    judging = [fold for fold, (_, valid) in enumerate(folds) if len(valid)]
    table = FoldTable(codes, k, np.ones(len(sample)))

    def outcome(params: Params, fold: int) -> Outcome:
        logits = affine(X[folds[fold][1]], *centroid_map(moments[fold], params))
        temperature = best_temperature(logits, codes[folds[fold][1]])
        return softmax(logits / temperature + odds), {"temperature": temperature}

    def outcomes(params: Params) -> list[Outcome]:
        return [outcome(params, fold) for fold in judging]

    for params in centroid_candidates(head.budget):
        table.judge(params, [folds[fold] for fold in judging], partial(outcomes, params))
        if head.progress is not None:
            head.progress(table.rows[-1])
    head.cv_results_, head.oof_proba_ = table.rows, None
    head.best_params_ = dict(table.rows[table.best]["params"])
    head.search_seconds_ = time.perf_counter() - began
    began = time.perf_counter()
    head.converged_ = True
    head.adopt(moments[-1], head.best_params_, table.best_learnt)
    head.certificate_ |= {"passes": training.passes, "judged_on": len(sample)}
    head.fit_seconds_ = time.perf_counter() - began
    assert table.best_proba is not None
    known = np.isfinite(table.best_proba).all(axis=1)
    return OutOfFold(sample[known], table.best_proba[known])


def _moments(sums: FoldSums, fold: int, balance: np.ndarray[tuple[int], np.dtype[np.float64]]) -> Moments:
    """As `classifiers.heads.centroid.class_moments`, of a fold's training rows, for features as given."""
    mass, means = sums.class_means(fold)
    mass = mass * balance
    scale = sums.scale.astype(np.float64)
    centre = (mass / mass.sum()) @ means
    squares = balance @ sums.class_squares(fold) / mass.sum()
    total = np.maximum(squares - centre * centre, 0.0)
    between = (mass / mass.sum()) @ (means - centre) ** 2
    within = np.maximum(total - between, 0.0)
    return mass, means * scale + sums.mean, total * scale**2, within * scale**2
