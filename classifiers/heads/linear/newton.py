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

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from classifiers.heads.linear.active_set import exact_cost, exact_minimum
from classifiers.heads.linear.fold_matrix import FoldMatrix
from classifiers.heads.linear.losses import Loss, SquaredHingeLoss
from classifiers.heads.linear.row_space import RowSpace

FORCING = 0.2
"""The linear system of a Newton step is solved to this part of its first residual."""
CG_STEPS = 250
"""Products with the Hessian within one Newton step, at most."""
ROUGH_TOL = 1e-4
"""Relative gap that gradients in bfloat16 can show."""
HALVINGS = 30
"""Of the step in the line search, at most."""
HALF_GAIN = 4.0
"""How much faster a product is in bfloat16, about."""

Matrix = FoldMatrix | RowSpace


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
    factored : int
        Systems that were solved by factorisation, summed over the groups.
    relative : Tensor of shape (groups, r, n), optional
        The relative logits that the loss makes of all rows.
    """

    weight: Tensor
    bias: Tensor
    objective: Tensor
    gap: Tensor
    steps: int
    products: int
    factored: int
    relative: Tensor | None = None

    @property
    def relative_gap(self) -> Tensor:
        """Gap as a part of the objective, (groups,)."""
        return self.gap / self.objective.clamp_min(torch.finfo(torch.float64).tiny)

    def after(self, first: Solution) -> Solution:
        """This solution with the effort of the one it started from."""
        return replace(
            self,
            steps=self.steps + first.steps,
            products=self.products + first.products,
            factored=self.factored + first.factored,
        )

    @staticmethod
    def join(parts: Sequence[Solution]) -> Solution:
        """Solutions of groups that were solved in turn, as one."""
        if len(parts) == 1:
            return parts[0]
        return Solution(
            torch.cat([part.weight for part in parts]),
            torch.cat([part.bias for part in parts]),
            torch.cat([part.objective for part in parts]),
            torch.cat([part.gap for part in parts]),
            steps=max(part.steps for part in parts),
            products=sum(part.products for part in parts),
            factored=sum(part.factored for part in parts),
        )


def objective_of(loss: Loss, C: float, weight: Tensor, bias: Tensor, relative: Tensor) -> Tensor:
    """``0.5 |W|^2 + C * loss`` of each group, float64."""
    return 0.5 * (_dot(weight, weight) + loss.bias_penalty * _dot(bias, bias)) + C * loss.value(relative)[0]


def minimise(
    matrix: Matrix,
    loss: Loss,
    C: float,
    weight: Tensor,
    bias: Tensor,
    relative: Tensor | None = None,
    *,
    tol: float,
    max_steps: int = 100,
    half: bool = False,
    hessian_dtype: torch.dtype | None = None,
) -> Solution:
    """Solve all groups to a relative duality gap.

    Parameters
    ----------
    matrix : FoldMatrix or RowSpace
        The features.
    loss : Loss
        One of `classifiers.heads.linear.losses`, in the dtype of `weight`.
    C : float
        Weight of the loss against the penalty, as in scikit-learn.
    weight, bias : Tensor of shape (groups, r, d) and (groups, r)
        Where to start; not changed. Their dtype is the working precision of logits and gradients.
    relative : Tensor of shape (groups, r, n), optional
        What the loss makes of the logits there, if it is known; not changed.
    tol : float
        Gap / objective at which a group is done.
    max_steps : int
        Newton steps at most.
    half : bool
        Apply the Hessian in bfloat16, and where `tol` is 1e-4 or more the gradient, too, up to the last check.
    hessian_dtype : torch.dtype, optional
        Apply the Hessian in this dtype instead of the working precision.

    Returns
    -------
    Solution
    """
    weight, bias = weight.clone(), bias.clone()
    objective, gap = torch.full((2, len(weight)), torch.inf, dtype=torch.float64)
    rough = loss.to(hessian_dtype) if hessian_dtype else loss
    dtype = hessian_dtype or weight.dtype
    if relative is None:
        relative = loss.relative(matrix.forward(weight, bias, loss.fold))
    final = relative.clone()
    solution = Solution(weight, bias, objective, gap, steps=0, products=0, factored=0, relative=final)
    live = _Live(torch.arange(len(weight)), loss, rough, weight.clone(), bias.clone(), relative, *loss.value(relative))
    stuck = torch.zeros(len(weight), dtype=torch.bool)
    while True:
        slope, total, left = _gradient(matrix, live, C, half=half and tol >= ROUGH_TOL)
        if half and tol >= ROUGH_TOL and (close := torch.nonzero(left <= tol * total)[:, 0]).numel():
            exact, total[close], left[close] = _gradient(matrix, live.take(close), C, half=False)
            slope.put(close, exact)
        gap[live.index], objective[live.index] = left, total
        keep = torch.nonzero((left > tol * total) & ~stuck)[:, 0]
        if len(keep) == 0 or solution.steps == max_steps:
            return solution
        solution.steps += 1
        live, slope = live.take(keep), slope.take(keep)
        step_w, step_b, solved, used = _conjugate_gradients(matrix, live, slope, C, half=half, dtype=dtype)
        solution.products += used
        if isinstance(live.loss, SquaredHingeLoss) and not solved.all():
            for row in torch.nonzero(~solved)[:, 0].tolist():
                _solve_exactly(matrix, live, live.loss, row, C, solution)
            keep = torch.nonzero(solved)[:, 0]
            if len(keep) == 0:
                return solution
            live, slope, step_w, step_b = live.take(keep), slope.take(keep), step_w[keep], step_b[keep]
        length = _line_search(matrix, live, slope, C, step_w, step_b)
        weight[live.index] = live.weight.addcmul_(step_w, length[:, None, None])
        bias[live.index] = live.bias.addcmul_(step_b, length[:, None])
        final[live.index] = live.relative
        stuck = length == 0  # the working precision is used up


@dataclass
class _Slope:
    """Gradients of the objective, and the curvature along each intercept."""

    weight: Tensor  # (groups, r, d)
    bias: Tensor  # (groups, r)
    curve: Tensor  # (groups, r)

    def take(self, keep: Tensor) -> _Slope:
        return _Slope(self.weight[keep], self.bias[keep], self.curve[keep])

    def put(self, index: Tensor, part: _Slope) -> None:
        self.weight[index], self.bias[index], self.curve[index] = part.weight, part.bias, part.curve


def _gradient(matrix: Matrix, live: _Live, C: float, *, half: bool) -> tuple[_Slope, Tensor, Tensor]:
    """Gradient, objective and duality gap of every group."""
    loss = live.loss
    grad_w, grad_b = matrix.backward(loss.residual(live.state).mul_(C), loss.fold, half)
    grad_w.add_(live.weight)
    grad_b.add_(live.bias, alpha=loss.bias_penalty)
    curve_b = loss.stiffness(live.state).mul_(C).add_(loss.bias_penalty)
    penalty = 0.5 * (_dot(live.weight, live.weight) + loss.bias_penalty * _dot(live.bias, live.bias))
    gap = 0.5 * _dot(grad_w, grad_w) + _intercept_gap(grad_b, curve_b)
    return _Slope(grad_w, grad_b, curve_b), penalty + C * live.value, gap


@dataclass
class _Live:
    """Groups that are still at work, and where they are."""

    index: Tensor
    loss: Loss
    rough: Loss  # the loss in the precision of the Hessian
    weight: Tensor
    bias: Tensor
    relative: Tensor
    value: Tensor
    state: Tensor

    def take(self, keep: Tensor) -> _Live:
        if len(keep) == len(self.index):
            return self
        tensors = (part[keep] for part in (self.weight, self.bias, self.relative, self.value, self.state))
        return _Live(self.index[keep], self.loss.take(keep), self.rough.take(keep), *tensors)


def _solve_exactly(matrix: Matrix, live: _Live, loss: SquaredHingeLoss, row: int, C: float, solution: Solution) -> None:
    """Bring one class of a linear SVM, for which conjugate gradients were too slow, to its end."""
    group, hardness = int(live.index[row]), loss.mass[row] * (2.0 * C)
    exact = exact_minimum(matrix, int(loss.fold[row]), hardness, loss.sign[row], live.weight[row, 0], live.bias[row, 0])
    if exact.objective <= float(solution.objective[group]) * (1.0 + 1e-9):
        solution.weight[group, 0], solution.bias[group, 0] = exact.weight, exact.bias
        solution.objective[group], solution.gap[group] = exact.objective, exact.gap
        if solution.relative is not None:
            solution.relative[group, 0] = exact.margin
    solution.factored += exact.systems


def _intercept_gap(grad_b: Tensor, curve_b: Tensor) -> Tensor:
    """What the intercepts alone can still gain: their Newton decrement."""
    gradient, curve = grad_b.double().square(), curve_b.double()
    # Where no curvature is left there is no gradient either; 1 keeps the quotient finite.
    return 0.5 * (gradient / torch.where(curve > 1e-30, curve, torch.ones_like(curve))).sum(dim=-1)


def _conjugate_gradients(
    matrix: Matrix, at: _Live, slope: _Slope, C: float, *, half: bool, dtype: torch.dtype
) -> tuple[Tensor, Tensor, Tensor, int]:
    """Solve ``H step = -gradient``; every group stops at its own residual. Steps, which groups got there, products."""
    loss, grad_w, grad_b = at.rough, slope.weight, slope.bias
    work, state = grad_w.dtype, at.state.to(dtype)
    limit = _patience(matrix, loss, state, half)
    # Preconditions the intercept; the curvature along every weight is 1 at least.
    scale_b = slope.curve.to(dtype).clamp_min(1e-30).reciprocal_()
    # Scaled to norm 1: a float32 system may come from a float64 gradient of any size.
    size = (_dot(grad_w, grad_w) + _dot(grad_b, grad_b)).sqrt().clamp_min(1e-300)
    r_w, r_b = (grad_w / -size[:, None, None]).to(dtype), (grad_b / -size[:, None]).to(dtype)
    q_w, q_b = r_w.clone(), r_b * scale_b
    x_w, x_b = torch.zeros_like(r_w), torch.zeros_like(r_b)
    rho = _dot(r_w, r_w) + _dot(r_b, q_b)
    goal = FORCING**2 * rho
    live, solved = torch.arange(len(grad_w)), torch.zeros(len(grad_w), dtype=torch.bool)
    step_w, step_b = torch.zeros_like(x_w), torch.zeros_like(x_b)
    products = 0
    for _ in range(limit):
        curved = loss.curve(state, loss.relative(matrix.forward(q_w, q_b, loss.fold, half))).mul_(C)
        h_w, h_b = matrix.backward(curved, loss.fold, half)
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
        done = ~(sound & (fresh > goal))
        keep = torch.nonzero(~done)[:, 0]
        if done.any():
            step_w[live[done]], step_b[live[done]] = x_w[done], x_b[done]
            solved[live[done]] = True
            if len(keep) == 0:
                break
            live, rho, fresh, goal = live[keep], rho[keep], fresh[keep], goal[keep]
            loss, state, scale_b = loss.take(keep), state[keep], scale_b[keep]
            r_w, r_b, q_w, q_b, x_w, x_b, z_b = (part[keep] for part in (r_w, r_b, q_w, q_b, x_w, x_b, z_b))
        beta = (fresh / rho).to(dtype)
        q_w = q_w.mul_(beta[:, None, None]).add_(r_w)
        q_b = q_b.mul_(beta[:, None]).add_(z_b)
        rho = fresh
    else:
        step_w[live], step_b[live] = x_w, x_b
    return step_w.to(work) * size[:, None, None].to(work), step_b.to(work) * size[:, None].to(work), solved, products


def _patience(matrix: Matrix, loss: Loss, state: Tensor, half: bool) -> int:
    """How many products to spend: no more than an exact step costs, where there is one."""
    if not isinstance(loss, SquaredHingeLoss):
        return CG_STEPS
    active = int(((state[:, 0] > 0) & (loss.mass > 0)).sum(dim=-1).double().mean())
    product = 2.0 * matrix.n * matrix.d / (HALF_GAIN if half else 1.0)
    return max(8, min(CG_STEPS, int(exact_cost(active, matrix.d, matrix.keeps_kernels) / product)))


def _line_search(matrix: Matrix, live: _Live, at: _Slope, C: float, step_w: Tensor, step_b: Tensor) -> Tensor:
    """Halve the step until the objective falls enough (Armijo), and move the logits; lengths, 0 where it never does."""
    loss, start = live.loss, live.value
    along = loss.relative(matrix.forward(step_w, step_b, loss.fold))
    slope = _dot(at.weight, step_w) + _dot(at.bias, step_b)
    square = 0.5 * (_dot(step_w, step_w) + loss.bias_penalty * _dot(step_b, step_b))
    cross = _dot(live.weight, step_w) + loss.bias_penalty * _dot(live.bias, step_b)
    length = torch.ones(len(along), dtype=along.dtype)
    moved = live.relative + along
    value, state = loss.value(moved)
    # Differences below the rounding of the sums say nothing; the step is then taken, for Newton's is a descent.
    grain = 1e-7 if along.dtype == torch.float32 else 1e-14
    for halving in range(HALVINGS + 1):
        t = length.double()
        change = t * cross + t * t * square + C * (value - start)
        bad = torch.nonzero(~(change <= 1e-4 * t * slope + grain * C * start))[:, 0]
        if len(bad) == 0:
            break
        if halving == HALVINGS:
            length[bad], moved[bad], value[bad], state[bad] = 0.0, live.relative[bad], start[bad], live.state[bad]
            break
        length[bad] *= 0.5
        moved[bad] = torch.addcmul(live.relative[bad], along[bad], length[bad, None, None])
        value[bad], state[bad] = loss.take(bad).value(moved[bad])
    live.relative, live.value, live.state = moved, value, state
    return length


def _dot(a: Tensor, b: Tensor) -> Tensor:
    """Inner products group by group; sums in blocks, so that float32 keeps six digits. More would cost its time."""
    return (a * b).flatten(1).sum(dim=1).double()
