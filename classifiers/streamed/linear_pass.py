"""LinearPass: losses and gradients of many linear classifiers at once, in one pass over the features."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from classifiers.heads.linear.linear_problem import LossName
from classifiers.streamed.chunk_losses import CERTAIN, ChunkLoss, hinge_chunk, logistic_chunk, softmax_chunk
from classifiers.streamed.feature_rows import FeatureRows
from classifiers.streamed.fold_sums import FoldSums

CACHED = 2_000_000
"""Logits that are worked on at a time."""
THIN = 4
"""The softmax' curvature between classes is that of every fourth row: it only steers."""
LARGEST = float(-np.log(np.finfo(np.float64).eps))
"""Loss of a row that is held out, at most."""


@dataclass(frozen=True, eq=False)
class Asked:
    """Weights to be looked at.

    Attributes
    ----------
    fold : int
        Whose rows train and judge.
    weight : Tensor of shape (e, r, d + 1)
        For features as the fold standardises them, and last the intercept; `e` blocks that are solved on their own.
    """

    fold: int
    weight: Tensor


@dataclass(frozen=True, eq=False)
class Seen:
    """What a pass found about them.

    Attributes
    ----------
    loss : Tensor of shape (e,), float64
        Summed over the training rows.
    slope : Tensor of shape (e, r, d + 1)
        Its gradient, in the dtype of the weights.
    curvature : Tensor of shape (r, r) for the softmax, (e,) else
        Second derivative with respect to the intercepts.
    right : ndarray of shape (n,), bool
        Held-out rows whose class has the largest decision value; False elsewhere.
    log_loss : float
        Summed over the held-out rows; NaN for the squared hinge.
    """

    loss: Tensor
    slope: Tensor
    curvature: Tensor
    right: NDArray[np.bool_]
    log_loss: float


