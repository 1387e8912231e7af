"""RegularisationPath: one kind of linear classifier over many strengths C, all folds at once, each C from the last."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from classifiers.foldmatrix import FoldMatrix
from classifiers.losses import LogisticLoss, Loss, SoftmaxLoss, SquaredHingeLoss
from classifiers.newton import Solution, minimise
from classifiers.splits import Fold
from classifiers.temperature import as_logits, fit_slope, log_losses, softmax
from featstore.errors import FeaturesError

Kind = Literal["softmax", "svm"]

SMALL = 4_000_000
"""Rows x features x logits x folds up to which everything is done in float64 and to the end, for it costs nothing."""
WORKING_BYTES = 2 << 30
"""Memory for the logits of the groups that are solved together; more groups are solved in turn."""
CERTAIN = 100.0
"""Decision value of a fold that was shown one of two classes only."""
LARGE_PRODUCT = 20_000_000
"""Multiplications in a product from which bfloat16 pays, where the processor has units for it."""


@lru_cache(maxsize=1)
def has_bfloat16_units() -> bool:
    """Whether this processor multiplies matrices in bfloat16 faster than in float32."""
    capabilities = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
    return bool(capabilities.get("amx_bf16") or capabilities.get("avx512_bf16"))


class LinearProblem:
    """A linear classifier's training problems, one for each set of row weights (fold), sharing one feature matrix.

    Parameters
    ----------
    X : ndarray of shape (n, d), float32 or float64
        Features.
    codes : ndarray of shape (n,), int64
        Classes, 0 to `k` - 1.
    k : int
        Number of classes, at least 2. Two classes need one logit.
    weights : ndarray of shape (folds, n), float64
        Sample weights, by which the features are standardised; 0 for rows that a fold does not train on.
    class_weights : ndarray of shape (folds, k), float64
        What each class' loss is multiplied by in each fold.
    kind : "softmax" or "svm"
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
        kind: Kind,
        standardise: bool,
    ) -> None:
        n, d = X.shape
        self.kind, self.k, self.codes = kind, k, codes
        self.outputs = 1 if k == 2 else k
        self.small = n * d * self.outputs * len(weights) <= SMALL
        self.dtype = torch.float64 if self.small else torch.float32
        self.matrix = FoldMatrix(X, weights, standardise=standardise, centre=kind == "softmax", double=self.small)
        self.folds = len(weights)
        self.mass = torch.from_numpy(weights * class_weights[:, codes])  # (folds, n), float64
        seen = np.stack([np.bincount(codes, weights=row, minlength=k) for row in weights]) > 0
        # A fold that has one of two classes only has nothing to separate: it learns nothing, and answers with that one.
        self._certain = torch.from_numpy(np.where(seen.all(axis=1), 0.0, np.where(seen[:, -1], CERTAIN, -CERTAIN)))
        if k == 2:
            self.mass[~torch.from_numpy(seen.all(axis=1))] = 0.0
        self._target = torch.from_numpy(codes)
        coupled = kind == "softmax"
        self.rows = self.outputs if coupled else 1
        self.fold_of = torch.arange(self.folds).repeat_interleave(1 if coupled else self.outputs)
        self.half = not self.small and has_bfloat16_units() and n * d * self.outputs * self.folds >= LARGE_PRODUCT

    def zeros(self) -> tuple[Tensor, Tensor]:
        """Where a path starts: weights (groups, rows, d) and intercepts (groups, rows)."""
        groups = len(self.fold_of)
        return (
            torch.zeros(groups, self.rows, self.matrix.d, dtype=self.dtype),
            torch.zeros(groups, self.rows, dtype=self.dtype),
        )

    def _blocks(self) -> Iterator[Tensor]:
        """Groups that are solved together, so that the logits fit into the working memory."""
        each = self.rows * self.matrix.n * self.dtype.itemsize * 8
        size = max(1, WORKING_BYTES // each)
        yield from torch.split(torch.arange(len(self.fold_of)), size)

    def _loss(self, groups: Tensor, dtype: torch.dtype) -> Loss:
        fold = self.fold_of[groups]
        mass = self.mass[fold].to(dtype)
        if self.rows > 1:
            loss = SoftmaxLoss(mass, self._target, self.k)
            loss.fold = fold
            return loss
        positive = 1 if self.outputs == 1 else (groups % self.outputs)[:, None]
        sign = torch.where(self._target == positive, 1.0, -1.0).to(dtype).expand(len(groups), -1)
        return LogisticLoss(mass, sign, fold) if self.kind == "softmax" else SquaredHingeLoss(mass, sign, fold)

    def solve(self, C: float, weight: Tensor, bias: Tensor, *, tol: float, max_steps: int, finish: bool) -> Solution:
        """All folds at one C.

        Parameters
        ----------
        C : float
        weight, bias : Tensor
            Where to start, as from `zeros` or an earlier solution.
        tol : float
            Duality gap / objective.
        max_steps : int
            Newton steps at most.
        finish : bool
            Go on in float64, and certify there.

        Returns
        -------
        Solution
        """
        parts = []
        for groups in self._blocks():
            start = weight[groups].to(self.dtype), bias[groups].to(self.dtype)
            solution = minimise(
                self.matrix, self._loss(groups, self.dtype), C, *start,
                tol=tol, max_steps=max_steps, half=self.half,
            )  # fmt: skip
            if finish and self.dtype != torch.float64:
                first, loss = solution, self._loss(groups, torch.float64)
                solution = minimise(
                    self.matrix, loss, C, first.weight.double(), first.bias.double(),
                    tol=tol, max_steps=max_steps, half=self.half, hessian_dtype=self.dtype,
                )  # fmt: skip
                solution.steps += first.steps
                solution.products += first.products
                solution.factored += first.factored
            parts.append(solution)
        return Solution(
            weight=torch.cat([part.weight for part in parts]),
            bias=torch.cat([part.bias for part in parts]),
            objective=torch.cat([part.objective for part in parts]),
            gap=torch.cat([part.gap for part in parts]),
            steps=max(part.steps for part in parts),
            products=sum(part.products for part in parts),
            factored=sum(part.factored for part in parts),
        )

    def decisions(self, weight: Tensor, bias: Tensor) -> Iterator[tuple[int, int, NDArray[np.floating]]]:
        """Decision values: (fold, first output, ndarray of shape (some outputs, n)); -inf for an absent class."""
        for groups in self._blocks():
            loss = self._loss(groups, self.dtype)
            logits = self.matrix.forward(weight[groups], bias[groups], loss.fold)
            if self.k == 2:
                logits += self._certain[loss.fold][:, None, None].to(logits.dtype)
            if isinstance(loss, SoftmaxLoss):
                logits.masked_fill_(loss.absent[:, :, None], -torch.inf)
            for group, block in zip(groups.tolist(), logits.numpy(), strict=True):
                yield (group, 0, block) if self.rows > 1 else (*divmod(group, self.outputs), block)


@dataclass(frozen=True)
class PathPoint:
    """One C of the path, judged on the rows that each fold held out.

    Attributes
    ----------
    C : float
    accuracy : float
        Part of the judged rows (by sample weight), in [0, 1].
    fold_accuracies : tuple of float
    log_loss : float
        Mean, nats; for "svm" after the temperature.
    slope : float
        What decision values are multiplied by to be logits; 1 for "softmax".
    relative_gap : float
        Duality gap / objective, the largest of the folds.
    steps, products : int
        Newton steps (of the slowest fold) and products with the Hessian (of all).
    seconds : float
    """

    C: float
    accuracy: float
    fold_accuracies: tuple[float, ...]
    log_loss: float
    slope: float
    relative_gap: float
    steps: int
    products: int
    seconds: float

    @property
    def rank(self) -> tuple[float, float]:
        """Larger is better: accuracy, then a smaller log loss. Rounded, so that rounding errors decide nothing."""
        return round(self.accuracy, 9), -round(self.log_loss, 9)


@dataclass(frozen=True, eq=False)
class RegularisationPath:
    """The points of a path and what is needed of the best one.

    Attributes
    ----------
    points : tuple of PathPoint
        By ascending C.
    best : PathPoint
        The largest accuracy; among equals the smallest log loss.
    decision : ndarray of shape (judgements, outputs), float64
        Decision values at the best C about the rows that each fold held out, one fold after the other.
    weight, bias : Tensor
        Mean of the folds' solutions at the best C, where the refit starts.
    """

    points: tuple[PathPoint, ...]
    best: PathPoint
    decision: NDArray[np.float64]
    weight: Tensor
    bias: Tensor


def walk(
    problem: LinearProblem,
    folds: Sequence[Fold],
    grid: Sequence[float],
    sample_weight: NDArray[np.float64],
    *,
    tol: float,
    max_steps: int,
    patience: int = 2,
    extend: int = 3,
    progress: Callable[[PathPoint], None] | None = None,
) -> RegularisationPath:
    """Walk from the smallest C upwards, on until validation has turned or the grid ends.

    Parameters
    ----------
    problem : LinearProblem
        Fold `f` of it trains on ``folds[f][0]``.
    folds : sequence of (train, valid)
        Row numbers.
    grid : sequence of float
        Values of C, ascending.
    sample_weight : ndarray of shape (n,)
        What each judged row counts.
    tol : float
        Duality gap / objective of every fold at every C.
    max_steps : int
        Newton steps a C at most.
    patience : int
        The walk ends after this many values of C in turn that are no better than the best one and have a larger log
        loss than the one before each; 0 walks the whole grid.
    extend : int
        Values of C beyond either end of the grid that are tried while the best one lies on that end.
    progress : callable, optional
        Called with each point.

    Returns
    -------
    RegularisationPath
    """
    ratio = grid[-1] / grid[-2] if len(grid) > 1 else 10.0
    points: list[PathPoint] = []
    best: RegularisationPath | None = None

    def visit(C: float, start: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        nonlocal best
        began = time.perf_counter()
        solution = problem.solve(C, *start, tol=tol, max_steps=max_steps, finish=False)
        decision = _held_out(problem, folds, solution)
        point = _judge(problem, folds, C, solution, decision, sample_weight, began)
        points.append(point)
        if best is None or point.rank > best.best.rank:
            mean = [part.view(problem.folds, -1, *part.shape[1:]).mean(0) for part in (solution.weight, solution.bias)]
            best = RegularisationPath((), point, decision, *mean)
        if progress is not None:
            progress(point)
        return solution.weight, solution.bias

    at, turned, ahead = problem.zeros(), 0, list(grid)
    while ahead:
        at = visit(ahead.pop(0), at)
        newest, is_best = points[-1], best is not None and best.best is points[-1]
        turned = turned + 1 if len(points) > 1 and not is_best and newest.log_loss > points[-2].log_loss else 0
        if patience and turned >= patience:
            break
        if is_best and not ahead and 1 < len(points) < len(grid) + extend:
            ahead.append(newest.C * ratio)
    for _ in range(extend):
        lowest = min(point.C for point in points)
        if len(points) < 2 or best is None or lowest < best.best.C:
            break
        visit(lowest / ratio, problem.zeros())
    if best is None:
        raise FeaturesError("an empty grid of C was given, expected at least one value")
    return replace(best, points=tuple(sorted(points, key=lambda point: point.C)))


def _held_out(problem: LinearProblem, folds: Sequence[Fold], solution: Solution) -> NDArray[np.float64]:
    """Decision values of every fold about the rows it held out, one fold after the other."""
    ends = np.cumsum([len(valid) for _, valid in folds])
    decision = np.empty((ends[-1], problem.outputs))
    for fold, first, block in problem.decisions(solution.weight, solution.bias):
        valid = folds[fold][1]
        decision[ends[fold] - len(valid) : ends[fold], first : first + len(block)] = block[:, valid].T
    return decision


def _judge(
    problem: LinearProblem,
    folds: Sequence[Fold],
    C: float,
    solution: Solution,
    decision: NDArray[np.float64],
    sample_weight: NDArray[np.float64],
    began: float,
) -> PathPoint:
    judged = np.concatenate([valid for _, valid in folds])
    codes, mass = problem.codes[judged], sample_weight[judged]
    slope = fit_slope(decision, codes, mass) if problem.kind == "svm" else 1.0
    logits = as_logits(decision, slope)
    won = mass * (logits.argmax(axis=1) == codes)
    ends = np.cumsum([len(valid) for _, valid in folds])[:-1]
    parts = [
        (float(right.sum()), float(of.sum()))
        for right, of in zip(np.split(won, ends), np.split(mass, ends), strict=True)
    ]
    return PathPoint(
        C=C,
        accuracy=float(won.sum() / mass.sum()),
        fold_accuracies=tuple(right / of if of > 0 else np.nan for right, of in parts),
        log_loss=float(mass @ log_losses(softmax(logits), codes) / mass.sum()),
        slope=slope,
        relative_gap=float(solution.relative_gap.max()),
        steps=solution.steps,
        products=solution.products,
        seconds=time.perf_counter() - began,
    )
