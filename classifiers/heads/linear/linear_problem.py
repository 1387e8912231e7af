"""LinearProblem: a linear classifier's training problems in all folds and on everything, behind one feature matrix."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from classifiers.heads.linear.fold_matrix import FoldMatrix
from classifiers.heads.linear.losses import LogisticLoss, Loss, SoftmaxLoss, SquaredHingeLoss
from classifiers.heads.linear.newton import Solution, minimise, objective_of
from classifiers.heads.linear.row_space import RowSpace
from classifiers.types import Fold

LossName = Literal["softmax", "svm"]

SMALL = 200_000
"""Rows x features x logits x folds up to which everything is done in float64 and to the end, for it costs nothing."""
WORKING_BYTES = 2 << 30
"""Memory for the logits of the groups that are solved together; more groups are solved in turn."""
LARGE_PRODUCT = 20_000_000
"""Multiplications in a product from which bfloat16 pays, where the processor has units for it."""
ROTATION = 30_000_000_000
"""Multiplications that a rotation into the space of the rows may take in any case."""
CERTAIN = 100.0
"""Decision value of a fold that was shown one of two classes only."""
LENGTHS = (0.5, 1.0, 1.5, 2.0)
"""How far to go on in the direction of the last two solutions, in their distance, when a path takes its next step."""


@lru_cache(maxsize=1)
def has_bfloat16_units() -> bool:
    """Whether this processor multiplies matrices in bfloat16 faster than in float32."""
    capabilities = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
    return bool(capabilities.get("amx_bf16") or capabilities.get("avx512_bf16"))


class LinearProblem:
    """One training problem for each set of row weights: the folds, and last everything.

    Parameters
    ----------
    X : ndarray of shape (n, d), float32 or float64
        Features.
    codes : ndarray of shape (n,), int64
        Classes, 0 to `k` - 1.
    k : int
        Number of classes, at least 2. Two classes need one logit.
    weights : ndarray of shape (folds + 1, n), float64
        Sample weights, by which the features are standardised; 0 for rows that a fold does not train on.
    class_weights : ndarray of shape (folds + 1, k), float64
        What the loss of each class' rows is multiplied by; for one class of several against the rest, of its own rows.
    loss_name : "softmax" or "svm"
        Multinomial (two classes: logistic) or squared hinge loss, one class against the rest.
    standardise : bool
        Features at mean 0 and variance 1 in each fold.
    """

    def __init__(
        self,
        X: NDArray[np.floating],
        codes: NDArray[np.int64],
        k: int,
        weights: NDArray[np.float64],
        class_weights: NDArray[np.float64],
        *,
        loss_name: LossName,
        standardise: bool,
    ) -> None:
        n, d = X.shape
        self.loss_name, self.k, self.codes = loss_name, k, codes
        self.outputs = 1 if k == 2 else k
        self.folds = len(weights) - 1
        size = n * d * self.outputs * len(weights)
        self.small = size <= SMALL
        self.half = not self.small and size >= LARGE_PRODUCT and has_bfloat16_units()
        self.dtype = torch.float64 if self.small else torch.float32
        self.full = FoldMatrix(X, weights, standardise=standardise, centre=loss_name == "softmax", double=self.small)
        self.matrix: FoldMatrix | RowSpace = self.full
        if 2 * n <= d and (n <= 60 * self.outputs or len(weights) * n * n * d <= ROTATION):
            self.matrix = RowSpace(self.full, weights)
        self._one_class = loss_name == "svm" and k > 2
        self._factors = torch.from_numpy(class_weights)
        self._mass = torch.from_numpy(
            weights if self._one_class else weights * class_weights[:, codes]
        )  # (folds + 1, n)
        self._target = torch.from_numpy(codes)
        seen = np.stack([np.bincount(codes, weights=row, minlength=k) for row in weights]) > 0
        # A fold that has one of two classes only has nothing to separate: it learns nothing, and answers with that one.
        self._certain = np.where(seen.all(axis=1), 0.0, np.where(seen[:, -1], CERTAIN, -CERTAIN))
        if k == 2:
            self._mass[~torch.from_numpy(seen.all(axis=1))] = 0.0
        self._rows = self.outputs if loss_name == "softmax" else 1  # logits that are solved for together
        self._each = self.outputs // self._rows  # groups a fold

    def solve_folds(
        self,
        C: float,
        last: Solution | None = None,
        before: Solution | None = None,
        *,
        tol: float,
        max_steps: int,
    ) -> Solution:
        """All folds at one C.

        Parameters
        ----------
        C : float
        last, before : Solution, optional
            The solutions at the last two values of C, to start from.
        tol : float
            Duality gap / objective.
        max_steps : int
            Newton steps at most.

        Returns
        -------
        Solution
            Groups are folds, or classes within folds.
        """
        blocks = self._blocks(self.folds)
        parts = []
        for groups in blocks:
            loss = self._loss(groups, self.dtype)
            start = self._start(C, loss, groups, last, before)
            parts.append(self._minimise(C, loss, start, tol=tol, max_steps=max_steps))
            if len(blocks) > 1:
                parts[-1] = replace(parts[-1], relative=None)  # too large to be kept for all
        return Solution.join(parts)

    def solve_whole(self, C: float, start: Solution | None, *, tol: float, max_steps: int) -> Solution:
        """Everything at one C, finished and certified in float64.

        Parameters
        ----------
        C : float
        start : Solution, optional
            Of the folds: their mean is where to start.
        tol : float
            Duality gap / objective.
        max_steps : int
            Newton steps at most.

        Returns
        -------
        Solution
            Groups are the classes, or one for all.
        """
        weight, bias = self._zeros(self._each)
        if start is not None:
            weight, bias = (
                part.view(self.folds, self._each, *part.shape[1:]).mean(dim=0) for part in (start.weight, start.bias)
            )
        parts = []
        for block in self._blocks(1):
            groups = block + self.folds * self._each
            at = weight[block], bias[block], None
            first = self._minimise(C, self._loss(groups, self.dtype), at, tol=tol, max_steps=max_steps)
            wide = first.weight.double()
            if isinstance(self.matrix, RowSpace):
                wide = self.matrix.widen(first.weight, self.folds)
            # Where the first solution is as good as it says, this only certifies it.
            finer = minimise(
                self.full, self._loss(groups, torch.float64), C, wide, first.bias.double(),
                tol=tol, max_steps=max_steps, half=self.half, hessian_dtype=self.dtype,
            )  # fmt: skip
            parts.append(replace(finer.after(first), relative=None))
        return Solution.join(parts)

    def coefficients(self, solution: Solution) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Weights (outputs, d) and intercepts (outputs,) of a solution on everything, for features as given."""
        return self.full.unfold(solution.weight.flatten(0, 1), solution.bias.flatten(), self.folds)

    def held_out(self, solution: Solution, folds: Sequence[Fold]) -> NDArray[np.float64]:
        """Decision values of every fold about the rows it held out, one fold after the other.

        Parameters
        ----------
        solution : Solution
            Of the folds.
        folds : sequence of (train, valid)

        Returns
        -------
        ndarray of shape (rows held out, outputs), float64
            -inf for a class that the fold has not seen.
        """
        ends = np.cumsum([len(valid) for _, valid in folds])
        decision = np.empty((ends[-1], self.outputs))
        for groups in self._blocks(self.folds):
            loss = self._loss(groups, self.dtype)
            if solution.relative is None:
                relative = loss.relative(self.matrix.forward(solution.weight[groups], solution.bias[groups], loss.fold))
            else:
                relative = solution.relative[groups]
            for group, logits in zip(groups.tolist(), loss.logits(relative).numpy(), strict=True):
                fold, first = divmod(group, self._each)
                rows = slice(ends[fold] - len(folds[fold][1]), ends[fold])
                decision[rows, first : first + self._rows] = logits[:, folds[fold][1]].T
                if self.k == 2:
                    decision[rows] += self._certain[fold]
        return decision

    def _zeros(self, groups: int) -> tuple[Tensor, Tensor]:
        weight = torch.zeros(groups, self._rows, self.matrix.d, dtype=self.dtype)
        return weight, weight.new_zeros(groups, self._rows)

    def _blocks(self, folds: int) -> list[Tensor]:
        """Groups that are solved together, so that their logits fit into the working memory."""
        each = self._rows * self.matrix.n * self.dtype.itemsize * 8
        return list(torch.split(torch.arange(folds * self._each), max(1, WORKING_BYTES // each)))

    def _loss(self, groups: Tensor, dtype: torch.dtype) -> Loss:
        fold = groups // self._each
        mass = self._mass[fold]
        if self._one_class:
            # As liblinear: a class' factor applies to its own images, where they are told from the rest.
            own = groups % self._each
            mass = torch.where(self._target == own[:, None], mass * self._factors[fold, own][:, None], mass)
        mass = mass.to(dtype)
        if self._rows > 1:
            return SoftmaxLoss(mass, self._target, self.k, fold)
        positive = (groups % self._each)[:, None] if self.k > 2 else 1
        sign = torch.where(self._target == positive, 1.0, -1.0).to(dtype).expand(len(groups), -1)
        return LogisticLoss(mass, sign, fold) if self.loss_name == "softmax" else SquaredHingeLoss(mass, sign, fold)

    def _start(
        self, C: float, loss: Loss, groups: Tensor, last: Solution | None, before: Solution | None
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """Where to start: the last solution, and on in the direction it came from as far as that lowers the objective.

        Where classes can be separated, solutions are nearly straight lines in log C.
        """
        if last is None:
            return *self._zeros(len(groups)), None
        weight, bias = last.weight[groups], last.bias[groups]
        relative = self._relative(loss, groups, last)
        if before is None:
            return weight, bias, relative
        way = (
            weight - before.weight[groups],
            bias - before.bias[groups],
            relative - self._relative(loss, groups, before),
        )
        best = objective_of(loss, C, weight, bias, relative)
        length = torch.zeros(len(groups), dtype=weight.dtype)
        for trial in LENGTHS:
            moved = (weight + trial * way[0], bias + trial * way[1], relative + trial * way[2])
            value = objective_of(loss, C, *moved)
            length[value < best] = trial
            best = torch.minimum(best, value)
        far = length[:, None, None]
        return weight + far * way[0], bias + length[:, None] * way[1], relative + far * way[2]

    def _relative(self, loss: Loss, groups: Tensor, solution: Solution) -> Tensor:
        if solution.relative is not None:
            return solution.relative[groups]
        return loss.relative(self.matrix.forward(solution.weight[groups], solution.bias[groups], loss.fold))

    def _minimise(
        self, C: float, loss: Loss, start: tuple[Tensor, Tensor, Tensor | None], *, tol: float, max_steps: int
    ) -> Solution:
        weight, bias, relative = start
        return minimise(
            self.matrix, loss, C, weight, bias, relative,
            tol=tol, max_steps=max_steps, half=self.half, hessian_dtype=self.dtype,
        )  # fmt: skip
