"""Run: one head on one feature set, tuned on the training part and judged once."""

from __future__ import annotations

import dataclasses
import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from classifiers.foldsearch import Budget
from classifiers.heads import HEADS, make_head
from classifiers.plan import Plan
from classifiers.scores import Scores, log_losses
from classifiers.significance import wilson
from featstore.features import FeatureSet


@dataclasses.dataclass(frozen=True)
class Run:
    """One head x one feature set x one plan: predictions, parameters, seconds.

    Attributes
    ----------
    rows : ndarray of shape (m,), int64
        Judged rows of the feature set; each once a repeat.
    y, proba : ndarray of shape (m,) and (m, k)
        True classes and probabilities, columns in the order of `features.classes`.
    oof_rows, oof_proba : ndarray
        Rows of the training part and their out-of-fold probabilities; empty without a search.
    """

    head: str
    name: str
    summary: str
    reference: bool
    features: FeatureSet
    feature: int
    params: dict[str, Any]
    selected_on: str
    rows: NDArray[np.int64]
    y: NDArray[np.int64]
    proba: NDArray[np.float64]
    oof_rows: NDArray[np.int64]
    oof_proba: NDArray[np.float64]
    cv_results: list[dict[str, Any]]
    cv_accuracy: float | None
    cv_log_loss: float | None
    converged: bool
    certificate: dict[str, Any]
    search_seconds: float
    fit_seconds: float
    predict_seconds: float
    seed: int
    budget: str
    repeats: int
    n_train: int
    notes: tuple[str, ...] = ()
    dim: int = 0

    @property
    def scores(self) -> Scores:
        """Counts over everything judged; an image that was judged in several repeats counts once in intervals."""
        images = len(np.unique(self.rows))
        return dataclasses.replace(Scores.of(self.y, self.proba, self.features.classes), images=images)

    @property
    def right(self) -> dict[int, bool]:
        """Row -> whether the first judgement of it was right."""
        verdicts = self.proba.argmax(axis=1) == self.y
        return {int(row): bool(ok) for row, ok in zip(self.rows[::-1], verdicts[::-1], strict=True)}

    def to_dict(self, image_index: dict[int, int] | None = None) -> dict[str, Any]:
        """The run's row in the report: plain JSON."""
        scores, f = self.scores, self.features.fingerprint
        low, high = scores.accuracy_interval()
        intervals = scores.intervals(seed=self.seed)
        cv_n = len(self.oof_rows)
        cv_ci = None if self.cv_accuracy is None or not cv_n else list(wilson(self.cv_accuracy * cv_n, cv_n))
        first = {int(row): i for i, row in reversed(list(enumerate(self.rows.tolist())))}
        kept = sorted(first.values())
        predicted = self.proba.argmax(axis=1)
        return {
            "head": self.head, "name": self.name, "summary": self.summary, "reference": self.reference,
            "feature": self.feature, "backbone": f.backbone, "node": f.node, "pool": f.pool, "weights": f.weights,
            "precision": f.precision, "feature_key": f.key, "dim": self.dim or self.features.X.shape[1],
            "params": _plain(self.params), "selected_on": self.selected_on,
            "accuracy": scores.accuracy, "accuracy_ci": [low, high], "top3_accuracy": scores.top3_accuracy,
            "balanced_accuracy": scores.balanced_accuracy, "macro_f1": scores.macro_f1, "log_loss": scores.log_loss,
            "brier": scores.brier, "ece": scores.ece,
            **{f"{name}_ci": list(bounds) for name, bounds in intervals.items()},
            "confusion": scores.confusion.tolist() if len(scores.classes) <= 1000 else [],
            "per_class": _plain(scores.per_class()), "reliability": _plain(scores.reliability()),
            "search_seconds": self.search_seconds, "fit_seconds": self.fit_seconds,
            "predict_seconds": self.predict_seconds, "converged": bool(self.converged),
            "certificate": _plain(self.certificate), "cv_accuracy": self.cv_accuracy, "cv_accuracy_ci": cv_ci,
            "cv_log_loss": self.cv_log_loss, "cv_results": _plain(self.cv_results), "seed": self.seed,
            "budget": self.budget, "repeats": self.repeats, "n_train": self.n_train, "n_test": len(kept),
            "notes": list(self.notes), "calibration": None, "beats_majority": None,
            "predictions": {
                "image": [int(self.rows[i]) if image_index is None else image_index[int(self.rows[i])] for i in kept],
                "true": self.y[kept].tolist(), "predicted": predicted[kept].tolist(),
                "confidence": [round(float(self.proba[i, predicted[i]]), 6) for i in kept],
                "true_share": [round(float(self.proba[i, self.y[i]]), 6) for i in kept],
            },
        }  # fmt: skip


