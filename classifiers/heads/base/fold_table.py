"""FoldTable: what each candidate of a search did on each fold."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from classifiers.types import Fold

Params = dict[str, Any]
Learnt = dict[str, float]
"""What a fold's fit found by itself, for instance when it stopped."""

Outcome = tuple[NDArray[Any], Learnt]
"""Probabilities of a fold's valid rows, (n_valid, k), and what was learnt on the way."""

_EPSILON = float(np.finfo(np.float64).eps)


class FoldTable:
    """What each candidate did on each fold; keeps the out-of-fold probabilities of the best one only.

    Parameters
    ----------
    y : ndarray of shape (n,), int
        Classes as numbers.
    k : int
        Number of classes.
    weight : ndarray of shape (n,), float64
        Sample weights of the judging.
    """

    def __init__(self, y: NDArray[np.intp], k: int, weight: NDArray[np.float64]) -> None:
        self._y, self._k, self._weight = y, k, weight
        self.rows: list[dict[str, Any]] = []
        self.best: int = -1
        self.best_proba: NDArray[np.float32] | None = None
        self.best_learnt: list[Learnt] = []

    def judge(self, params: Params, folds: Sequence[Fold], outcomes: Callable[[], Iterable[Outcome]]) -> None:
        """Score one candidate on all folds.

        Parameters
        ----------
        params : dict
            The candidate.
        folds : sequence of (train, valid)
        outcomes : callable -> iterable
            Fits the candidate, and gives for each fold the probabilities of its valid rows (n_valid, k) and what was
            learnt on the way.
        """
        start = time.perf_counter()
        proba = np.full((len(self._y), self._k), np.nan, dtype=np.float32)
        accuracies: list[float] = []
        hits = loss = mass = 0.0
        learnt: list[Learnt] = []
        for (_, valid), (p, found) in zip(folds, outcomes(), strict=True):
            y = self._y[valid]
            w = self._weight[valid]
            right = w * (p.argmax(axis=1) == y)
            true = np.clip(p[np.arange(len(y)), y].astype(np.float64), _EPSILON, 1.0)
            accuracies.append(float(right.sum() / w.sum()) if w.sum() else 0.0)
            hits, loss, mass = hits + float(right.sum()), loss - float(w @ np.log(true)), mass + float(w.sum())
            proba[valid] = p
            learnt.append(found)
        self.rows.append(
            {
                "params": params,
                "accuracy": hits / mass if mass else 0.0,
                "fold_accuracies": accuracies,
                "log_loss": loss / mass if mass else 0.0,
                "seconds": time.perf_counter() - start,
            }
        )
        if self.best < 0 or self._rank(len(self.rows) - 1) > self._rank(self.best):
            self.best, self.best_proba, self.best_learnt = len(self.rows) - 1, proba, learnt

    def _rank(self, i: int) -> tuple[float, float]:
        return round(self.rows[i]["accuracy"], 12), -self.rows[i]["log_loss"]