class LinearPass:
    """Training problems of all folds behind features that are looked at in chunks.

    Parameters
    ----------
    rows : FeatureRows
    codes : ndarray of shape (n,), int
    k : int
    masks : ndarray of shape (folds + 1, n), bool
        Rows that each fold trains on.
    held : ndarray of shape (folds + 1, n), bool
        Rows that each fold judges.
    sums : FoldSums
    class_weights : ndarray of shape (folds + 1, k)
        What the loss of each class' rows is multiplied by.
    loss_name : "softmax" or "svm"
    told : callable, optional
        Called with the rows seen of the current pass.

    Attributes
    ----------
    passes : int
        So far.
    """

    def __init__(
        self,
        rows: FeatureRows,
        codes: NDArray[np.intp],
        k: int,
        masks: NDArray[np.bool_],
        held: NDArray[np.bool_],
        sums: FoldSums,
        class_weights: NDArray[np.float64],
        *,
        loss_name: LossName,
        told: Callable[[int], None] | None = None,
    ) -> None:
        self.rows, self.loss_name, self.k, self.told, self.passes = rows, loss_name, k, told, 0
        self.codes, self.masks, self.held = codes, masks, held
        self.n, self.d = len(rows), rows.width
        self.outputs = 1 if k == 2 else k
        self.joint = loss_name == "softmax" and k > 2  # all classes are one problem
        self.bias_penalty = 1.0 if loss_name == "svm" else 0.0
        self.factors = torch.from_numpy(class_weights)
        self.mean, self.inverse = torch.from_numpy(sums.mean), torch.from_numpy(1.0 / sums.scale)
        both = [sums.standardiser(fold) for fold in range(len(masks))]
        self.shift = torch.from_numpy(np.stack([shift for shift, _ in both]))  # (folds + 1, d)
        self.gain = torch.from_numpy(np.stack([gain for _, gain in both]))
        there = np.stack([sums.class_means(fold)[0] > 0 for fold in range(len(masks))])
        self.absent = torch.from_numpy(~there)
        # A fold that has one of two classes only has nothing to separate: it answers with that one.
        self._idle = [k == 2 and not bool(row.all()) for row in there]
        sides = np.where(there[:, -1], CERTAIN, -CERTAIN).tolist()
        self._certain: list[float] = [side if idle else 0.0 for side, idle in zip(sides, self._idle, strict=True)]

    @property
    def shape(self) -> tuple[int, int, int]:
        """Of a group's weights: blocks, rows a block, features and the intercept."""
        blocks = 1 if self.joint else self.outputs
        return blocks, self.outputs // blocks, self.d + 1

    def look(self, asked: Sequence[Asked], *, dtype: torch.dtype = torch.float32, judge: bool = True) -> list[Seen]:
        """One pass over all rows, for all weights that are asked about.

        Parameters
        ----------
        asked : sequence of Asked
        dtype : torch.dtype
            Of the products; sums over chunks are float64.
        judge : bool
            Whether the held-out rows are looked at.
        """
        maps = [self._unfold(one, dtype) for one in asked]
        found = [_Sums(one, self) for one in asked]
        target_all = torch.from_numpy(self.codes)
        seen = 0
        for numbers, X in self.rows.chunks(order="stored"):
            rows = torch.from_numpy(X).sub(self.mean).mul_(self.inverse).to(dtype)
            step = max(256, CACHED // self.outputs)
            for at in range(0, len(rows), step):
                part, index = rows[at : at + step], numbers[at : at + step]
                target = target_all[torch.from_numpy(index)]
                for one, (weight, offset), sums in zip(asked, maps, found, strict=True):
                    logits = torch.addmm(offset[:, None], weight, part.T)
                    loss = self._loss(one.fold, logits, target, index)
                    sums.add(loss, part, self.held[one.fold, index] if judge else None, index)
            seen += len(numbers)
            if self.told is not None:
                self.told(seen)
        self.passes += 1
        return [self._fold_back(one, sums) for one, sums in zip(asked, found, strict=True)]

    def decisions(self, one: Asked, X: NDArray[np.float32]) -> NDArray[np.float64]:
        """Decision values (m, outputs), float64, of rows in memory; -inf for classes that the fold has not seen."""
        weight, offset = self._unfold(one, torch.float64)
        rows = torch.from_numpy(X).sub(self.mean).mul_(self.inverse).double()
        decision = rows @ weight.T + offset
        if self.k == 2:
            decision += self._certain[one.fold]
        elif self.joint:
            decision[:, self.absent[one.fold]] = -torch.inf
        return decision.numpy()

    def coefficients(self, one: Asked) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Weights (outputs, d) and intercepts (outputs,) for features as they are given, float64."""
        weight, offset = self._unfold(one, torch.float64)
        coef = weight * self.inverse.double()
        return coef.numpy(), (offset - coef @ self.mean.double()).numpy()

    def _unfold(self, one: Asked, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """Weights (outputs, d) and intercepts (outputs,) for rows near 0 and 1."""
        flat = one.weight.double().reshape(self.outputs, self.d + 1)
        weight = flat[:, :-1] * self.gain[one.fold]
        return weight.to(dtype), (flat[:, -1] - weight @ self.shift[one.fold]).to(dtype)

    def _loss(self, fold: int, logits: Tensor, target: Tensor, index: NDArray[np.int64]) -> ChunkLoss:
        mass = torch.from_numpy(self.masks[fold, index]).to(logits.dtype)
        factors = self.factors[fold].to(logits.dtype)
        if self._idle[fold]:
            mass = torch.zeros_like(mass)
        certain = self._certain[fold]
        if self.loss_name == "svm" and self.k > 2:
            own = None if bool((factors == 1).all()) else factors
            return hinge_chunk(logits, target, mass, own, 0.0)
        if bool((factors != 1).any()):
            mass = mass * factors[target]
        if self.loss_name == "svm":
            return hinge_chunk(logits, target, mass, None, certain)
        if self.k == 2:
            return logistic_chunk(logits, target, mass, certain)
        thin = THIN if len(target) >= 1024 else 1
        return softmax_chunk(logits, target, mass, self.absent[fold], thin=thin)

    def _fold_back(self, one: Asked, sums: _Sums) -> Seen:
        """Gradients with respect to the weights of standardised features."""
        bias = sums.bias
        slope = (sums.weight - bias[:, None] * self.shift[one.fold]) * self.gain[one.fold]
        whole = torch.cat([slope, bias[:, None]], dim=1).view(self.shape).to(one.weight.dtype)
        return Seen(sums.loss, whole, sums.curvature, sums.right, sums.log_loss)


class _Sums:
    """What a pass adds up for one group."""

    def __init__(self, one: Asked, of: LinearPass) -> None:
        blocks, r, _ = of.shape
        self.loss = torch.zeros(blocks, dtype=torch.float64)
        self.weight = torch.zeros(of.outputs, of.d, dtype=torch.float64)
        self.bias = torch.zeros(of.outputs, dtype=torch.float64)
        self.curvature = torch.zeros((r, r) if of.joint else (blocks,), dtype=torch.float64)
        self.right = np.zeros(of.n, dtype=bool)
        self.log_loss = 0.0 if of.loss_name == "softmax" else float("nan")

    def add(self, loss: ChunkLoss, rows: Tensor, held: NDArray[np.bool_] | None, index: NDArray[np.int64]) -> None:
        self.loss += loss.value
        self.weight += loss.residual @ rows
        self.bias += loss.residual.sum(dim=1, dtype=torch.float64)
        self.curvature += loss.curvature
        if held is None or not held.any():
            return
        self.right[index] = loss.right.numpy() & held
        if loss.row_loss is not None:
            # As `scores.log_losses`: a class that the fold has not seen counts as all but impossible, not more.
            held_loss = loss.row_loss[torch.from_numpy(held)].clamp_max(LARGEST)
            self.log_loss += float(held_loss.sum(dtype=torch.float64))
