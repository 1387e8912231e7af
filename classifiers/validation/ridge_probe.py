"""RidgeProbe: how far a linear classifier gets on features, out of fold, in the time that advice may take."""

from __future__ import annotations

import functools
import operator
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import scipy.linalg
from numpy.typing import NDArray

from classifiers.linalg import standardiser
from classifiers.types import Fold, Index

STRENGTHS = (0.003, 0.03, 0.1, 0.3, 1.0, 3.0, 30.0)
"""Of the penalty, against a mean variance of 1 in every direction."""

_LEAST = 1e-3
"""Deviation inside a fold, against that of all rows, from which a feature counts: one that is constant but for a row or
two tells nothing of the others, and would be blown up by standardising."""


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
    even_scores : ndarray of shape (n, k), float32
        As `scores`, with `strength` in every fold. Scores of a strong penalty are small: where folds differ in theirs,
        no single temperature makes probabilities of `scores`.
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
    even_scores: NDArray[np.float32]
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
            Each trains on all rows that it does not judge, and no row is judged twice.
        strengths : sequence of float
            To choose from, weakest first.
        nested : bool
            Whether to find `inner_scores`.

        Raises
        ------
        ValueError
            Folds of another kind.

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
        held = np.concatenate([valid for _, valid in folds])
        if len(np.unique(held)) < len(held) or any(len(train) + len(valid) != len(y) for train, valid in folds):
            raise ValueError("folds share judged rows or leave rows out, expected folds that train on all other rows")
        classes, codes = np.unique(y, return_inverse=True)
        target = np.eye(len(classes), dtype=np.float32)[codes]
        # By all rows, which no label has a part in; a fold's own mean and deviation follow from sums over its rows.
        mean, gain = standardiser(X, np.ones(len(X)))
        Z = (X - mean) * gain
        parts = None if X.shape[1] > len(X) else _parts(Z, target, [valid for _, valid in folds])
        fits, right = [], np.zeros((len(folds), len(strengths)), dtype=np.int64)
        for i, (train, valid) in enumerate(folds):
            if parts is None:
                found = _fit_rows(Z[train], target[train], strengths)
            else:
                found = _sum(parts, i).fit(strengths)
            right[i] = [((Z[valid] @ w + at).argmax(axis=1) == codes[valid]).sum() for w, at in found]
            fits.append(found)
        overall = _most(right.sum(axis=0))
        scores = np.full(target.shape, np.nan, dtype=np.float32)
        even = scores.copy()
        answers, hits, seen = np.full(len(y), -1, dtype=np.int64), 0, 0
        for i, (train, valid) in enumerate(folds):
            # A single fold has no others to ask.
            weights, at = fits[i][_most(right.sum(axis=0) - right[i] if len(folds) > 1 else right[i])]
            said = Z @ weights + at
            scores[valid], answers[valid] = said[valid], classes[said[valid].argmax(axis=1)]
            weights, at = fits[i][overall]
            even[valid] = Z[valid] @ weights + at
            hits += int((said[train].argmax(axis=1) == codes[train]).sum())
            seen += len(train)
        inner = _inner_scores(Z, target, folds, parts, strengths[overall]) if nested else None
        return cls(classes, scores, answers, strengths[overall], even, hits / seen, inner)


Linear = tuple[NDArray[np.float32], NDArray[np.float32]]
"""Weights (d, k) and what is added (k,)."""


@dataclass(frozen=True, eq=False)
class _Sums:
    """Sums over rows, all that a fit in the space of the features needs of them: folds share them.

    n : rows; gram (d, d), cross (d, k); total, squares (d,) and target (k,) in float64.
    """

    n: int
    gram: NDArray[np.float32]
    cross: NDArray[np.float32]
    total: NDArray[np.float64]
    squares: NDArray[np.float64]
    target: NDArray[np.float64]

    @classmethod
    def over(cls, Z: NDArray[np.float32], target: NDArray[np.float32]) -> _Sums:
        total, squares = Z.sum(axis=0, dtype=np.float64), np.einsum("ij,ij->j", Z, Z, dtype=np.float64)
        return cls(len(Z), Z.T @ Z, Z.T @ target, total, squares, target.sum(axis=0, dtype=np.float64))

    def fit(self, strengths: Sequence[float]) -> list[Linear]:
        """For each strength, on rows standardised by their own mean and deviation."""
        mean, centre = self.total / self.n, self.target / self.n
        gain = _gain(np.sqrt(np.maximum(self.squares / self.n - mean**2, 0)))
        gram = self.gram / np.float32(self.n)
        gram -= np.outer(mean, mean).astype(np.float32)
        gram *= gain[:, None]
        gram *= gain
        right = (self.cross / self.n - np.outer(mean, centre)) * gain[:, None]
        found = _solutions(gram, right.astype(np.float32), strengths)
        return [_linear(solved * gain[:, None], mean, centre) for solved in found]


