"""A Run of features that do not fit in memory: one head, tuned in passes, judged chunk by chunk."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from classifiers.comparison.evaluate import Run, all_columns, by_number, tell
from classifiers.streamed.feature_rows import FeatureRows
from classifiers.streamed.fitting import fit_streamed
from classifiers.streamed.training import StreamedTraining
from classifiers.types import Budget
from classifiers.validation.calibration import Calibration, fit_calibration
from classifiers.validation.protocol import EvaluationProtocol
from featstore.features import FeatureSet


def evaluate_streamed(
    head: str,
    rows: FeatureRows,
    features: FeatureSet,
    protocol: EvaluationProtocol,
    training: StreamedTraining,
    *,
    memory: int,
    name: str | None = None,
    feature: int = 0,
    seed: int = 0,
    budget: Budget = "normal",
    class_weight: str | Mapping[Any, float] | None = None,
    calibrate: bool = True,
    progress: Callable[[float, str], None] | None = None,
) -> Run:
    """Tune, fit and judge one head.

    Parameters
    ----------
    head : str
        In `HEADS`.
    rows : FeatureRows
        All of them, in the order of `features`.
    features : FeatureSet
        Everything but the features: its `X` has no columns.
    protocol : EvaluationProtocol
        With one outer part.
    training : StreamedTraining
        Of its training rows.
    memory : int
        Bytes that may be taken.
    name, feature, seed, budget, class_weight, calibrate, progress
        As `classifiers.comparison.evaluate.evaluate`.

    Returns
    -------
    Run

    Raises
    ------
    FeaturesError
        Where the head cannot learn from these features; the sentence says why.

    Examples
    --------
    See `classifiers.comparison.streamed_job.compare_streamed`.
    """
    ((train, test),) = protocol.outer
    last = {"share": 0.0}

    def heard(row: Mapping[str, Any]) -> None:
        if progress is not None:
            last["share"] = min(0.9, last["share"] + 0.1)
            tell(progress, last["share"], row)

    def told(note: str, share: float) -> None:
        if progress is not None:
            progress(last["share"], f"{note}, pass {100 * share:.0f} %" if note else f"pass {100 * share:.0f} %")

    fitted = fit_streamed(
        head, training, memory=memory, seed=seed, budget=budget, class_weight=by_number(class_weight, features),
        progress=heard, told=told,
    )  # fmt: skip
    k, found = len(features.classes), fitted.out_of_fold
    oof_rows, oof = train[found.rows], all_columns(found.proba, fitted.head.classes_, features)
    calibration = fit_calibration(oof, features.y[oof_rows], seed=seed) if calibrate else Calibration()
    began = time.perf_counter()
    proba = np.empty((len(test), k))
    for at, X in rows.subset(test).chunks(order="stored"):
        proba[at] = calibration.apply(all_columns(fitted.head.predict_proba(X), fitted.head.classes_, features))
    return Run(
        head=head,
        name=name or head,
        features=features,
        feature=feature,
        params=dict(fitted.head.best_params_),
        selected_on=protocol.selected_on,
        rows=test,
        y=features.y[test],
        proba=proba,
        oof_rows=oof_rows,
        oof_proba=calibration.apply(oof).astype(np.float32),
        calibration=calibration,
        cv_results=list(fitted.head.cv_results_ or []),
        converged=bool(fitted.head.converged_),
        certificate=dict(fitted.head.certificate_),
        search_seconds=fitted.head.search_seconds_,
        fit_seconds=fitted.head.fit_seconds_,
        predict_seconds=time.perf_counter() - began,
        seed=seed,
        budget=budget,
        repeats=1,
        n_train=fitted.rows,
        dim=rows.width,
        notes=(fitted.note,) if fitted.note else (),
    )
