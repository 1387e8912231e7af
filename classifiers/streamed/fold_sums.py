"""FoldSums: what one pass over the features tells about every fold: masses, means, variances, class sums, products."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from classifiers.streamed.feature_rows import FeatureRows, gathered, require_finite_chunk
from classifiers.types import Fold

WIDEST = 4096
"""Features up to which their products, (d, d), are gathered."""
PROVISIONAL = 4096
"""Rows whose mean and deviation bring all others near 0 and 1, so that sums in float32 keep their digits."""
CONSTANT = 1e-13
"""Variance / mean square up to which a feature is constant in a fold, and what is left of it rounding."""


@dataclass(frozen=True, eq=False)
class FoldSums:
    """Sums over the rows ``(X - mean) / scale``, by which rows train and hold out together, and by class.

    Attributes
    ----------
    mean, scale : ndarray of shape (d,), float32
        Of a sample of rows; they only bring the rows near 0 and 1.
    member : ndarray of shape (folds + 1, p), bool
        Which of `p` kinds of rows every fold trains on; the last fold trains on all.
    mass : ndarray of shape (p, k), float64
        Rows of each kind and class.
    first : ndarray of shape (p, k, d), float64
        Their sums.
    second : ndarray of shape (p, k, d), float64
        Sums of squares.
    products : ndarray of shape (d, d), float64, or None
        Sums of products over all rows; None above `WIDEST` features.
    """

    mean: NDArray[np.float32]
    scale: NDArray[np.float32]
    member: NDArray[np.bool_]
    mass: NDArray[np.float64]
    first: NDArray[np.float64]
    second: NDArray[np.float64]
    products: NDArray[np.float64] | None

    def standardiser(self, fold: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Mean (d,) and one over the deviation (d,) of a fold's training rows; 0 for a feature that is constant."""
        kinds = self.member[fold]
        count = self.mass[kinds].sum()
        first, second = self.first[kinds].sum(axis=(0, 1)) / count, self.second[kinds].sum(axis=(0, 1)) / count
        variance = second - first * first
        variance[variance <= CONSTANT * second] = 0.0
        deviation = np.sqrt(variance)
        return first, np.divide(1.0, deviation, out=np.zeros_like(deviation), where=deviation > 0.0)

    def class_means(self, fold: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Training rows (k,) and mean (k, d) of each class in a fold; 0 for a class without rows."""
        kinds = self.member[fold]
        mass, first = self.mass[kinds].sum(axis=0), self.first[kinds].sum(axis=0)
        return mass, np.divide(first, mass[:, None], out=np.zeros_like(first), where=mass[:, None] > 0)

    def class_squares(self, fold: int) -> NDArray[np.float64]:
        """Sums of squares of each class' training rows in a fold, (k, d)."""
        return np.asarray(self.second[self.member[fold]].sum(axis=0))

    def correlation(self) -> NDArray[np.float64] | None:
        """Correlations of the features over all rows, (d, d); None where the products were not gathered."""
        if self.products is None:
            return None
        first, gain = self.standardiser(len(self.member) - 1)
        return np.asarray((self.products / self.mass.sum() - np.outer(first, first)) * np.outer(gain, gain))


def training_masks(folds: list[Fold], n: int) -> NDArray[np.bool_]:
    """Which rows each fold trains on, (folds + 1, n); the last row is everything.

    Examples
    --------
    >>> training_masks([(np.array([0, 1]), np.array([2]))], 3).astype(int).tolist()
    [[1, 1, 0], [1, 1, 1]]
    """
    masks = np.zeros((len(folds) + 1, n), dtype=bool)
    for mask, (train, _) in zip(masks, folds, strict=False):
        mask[train] = True
    masks[-1] = True
    return masks


def fold_sums(
    rows: FeatureRows,
    codes: NDArray[np.intp],
    k: int,
    masks: NDArray[np.bool_],
    *,
    products: bool = True,
    seed: int = 0,
    told: Callable[[int], None] | None = None,
    named: Callable[[int], str] | None = None,
) -> FoldSums:
    """Look at every row once.

    Parameters
    ----------
    rows : FeatureRows
    codes : ndarray of shape (n,), int
        Classes, 0 to `k` - 1.
    k : int
    masks : ndarray of shape (folds + 1, n), bool
        Rows that each fold trains on.
    products : bool
        Gather the products of features, which costs rows x features x features.
    seed : int
        Of the rows that tell the provisional mean and scale.
    told : callable, optional
        Called with the number of rows seen so far.
    named : callable, optional
        What a row is called.

    Raises
    ------
    FeaturesError
        For features that are NaN or infinite, with the numbers of the rows.

    Examples
    --------
    >>> from classifiers.streamed.feature_rows import ArrayRows
    >>> X, codes = np.array([[0.0], [2.0], [4.0]], np.float32), np.array([0, 1, 1])
    >>> found = fold_sums(ArrayRows(X), codes, 2, np.ones((1, 3), bool))
    >>> mass, means = found.class_means(0)
    >>> mass.tolist(), (means * found.scale + found.mean).round(5).tolist()
    ([1.0, 2.0], [[0.0], [3.0]])
    """
    n, d = len(rows), rows.width
    chosen = np.sort(np.random.default_rng(seed).choice(n, min(n, PROVISIONAL), replace=False))
    sample = gathered(rows, chosen)
    require_finite_chunk(chosen, sample, named)
    mean = sample.mean(axis=0, dtype=np.float64).astype(np.float32)
    scale = sample.std(axis=0, dtype=np.float64)
    scale[scale <= 4 * float(np.finfo(np.float32).eps) * np.abs(mean)] = 1.0
    scale[scale == 0.0] = 1.0
    member, kind = _kinds(masks)
    kinds = member.shape[1]
    mass = np.zeros((kinds, k))
    np.add.at(mass, (kind, codes), 1.0)
    first = torch.zeros(kinds * k, d, dtype=torch.float64)
    second = torch.zeros(kinds * k, d, dtype=torch.float64)
    gathered_products = torch.zeros(d, d, dtype=torch.float64) if products and d <= WIDEST else None
    centre, inverse = torch.from_numpy(mean), torch.from_numpy((1.0 / scale).astype(np.float32))
    seen = 0
    for numbers, X in rows.chunks(order="stored"):
        require_finite_chunk(numbers, X, named)
        part = torch.from_numpy(X).sub(centre).mul_(inverse)
        wide = part.double()
        cell = torch.from_numpy(kind[numbers] * k + codes[numbers])
        first.index_add_(0, cell, wide)
        second.index_add_(0, cell, wide.square_())
        if gathered_products is not None:
            gathered_products += part.T @ part
        seen += len(numbers)
        if told is not None:
            told(seen)
    shape, scale = (kinds, k, d), (1.0 / inverse.numpy()).astype(np.float32)
    found = None if gathered_products is None else gathered_products.numpy()
    return FoldSums(mean, scale, member, mass, first.view(shape).numpy(), second.view(shape).numpy(), found)


def _kinds(masks: NDArray[np.bool_]) -> tuple[NDArray[np.bool_], NDArray[np.intp]]:
    """The different columns of `masks`, (folds, p), and which of them each row is, (n,)."""
    packed = np.ascontiguousarray(np.packbits(masks, axis=0).T)  # (n, bytes)
    _, at, kind = np.unique(packed.view(f"V{packed.shape[1]}")[:, 0], return_index=True, return_inverse=True)
    return masks[:, at], kind.astype(np.intp).ravel()
