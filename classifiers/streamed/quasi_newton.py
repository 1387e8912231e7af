"""Descent: L-BFGS for one group of linear classifiers whose every gradient costs a pass over the features.

The Hessian of such a loss is nearly a product of two small matrices: the curvature between classes, which each pass
sums up, and the correlations of the features, which the first pass did (a Kronecker factorisation). Its inverse is
where L-BFGS starts from, so that what remains to be learnt from pairs of gradients is how the two are entangled. Pairs
belong to the loss alone; the penalty is added for each C, so that neighbours on the path share them.

The certificate is the duality gap, as in `classifiers.heads.linear.newton`: half the squared gradient, and the Newton
decrement of an intercept that is not penalised.

Sources: D. Liu, J. Nocedal, On the limited memory BFGS method for large scale optimization (1989); J. Martens, R.
Grosse, Optimizing neural networks with Kronecker-factored approximate curvature (2015).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from classifiers.streamed.linear_pass import Seen

MEMORY = 10
"""Pairs of gradients that are kept."""
ARMIJO = 1e-4
GRAIN = {torch.float32: 3e-7, torch.float64: 1e-12}
"""Differences of objectives, as a part of them, below which sums in this precision say nothing."""
SHORTEST = 1e-6
"""Length of a step below which the working precision is used up."""

Pair = tuple[Tensor, Tensor]
"""A step (e, r, d + 1), and how the loss' gradient changed over it; zeros in blocks that did not move."""


@dataclass(frozen=True, eq=False)
class FeatureAxes:
    """Axes in which the features are uncorrelated, (d, d), and their variances (d,); no axes for the features' own."""

    axes: Tensor | None
    variance: Tensor


def feature_axes(correlation: Tensor | None, width: int) -> FeatureAxes:
    """From the correlations of standardised features.

    Examples
    --------
    >>> feature_axes(None, 2).variance.tolist()
    [1.0, 1.0]
    """
    if correlation is None:
        return FeatureAxes(None, torch.ones(width))
    variance, axes = torch.linalg.eigh(correlation)
    return FeatureAxes(axes.float(), variance.clamp_min(0.0).float())