def evaluate(
    head: str,
    features: FeatureSet,
    plan: Plan,
    *,
    name: str | None = None,
    feature: int = 0,
    seed: int = 0,
    budget: Budget = "normal",
    class_weight: Any = None,
    X: NDArray[np.float32] | None = None,
) -> Run:
    """Tune, fit and judge one head.

    Parameters
    ----------
    head : str
        One of `HEADS`.
    X : ndarray of shape (n, d), float32, optional
        In place of the features' own numbers: raw pixels for the reference row.

    Returns
    -------
    Run

    Raises
    ------
    FeaturesError
    """
    matrix = features.X if X is None else X
    k = len(features.classes)
    parts = []
    search_seconds = fit_seconds = predict_seconds = 0.0
    fitted = []
    for (train, test), folds in zip(plan.outer, plan.inner, strict=True):
        model = make_head(head, seed=seed, budget=budget, cv=folds, class_weight=class_weight)
        model.fit(matrix[train], features.y[train])
        began = time.perf_counter()
        proba = _all_columns(model.predict_proba(matrix[test]), model.classes_, k)
        predict_seconds += time.perf_counter() - began
        search_seconds += model.search_seconds_
        fit_seconds += model.fit_seconds_
        parts.append((test, proba))
        fitted.append((model, train))
    if plan.whole is not None:
        rows, folds = plan.whole
        model = make_head(head, seed=seed, budget=budget, cv=folds, class_weight=class_weight)
        model.fit(matrix[rows], features.y[rows])
        fitted.append((model, rows))
    model, train = fitted[-1]
    judged = np.concatenate([rows for rows, _ in parts])
    oof = model.oof_proba_
    if oof is None:
        oof_rows, oof_proba = np.empty(0, np.int64), np.empty((0, k))
    else:
        known = np.isfinite(oof).all(axis=1) & (oof.sum(axis=1) > 0)
        oof_rows, oof_proba = train[known], _all_columns(oof[known], model.classes_, k)
    info = HEADS[head]
    return Run(
        head=head, name=name or head, summary=info.summary, reference=info.reference, features=features,
        feature=feature,
        params=dict(model.best_params_), selected_on=plan.selected_on, rows=judged, y=features.y[judged],
        proba=np.concatenate([p for _, p in parts]), oof_rows=oof_rows, oof_proba=oof_proba,
        cv_results=list(model.cv_results_ or []),
        cv_accuracy=None if not len(oof_rows) else float((oof_proba.argmax(axis=1) == features.y[oof_rows]).mean()),
        cv_log_loss=None if not len(oof_rows) else float(log_losses(features.y[oof_rows], oof_proba).mean()),
        converged=all(m.converged_ for m, _ in fitted), certificate=dict(model.certificate_),
        search_seconds=search_seconds, fit_seconds=fit_seconds, predict_seconds=predict_seconds, seed=seed,
        budget=budget, repeats=plan.repeats, n_train=len(plan.outer[0][0]), dim=matrix.shape[1],
    )  # fmt: skip


def _all_columns(proba: NDArray[np.floating], classes: NDArray[np.int64], k: int) -> NDArray[np.float64]:
    """Probabilities over all k classes; a class the head has not seen gets 0."""
    if proba.shape[1] == k:
        return proba.astype(np.float64)
    wide = np.zeros((len(proba), k))
    wide[:, classes] = proba
    return wide


def _plain(value: Any) -> Any:
    """NumPy's numbers as Python's, tuples as lists, what is not finite as None."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, np.ndarray):
        return _plain(value.tolist())
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value
