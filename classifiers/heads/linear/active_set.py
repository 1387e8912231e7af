"""Exact solutions of a linear SVM: only rows short of the margin count, and what they ask for is a ridge regression.

Conjugate gradients need hundreds of products where C is large and rows and features are of similar number. One class
costs less by Cholesky factorisation then, in the rows short of the margin or in the features, whichever are fewer. The
set of these rows is exchanged as a whole until it repeats itself, and then the problem is solved; where it runs in
circles, every step ends at the minimum on its way.

Sources: S. Keerthi, D. DeCoste, A modified finite Newton method for fast solution of large scale linear SVMs, JMLR 6
(2005); M. Hintermueller, K. Ito, K. Kunisch, The primal-dual active set strategy as a semismooth Newton method, SIAM J.
Optim. 13 (2002).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from classifiers.heads.linear.fold_matrix import FoldMatrix
from classifiers.heads.linear.row_space import RowSpace

SYSTEMS = 400
"""That are solved for one class, at most."""
SETBACKS = 3
"""Exchanges in turn that may bring no smaller change than the smallest before; then each step is searched along."""
REFINEMENTS = 8
"""Rounds that take the rounding of the factorised matrix out of a solution, at most."""
LONGEST = 2.0
"""Of a step, in its own length."""
FLOAT64_ONLY = 500_000
"""Rows x features up to which a start in float32 costs more than it saves."""
PRECISE = {torch.float32: 1e-5, torch.float64: 1e-11}
"""Relative residual at which a system counts as solved."""


def exact_cost(active: int, d: int, cached: bool) -> float:
    """Multiplications of one system with `active` rows of `d` features, about."""
    small = min(active, d + 1)
    form = 0.0 if cached and active <= d else float(active) * d * small
    return form + small**3 / 3.0


@dataclass(frozen=True, eq=False)
class ExactSolution:
    """One class' weights (d,), intercept and margins (n,) in float64, objective, duality gap, and systems solved."""

    weight: Tensor
    bias: Tensor
    margin: Tensor
    objective: float
    gap: float
    systems: int


def exact_minimum(
    matrix: FoldMatrix | RowSpace, fold: int, hardness: Tensor, sign: Tensor, weight: Tensor, bias: Tensor
) -> ExactSolution:
    """Minimise ``0.5 (|w|^2 + b^2) + 0.5 sum_i hardness_i max(0, 1 - sign_i (x_i w + b))^2``.

    Parameters
    ----------
    matrix : FoldMatrix or RowSpace
    fold : int
    hardness : Tensor of shape (n,)
        Rows with 0 do not exist.
    sign : Tensor of shape (n,)
        +1 or -1.
    weight : Tensor of shape (d,)
        Where to start.
    bias : Tensor, a single number

    Returns
    -------
    ExactSolution
    """
    systems = 0
    coarse = torch.float64 if matrix.n * matrix.d <= FLOAT64_ONLY else matrix.dtype
    for dtype in dict.fromkeys((coarse, torch.float64)):
        point, used = _descend(matrix, fold, hardness.to(dtype), sign.to(dtype), weight.to(dtype), bias.to(dtype))
        weight, bias, systems = point.weight, point.bias, systems + used
    pull = (hardness * sign).double() * (1.0 - point.margin).clamp_min(0.0)
    grad_w, grad_b = matrix.backward(-pull[None, None], torch.tensor([fold]))
    gradient = torch.cat([weight + grad_w[0, 0], bias.reshape(1) + grad_b[0]])
    return ExactSolution(weight, bias, point.margin, point.value, 0.5 * float(gradient @ gradient), systems)


def _descend(
    matrix: FoldMatrix | RowSpace, fold: int, hardness: Tensor, sign: Tensor, weight: Tensor, bias: Tensor
) -> tuple[_Point, int]:
    """Exchange active sets in the precision of `weight` until they repeat or nothing is gained; systems solved."""
    groups = torch.tensor([fold])

    def look(weight: Tensor, bias: Tensor) -> _Point:
        margin = sign * matrix.forward(weight[None, None], bias[None, None], groups)[0, 0]
        short = (1.0 - margin).clamp_min(0.0)
        value = 0.5 * float(weight @ weight + bias * bias + hardness @ short.square())
        return _Point(weight, bias, margin, (short > 0) & (hardness > 0), value)

    at = best = look(weight, bias)
    fewest, setbacks, searching = matrix.n + 1, 0, False
    grain = 1e-7 if weight.dtype == torch.float32 else 1e-15
    for systems in range(1, SYSTEMS + 1):
        goal = look(*_ridge(matrix, fold, torch.nonzero(at.short)[:, 0], hardness, sign, weight.dtype))
        changes = int((goal.short != at.short).sum())
        if changes == 0:
            return (goal if goal.value <= best.value else best), systems
        if not searching:
            # Exchange the whole set, also uphill, for as long as the changes become fewer.
            setbacks = 0 if changes < fewest else setbacks + 1
            fewest, at = min(fewest, changes), goal
            best = goal if goal.value < best.value else best
            if setbacks == SETBACKS:
                searching, at = True, best
            continue
        length = _length(at, goal, hardness)
        at = look(at.weight + length * (goal.weight - at.weight), at.bias + length * (goal.bias - at.bias))
        if not at.value < best.value * (1.0 - grain):
            break
        best = at
    return best, systems


