"""Run: one head on one feature set, tuned on the training part and judged once."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping
from functools import cached_property, partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from classifiers.comparison.plain_json import plain
from classifiers.formatting import percent
from classifiers.heads.base.convergence import convergence_kept_quiet
from classifiers.heads.registry import HEADS, make_head
from classifiers.types import Budget, Fold
from classifiers.validation.calibration import Calibration, fit_calibration
from classifiers.validation.protocol import EvaluationProtocol, Rows
from classifiers.validation.scores import DENSE, Scores, brier_scores, log_losses
from classifiers.validation.significance import bootstrap, wilson
from featstore.features import FeatureSet


@dataclasses.dataclass(frozen=True, eq=False)
class Run:
    """One head x one feature set x one protocol: predictions, parameters, seconds.

    Attributes
    ----------
    head, name : str
        In `HEADS`; and what tells the run from others in one report.
    features : FeatureSet
    feature : int
        Number of the feature set in the report.
    params : dict
        Chosen parameters; with cross-validation those chosen on all images.
    rows, y, proba : ndarray of shape (m,), (m,) and (m, k)
        What was judged: rows of `features`, true classes, calibrated probabilities; repeats one after the other.
    oof_rows, oof_proba : ndarray
        Rows that trained, and calibrated probabilities of a head that had not seen them; empty without a search.
    calibration : Calibration
    cv_results : list of dict
        Every candidate.
    search_seconds, fit_seconds, predict_seconds : float
        Sums over all fits.
    n_train, dim : int

    Examples
    --------
    >>> import numpy as np
    >>> from featstore.features import FeatureSet
    >>> from featstore.fingerprint import Fingerprint
    >>> rng, y = np.random.default_rng(0), np.repeat([0, 1], 30)
    >>> X = rng.normal(y[:, None], 0.5, (60, 8)).astype(np.float32)
    >>> ids, digests = tuple(f"{i}.jpg" for i in range(60)), rng.integers(0, 256, (60, 32), dtype=np.uint8)
    >>> network = Fingerprint("resnet18", "0" * 64, "avgpool", "avg", {}, {}, "fp32", "random (seed 0)")
    >>> splits, paths = np.full(60, ""), tuple(name.encode() for name in ids)
    >>> features = FeatureSet(X, y, ids, ("ant", "bee"), splits, digests, network, "insects", b"", paths)
    >>> from classifiers.validation.protocol import make_protocol
    >>> run = evaluate("centroid", features, make_protocol(features, folds=3), budget="quick")
    >>> run.scores.accuracy > 0.9, run.proba.shape
    (True, (60, 2))
    """

    head: str
    name: str
    features: FeatureSet
    feature: int
    params: dict[str, Any]
    selected_on: str
    rows: NDArray[np.intp]
    y: NDArray[np.int64]
    proba: NDArray[np.float64]
    oof_rows: NDArray[np.intp]
    oof_proba: NDArray[np.float64]
    calibration: Calibration
    cv_results: list[dict[str, Any]]
    converged: bool
    certificate: dict[str, Any]
    search_seconds: float
    fit_seconds: float
    predict_seconds: float
    seed: int
    budget: str
    repeats: int
    n_train: int
    dim: int
    notes: tuple[str, ...] = ()

    @property
    def reference(self) -> bool:
        """Whether the head is only a yardstick."""
        return HEADS[self.head].reference

    @cached_property
    def scores(self) -> Scores:
        """Counts over everything judged; an image that several repeats judged counts once in intervals."""
        images = len(np.unique(self.rows))
        return dataclasses.replace(Scores.of(self.y, self.proba, self.features.classes), images=images)

    @cached_property
    def first(self) -> NDArray[np.intp]:
        """Where each image is judged first, (images,), in the order of the rows."""
        return np.asarray(np.unique(self.rows, return_index=True)[1])

    @cached_property
    def right(self) -> dict[int, bool]:
        """Row -> whether the first judgement of it is right: one answer an image, for paired tests."""
        hits = self.proba[self.first].argmax(axis=1) == self.y[self.first]
        return dict(zip(self.rows[self.first].tolist(), hits.tolist(), strict=True))

    @cached_property
    def cv_accuracy(self) -> float | None:
        """Out-of-fold accuracy of the chosen parameters in the training part; None without a search."""
        if not len(self.oof_rows):
            return None
        return float((self.oof_proba.argmax(axis=1) == self.features.y[self.oof_rows]).mean())

    @cached_property
    def cv_log_loss(self) -> float | None:
        """Out-of-fold log loss, calibrated, nats; None without a search."""
        if not len(self.oof_rows):
            return None
        return float(log_losses(self.features.y[self.oof_rows], self.oof_proba).mean())

    def to_dict(self) -> dict[str, Any]:
        """The run's row in the report (docs/design.md): plain JSON."""
        scores, f = self.scores, self.features.fingerprint
        n_oof = len(self.oof_rows)
        predicted, kept = self.proba.argmax(axis=1), self.first
        per_image = {"log_loss": log_losses(self.y, self.proba), "brier": brier_scores(self.y, self.proba)}
        _, image = np.unique(self.rows, return_inverse=True)
        intervals = {
            **scores.intervals(seed=self.seed),
            **{
                name: bootstrap(np.bincount(image, values) / np.bincount(image), seed=self.seed)
                for name, values in per_image.items()
            },
        }
        row: dict[str, Any] = plain(
            {
                "head": self.head,
                "name": self.name,
                "summary": HEADS[self.head].summary,
                "reference": self.reference,
                "feature": self.feature,
                "backbone": f.backbone,
                "node": f.node,
                "pool": f.pool,
                "weights": f.weights,
                "precision": f.numbers,
                "feature_key": f.key,
                "dim": self.dim,
                "params": self.params,
                "selected_on": self.selected_on,
                "seed": self.seed,
                "budget": self.budget,
                "repeats": self.repeats,
                "n_train": self.n_train,
                "n_test": scores.images,
                "accuracy": scores.accuracy,
                "top3_accuracy": scores.top3_accuracy,
                "balanced_accuracy": scores.balanced_accuracy,
                "macro_f1": scores.macro_f1,
                "log_loss": scores.log_loss,
                "brier": scores.brier,
                "ece": scores.ece,
                **{f"{name}_ci": list(bounds) for name, bounds in intervals.items()},
                "confusion": [],
                "per_class": scores.per_class(),
                "reliability": scores.reliability(),
                "cv_accuracy": self.cv_accuracy,
                "cv_accuracy_ci": None if self.cv_accuracy is None else wilson(self.cv_accuracy * n_oof, n_oof),
                "cv_log_loss": self.cv_log_loss,
                "cv_results": self.cv_results,
                "calibration": self.calibration.to_json(),
                "search_seconds": self.search_seconds,
                "fit_seconds": self.fit_seconds,
                "predict_seconds": self.predict_seconds,
                "converged": self.converged,
                "certificate": self.certificate,
                "notes": list(self.notes),
                "beats_majority": None,
                "predictions": {
                    "image": self.rows[kept].tolist(),
                    "true": self.y[kept].tolist(),
                    "predicted": predicted[kept].tolist(),
                    "confidence": self.proba[kept, predicted[kept]].round(6).tolist(),
                    "true_share": self.proba[kept, self.y[kept]].round(6).tolist(),
                },
            }
        )
        if len(scores.classes) <= DENSE:  # plain already, and up to a million cells
            row["confusion"] = scores.confusion.tolist()
        return row