class Descent:
    """Where one group stands.

    Parameters
    ----------
    fold : int
    C : float
    weight : Tensor of shape (e, r, d + 1)
        Where to start.
    axes : FeatureAxes
    bias_penalty : float
        0, or 1 where intercepts are penalised.
    pairs : sequence of Pair
        Of a neighbour on the path.

    Attributes
    ----------
    trial : Tensor
        The weights that are to be looked at next.
    seen : Seen
        What was found at `weight`.
    objective, gap : Tensor of shape (e,), float64
    """

    def __init__(
        self, fold: int, C: float, weight: Tensor, axes: FeatureAxes, bias_penalty: float,
        pairs: list[Pair] | None = None,
    ) -> None:  # fmt: skip
        self.fold, self.C, self.axes, self.bias_penalty = fold, C, axes, bias_penalty
        self.pairs = list(pairs or [])
        self.weight = self.trial = weight
        self.seen: Seen | None = None
        blocks = len(weight)
        self.objective = torch.full((blocks,), torch.inf, dtype=torch.float64)
        self.gap = torch.full((blocks,), torch.inf, dtype=torch.float64)
        self._length = torch.ones(blocks, dtype=torch.float64)
        self._step = torch.zeros_like(weight)
        self._slope = torch.zeros_like(weight)  # of the objective
        self._loss_slope = torch.zeros_like(weight)
        self.stuck = torch.zeros(blocks, dtype=torch.bool)
        self.steps = 0

    @property
    def relative_gap(self) -> float:
        """The largest gap of a block as a part of its objective."""
        return float((self.gap / self.objective.clamp_min(torch.finfo(torch.float64).tiny)).max())

    def done(self, tol: float) -> bool:
        """Whether every block has its gap, or no step can be taken any more."""
        return self.seen is not None and bool(self._resting(tol).all())

    def _resting(self, tol: float) -> Tensor:
        return (self.gap <= tol * self.objective) | self.stuck

    def take(self, seen: Seen, *, tol: float) -> None:
        """Hear what was found at `trial`, and make the next one.

        Parameters
        ----------
        seen : Seen
        tol : float
            Blocks with this gap rest.
        """
        trial = self.trial
        slope = self._whole_slope(trial, seen)
        value = self.C * seen.loss + 0.5 * _dot(trial * self._penalty(trial), trial)
        if self.seen is None:
            moved = torch.ones(len(trial), dtype=torch.bool)
        else:
            promised = self._length * _dot(self._slope, self._step)
            fell = value <= self.objective + ARMIJO * promised + GRAIN[trial.dtype] * self.objective
            moved = fell & ~self.stuck
            gone = (trial - self.weight) * moved[:, None, None]
            change = (seen.slope - self._loss_slope) * moved[:, None, None]
            if bool(moved.any()):
                self.pairs = [*self.pairs, (gone, change)][-MEMORY:]
            excess = (value - self.objective - promised).clamp_min(1e-300)
            shorter = (-promised / (2.0 * excess)).clamp(0.1, 0.5)
            self._length = torch.where(moved, 1.0, self._length * shorter)
            self.stuck |= self._length < SHORTEST
        at = moved[:, None, None]
        self.weight = torch.where(at, trial, self.weight)
        self._slope = torch.where(at, slope, self._slope)
        self._loss_slope = torch.where(at, seen.slope, self._loss_slope)
        self.objective = torch.where(moved, value, self.objective)
        if bool(moved.all()) or self.seen is None:
            self.seen = seen
        else:
            self.seen = self._mixed(self.seen, seen, moved)
        self.gap = self._gap()
        self.steps += 1
        direction = self._direction()
        self._step = torch.where(at, direction, self._step)
        length = torch.where(self._resting(tol), 0.0, self._length)[:, None, None].to(trial.dtype)
        self.trial = self.weight + length * self._step

    def _penalty(self, like: Tensor) -> Tensor:
        penalty = torch.ones(like.shape[-1], dtype=like.dtype)
        penalty[-1] = self.bias_penalty
        return penalty

    def _whole_slope(self, weight: Tensor, seen: Seen) -> Tensor:
        return self.C * seen.slope + self._penalty(weight) * weight

    def _mixed(self, old: Seen, new: Seen, moved: Tensor) -> Seen:
        """Blocks that moved as they are now, the others as they were; only separate blocks ever differ."""
        curvature = torch.where(moved, new.curvature, old.curvature) if len(moved) > 1 else old.curvature
        return Seen(torch.where(moved, new.loss, old.loss), self._loss_slope, curvature, new.right, new.log_loss)

    def _gap(self) -> Tensor:
        assert self.seen is not None
        grad = self._slope.double()
        gap = 0.5 * grad[..., :-1].square().sum(dim=(1, 2))
        curve = self.seen.curvature
        stiff = torch.diagonal(curve)[None] if curve.ndim == 2 else curve[:, None]  # (e, r)
        stiff = self.C * stiff + self.bias_penalty
        return gap + 0.5 * (grad[..., -1].square() / torch.where(stiff > 1e-30, stiff, 1.0)).sum(dim=1)

    def _direction(self) -> Tensor:
        """Minus the gradient, times what L-BFGS takes for the inverse of the Hessian."""
        q = self._slope.clone()
        penalty = self._penalty(q)
        known = []
        for step, change in reversed(self.pairs):
            bent = self.C * change + penalty * step
            bend = _dot(step, bent)
            inverse = torch.where(bend > 1e-30, 1.0 / bend, 0.0)
            part = inverse * _dot(step, q)
            known.append((step, bent, inverse, part))
            q -= part[:, None, None].to(q.dtype) * bent
        q = self._product_inverse(q)
        for step, bent, inverse, part in reversed(known):
            back = inverse * _dot(bent, q)
            q += (part - back)[:, None, None].to(q.dtype) * step
        return q.neg_()

    def _product_inverse(self, q: Tensor) -> Tensor:
        """The inverse of ``C * curvature x correlations + penalty``, applied."""
        assert self.seen is not None
        curve = self.seen.curvature
        if curve.ndim == 2:
            between, classes = torch.linalg.eigh(curve)
            between, turn = between.clamp_min(0.0)[None], classes.to(q.dtype)
        else:
            between, turn = curve[:, None], None  # (e, 1)
        stiff = self.C * between
        weight, bias = q[..., :-1], q[..., -1:]
        if turn is not None:
            weight, bias = turn.T @ weight, turn.T @ bias
        axes = None if self.axes.axes is None else self.axes.axes.to(q.dtype)
        weight = weight if axes is None else weight @ axes
        weight = weight / (1.0 + stiff.to(q.dtype)[..., None] * self.axes.variance.to(q.dtype))
        weight = weight if axes is None else weight @ axes.T
        soft = stiff + self.bias_penalty
        alive = soft > 1e-6 * soft.max()
        bias = bias * torch.where(alive, 1.0 / soft, 0.0).to(q.dtype)[..., None]
        if turn is not None:
            weight, bias = turn @ weight, turn @ bias
        return torch.cat([weight, bias], dim=-1)


def _dot(a: Tensor, b: Tensor) -> Tensor:
    """Inner products block by block, (e,), float64."""
    return (a.double() * b.double()).sum(dim=(1, 2))
