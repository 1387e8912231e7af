"""StreamedPath: linear classifiers over many strengths C and all folds, advanced together, a step each pass.

As `classifiers.heads.linear.reg_path`, from whose rules the same C follows; but a C does not wait until the one before
it is solved: it starts where that one stands after a few passes, with what was learnt of the curvature. Each leaves as
soon as it is solved, and those beyond the turn of the validation are given up.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from classifiers.heads.linear.reg_path import EVIDENT, LOOSE, PathPoint
from classifiers.streamed.linear_pass import Asked, LinearPass
from classifiers.streamed.quasi_newton import Descent, FeatureAxes
from classifiers.validation.scores import log_losses
from classifiers.validation.temperature import as_logits, fit_slope, softmax
from featstore.errors import FeaturesError

EVERY = 1
"""Passes after which the next C starts at the latest."""
LOST = 1.0
"""Relative gap from which a C is given up whose log loss rises and which is evidently less accurate than the best."""
EQUAL = 1e-4
"""Part of the log loss by which two values of C differ only because neither is solved to its end."""
NEAR = 0.3
"""Relative gap of a C from which the next one starts at once."""


@dataclass(frozen=True, eq=False)
class JudgingSample:
    """Rows in memory on which decision values of a squared hinge loss are turned into probabilities.

    Attributes
    ----------
    X : ndarray of shape (m, d), float32
    codes : ndarray of shape (m,), int
    held : ndarray of shape (folds + 1, m), bool
        Which of the rows each fold judges.
    """

    X: NDArray[np.float32]
    codes: NDArray[np.intp]
    held: NDArray[np.bool_]


@dataclass(eq=False)
class _Point:
    """One C on its way."""

    C: float
    descents: list[Descent]
    began: float
    started: int  # pass at which it started
    now: PathPoint | None = None
    right: NDArray[np.bool_] | None = None

    def done(self, tol: float, max_steps: int) -> bool:
        return all(one.done(tol) or one.steps >= max_steps for one in self.descents)


@dataclass(frozen=True, eq=False)
class StreamedPath:
    """The points of a path and what is needed of the best one.

    Attributes
    ----------
    points : tuple of PathPoint
        By ascending C.
    best : PathPoint
    weights : list of Tensor
        Of each fold at the best C.
    whole : Descent
        Everything at the best C, on its way since that C was solved in the folds.
    """

    points: tuple[PathPoint, ...]
    best: PathPoint
    weights: list[Tensor]
    whole: Descent


def walk_streamed(
    problem: LinearPass,
    axes: FeatureAxes,
    grid: Sequence[float],
    *,
    tol: float,
    whole_tol: float,
    max_steps: int,
    patience: int = 2,
    extend: int = 3,
    sample: JudgingSample | None = None,
    dtype: torch.dtype = torch.float32,
    progress: Callable[[PathPoint], None] | None = None,
) -> StreamedPath:
    """Walk from the smallest C upwards, on until validation has turned or the grid ends.

    Parameters
    ----------
    problem : LinearPass
        Its last fold is everything, and is not looked at.
    axes : FeatureAxes
    grid : sequence of float
        Ascending.
    whole_tol : float
        Gap / objective up to which the fit of everything is brought in passing.
    tol, max_steps, patience, extend, progress
        As `classifiers.heads.linear.reg_path.walk`; a step is a pass.
    sample : JudgingSample, optional
        Needed by the squared hinge loss.
    dtype : torch.dtype

    Returns
    -------
    StreamedPath
    """
    if not grid:
        raise FeaturesError("an empty grid of C was given, expected at least one value")
    walk = _Walk(
        problem, axes, tol=tol, whole_tol=whole_tol, max_steps=max_steps, sample=sample, dtype=dtype, progress=progress
    )
    ratio = grid[-1] / grid[-2] if len(grid) > 1 else 10.0
    ahead, rule = list(grid), _Rule(patience)
    flying: list[_Point] = []
    newest: _Point | None = None
    while True:
        if ahead and (newest is None or walk.ready(newest)) and not (flying and rule.waits(flying)):
            newest = walk.start(ahead.pop(0), newest)
            flying.append(newest)
        walk.advance(flying)
        while flying and (flying[0].done(tol, max_steps) or rule.settles(flying[0], LOOSE * tol)):
            point = flying.pop(0)
            rule.hear(walk.finish(point))
            if rule.best is point:
                walk.begin_whole(point)
            if rule.ended:
                break
            rising = rule.best is point and len(rule.points) > 1 and point.now.log_loss < rule.points[-2].now.log_loss  # type: ignore[union-attr]
            if rising and not ahead and not flying and len(rule.points) < len(grid) + extend:
                ahead.append(point.C * ratio)
        if rule.ended or not (flying or ahead):
            break
    points = list(rule.points)
    for _ in range(extend if len(points) > 1 else 0):
        lowest = min(point.C for point in points)
        assert rule.best is not None
        if lowest < rule.best.C:
            break
        point = walk.start(lowest / ratio, None)
        while not point.done(tol, max_steps):
            walk.advance([point])
        rule.hear(walk.finish(point))
        points.append(point)
        if rule.best is point:
            walk.begin_whole(point)
    best = rule.best
    assert best is not None and best.now is not None and walk.whole is not None
    known = tuple(sorted((point.now for point in points if point.now), key=lambda one: one.C))
    return StreamedPath(known, best.now, [one.weight for one in best.descents], walk.whole)


class _Rule:
    """When the walk ends: the rule of `classifiers.heads.linear.reg_path.walk`."""

    def __init__(self, patience: int) -> None:
        self.patience, self.turned, self.ended = patience, 0, False
        self.points: list[_Point] = []
        self.best: _Point | None = None

    def hear(self, point: _Point) -> None:
        """The next larger C is solved."""
        assert point.now is not None
        self.points.append(point)
        if self.best is None or self.best.now is None or _better(point.now, self.best.now):
            self.best = point
            self.turned = 0
            return
        before = self.points[-2].now if len(self.points) > 1 else None
        worse = before is not None and point.now.log_loss > before.log_loss
        self.turned = self.turned + 1 if worse else 0
        perfect = self.best.now.accuracy == 1.0 and self.best.now.log_loss < 1e-6
        if self.patience:
            self.ended = self.turned >= self.patience or perfect or (worse and self._evidently(point))

    def settles(self, point: _Point, tol: float) -> bool:
        """Whether a point, solved to a looser gap only, is plainly worse than the best: then it need not be finished.

        Plainly: less accurate by more than chance on the rows on which the two differ, or somewhat less and with a
        larger log loss than the value of C before it.
        """
        if not self.patience or point.now is None or self.best is None or self.best.now is None:
            return False
        if point.now.relative_gap > LOST or point.now.accuracy >= self.best.now.accuracy:
            return False
        before = self.points[-1].now
        rising = before is not None and point.now.log_loss > before.log_loss * (1.0 + EQUAL)
        if point.now.relative_gap > tol:  # it came from where its neighbour stands: what rose from there rises further
            return rising and self._evidently(point)
        return rising or self._evidently(point)

    def waits(self, flying: Sequence[_Point]) -> bool:
        """Whether the last values of C look as if validation had turned: then the next one is not begun yet."""
        if not self.patience:
            return False
        line = [point.now for point in (*self.points, *flying)]
        if len(line) <= self.patience or any(point is None for point in line):
            return False
        *before, _ = line
        last = line[-self.patience - 1 :]
        best = max(point.accuracy for point in before if point is not None)
        rising = all(b.log_loss > a.log_loss for a, b in zip(last, last[1:], strict=False) if a and b)
        return rising and all(point.accuracy <= best for point in last[1:] if point is not None)

    def _evidently(self, point: _Point) -> bool:
        assert self.best is not None and self.best.right is not None and point.right is not None
        lost = int((self.best.right & ~point.right).sum())
        won = int((point.right & ~self.best.right).sum())
        return lost - won > EVIDENT * float(np.sqrt(lost + won))


def _better(new: PathPoint, best: PathPoint) -> bool:
    """Solved at all, more accurate, or as accurate with a log loss that is smaller by more than folds are solved to."""
    if new.rank[:2] != best.rank[:2]:
        return new.rank[:2] > best.rank[:2]
    return new.log_loss < best.log_loss * (1.0 - EQUAL)


class _Walk:
    """Starts, advances and judges the points of a path."""

    def __init__(
        self, problem: LinearPass, axes: FeatureAxes, *, tol: float, whole_tol: float, max_steps: int,
        sample: JudgingSample | None, dtype: torch.dtype, progress: Callable[[PathPoint], None] | None,
    ) -> None:  # fmt: skip
        self.problem, self.axes, self.tol, self.whole_tol, self.max_steps = problem, axes, tol, whole_tol, max_steps
        self.whole: Descent | None = None
        self.sample, self.dtype, self.progress = sample, dtype, progress
        self.folds = len(problem.masks) - 1
        self.judged = problem.held[: self.folds].sum(axis=1)

    def ready(self, newest: _Point) -> bool:
        """Whether the next C may start from where this one stands."""
        late = self.problem.passes - newest.started >= EVERY
        return late or all(one.relative_gap <= NEAR for one in newest.descents)

    def start(self, C: float, before: _Point | None) -> _Point:
        """A new point, from zero or from where its neighbour stands."""
        descents = []
        for fold in range(self.folds):
            old = before.descents[fold] if before else None
            weight = torch.zeros(self.problem.shape, dtype=self.dtype) if old is None else old.weight
            pairs = old.pairs if old else None
            descent = Descent(fold, C, weight, self.axes, self.problem.bias_penalty, pairs)
            if old is not None and old.seen is not None:
                descent.take(old.seen, tol=self.tol)  # the same weights at another C: known without a look
            descents.append(descent)
        return _Point(C, descents, time.perf_counter(), self.problem.passes)

    def advance(self, flying: Sequence[_Point]) -> None:
        """One pass for every descent that is not done."""
        live = [
            (one, self.tol) for point in flying for one in point.descents
            if not (one.done(self.tol) or one.steps >= self.max_steps)
        ]  # fmt: skip
        if not live:
            return
        if self.whole is not None and not self.whole.done(self.whole_tol):
            live.append((self.whole, self.whole_tol))
        found = self.problem.look([Asked(one.fold, one.trial) for one, _ in live], dtype=self.dtype)
        for (one, tol), seen in zip(live, found, strict=True):
            one.take(seen, tol=tol)
        for point in flying:
            self.judge(point)

    def begin_whole(self, point: _Point) -> None:
        """Everything at the C that is the best one so far, from the mean of its folds."""
        masses = self.problem.masks.sum(axis=1)
        share = float(masses[-1] / masses[0])
        pairs = [(step, share * change) for step, change in point.descents[0].pairs]
        start = torch.stack([one.weight for one in point.descents]).mean(dim=0)
        self.whole = Descent(self.folds, point.C, start, self.axes, self.problem.bias_penalty, pairs)

    def judge(self, point: _Point) -> None:
        """What a point is worth where it stands."""
        looks = [one.seen for one in point.descents]
        right = [look.right[self.problem.held[fold]] for fold, look in enumerate(looks) if look is not None]
        hits = np.array([int(part.sum()) for part in right])
        total = int(self.judged.sum())
        gap = max(one.relative_gap for one in point.descents)
        slope, loss = 1.0, float(sum(look.log_loss for look in looks if look is not None)) / max(total, 1)
        if self.problem.loss_name == "svm":
            slope, loss = self._calibrated(point)
        point.right = np.concatenate(right)
        point.now = PathPoint(
            C=point.C,
            accuracy=float(hits.sum()) / max(total, 1),
            fold_accuracies=tuple(
                float(h / of) if of else float("nan") for h, of in zip(hits, self.judged, strict=True)
            ),
            log_loss=loss,
            slope=slope,
            relative_gap=gap,
            steps=max(one.steps for one in point.descents),
            products=sum(one.steps for one in point.descents),
            seconds=time.perf_counter() - point.began,
            converged=bool(gap <= LOOSE * self.tol),
        )

    def finish(self, point: _Point) -> _Point:
        """Judge a solved point and tell of it."""
        self.judge(point)
        if self.progress is not None and point.now is not None:
            self.progress(point.now)
        return point

    def _calibrated(self, point: _Point) -> tuple[float, float]:
        """Slope and log loss of decision values on the sample."""
        assert self.sample is not None
        decision, codes = [], []
        for one in point.descents:
            held = self.sample.held[one.fold]
            if held.any():
                decision.append(self.problem.decisions(Asked(one.fold, one.weight), self.sample.X[held]))
                codes.append(self.sample.codes[held])
        values, truth = np.concatenate(decision), np.concatenate(codes)
        slope = fit_slope(values, truth, np.ones(len(truth)))
        return slope, float(log_losses(truth, softmax(as_logits(values, slope))).mean())