def evaluate(
    head: str,
    features: FeatureSet,
    protocol: EvaluationProtocol,
    *,
    name: str | None = None,
    feature: int = 0,
    seed: int = 0,
    budget: Budget = "normal",
    class_weight: str | Mapping[Any, float] | None = None,
    calibrate: bool = True,
    X: NDArray[np.float32] | None = None,
    progress: Callable[[float, str], None] | None = None,
) -> Run:
    """Tune, fit and judge one head.

    Parameters
    ----------
    head : str
        One of `HEADS`.
    features : FeatureSet
    protocol : EvaluationProtocol
        Who trains and who judges.
    name : str, optional
        Of the run (default: the head's).
    feature : int
        Number of the feature set in the report.
    seed, budget, class_weight
        See `make_head`. Weights are by name of class or its number; "majority" has none.
    calibrate : bool
        Learn a calibration from the out-of-fold predictions and apply it to those that are judged.
    X : ndarray of shape (n, d), float32, optional
        In place of the features' own numbers: raw pixels for the reference row.
    progress : callable, optional
        Called with the share that is done, in [0, 1], and what was found last.

    Returns
    -------
    Run

    Raises
    ------
    FeaturesError
        Where the head cannot learn from these features; the sentence says why.
    """
    matrix = features.X if X is None else X
    work: list[tuple[Rows, Rows | None, list[Fold]]] = [
        (train, test, folds) for (train, test), folds in zip(protocol.outer, protocol.inner, strict=True)
    ]
    if protocol.whole is not None:
        work.append((protocol.whole[0], None, protocol.whole[1]))
    parts: list[tuple[Rows, NDArray[np.float64]]] = []
    seconds = {"search": 0.0, "fit": 0.0, "predict": 0.0}
    converged = True
    fitted: Any = None
    # Weighed classes would make the majority another one than the most frequent.
    weights = None if head == "majority" else by_number(class_weight, features)
    calibration = Calibration()
    oof_rows, oof = np.empty(0, dtype=np.intp), np.empty((0, len(features.classes)))
    for i, (train, test, folds) in enumerate(work):
        fitted = make_head(head, seed=seed, budget=budget, cv=folds, class_weight=weights)
        if progress is not None:
            fitted.progress = partial(tell, progress, i / len(work))
        with convergence_kept_quiet():
            fitted.fit(matrix[train], features.y[train])
        seconds["search"] += fitted.search_seconds_
        seconds["fit"] += fitted.fit_seconds_
        converged &= bool(fitted.converged_)
        oof_rows, oof = _out_of_fold(fitted, train, features)
        calibration = Calibration()
        if calibrate and head != "majority":
            calibration = fit_calibration(oof, features.y[oof_rows], seed=seed)
        if test is not None:
            began = time.perf_counter()
            proba = calibration.apply(all_columns(fitted.predict_proba(matrix[test]), fitted.classes_, features))
            seconds["predict"] += time.perf_counter() - began
            parts.append((test, proba))
        if progress is not None:
            progress((i + 1) / len(work), "")
    judged = np.concatenate([rows for rows, _ in parts])
    return Run(
        head=head,
        name=name or head,
        features=features,
        feature=feature,
        params=dict(fitted.best_params_),
        selected_on=protocol.selected_on,
        rows=judged,
        y=features.y[judged],
        proba=np.concatenate([proba for _, proba in parts]),
        oof_rows=oof_rows,
        oof_proba=calibration.apply(oof).astype(np.float32),
        calibration=calibration,
        cv_results=list(fitted.cv_results_ or []),
        converged=converged,
        certificate=dict(fitted.certificate_),
        search_seconds=seconds["search"],
        fit_seconds=seconds["fit"],
        predict_seconds=seconds["predict"],
        seed=seed,
        budget=budget,
        repeats=protocol.repeats,
        n_train=len(protocol.outer[0][0]),
        dim=matrix.shape[1],
    )


