"""Truncated Newton for many L2-penalised linear problems at once, with a certificate of what is left to gain in each.

Every problem (group) minimises ``0.5 |W|^2 + C * loss(X W + b)``. All of them advance together, so that each step is
one matrix product, and each leaves as soon as it is done. Gradients are exact in the working precision; the Hessian,
which only steers, may be applied in bfloat16. A line search needs no product, since logits are linear in the step.

The certificate is the duality gap. For the dual point that belongs to the current logits, ``alpha = -C * loss'``,
Fenchel's equality makes the gap ``0.5 |W - X' alpha|^2``, half the squared gradient: a bound on what is left to gain,
not an estimate. Where the intercept is not penalised it holds for a dual point with ``sum(alpha) = 0``; what is missing
there is added as the Newton decrement of the intercept.

Sources: R. Dembo, T. Steihaug, Truncated-Newton algorithms for large-scale unconstrained optimization (1983);
C.-J. Lin, R. Weng, S. Keerthi, Trust region Newton method for large-scale logistic regression (2008).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from classifiers.losses import Loss

FORCING = 0.2
"""The linear system of a Newton step is solved to this part of its first residual."""
CG_STEPS = 250
"""Products with the Hessian within one Newton step, at most."""
HALVINGS = 30
"""Of the step in the line search, at most."""


class Design(Protocol):
    """What the solver needs of a matrix: products with it and with its transpose, fold by fold."""

    def forward(self, weight: Tensor, bias: Tensor, fold: Tensor, half: bool = False) -> Tensor:
        """Logits (groups, r, n) of weights (groups, r, d) and intercepts (groups, r)."""

    def backward(self, residual: Tensor, fold: Tensor, half: bool = False) -> tuple[Tensor, Tensor]:
        """Gradients with respect to weights and intercepts of derivatives (groups, r, n)."""


@dataclass
class Solution:
    """Weights of every group, and what is known about them.

    Attributes
    ----------
    weight : Tensor of shape (groups, r, d)
    bias : Tensor of shape (groups, r)
    objective : Tensor of shape (groups,), float64
        ``0.5 |W|^2 + C * loss``.
    gap : Tensor of shape (groups,), float64
        Upper bound of ``objective - optimum``.
    steps : int
        Newton steps of the slowest group.
    products : int
        Matrix products with the Hessian, summed over the groups.
    """

    weight: Tensor
    bias: Tensor
    objective: Tensor
    gap: Tensor
    steps: int
    products: int

    @property
    def relative_gap(self) -> Tensor:
        """Gap as a part of the objective, (groups,)."""
        return self.gap / self.objective.clamp_min(torch.finfo(torch.float64).tiny)


def minimise(
    design: Design,
    loss: Loss,
    C: float,
    weight: Tensor,
    bias: Tensor,
    *,
    tol: float,
    max_steps: int = 100,
    half: bool = False,
    hessian_dtype: torch.dtype | None = None,
) -> Solution:
    """Solve all groups to a relative duality gap.

    Parameters
    ----------
    design : Design
        The features.
    loss : Loss
        One of `classifiers.losses`, in the dtype of `weight`.
    C : float
        Weight of the loss against the penalty, as in scikit-learn.
    weight, bias : Tensor of shape (groups, r, d) and (groups, r)
        Where to start; not changed. Their dtype is the working precision of logits and gradients.
    tol : float
        Gap / objective at which a group is done.
    max_steps : int
        Newton steps at most.
    half : bool
        Apply the Hessian in bfloat16.
    hessian_dtype : torch.dtype, optional
        Apply the Hessian in this dtype instead of the working precision.

    Returns
    -------
    Solution
    """
    weight, bias = weight.clone(), bias.clone()
    groups = len(weight)
    gap, objective = torch.full((2, groups), torch.inf, dtype=torch.float64)
    live, stuck = torch.arange(groups), torch.zeros(groups, dtype=torch.bool)
    rough = loss.to(hessian_dtype) if hessian_dtype else loss
    relative = loss.relative(design.forward(weight, bias, loss.fold))
    value, state = loss.value(relative)
    part, part_rough = loss, rough
    products = step = 0
    for step in range(max_steps + 1):
        W, b = weight[live], bias[live]
        grad_w, grad_b = design.backward(part.residual(state).mul_(C), part.fold)
        grad_w.add_(W)
        grad_b.add_(b, alpha=part.bias_penalty)
        stiff = part.stiffness(state).mul_(C).add_(part.bias_penalty)
        total = 0.5 * (_dot(W, W) + part.bias_penalty * _dot(b, b)) + C * value
        # Where nothing is left of the curvature, 1 stands for it: the gradient is as good as 0 there.
        decrement = grad_b.double().square() / stiff.double().clamp_min(1e-30)
        left = 0.5 * _dot(grad_w, grad_w) + 0.5 * torch.where(stiff > 1e-30, decrement, grad_b.double().square()).sum(
            -1
        )
        gap[live], objective[live] = left, total
        keep = torch.nonzero((left > tol * total) & ~stuck)[:, 0]
        if len(keep) == 0 or step == max_steps:
            break
        if len(keep) < len(live):
            live, W, b, grad_w, grad_b = live[keep], W[keep], b[keep], grad_w[keep], grad_b[keep]
            part, part_rough, stiff, state = part.take(keep), part_rough.take(keep), stiff[keep], state[keep]
            relative, total, value = relative[keep], total[keep], value[keep]
        step_w, step_b, used = _newton_direction(
            design, part_rough, C, state, grad_w, grad_b, stiff, half=half, dtype=hessian_dtype or weight.dtype
        )
        products += used
        along = part.relative(design.forward(step_w, step_b, part.fold))
        slope = _dot(grad_w, step_w) + _dot(grad_b, step_b)
        square, cross = 0.5 * _dot(step_w, step_w), _dot(W, step_w)
        if part.bias_penalty:
            square, cross = square + 0.5 * _dot(step_b, step_b), cross + _dot(b, step_b)
        length, relative, value, state = _line_search(part, C, relative, along, value, state, slope, square, cross)
        weight[live] = W.addcmul_(step_w, length[:, None, None])
        bias[live] = b.addcmul_(step_b, length[:, None])
        stuck = length == 0  # the working precision is used up
    return Solution(weight, bias, objective, gap, step, products)


def _newton_direction(
    design: Design,
    loss: Loss,
    C: float,
    state: Tensor,
    grad_w: Tensor,
    grad_b: Tensor,
    stiff: Tensor,
    *,
    half: bool,
    dtype: torch.dtype,
) -> tuple[Tensor, Tensor, int]:
    """Conjugate gradients on ``H step = -gradient``; every group stops at its own residual."""
    work = grad_w.dtype
    state = state.to(dtype)
    scale_b = (
        stiff.to(dtype).clamp_min(1e-30).reciprocal_()
    )  # the intercept's own curvature; the weights have 1 at least
    groups = len(grad_w)
    step_w, step_b = torch.zeros_like(grad_w, dtype=dtype), torch.zeros_like(grad_b, dtype=dtype)
    live = torch.arange(groups)
    # Scaled to norm 1: a float32 system may come from a float64 gradient of any size.
    size = (_dot(grad_w, grad_w) + _dot(grad_b, grad_b)).sqrt().clamp_min(1e-300)
    r_w = (grad_w / -size[:, None, None]).to(dtype)
    r_b = (grad_b / -size[:, None]).to(dtype)
    q_w, q_b = r_w.clone(), r_b * scale_b
    rho = _dot(r_w, r_w) + _dot(r_b, q_b)
    goal = FORCING**2 * rho
    x_w, x_b = torch.zeros_like(r_w), torch.zeros_like(r_b)
    products = 0
    for _ in range(CG_STEPS):
        curved = loss.curve(state, loss.relative(design.forward(q_w, q_b, loss.fold, half))).mul_(C)
        h_w, h_b = design.backward(curved, loss.fold, half)
        h_w.add_(q_w)
        h_b.add_(q_b, alpha=loss.bias_penalty)
        products += len(live)
        bend = _dot(q_w, h_w) + _dot(q_b, h_b)
        sound = bend > 0
        alpha = torch.where(sound, rho / bend, torch.zeros_like(rho)).to(dtype)
        x_w.addcmul_(q_w, alpha[:, None, None])
        x_b.addcmul_(q_b, alpha[:, None])
        r_w.addcmul_(h_w, alpha[:, None, None], value=-1.0)
        r_b.addcmul_(h_b, alpha[:, None], value=-1.0)
        z_b = r_b * scale_b
        fresh = _dot(r_w, r_w) + _dot(r_b, z_b)
        go = sound & (fresh > goal)
        step_w[live], step_b[live] = x_w, x_b
        keep = torch.nonzero(go)[:, 0]
        if len(keep) == 0:
            break
        beta = (fresh / rho).to(dtype)
        q_w = q_w.mul_(beta[:, None, None]).add_(r_w)
        q_b = q_b.mul_(beta[:, None]).add_(z_b)
        rho = fresh
        if len(keep) < len(live):
            live, rho, goal, loss, state = live[keep], rho[keep], goal[keep], loss.take(keep), state[keep]
            r_w, r_b, q_w, q_b, x_w, x_b = r_w[keep], r_b[keep], q_w[keep], q_b[keep], x_w[keep], x_b[keep]
            scale_b = scale_b[keep]
    return step_w.to(work) * size[:, None, None].to(work), step_b.to(work) * size[:, None].to(work), products


def _line_search(
    loss: Loss,
    C: float,
    relative: Tensor,
    along: Tensor,
    value: Tensor,
    state: Tensor,
    slope: Tensor,
    square: Tensor,
    cross: Tensor,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Halve the step until the objective falls enough (Armijo); 0 where it never does."""
    length = torch.ones(len(relative), dtype=relative.dtype)
    moved = torch.addcmul(relative, along, length[:, None, None])
    new_value, new_state = loss.value(moved)
    # Differences below the rounding of the sums say nothing; the step is then taken, for Newton's is a descent.
    grain = 1e-7 if relative.dtype == torch.float32 else 1e-14
    for _ in range(HALVINGS):
        t = length.double()
        change = t * cross + t * t * square + C * (new_value - value)
        allowed = 1e-4 * t * slope + grain * C * value
        bad = torch.nonzero(~(change <= allowed))[:, 0]
        if len(bad) == 0:
            return length, moved, new_value, new_state
        length[bad] *= 0.5
        moved[bad] = torch.addcmul(relative[bad], along[bad], length[bad, None, None])
        new_value[bad], new_state[bad] = loss.take(bad).value(moved[bad])
    length[bad], moved[bad], new_value[bad], new_state[bad] = 0.0, relative[bad], value[bad], state[bad]
    return length, moved, new_value, new_state


def _dot(a: Tensor, b: Tensor) -> Tensor:
    """Inner products group by group, in float64 for the sums of sums."""
    return (a * b).flatten(1).sum(dim=1, dtype=torch.float64)
