"""RidgeProbe: how far a linear classifier gets on features, out of fold, in the time that advice may take."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy.linalg
from numpy.typing import NDArray

from classifiers.types import Fold

STRENGTHS = (0.003, 0.03, 0.1, 0.3, 1.0, 3.0, 30.0)
"""Of the penalty, against a mean variance of 1 in every direction."""


@dataclass(frozen=True, eq=False)
class RidgeProbe:
    """Ridge regression on the classes' indicators, standardised inside each fold.

    Close to logistic regression in accuracy where the strength is chosen for both, and solved directly.

    Attributes
    ----------
    answers : ndarray of shape (n,), int64
        Out-of-fold class of each row; -1 for rows that no fold judges.
    strength : float
        The one with the most rows right, the strongest among equals.
    train_accuracy : float
        On the rows that it was fitted to, the mean of the folds.
    """

    answers: NDArray[np.int64]
    strength: float
    train_accuracy: float

    @classmethod
    def fit(cls, X: NDArray[np.float32], y: NDArray[np.int64], folds: Sequence[Fold]) -> RidgeProbe:
        """Fit every fold at every strength.

        Parameters
        ----------
        X : ndarray of shape (n, d), float32
        y : ndarray of shape (n,), int64
        folds : sequence of (train, valid)
        """
        classes, codes = np.unique(y, return_inverse=True)
        target = np.eye(len(classes), dtype=np.float32)[codes]
        answers = np.full((len(STRENGTHS), len(y)), -1, dtype=np.int64)
        hits, seen = np.zeros(len(STRENGTHS)), 0
        for train, valid in folds:
            mean, deviation = X[train].mean(axis=0), X[train].std(axis=0)
            deviation = np.where(deviation > 1e-6, deviation, 1.0).astype(np.float32)
            Z, judged = (X[train] - mean) / deviation, (X[valid] - mean) / deviation
            centre = target[train].mean(axis=0)
            for i, weights in enumerate(_solutions(Z, target[train] - centre)):
                answers[i, valid] = classes[(judged @ weights + centre).argmax(axis=1)]
                hits[i] += (classes[(Z @ weights + centre).argmax(axis=1)] == y[train]).sum()
            seen += len(train)
        right = (answers == y).sum(axis=1)
        best = int(np.flatnonzero(right == right.max())[-1])
        return cls(answers[best], STRENGTHS[best], float(hits[best] / seen))


def _solutions(Z: NDArray[np.float32], target: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    """Weights of shape (d, k) for each strength; by whichever of the two Gram matrices is smaller."""
    n, d = Z.shape
    wide = d > n
    gram = (Z @ Z.T if wide else Z.T @ Z) / n
    right = (target if wide else Z.T @ target) / n
    diagonal = np.einsum("ii->i", gram)
    plain, found = diagonal.copy(), []
    for strength in STRENGTHS:
        diagonal[:] = plain + strength
        solved = scipy.linalg.solve(gram, right, assume_a="pos", check_finite=False)
        found.append(np.asarray(Z.T @ solved if wide else solved, dtype=np.float32))
    return found
