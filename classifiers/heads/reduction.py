"""Reduction: many features -> few that trees can use, fitted inside the fold."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from classifiers.heads.base.head_input import Training
from classifiers.linalg import standardiser, truncated_svd
from classifiers.types import Fold

_RIDGES = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0)


class Reduction:
    """Ridge scores of the classes, and the first principal components.

    Trees split one feature at a time, but what tells classes apart in a network's features lies in directions that mix
    many of them. So trees get those directions: the scores of a ridge regression on the class indicators (in the space
    of the first principal components), beside a few components as they are. The training rows get leave-one-out scores,
    which have a closed form: in-sample scores would look far better than those of new images ever do, and trees would
    trust them too much. The ridge penalty is the one with the least leave-one-out error.

    Parameters
    ----------
    rank : int
        Components in which the ridge regression works.
    components : int
        Components that are handed on.
    seed : int
        Seed of the randomised SVD.

    Attributes
    ----------
    matrix : ndarray of shape (d, m), float32
    offset : ndarray of shape (m,), float32
        New features are `X @ matrix + offset`: k scores (one for two classes), then the components.
    ridge : float
        The penalty, relative to the mean squared singular value.

    References
    ----------
    Hastie, T., Tibshirani, R., Friedman, J. (2009). The Elements of Statistical Learning, 7.10 (leave one out).
    """

    def __init__(self, *, rank: int = 256, components: int = 32, seed: int = 0) -> None:
        self.rank = rank
        self.components = components
        self.seed = seed

    def fit_transform(
        self, X: NDArray[np.float32], y: NDArray[np.intp], k: int, weight: NDArray[np.float64]
    ) -> NDArray[np.float32]:
        """Fit, and give the training rows as new images would look.

        Parameters
        ----------
        X : ndarray of shape (n, d), float32
        y : ndarray of shape (n,), int
            Classes 0 to k - 1; the scores of one that is not there mean nothing.
        k : int
        weight : ndarray of shape (n,), float64, positive

        Returns
        -------
        ndarray of shape (n, m), float32
        """
        mean, gain = standardiser(X, weight)
        share = weight / weight.sum()
        root = np.sqrt(share).astype(np.float32)
        rows = (X - mean) * gain
        rank = max(1, min(self.rank, *rows.shape))
        left, values, V = truncated_svd(rows * root[:, None], rank, iterations=2, seed=self.seed)
        U, s = left.astype(np.float64), values.astype(np.float64)
        target = np.eye(k)[y][:, : 1 if k == 2 else k]
        prior = share @ target
        scores, loo = self._ridge(U, s, target - prior, np.sqrt(share))
        kept = V[: self.components].T
        self.matrix = np.hstack([V.T @ scores.astype(np.float32), kept]).astype(np.float32) * gain[:, None]
        self.offset = np.concatenate([prior, np.zeros(kept.shape[1])]).astype(np.float32) - mean @ self.matrix
        return np.hstack([loo + prior, rows @ kept]).astype(np.float32)

    def _ridge(
        self, U: NDArray[np.float64], s: NDArray[np.float64], target: NDArray[np.float64], root: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Coefficients in the components, and leave-one-out scores of the training rows."""
        projected = U.T @ (target * root[:, None])
        squares = s * s
        scale = float(squares.mean()) if len(squares) else 1.0
        best: tuple[float, float, NDArray[np.float64], NDArray[np.float64]] | None = None
        for ridge in _RIDGES:
            filtered = squares / (squares + ridge * scale)
            leverage = np.minimum((U * U) @ filtered + root * root, 1 - 1e-6)
            fitted = (U * filtered) @ projected / root[:, None]
            residual = (target - fitted) / (1 - leverage)[:, None]
            error = float((root * root) @ (residual * residual).sum(axis=1))
            if best is None or error < best[0]:
                best = error, ridge, (filtered / s)[:, None] * projected, target - residual
        assert best is not None
        self.ridge = best[1]
        return best[2], best[3]

    def transform(self, X: NDArray[np.float32]) -> NDArray[np.float32]:
        """The reduced features of other rows, (n, m) float32."""
        return np.asarray(X @ self.matrix + self.offset)


def reduced_fold(training: Training, fold: Fold, seed: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The rows of a fold's two parts, reduced by what the training part shows."""
    train, valid = fold
    present, codes = np.unique(training.codes[train], return_inverse=True)
    reduction = Reduction(seed=seed)
    rows = reduction.fit_transform(training.X[train], codes, len(present), training.weight[train])
    return rows, reduction.transform(training.X[valid])
