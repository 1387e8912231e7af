"""LightGBMHead: gradient-boosted trees, made fit for features of a network."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from classifiers.heads.base.fold_search import SearchedHead
from classifiers.heads.base.fold_table import FoldTable, Learnt, Outcome, Params
from classifiers.heads.base.head_input import Training, present_classes
from classifiers.heads.reduction import Reduction, reduced_fold
from classifiers.types import Budget, Fold
from featstore.errors import FeaturesError
from featstore.system.machine import usable_cores

MOST_CLASSES = 1000
"""More classes than this are refused: every round grows a tree a class."""

_CANDIDATES: dict[str, tuple[Params, ...]] = {
    "quick": ({"num_leaves": 3, "learning_rate": 0.2},),
    "normal": ({"num_leaves": 3, "learning_rate": 0.2}, {"num_leaves": 7, "learning_rate": 0.2}),
    "thorough": (
        {"num_leaves": 2, "learning_rate": 0.1},
        {"num_leaves": 3, "learning_rate": 0.1},
        {"num_leaves": 5, "learning_rate": 0.1},
        {"num_leaves": 7, "learning_rate": 0.1},
        {"num_leaves": 15, "learning_rate": 0.1},
        {"num_leaves": 3, "learning_rate": 0.05},
    ),
}
_ROUNDS = {"quick": 60, "normal": 120, "thorough": 400}
_PATIENCE = {"quick": 5, "normal": 6, "thorough": 25}
_WORTH = 1e-3
"""Nats of log loss: what so many rounds have to bring, or it was enough."""


class LightGBMHead(SearchedHead):
    """LightGBM on ridge scores and principal components (see `classifiers.heads.reduction.Reduction`).

    The reduction is fitted inside the fold; the number of rounds is found by early stopping on each fold's log loss and
    the mean of the folds is used for the last fit. Predictions come from LightGBM's text model before and after saving,
    so that they are the same bits.

    Parameters
    ----------
    seed, budget, cv, class_weight
        See SearchedHead. Candidates: 1 quick, 2 normal, 6 thorough (leaves and learning rate), at most 60, 120 and 400
        rounds.
    n_jobs : int, optional
        Threads (default: as many as this process may use).

    Examples
    --------
    >>> import numpy as np
    >>> y = np.repeat([0, 1], 20)
    >>> X = np.random.default_rng(0).normal(size=(40, 3)) + 9 * y[:, None]
    >>> head = LightGBMHead(budget="quick", n_jobs=1).fit(X, y)
    >>> head.predict([[0, 0, 0], [9, 9, 9]]).tolist()
    [0, 1]
    """

    head_name = "lightgbm"

    def __init__(
        self,
        *,
        seed: int = 0,
        budget: Budget = "normal",
        cv: int | Sequence[Fold] | None = None,
        class_weight: str | Mapping[Any, float] | None = None,
        n_jobs: int | None = None,
    ) -> None:
        super().__init__(seed=seed, budget=budget, cv=cv, class_weight=class_weight)
        self.n_jobs = n_jobs

    def _fold_threads(self) -> int:
        return self.n_jobs or usable_cores()

    def _check_size(self, n: int, d: int, k: int) -> None:
        if k > MOST_CLASSES:
            raise FeaturesError(
                f"lightgbm grows a tree a class and round; {k} classes are too many (at most {MOST_CLASSES}); "
                "use logistic, knn or centroid"
            )

    def _candidates(self, training: Training, table: FoldTable) -> Iterator[Params]:
        for fold, rows in enumerate(self._folds):
            self._cache[fold] = reduced_fold(training, rows, self.seed)
        yield from (dict(params) for params in _CANDIDATES[self.budget])

    def _fold_proba(self, training: Training, params: Params, fold: int) -> Outcome:
        y, (train, valid) = training.codes, self._folds[fold]
        present, place = present_classes(y[train], len(self.classes_))
        proba = np.zeros((len(valid), len(self.classes_)))
        if len(present) == 1:
            proba[:, present] = 1.0
            return proba, {}
        rows, judged = self._cache[fold]
        known = np.flatnonzero(place[y[valid]] >= 0)
        stop = (judged[known], place[y[valid[known]]]) if len(known) else None
        booster = self._grow(
            rows, place[y[train]], len(present), training.weight[train], params, _ROUNDS[self.budget], stop, 1
        )
        rounds = booster.best_iteration or _ROUNDS[self.budget]
        proba[:, present] = _both(booster.predict(judged, num_iteration=rounds, num_threads=1))
        return proba, {"rounds": float(rounds)}

    def _refit(self, training: Training, params: Params, learnt: Sequence[Learnt]) -> None:
        import lightgbm

        found = [fold["rounds"] for fold in learnt if fold]
        rounds = max(1, round(float(np.mean(found)))) if found else _ROUNDS["quick"] // 2
        k = len(self.classes_)
        reduction = Reduction(seed=self.seed)
        y, weight = training.codes, training.weight
        rows = reduction.fit_transform(training.X, y, k, weight)
        text = self._grow(rows, y, k, weight, params, rounds, None, self._fold_threads()).model_to_string()
        self._matrix, self._offset, self._text = reduction.matrix, reduction.offset, text
        self._booster = lightgbm.Booster(model_str=text)
        self.best_params_ = {**params, "rounds": rounds}
        stopped = sum(fold < _ROUNDS[self.budget] for fold in found)
        # Each fold's log loss has to have stopped falling before the rounds were over, else more rounds would help.
        self.converged_ = stopped == len(found)
        self.certificate_ = {"rounds": rounds, "folds": len(found), "folds_stopped_early": stopped,
                             "ridge": reduction.ridge}  # fmt: skip

    def _grow(
        self, rows: NDArray[np.float32], y: NDArray[np.intp], k: int, weight: NDArray[np.float64], params: Params,
        rounds: int, stop: tuple[NDArray[np.float32], NDArray[np.intp]] | None, threads: int,
    ) -> Any:  # fmt: skip
        import lightgbm

        settings = {
            "objective": "binary" if k == 2 else "multiclass",
            "num_class": 1 if k == 2 else k,
            "metric": "binary_logloss" if k == 2 else "multi_logloss",
            "num_leaves": params["num_leaves"],
            "learning_rate": params["learning_rate"],
            "max_bin": 63,
            "min_data_in_leaf": max(1, min(5, len(rows) // 20)),
            "min_sum_hessian_in_leaf": 1e-3,
            "lambda_l2": 1.0,
            "feature_fraction": 0.5,
            "bagging_fraction": 0.8,
            "bagging_freq": 1,
            "feature_pre_filter": False,
            "deterministic": True,
            "force_col_wise": True,
            "seed": self.seed,
            # Threads meet after every split; for little data the waiting costs more than it brings.
            "num_threads": threads if rows.size * k > 4_000_000 else 1,
            "verbosity": -1,
        }
        data = lightgbm.Dataset(rows, y, weight=weight, params=settings)
        if stop is None:
            return lightgbm.train(settings, data, rounds)
        patience = lightgbm.early_stopping(_PATIENCE[self.budget], verbose=False, min_delta=_WORTH)
        judge = lightgbm.Dataset(stop[0], stop[1], reference=data, params=settings)
        return lightgbm.train(settings, data, rounds, valid_sets=[judge], callbacks=[patience])

    def _proba(self, X: NDArray[np.float32]) -> NDArray[np.float64]:
        rows = X @ self._matrix + self._offset
        return _both(self._booster.predict(rows, num_threads=self._fold_threads()))

    def _model_state(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        text = np.frombuffer(self._text.encode("utf-8"), dtype=np.uint8).copy()
        return {}, {"matrix": self._matrix, "offset": self._offset, "model": text}

    def _restore_model(self, meta: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> None:
        import lightgbm

        self._matrix, self._offset = arrays["matrix"], arrays["offset"]
        self._text = arrays["model"].tobytes().decode("utf-8")
        self._booster = lightgbm.Booster(model_str=self._text)


def _both(proba: Any) -> NDArray[np.float64]:
    """(n, k) probabilities; for two classes LightGBM gives the second only."""
    p = np.asarray(proba, dtype=np.float64)
    return np.stack([1 - p, p], axis=1) if p.ndim == 1 else p
