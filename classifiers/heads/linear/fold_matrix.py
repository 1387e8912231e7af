"""FoldMatrix: one feature matrix as every fold sees it, standardised by that fold's own training rows."""

from __future__ import annotations

from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from featstore.errors import FeaturesError

CHUNK = 4096
"""Rows that are held in float64 at a time."""
CONSTANT = 1e-13
"""Variance / mean square up to which a feature is constant in a fold, and what is left of it rounding."""
KERNEL_BYTES = 1 << 30
"""Memory for inner products of all rows, in all folds."""


class FoldMatrix:
    """Features behind one affine map a fold, without a copy a fold.

    The rows are stored once, standardised by all rows (which keeps float32 sums accurate). What fold ``f`` sees is
    ``(rows - shift[f]) * gain[f]``; both are applied to weights and gradients, which are small, never to the rows. All
    folds therefore share one matrix product, and the rows that a fold holds out get their logits in passing.

    Parameters
    ----------
    X : ndarray of shape (n, d), float32 or float64
        Features, finite. Stored as float32, or as float64 with `double`.
    weights : ndarray of shape (folds, n), float64
        Sample weights; 0 for the rows that the fold holds out.
    standardise : bool
        Mean 0 and variance 1 over the fold's weighted rows, as scikit-learn's `StandardScaler`; else as given.
    centre : bool
        Without `standardise`: subtract the fold's mean. It changes nothing but the intercept, if that is not penalised.
    double : bool
        Store and multiply in float64.
    """

    def __init__(
        self, X: NDArray[np.floating], weights: NDArray[np.float64], *, standardise: bool, centre: bool, double: bool
    ) -> None:
        self.n, self.d = X.shape
        self.dtype = torch.float64 if double else torch.float32
        self.mean, self.scale = _moments(X)
        mean, inverse = torch.from_numpy(self.mean), torch.from_numpy(1.0 / self.scale)
        if X.dtype == np.float32 and not double:
            mean, inverse = mean.float(), inverse.float()
        self.rows = torch.empty(self.n, self.d, dtype=self.dtype)  # (n, d)
        for at in range(0, self.n, CHUNK):
            part = torch.from_numpy(X[at : at + CHUNK]).to(mean.dtype)
            self.rows[at : at + CHUNK] = torch.sub(part, mean).mul_(inverse)
        if standardise or centre:
            shift, deviation = self._fold_moments(weights)
        else:
            shift, deviation = np.tile(-self.mean / self.scale, (len(weights), 1)), None
        if standardise and deviation is not None:
            # A feature that is constant in the fold's training rows teaches nothing; its weight stays 0.
            gain = np.divide(1.0, deviation, out=np.zeros_like(deviation), where=deviation > 0.0)
        else:
            gain = np.tile(self.scale, (len(weights), 1))
        self._kernels: dict[int, Tensor] = {}
        self._shift, self._gain = torch.from_numpy(shift), torch.from_numpy(gain)  # (folds, d), float64

    @cached_property
    def half(self) -> Tensor:
        """The rows in bfloat16."""
        return self.rows.bfloat16()

    def _fold_moments(self, weights: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        mass = torch.from_numpy(weights / weights.sum(axis=1, keepdims=True))
        first, second = torch.zeros(2, len(weights), self.d, dtype=torch.float64)
        for at in range(0, self.n, CHUNK):
            # In float64: what float32 leaves of a constant feature's variance is far from nothing, and dividing by it
            # would give the rows that the fold holds out values in the thousands.
            rows, part = self.rows[at : at + CHUNK].double(), mass[:, at : at + CHUNK]
            first += part @ rows
            second += part @ rows.square()
        variance = second - first * first
        variance[variance <= CONSTANT * second] = 0.0
        return first.numpy(), variance.sqrt_().numpy()

    def forward(self, weight: Tensor, bias: Tensor, fold: Tensor, half: bool = False) -> Tensor:
        """Logits of all rows.

        Parameters
        ----------
        weight : Tensor of shape (groups, r, d), float32 or float64
            One block of `r` weight rows a group; the product runs in this dtype.
        bias : Tensor of shape (groups, r)
            Intercepts.
        fold : Tensor of shape (groups,), int64
            The fold of each group.
        half : bool
            Multiply in bfloat16 with float32 sums: for directions, never for what is judged.

        Returns
        -------
        Tensor of shape (groups, r, n), of the dtype of `weight`
        """
        scaled = weight * self._gain[fold].to(weight.dtype)[:, None, :]
        offset = bias - (scaled @ self._shift[fold].to(weight.dtype)[:, :, None])[..., 0]
        flat = scaled.reshape(-1, self.d)
        if half:
            out = (flat.bfloat16() @ self.half.T).to(weight.dtype)
        elif weight.dtype == self.dtype:
            out = flat @ self.rows.T
        else:
            out = torch.cat([flat @ part.to(weight.dtype).T for part in torch.split(self.rows, CHUNK)], dim=1)
        return out.view(*weight.shape[:2], self.n).add_(offset[..., None])

    def backward(self, residual: Tensor, fold: Tensor, half: bool = False) -> tuple[Tensor, Tensor]:
        """The transposed product: gradients with respect to weights and intercepts.

        Parameters
        ----------
        residual : Tensor of shape (groups, r, n), float32 or float64
            Derivatives with respect to the logits.
        fold : Tensor of shape (groups,), int64
            The fold of each group.
        half : bool
            Multiply in bfloat16 with float32 sums.

        Returns
        -------
        weight : Tensor of shape (groups, r, d)
        bias : Tensor of shape (groups, r)
        """
        dtype = residual.dtype
        bias = residual.sum(dim=-1)
        flat = residual.reshape(-1, self.n)
        if half:
            out = (flat.bfloat16() @ self.half).to(dtype)
        elif dtype == self.dtype:
            out = flat @ self.rows
        else:
            out = torch.zeros(len(flat), self.d, dtype=dtype)
            for columns, part in zip(torch.split(flat, CHUNK, dim=1), torch.split(self.rows, CHUNK), strict=True):
                out += columns @ part.to(dtype)
        out = out.view(*residual.shape[:2], self.d)
        out = out.sub_(bias[..., None] * self._shift[fold].to(dtype)[:, None, :])
        return out.mul_(self._gain[fold].to(dtype)[:, None, :]), bias

    def seen(self, fold: int, index: Tensor, dtype: torch.dtype | None = None) -> Tensor:
        """Some rows as a fold sees them, (len(index), d), computed in a dtype or the one they are stored in."""
        dtype = dtype or self.dtype
        return self.rows[index].to(dtype).sub_(self._shift[fold].to(dtype)).mul_(self._gain[fold].to(dtype))

    def columns(self, fold: int, index: Tensor) -> Tensor:
        """Some features of all rows as a fold sees them, (n, len(index)), float64."""
        return self.rows[:, index].double().sub_(self._shift[fold, index]).mul_(self._gain[fold, index])

    def kernel(self, fold: int, index: Tensor) -> Tensor:
        """Inner products, plus 1, of some rows as a fold sees them: (len(index), len(index)), in the stored dtype.

        The whole table of a fold is kept where it is small enough, since class after class asks for parts of it.
        """
        if not self.keeps_kernels:
            rows = self.seen(fold, index)
            return (rows @ rows.T).add_(1.0)
        if fold not in self._kernels:
            rows = self.seen(fold, torch.arange(self.n))
            self._kernels[fold] = (rows @ rows.T).add_(1.0)
        return self._kernels[fold][index][:, index]

    @property
    def keeps_kernels(self) -> bool:
        """Whether the table of inner products of every fold is kept."""
        return bool(self.n * self.n * self.dtype.itemsize * len(self._shift) <= KERNEL_BYTES)

    def unfold(self, weight: Tensor, bias: Tensor, fold: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Weights and intercepts that apply to features as they were given.

        Parameters
        ----------
        weight : Tensor of shape (r, d)
        bias : Tensor of shape (r,)
        fold : int

        Returns
        -------
        coef : ndarray of shape (r, d), float64
        intercept : ndarray of shape (r,), float64
        """
        scaled = weight.double().numpy() * self._gain[fold].numpy()
        coef = scaled / self.scale
        return coef, bias.double().numpy() - scaled @ self._shift[fold].numpy() - coef @ self.mean


def _moments(X: NDArray[np.floating]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and standard deviation of every feature, about: they only bring the rows near 0 and 1. 1 where constant."""
    mean, square = np.zeros((2, X.shape[1]))
    for at in range(0, len(X), CHUNK):
        part = torch.from_numpy(X[at : at + CHUNK])
        mean += part.sum(dim=0).double().numpy()
    mean = (mean / len(X)).astype(X.dtype).astype(np.float64)
    centre = torch.from_numpy(mean).to(torch.from_numpy(X[:1]).dtype)
    for at in range(0, len(X), CHUNK):
        square += torch.sub(torch.from_numpy(X[at : at + CHUNK]), centre).square_().sum(dim=0).double().numpy()
    deviation = np.sqrt(square / len(X))
    if not np.isfinite(deviation).all():
        raise FeaturesError(
            f"{(~np.isfinite(deviation)).sum()} of {X.shape[1]} features are NaN, infinite or too large to square; "
            "expected finite features"
        )
    # What is left of a constant feature is rounding.
    deviation[deviation <= 4 * float(np.finfo(X.dtype).eps) * np.abs(mean)] = 1.0
    deviation[deviation == 0.0] = 1.0
    return mean, deviation.astype(X.dtype).astype(np.float64)
