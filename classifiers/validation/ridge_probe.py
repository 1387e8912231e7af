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

    Close to logistic regression in accuracy where the strength is chosen for both, and solved directly. The strength
    that answers for a fold is the one with the most rows right in the *other* folds, so that no row has a say in the
    choice that it is then counted for.

    Attributes
    ----------
    classes : ndarray of shape (k,), int64
        What the columns of `scores` stand for.
    scores : ndarray of shape (n, k), float32
        Out-of-fold decision values, around 0 for a wrong class and 1 for the right one; NaN for rows that no fold
        judges.
    answers : ndarray of shape (n,), int64
        Out-of-fold class of each row; -1 for rows that no fold judges.
    strength : float
        The one with the most rows right in all folds, the strongest among equals: what to fit on all rows.
    train_accuracy : float
        On the rows that it was fitted to, the mean of the folds.
    inner_scores : ndarray of shape (folds, n, k), float32, or None
        For each fold f, decision values of the rows outside it, by fits that saw neither f nor the row's own fold: what
        a choice for f may rest on. Where a fit that saw f judges the others, chance agreement of f with the others
        would count for both. NaN for the rows of f. None unless `nested`.

    References
    ----------
    Varma, S., Simon, R. (2006). Bias in error estimation when using cross-validation for model selection. BMC
    Bioinformatics 7.
    """

    classes: NDArray[np.int64]
    scores: NDArray[np.float32]
    answers: NDArray[np.int64]
    strength: float
    train_accuracy: float
    inner_scores: NDArray[np.float32] | None = None

    @classmethod
    def fit(
        cls,
        X: NDArray[np.float32],
        y: NDArray[np.int64],
        folds: Sequence[Fold],
        strengths: Sequence[float] = STRENGTHS,
        *,
        nested: bool = False,
    ) -> RidgeProbe:
        """Fit every fold at every strength.

        Parameters
        ----------
        X : ndarray of shape (n, d), float32
        y : ndarray of shape (n,), int64
        folds : sequence of (train, valid)
        strengths : sequence of float
            To choose from, weakest first.
        nested : bool
            Whether to find `inner_scores`, for folds that train on all rows that they do not judge.

        Examples
        --------
        >>> rng = np.random.default_rng(0)
        >>> y = np.repeat([3, 8], 30)
        >>> X = (rng.normal(size=(60, 4)) + y[:, None]).astype(np.float32)
        >>> rows = np.arange(60)
        >>> folds = [(rows[rows % 5 != i], rows[rows % 5 == i]) for i in range(5)]
        >>> probe = RidgeProbe.fit(X, y, folds)
        >>> probe.scores.shape, float((probe.answers == y).mean())
        ((60, 2), 1.0)
        """
        classes, codes = np.unique(y, return_inverse=True)
        target = np.eye(len(classes), dtype=np.float32)[codes]
        fits, right = [], np.zeros((len(folds), len(strengths)), dtype=np.int64)
        for i, (train, valid) in enumerate(folds):
            mean, deviation = X[train].mean(axis=0), X[train].std(axis=0)
            deviation = np.where(deviation > 1e-6, deviation, 1.0).astype(np.float32)
            Z, judged = (X[train] - mean) / deviation, (X[valid] - mean) / deviation
            centre = target[train].mean(axis=0)
            solutions = _solutions(Z, target[train] - centre, strengths)
            right[i] = [((judged @ w + centre).argmax(axis=1) == codes[valid]).sum() for w in solutions]
            fits.append((mean, deviation, centre, solutions))
        scores = np.full(target.shape, np.nan, dtype=np.float32)
        answers, hits, seen = np.full(len(y), -1, dtype=np.int64), 0, 0
        for i, (train, valid) in enumerate(folds):
            mean, deviation, centre, solutions = fits[i]
            # A single fold has no others to ask.
            chosen = _most(right.sum(axis=0) - right[i] if len(folds) > 1 else right[i])
            scores[valid] = ((X[valid] - mean) / deviation) @ solutions[chosen] + centre
            answers[valid] = classes[scores[valid].argmax(axis=1)]
            fitted = ((X[train] - mean) / deviation) @ solutions[chosen] + centre
            hits += int((fitted.argmax(axis=1) == codes[train]).sum())
            seen += len(train)
        strength = strengths[_most(right.sum(axis=0))]
        inner = _inner_scores(X, target, folds, strength) if nested else None
        return cls(classes, scores, answers, strength, hits / seen, inner)


def _most(right: NDArray[np.int64]) -> int:
    """The last of the largest: the strongest penalty among equals."""
    return int(np.flatnonzero(right == right.max())[-1])


def _solutions(
    Z: NDArray[np.float32], target: NDArray[np.float32], strengths: Sequence[float]
) -> list[NDArray[np.float32]]:
    """Weights of shape (d, k) for each strength; by whichever of the two Gram matrices is smaller."""
    n, d = Z.shape
    wide = d > n
    gram = (Z @ Z.T if wide else Z.T @ Z) / n
    right = (target if wide else Z.T @ target) / n
    diagonal = np.einsum("ii->i", gram)
    plain, found = diagonal.copy(), []
    for strength in strengths:
        diagonal[:] = plain + strength
        factor = scipy.linalg.cho_factor(gram, lower=True, check_finite=False)
        solved = scipy.linalg.cho_solve(factor, right, check_finite=False)
        found.append(np.asarray(Z.T @ solved if wide else solved, dtype=np.float32))
    return found


def _inner_scores(
    X: NDArray[np.float32], target: NDArray[np.float32], folds: Sequence[Fold], strength: float
) -> NDArray[np.float32]:
    """One fit for each two folds, that saw neither; standardised by all rows, which no label has a part in."""
    n, d = X.shape
    scores = np.full((len(folds), *target.shape), np.nan, dtype=np.float32)
    mean, deviation = X.mean(axis=0), X.std(axis=0)
    Z = (X - mean) / np.where(deviation > 1e-6, deviation, 1.0).astype(np.float32)
    wide = d > n
    whole = Z @ Z.T if wide else Z.T @ Z
    parts = [] if wide else [Z[valid].T @ Z[valid] for _, valid in folds]
    for f, (_, one) in enumerate(folds):
        for g, (_, other) in enumerate(folds[:f]):
            seen = np.ones(n, dtype=bool)
            seen[one] = seen[other] = False
            count = int(seen.sum())
            if not count:
                continue
            centre = target[seen].mean(axis=0)
            residual = target[seen] - centre
            # Products of the rows seen: all of them less those of the two folds.
            gram = (whole[np.ix_(seen, seen)] if wide else whole - parts[f] - parts[g]) / np.float32(count)
            gram[np.diag_indices_from(gram)] += np.float32(strength)
            factor = scipy.linalg.cho_factor(gram, lower=True, check_finite=False)
            right = (residual if wide else Z[seen].T @ residual) / np.float32(count)
            solved = scipy.linalg.cho_solve(factor, right, check_finite=False)
            for fold, rows in ((f, other), (g, one)):
                scores[fold, rows] = (whole[np.ix_(rows, seen)] if wide else Z[rows]) @ solved + centre
    return scores