@dataclass(frozen=True, eq=False)
class _Point:
    """Weights, their margins (n,), the rows that are short of the margin (n,), and the objective."""

    weight: Tensor
    bias: Tensor
    margin: Tensor
    short: Tensor
    value: float


def _length(at: _Point, goal: _Point, hardness: Tensor) -> float:
    """The minimum on the way from one point to another: the root of a piecewise linear, rising derivative.

    Exact, by sorting the places where a row passes its margin (Keerthi and DeCoste 2005, section 3).
    """
    way, turn = (goal.weight - at.weight).double(), float(goal.bias - at.bias)
    first = float(at.weight.double() @ way) + float(at.bias) * turn
    second = float(way @ way) + turn * turn
    margin, mass = at.margin.double().numpy(), hardness.double().numpy()
    change, lack = goal.margin.double().numpy() - margin, 1.0 - margin
    # At length t row i adds -mass * (lack - t * change) * change to the derivative while lack - t * change > 0.
    short = (lack > 0) | ((lack == 0) & (change < 0))
    fall, rise = mass * lack * change, mass * change * change
    slope, bend = first - fall[short].sum(), second + rise[short].sum()
    with np.errstate(divide="ignore", invalid="ignore"):
        passing = lack / change
    rows = np.flatnonzero((change != 0) & (mass > 0) & (passing > 0) & (passing < LONGEST))
    rows = rows[np.argsort(passing[rows], kind="stable")]
    turns = np.where(short[rows], 1.0, -1.0)  # a short row leaves the sum where it passes, another enters it
    slopes = slope + np.concatenate([[0.0], np.cumsum(turns * fall[rows])])
    bends = bend - np.concatenate([[0.0], np.cumsum(turns * rise[rows])])
    ends = np.append(passing[rows], LONGEST)
    beyond = np.flatnonzero(slopes + bends * ends >= 0)
    if not len(beyond):
        return LONGEST
    piece = beyond[0]
    begin = ends[piece - 1] if piece else 0.0
    return float(np.clip(-slopes[piece] / max(bends[piece], 1e-300), begin, ends[piece]))


def _ridge(
    matrix: FoldMatrix | RowSpace, fold: int, index: Tensor, hardness: Tensor, sign: Tensor, dtype: torch.dtype
) -> tuple[Tensor, Tensor]:
    """Ridge regression of the rows `index` on their signs."""
    rows = matrix.seen(fold, index, dtype)  # (active, d)
    hard, goal = hardness[index].to(dtype), sign[index].to(dtype)
    few = len(index) <= matrix.d
    weight, bias = goal.new_zeros(matrix.d), goal.new_zeros(())
    for last in (False, True):
        # Float32 inner products serve as long as refinement can mend them; else they are made in float64.
        table = _few_rows(matrix, fold, index, rows, hard, last) if few else _many_rows(rows, hard, last)
        factor, broken = torch.linalg.cholesky_ex(table)
        if broken and not last:
            continue
        weight, bias, sound = (_refine_few if few else _refine_many)(factor, rows, hard, goal)
        if sound:
            break
    return weight, bias


def _few_rows(
    matrix: FoldMatrix | RowSpace, fold: int, index: Tensor, rows: Tensor, hard: Tensor, precise: bool
) -> Tensor:
    """``X X' + 1 + 1 / hardness`` in float64, of inner products in float64 or as stored."""
    table = (rows.double() @ rows.double().T).add_(1.0) if precise else matrix.kernel(fold, index).double()
    table.diagonal().add_(1.0 / hard.double())
    return table


def _many_rows(rows: Tensor, hard: Tensor, precise: bool) -> Tensor:
    """``[X 1]' diag(hardness) [X 1] + I`` in float64, of products in float64 or as stored."""
    rows = rows.double() if precise else rows
    root = hard.sqrt().to(rows.dtype)[:, None]
    scaled = torch.cat([rows * root, root], dim=1)
    table = (scaled.T @ scaled).double()
    table.diagonal().add_(1.0)
    return table


def _refine_few(factor: Tensor, rows: Tensor, hard: Tensor, goal: Tensor) -> tuple[Tensor, Tensor, bool]:
    dual, residual = torch.zeros_like(goal), goal
    weight, bias = goal.new_zeros(rows.shape[1]), goal.new_zeros(())
    for _ in range(REFINEMENTS):
        dual = dual + torch.cholesky_solve(residual.double()[:, None], factor)[:, 0].to(goal.dtype)
        weight, bias = dual @ rows, dual.sum()
        residual = goal - rows @ weight - bias - dual / hard
        off = float(residual.abs().max())
        if off <= PRECISE[goal.dtype]:
            return weight, bias, True
    return weight, bias, False


def _refine_many(factor: Tensor, rows: Tensor, hard: Tensor, goal: Tensor) -> tuple[Tensor, Tensor, bool]:
    weight, bias = goal.new_zeros(rows.shape[1]), goal.new_zeros(())
    size = 0.0
    for _ in range(REFINEMENTS):
        dual = hard * (goal - rows @ weight - bias)
        slope = torch.cat([dual @ rows - weight, (dual.sum() - bias).reshape(1)]).double()
        size = size or float(slope.norm())
        if float(slope.norm()) <= PRECISE[goal.dtype] * size:
            return weight, bias, True
        step = torch.cholesky_solve(slope[:, None], factor)[:, 0].to(goal.dtype)
        weight, bias = weight + step[:-1], bias + step[-1]
    return weight, bias, False
