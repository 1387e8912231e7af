"""Exact solutions of a linear SVM: only rows short of the margin have a say, and what they ask for is a ridge regression.

Conjugate gradients need hundreds of products where C is large and rows and features are of similar number. One class
costs less by Cholesky factorisation then, in the rows short of the margin or in the features, whichever are fewer. The
set of these rows is exchanged as a whole until it repeats itself, and then the problem is solved.

Sources: S. Keerthi, D. DeCoste, A modified finite Newton method for fast solution of large scale linear SVMs, JMLR 6
(2005); M. Hintermueller, K. Ito, K. Kunisch, The primal-dual active set strategy as a semismooth Newton method, SIAM J.
Optim. 13 (2002).
"""

from __future__ import annotations

import torch
from torch import Tensor

from classifiers.foldmatrix import FoldMatrix

EXCHANGES = 30
"""Of the active set, at most."""
SETBACKS = 3
"""Exchanges in turn that may bring no smaller change of the set than the smallest before."""
REFINEMENTS = 3
"""Rounds that take the rounding of the factorised matrix out of a solution."""


def exact_cost(active: int, d: int, cached: bool) -> float:
    """Multiplications of one exchange with `active` rows of `d` features, about."""
    small = min(active, d + 1)
    form = 0.0 if cached and active <= d else float(active) * d * small
    return form + small**3 / 3.0


def exact_minimum(
    matrix: FoldMatrix, fold: int, hardness: Tensor, sign: Tensor, active: Tensor, dtype: torch.dtype
) -> tuple[Tensor, Tensor, int]:
    """Minimise ``0.5 (|w|^2 + b^2) + 0.5 sum_i hardness_i max(0, 1 - sign_i (x_i w + b))^2``, or come close.

    Parameters
    ----------
    matrix : FoldMatrix
    fold : int
    hardness : Tensor of shape (n,)
        Rows with 0 do not exist.
    sign : Tensor of shape (n,)
        +1 or -1.
    active : Tensor of shape (n,), bool
        Where to start: rows that are short of the margin.
    dtype : torch.dtype
        Precision of the result.

    Returns
    -------
    weight : Tensor of shape (d,)
    bias : Tensor, a single number
    exchanges : int
        Systems that were solved.
    """
    best: tuple[float, Tensor, Tensor] | None = None
    fewest, setbacks = matrix.n + 1, 0
    groups = torch.tensor([fold])
    for exchange in range(1, EXCHANGES + 1):
        weight, bias = _ridge(matrix, fold, torch.nonzero(active)[:, 0], hardness, sign, dtype)
        margin = sign * matrix.forward(weight[None, None], bias[None, None], groups)[0, 0]
        short = (1.0 - margin).clamp_min_(0.0)
        value = 0.5 * float(weight @ weight + bias * bias + hardness @ short.square())
        if best is None or value < best[0]:
            best = value, weight, bias
        fresh = (short > 0) & (hardness > 0)
        changes = int((fresh != active).sum())
        setbacks = 0 if changes < fewest else setbacks + 1
        fewest, active = min(fewest, changes), fresh
        if changes == 0 or setbacks == SETBACKS:
            break
    if best is None:
        raise RuntimeError("no system was solved")
    return best[1], best[2], exchange


def _ridge(
    matrix: FoldMatrix, fold: int, index: Tensor, hardness: Tensor, sign: Tensor, dtype: torch.dtype
) -> tuple[Tensor, Tensor]:
    """Ridge regression of the rows `index` on their signs."""
    rows = matrix.seen(fold, index)  # (active, d)
    hard, goal = hardness[index].to(dtype), sign[index].to(dtype)
    if len(index) <= matrix.d:
        system = matrix.kernel(fold, index).double()
        system.diagonal().add_(1.0 / hard)
        factor = torch.linalg.cholesky(system)
        rows, dual, residual = rows.to(dtype), torch.zeros_like(goal), goal
        weight, bias = goal.new_zeros(matrix.d), goal.new_zeros(())
        for _ in range(REFINEMENTS):
            dual = dual + torch.cholesky_solve(residual.double()[:, None], factor)[:, 0].to(dtype)
            weight, bias = dual @ rows, dual.sum()
            residual = goal - rows @ weight - bias - dual / hard
        return weight, bias
    root = hard.sqrt().to(rows.dtype)[:, None]
    scaled = torch.cat([rows * root, root], dim=1)
    system = (scaled.T @ scaled).double()
    system.diagonal().add_(1.0)
    factor = torch.linalg.cholesky(system)
    rows = rows.to(dtype)
    weight, bias = goal.new_zeros(matrix.d), goal.new_zeros(())
    for _ in range(REFINEMENTS):
        dual = hard * (goal - rows @ weight - bias)
        slope = torch.cat([dual @ rows - weight, (dual.sum() - bias).reshape(1)]).double()
        step = torch.cholesky_solve(slope[:, None], factor)[:, 0].to(dtype)
        weight, bias = weight + step[:-1], bias + step[-1]
    return weight, bias