def tell(progress: Callable[[float, str], None], share: float, row: Mapping[str, Any]) -> None:
    """Report one candidate of a search."""
    values = (
        f"{name} {value:g}" if isinstance(value, float) else f"{name} {value}" for name, value in row["params"].items()
    )
    progress(share, f"{', '.join(values)}: {percent(row['accuracy'])} %")


def by_number(weight: str | Mapping[Any, float] | None, features: FeatureSet) -> str | dict[int, float] | None:
    """Class weights by the number of the class."""
    if weight is None or isinstance(weight, str):
        return weight
    numbers: dict[Any, int] = {name: i for i, name in enumerate(features.classes)}
    return {numbers.get(key, key): float(value) for key, value in weight.items()}


def _out_of_fold(fitted: Any, train: Rows, features: FeatureSet) -> tuple[Rows, NDArray[np.float64]]:
    """Rows with out-of-fold probabilities, and those over all classes."""
    oof = fitted.oof_proba_
    if oof is None:
        return np.empty(0, dtype=np.intp), np.empty((0, len(features.classes)))
    known = np.flatnonzero(np.isfinite(oof).all(axis=1) & (oof.sum(axis=1) > 0))
    return train[known], all_columns(oof[known], fitted.classes_, features)


def all_columns(proba: NDArray[np.floating], classes: NDArray[np.int64], features: FeatureSet) -> NDArray[np.float64]:
    """Probabilities over all classes; one that training lacks gets 0."""
    if proba.shape[1] == len(features.classes):
        return proba.astype(np.float64)
    wide = np.zeros((len(proba), len(features.classes)))
    wide[:, classes] = proba
    return wide
