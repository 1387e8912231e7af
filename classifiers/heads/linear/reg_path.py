"""RegularisationPath: one kind of linear classifier over many strengths C, all folds at once, each C from the last."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from classifiers.heads.linear.linear_problem import LinearProblem
from classifiers.heads.linear.newton import Solution
from classifiers.types import Fold
from classifiers.validation.scores import log_losses
from classifiers.validation.temperature import as_logits, fit_slope, softmax
from featstore.errors import FeaturesError

LOOSE = 10.0
"""Times the gap asked for up to which a point of the path still counts as solved."""
EVIDENT = 3.0
"""Standard deviations by which accuracy must have fallen for the walk to end at once."""


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
    converged : bool
        Whether the gap is at most ten times what was asked for; else the point is no solution, and is not chosen where
        there is another.
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
    converged: bool

    @property
    def rank(self) -> tuple[bool, float, float]:
        """Larger is better: solved at all, accuracy, a smaller log loss. Rounded, so that rounding decides nothing."""
        return self.converged, round(self.accuracy, 9), -round(self.log_loss, 9)


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
    solution : Solution
        The folds' solutions at the best C, where the refit starts.
    """

    points: tuple[PathPoint, ...]
    best: PathPoint
    decision: NDArray[np.float64]
    solution: Solution


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
        loss than the one before each, or at once where log loss is larger and accuracy evidently lower (three standard
        deviations of the rows on which the two differ), or the work of one more C out of proportion (as for a squared
        hinge loss where classes can be separated: each C costs several times the last); 0 walks the whole grid.
    extend : int
        Values of C beyond either end of the grid that are tried while the best one lies on that end (and log
        loss still falls, at the upper one).
    progress : callable, optional
        Called with each point.

    Returns
    -------
    RegularisationPath
    """
    if not grid:
        raise FeaturesError("an empty grid of C was given, expected at least one value")
    ratio = grid[-1] / grid[-2] if len(grid) > 1 else 10.0
    judge = _Judge(problem, folds, sample_weight, tol)
    last = before = None
    turned, ahead = 0, list(grid)
    while ahead:
        began = time.perf_counter()
        C = ahead.pop(0)
        last, before = problem.solve_folds(C, last, before, tol=tol, max_steps=max_steps), last
        newest = judge.see(C, last, began, progress)
        worse = newest is not judge.best and newest.log_loss > judge.points[-2].log_loss
        turned = turned + 1 if worse else 0
        if patience and (turned >= patience or (worse and (judge.evidently_worse() or judge.costly()))):
            break
        if patience and newest is not judge.best and judge.perfect():
            break
        rising = newest is judge.best and len(judge.points) > 1 and newest.log_loss < judge.points[-2].log_loss
        if rising and not ahead and len(judge.points) < len(grid) + extend:
            ahead.append(C * ratio)
    for _ in range(extend if len(judge.points) > 1 else 0):
        lowest = min(point.C for point in judge.points)
        if lowest < judge.best.C:
            break
        began = time.perf_counter()
        judge.see(lowest / ratio, problem.solve_folds(lowest / ratio, tol=tol, max_steps=max_steps), began, progress)
    points = tuple(sorted(judge.points, key=lambda point: point.C))
    return RegularisationPath(points, judge.best, judge.decision, judge.solution)


class _Judge:
    """What each C is worth on the rows that the folds held out; keeps what is needed of the best."""

    best: PathPoint
    decision: NDArray[np.float64]
    solution: Solution

    def __init__(
        self, problem: LinearProblem, folds: Sequence[Fold], sample_weight: NDArray[np.float64], tol: float
    ) -> None:
        self.problem, self.folds, self.tol = problem, folds, tol
        rows = np.concatenate([valid for _, valid in folds])
        self.codes, self.mass = problem.codes[rows], sample_weight[rows]
        self.ends = np.cumsum([len(valid) for _, valid in folds])[:-1]
        self.points: list[PathPoint] = []
        self._right = self._best_right = np.zeros(len(rows), dtype=bool)

    def see(
        self, C: float, solution: Solution, began: float, progress: Callable[[PathPoint], None] | None
    ) -> PathPoint:
        """Judge a solution."""
        decision = self.problem.held_out(solution, self.folds)
        slope = fit_slope(decision, self.codes, self.mass) if self.problem.loss_name == "svm" else 1.0
        logits = as_logits(decision, slope)
        self._right = logits.argmax(axis=1) == self.codes
        won, total = self.mass * self._right, self.mass.sum()
        parts = zip(np.split(won, self.ends), np.split(self.mass, self.ends), strict=True)
        point = PathPoint(
            C=C,
            accuracy=float(won.sum() / total),
            fold_accuracies=tuple(float(right.sum() / of.sum()) if of.any() else float("nan") for right, of in parts),
            log_loss=float(self.mass @ log_losses(self.codes, softmax(logits)) / total),
            slope=slope,
            relative_gap=float(solution.relative_gap.max()),
            steps=solution.steps,
            products=solution.products,
            seconds=time.perf_counter() - began,
            converged=bool(solution.relative_gap.max() <= LOOSE * self.tol),
        )
        if not self.points or point.rank > self.best.rank:
            self.best, self.decision, self.solution, self._best_right = point, decision, solution, self._right
        self.points.append(point)
        if progress is not None:
            progress(point)
        return point

    def costly(self) -> bool:
        """Whether the newest C took more products than all before it together, in a problem that is not small."""
        *before, newest = (point.products for point in self.points)
        return not self.problem.small and newest > sum(before)

    def perfect(self) -> bool:
        """Whether nothing is left to gain: every row right, and as certainly as six digits can say."""
        return self.best.accuracy == 1.0 and self.best.log_loss < 1e-6

    def evidently_worse(self) -> bool:
        """Whether the newest C loses against the best one by more than chance, on the rows on which they differ."""
        lost = int((self._best_right & ~self._right).sum())
        won = int((self._right & ~self._best_right).sum())
        return lost - won > EVIDENT * float(np.sqrt(lost + won))
