"""The `logistic` and `svm` heads fitted to features that do not fit in memory."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from sklearn.exceptions import ConvergenceWarning

from classifiers.heads.base.head_input import class_weights
from classifiers.heads.linear.estimators import SEARCH_TOL, VALUES, LinearSVMCV, SoftmaxRegressionCV, decades
from classifiers.heads.linear.linear_head import as_row
from classifiers.streamed.linear_pass import Asked, LinearPass
from classifiers.streamed.quasi_newton import Descent, FeatureAxes, feature_axes
from classifiers.streamed.streamed_path import JudgingSample, walk_streamed
from classifiers.streamed.training import OutOfFold, StreamedTraining
from classifiers.validation.temperature import as_logits, fit_slope, softmax

SMALL = 200_000
"""Rows x features x logits x folds up to which everything is done in float64."""
LESS = 0.7
"""Part of the gap asked for that float32 aims at, so that float64 finds it small enough."""


def fit_linear(
    head: SoftmaxRegressionCV | LinearSVMCV,
    training: StreamedTraining,
    *,
    told: Callable[[str, float], None] | None = None,
) -> OutOfFold:
    """Search over the folds and fit everything at the best C, all in passes over the features.

    The path, its rule, the objective and the certificate are those of the head in memory; the search is by L-BFGS
    (`quasi_newton`) instead of Newton's method with conjugate gradients, which would take a pass for each product.

    Parameters
    ----------
    head : SoftmaxRegressionCV or LinearSVMCV
        Unfitted; afterwards fitted, but for `oof_proba_`, which is None.
    training : StreamedTraining
    told : callable, optional
        Called with a note and the share of the current pass that is done.

    Returns
    -------
    OutOfFold
        Probabilities of the folds at the best C.

    Examples
    --------
    >>> from classifiers.streamed.feature_rows import ArrayRows
    >>> y = np.repeat([0, 1], 20)
    >>> X = (np.random.default_rng(0).normal(size=(40, 3)) + 9 * y[:, None]).astype(np.float32)
    >>> head = SoftmaxRegressionCV(budget="quick")
    >>> found = fit_linear(head, StreamedTraining.of(ArrayRows(X), y, folds=5))
    >>> head.predict(X[:2]).tolist(), found.proba.shape
    ([0, 0], (40, 2))
    """
    began = time.perf_counter()
    loss_name = head._loss
    n, d, k, folds = len(training), training.rows.width, len(training.classes), len(training.folds)
    head.classes_, head.n_features_in_ = training.classes, d
    sums = training.sums
    factors = np.stack([
        class_weights(head.class_weight, training.classes, training.codes, mask.astype(np.float64))
        for mask in training.masks
    ])  # fmt: skip
    notes = {"text": ""}

    def tell(seen: int) -> None:
        if told is not None:
            told(notes["text"], seen / n)

    problem = LinearPass(
        training.rows, training.codes, k, training.masks, training.held, sums, factors, loss_name=loss_name, told=tell
    )
    correlation = sums.correlation()
    axes = feature_axes(None if correlation is None else torch.from_numpy(correlation), d)
    small = n * d * problem.outputs * (folds + 1) <= SMALL
    dtype = torch.float64 if small else torch.float32
    tol, search_tol = float(head.tol), SEARCH_TOL[head.budget]
    given = head.Cs is not None
    grid = sorted(float(C) for C in head.Cs) if head.Cs is not None else decades(*head._ends, VALUES[head.budget])
    sample = None
    if loss_name == "svm":
        chosen = training.sample
        sample = JudgingSample(training.sample_X, training.codes[chosen], training.held[:, chosen])

    def heard(point: Any) -> None:
        notes["text"] = f"C {point.C:g}: {100 * point.accuracy:.1f} %"
        if head.progress is not None:
            head.progress(as_row(point))

    path = walk_streamed(
        problem, axes, grid, tol=search_tol, whole_tol=LESS * tol, max_steps=int(head.max_iter), patience=head.patience,
        extend=0 if given else 3, sample=sample, dtype=dtype, progress=heard,
    )  # fmt: skip
    C, searched = path.best.C, problem.passes
    head.cv_results_, head.best_params_ = [as_row(point) for point in path.points], {"C": C}
    found = _judged(problem, training, path.weights, told)
    head.slope_ = 1.0
    if loss_name == "svm":
        head.slope_ = fit_slope(found.proba, training.codes[found.rows], np.ones(len(found.rows)))
    found = OutOfFold(found.rows, softmax(as_logits(found.proba, head.slope_)).astype(np.float32))
    head.oof_proba_ = None
    head.search_seconds_ = time.perf_counter() - began
    began = time.perf_counter()
    whole = _whole(problem, path.whole, axes, tol=tol, max_steps=int(head.max_iter), dtype=dtype)
    head.coef_, head.intercept_ = problem.coefficients(Asked(folds, whole.weight))
    head.n_iter_ = max(1, whole.steps)
    worst = whole.relative_gap
    head.certificate_ = {
        "method": "duality gap / objective, float64",
        "relative_gap": worst,
        "tol": tol,
        "objective": float(whole.objective.sum()),
        "passes": problem.passes + training.passes + 1,  # the last one is that of the rows that folds held out
        "search_passes": searched,
        "search_relative_gap": path.best.relative_gap,
        "search_tol": search_tol,
    }
    head.converged_ = max(worst / tol, path.best.relative_gap / search_tol) <= 1.0
    if not head.converged_:
        warnings.warn(
            f"{type(head).__name__} stopped at C={C:g} with a relative duality gap of {worst:.1e} after "
            f"{problem.passes} passes; raise max_iter or tol, or scale the features",
            ConvergenceWarning,
            stacklevel=2,
        )
    head.fit_seconds_ = time.perf_counter() - began
    return found


def _whole(
    problem: LinearPass, descent: Descent, axes: FeatureAxes, *, tol: float, max_steps: int, dtype: torch.dtype
) -> Descent:
    """Bring the fit of everything to its end, and certify it in float64."""
    steps = 0
    for precision in dict.fromkeys((dtype, torch.float64)):
        wanted = tol if precision == torch.float64 else LESS * tol
        if precision == torch.float64:
            pairs = [(step.double(), change.double()) for step, change in descent.pairs]
            weight = descent.weight.double()
            steps += descent.steps
            descent = Descent(descent.fold, descent.C, weight, axes, problem.bias_penalty, pairs)
        # What nobody has looked at has no certificate: float64 looks once even where float32 took all the steps.
        while descent.seen is None or (not descent.done(wanted) and steps + descent.steps < max_steps):
            asked = Asked(descent.fold, descent.trial)
            descent.take(problem.look([asked], dtype=precision, judge=False)[0], tol=wanted)
    descent.steps += steps
    return descent


def _judged(
    problem: LinearPass, training: StreamedTraining, weights: list[Any], told: Callable[[str, float], None] | None
) -> OutOfFold:
    """Decision values (m, outputs) of the folds about rows that they held out."""
    rows = training.judged
    total = np.zeros((len(rows), problem.outputs), dtype=np.float32)
    times = training.held[:-1, rows].sum(axis=0)
    seen = 0
    for at, X in training.judged_rows.chunks(order="stored"):
        for fold, weight in enumerate(weights):
            mine = training.held[fold, rows[at]]
            if mine.any():
                total[at[mine]] += problem.decisions(Asked(fold, weight), X[mine]) / times[at[mine], None]
        seen += len(at)
        if told is not None:
            told("out of fold", seen / len(rows))
    return OutOfFold(rows, total)