def _parts(Z: NDArray[np.float32], target: NDArray[np.float32], valid: Sequence[Index]) -> list[_Sums]:
    """The sums over what each fold judges; last those over the rows that none judges."""
    rest = np.setdiff1d(np.arange(len(Z)), np.concatenate(valid))
    return [_Sums.over(Z[rows], target[rows]) for rows in (*valid, rest)]


def _sum(parts: Sequence[_Sums], *left_out: int) -> _Sums:
    """The sums over all parts but some. None is subtracted, so that no precision is lost."""
    kept = [part for i, part in enumerate(parts) if i not in left_out]
    return _Sums(*(functools.reduce(operator.add, values) for values in zip(*map(_values, kept), strict=True)))


def _values(sums: _Sums) -> tuple[Any, ...]:
    return tuple(getattr(sums, field.name) for field in fields(sums))


def _fit_rows(Z: NDArray[np.float32], target: NDArray[np.float32], strengths: Sequence[float]) -> list[Linear]:
    """As `_Sums.fit`, through products of rows: for more features than rows."""
    mean, centre = Z.mean(axis=0), target.mean(axis=0)
    gain = _gain(Z.std(axis=0))
    rows = (Z - mean) * gain
    n = np.float32(len(Z))
    found = _solutions(rows @ rows.T / n, (target - centre) / n, strengths)
    return [_linear((rows.T @ solved) * gain[:, None], mean, centre) for solved in found]


def _gain(deviation: NDArray[np.floating]) -> NDArray[np.float32]:
    """One over the deviation; 0 where there is too little of it."""
    alive = deviation > _LEAST
    return np.asarray(np.divide(1, deviation, out=np.zeros_like(deviation), where=alive), dtype=np.float32)


def _linear(weights: NDArray[np.float32], mean: NDArray[np.floating], centre: NDArray[np.floating]) -> Linear:
    return weights, np.asarray(centre - mean @ weights, dtype=np.float32)


def _most(right: NDArray[np.int64]) -> int:
    """The last of the largest: the strongest penalty among equals."""
    return int(np.flatnonzero(right == right.max())[-1])


def _solutions(
    gram: NDArray[np.float32], right: NDArray[np.float32], strengths: Sequence[float]
) -> list[NDArray[np.float32]]:
    """Solutions of ``(gram + strength) @ x = right`` for each strength."""
    diagonal = np.einsum("ii->i", gram)
    plain, found = diagonal.copy(), []
    for strength in strengths:
        diagonal[:] = plain + np.float32(strength)
        factor = scipy.linalg.cho_factor(gram, lower=True, check_finite=False)
        found.append(np.asarray(scipy.linalg.cho_solve(factor, right, check_finite=False), dtype=np.float32))
    return found


def _inner_scores(
    Z: NDArray[np.float32],
    target: NDArray[np.float32],
    folds: Sequence[Fold],
    parts: Sequence[_Sums] | None,
    strength: float,
) -> NDArray[np.float32]:
    """One fit for each two folds, that saw neither; standardised by all rows."""
    n = len(Z)
    scores = np.full((len(folds), *target.shape), np.nan, dtype=np.float32)
    whole = Z @ Z.T if parts is None else None
    for f, (_, one) in enumerate(folds):
        for g, (_, other) in enumerate(folds[:f]):
            seen = np.ones(n, dtype=bool)
            seen[one] = seen[other] = False
            count = np.float32(seen.sum())
            if not count:
                continue
            centre = target[seen].mean(axis=0)
            if whole is not None:
                (solved,) = _solutions(whole[np.ix_(seen, seen)] / count, (target[seen] - centre) / count, [strength])
                said = {fold: whole[np.ix_(rows, seen)] @ solved for fold, rows in ((f, other), (g, one))}
            else:
                sums = _sum(parts or (), f, g)
                right = sums.cross - np.outer(sums.total, centre).astype(np.float32)
                (solved,) = _solutions(sums.gram / count, right / count, [strength])
                said = {fold: Z[rows] @ solved for fold, rows in ((f, other), (g, one))}
            scores[f, other], scores[g, one] = said[f] + centre, said[g] + centre
    return scores
