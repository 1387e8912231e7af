"""RowSpace: features rotated, fold by fold, into the space that the training rows span, where these are the fewer.

The weights of an L2-penalised linear classifier are combinations of its training rows. With ``K = X X'`` of a fold's
training rows and ``K = L L'``, the rows ``L`` are those features seen from an orthonormal basis of that span: the same
problem with as many features as rows, whatever the width was.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from classifiers.heads.linear.fold_matrix import FoldMatrix

JITTER = 1e-10
"""Part of the mean squared row that is added to every row's own, for rows that depend on each other."""
FEATURE_CHUNK = 4096
"""Features that are held in float64 at a time."""


class RowSpace:
    """The rows of a `FoldMatrix` in the span of each fold's training rows; offers the same products.

    Parameters
    ----------
    matrix : FoldMatrix
    weights : ndarray of shape (folds, n), float64
        0 for rows that a fold does not train on.
    """

    def __init__(self, matrix: FoldMatrix, weights: NDArray[np.float64]) -> None:
        self.full = matrix
        self.n, self.dtype = matrix.n, matrix.dtype
        self._train = [torch.from_numpy(np.flatnonzero(row > 0)) for row in weights]
        self.d = max(len(train) for train in self._train)
        self._factors, self._rows = [], []
        for fold, train in enumerate(self._train):
            inner = _inner_products(matrix, fold, train)  # (n, m)
            own = inner[train]
            own.diagonal().add_(JITTER * float(own.diagonal().mean()) + 1e-300)
            factor = torch.linalg.cholesky(own)
            seen = torch.linalg.solve_triangular(factor, inner.T, upper=False).T
            seen[train] = factor
            rows = torch.zeros(self.n, self.d, dtype=self.dtype)
            rows[:, : len(train)] = seen
            self._factors.append(factor)
            self._rows.append(rows)
        self._halves: dict[int, Tensor] = {}

    def forward(self, weight: Tensor, bias: Tensor, fold: Tensor, half: bool = False) -> Tensor:
        """Logits, as `FoldMatrix.forward`."""
        out = torch.empty(*weight.shape[:2], self.n, dtype=weight.dtype)
        for f, groups in _by_fold(fold):
            flat = weight[groups].reshape(-1, self.d)
            if half:
                product = (flat.bfloat16() @ self._half(f).T).to(weight.dtype)
            else:
                product = flat @ self._rows[f].to(weight.dtype).T
            out[groups] = product.view(-1, weight.shape[1], self.n)
        return out.add_(bias[..., None])

    def backward(self, residual: Tensor, fold: Tensor, half: bool = False) -> tuple[Tensor, Tensor]:
        """Gradients, as `FoldMatrix.backward`."""
        out = torch.empty(*residual.shape[:2], self.d, dtype=residual.dtype)
        for f, groups in _by_fold(fold):
            flat = residual[groups].reshape(-1, self.n)
            if half:
                product = (flat.bfloat16() @ self._half(f)).to(residual.dtype)
            else:
                product = flat @ self._rows[f].to(residual.dtype)
            out[groups] = product.view(-1, residual.shape[1], self.d)
        return out, residual.sum(dim=-1)

    def seen(self, fold: int, index: Tensor, dtype: torch.dtype | None = None) -> Tensor:
        """Some rows as a fold sees them, (len(index), d)."""
        return self._rows[fold][index].to(dtype or self.dtype)

    def kernel(self, fold: int, index: Tensor) -> Tensor:
        """Inner products, plus 1, of some rows, (len(index), len(index))."""
        rows = self._rows[fold][index]
        return (rows @ rows.T).add_(1.0)

    @property
    def keeps_kernels(self) -> bool:
        """They are made anew each time, for there are few rows."""
        return False

    def widen(self, weight: Tensor, fold: int) -> Tensor:
        """Weights (groups, r, d) of this space as weights for the full width, float64."""
        train, factor = self._train[fold], self._factors[fold]
        groups, r, _ = weight.shape
        flat = weight.double().reshape(-1, self.d)[:, : len(train)]
        dual = torch.zeros(groups * r, self.n, dtype=torch.float64)
        dual[:, train] = torch.linalg.solve_triangular(factor.T, flat.T, upper=True).T
        wide, _ = self.full.backward(dual.view(groups, r, self.n), torch.full((groups,), fold))
        return wide

    def _half(self, fold: int) -> Tensor:
        if fold not in self._halves:
            self._halves[fold] = self._rows[fold].bfloat16()
        return self._halves[fold]


def _by_fold(fold: Tensor) -> list[tuple[int, Tensor | slice]]:
    """Folds and where their groups are; a slice, which copies nothing, for one fold or one group a fold."""
    folds = fold.tolist()
    if len(set(folds)) == len(folds):
        return [(f, slice(i, i + 1)) for i, f in enumerate(folds)]
    if len(set(folds)) == 1:
        return [(folds[0], slice(None))]
    return [(f, torch.nonzero(fold == f)[:, 0]) for f in sorted(set(folds))]


def _inner_products(matrix: FoldMatrix, fold: int, train: Tensor) -> Tensor:
    """Inner products of all rows with a fold's training rows, as the fold sees them: (n, m), float64."""
    out = torch.zeros(matrix.n, len(train), dtype=torch.float64)
    for columns in torch.split(torch.arange(matrix.d), FEATURE_CHUNK):
        part = matrix.columns(fold, columns)
        out += part @ part[train].T
    return out
