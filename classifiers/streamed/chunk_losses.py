"""Losses of linear classifiers over one chunk of rows: what a pass adds up of them.

As `classifiers.heads.linear.losses`, which holds the logits of all rows, but row by row, and with what the rows that
a fold holds out say. Logits are relative to the true class, so that what a nearly separable problem has left of loss
and gradient keeps its digits in float32.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

CERTAIN = 100.0
"""Decision value of a fold that was shown one of two classes only."""


@dataclass(frozen=True, eq=False)
class ChunkLoss:
    """What one chunk adds for one group of weights.

    Attributes
    ----------
    value : Tensor of shape (e,), float64
        Loss of each block: one for the softmax, one a class for the squared hinge.
    residual : Tensor of shape (outputs, m)
        Derivative with respect to the logits.
    curvature : Tensor of shape (r, r) or (e,)
        Second derivative summed over the rows: between classes for the softmax, of each class for the others.
    right : Tensor of shape (m,), bool
        Whether the decision value of the true class is the largest, and the first of those that share it.
    row_loss : Tensor of shape (m,), or None
        Log loss of every row; None for the squared hinge, whose logits are no logarithms of anything.
    """

    value: Tensor
    residual: Tensor
    curvature: Tensor
    right: Tensor
    row_loss: Tensor | None


def softmax_chunk(logits: Tensor, target: Tensor, mass: Tensor, absent: Tensor, *, thin: int = 1) -> ChunkLoss:
    """``sum_i w_i * -log softmax(z_i)[y_i]``.

    Parameters
    ----------
    logits : Tensor of shape (k, m)
        Overwritten.
    target : Tensor of shape (m,), int64
    mass : Tensor of shape (m,)
        0 for rows that do not train.
    absent : Tensor of shape (k,), bool
        Classes that the fold has not seen: their probability is 0.
    thin : int
        The curvature is that of every thin-th row, times `thin`.

    Examples
    --------
    >>> logits = torch.tensor([[0.0], [1.0]])
    >>> found = softmax_chunk(logits, torch.tensor([1]), torch.ones(1), torch.zeros(2, dtype=torch.bool))
    >>> round(float(found.value), 4), found.residual.numpy().round(2)[:, 0]
    (0.3133, array([ 0.27, -0.27], dtype=float32))
    """
    if absent.any():
        logits[absent] = -torch.inf
    at = target[None]
    true = logits.gather(0, at)
    if absent.any():
        # A held-out row of a class that the fold has not seen has no weight; its loss is finite all the same.
        true = true.clamp_min(torch.finfo(logits.dtype).min / 4)
    relative = logits.sub_(true)
    top = relative.scatter_(0, at, -torch.inf).amax(dim=0, keepdim=True)
    right = _first(relative, top[0], 0.0, target)
    top.clamp_min_(0.0)
    other = relative.sub_(top).exp_()
    total = other.sum(dim=0, keepdim=True)
    own = torch.exp(-top)
    row_loss = (top + torch.log1p(total + torch.expm1(-top)))[0]
    state = other.div_(total + own)
    some = state[:, ::thin]
    seen = mass[::thin]
    # Probabilities with that of the true class made from the others, which keeps its distance from 1.
    share = some.clone().scatter_(0, at[:, ::thin], 1.0 - some.sum(dim=0, keepdim=True))
    weighted = share * seen
    curvature = torch.diag(weighted.sum(dim=1)) - weighted @ share.T
    state.mul_(mass)
    state.scatter_(0, at, -state.sum(dim=0, keepdim=True))
    value = torch.where(mass > 0, row_loss * mass, 0.0).sum(dtype=torch.float64)[None]
    return ChunkLoss(value, state, curvature * thin, right, row_loss)


def logistic_chunk(logits: Tensor, target: Tensor, mass: Tensor, certain: float) -> ChunkLoss:
    """``sum_i w_i * log(1 + exp(-s_i z_i))``: two classes, one logit (1, m).

    Parameters
    ----------
    logits : Tensor of shape (1, m)
    target, mass
        As `softmax_chunk`.
    certain : float
        Added to the decision value of rows that are judged: 0, or ± `CERTAIN` where the fold has seen one class.

    Examples
    --------
    >>> found = logistic_chunk(torch.zeros(1, 2), torch.tensor([0, 1]), torch.ones(2), 0.0)
    >>> round(float(found.value), 4), found.residual.tolist()
    (1.3863, [[0.5, -0.5]])
    """
    sign = torch.where(target == 1, 1.0, -1.0).to(logits.dtype)
    margin = logits[0] * sign
    wrong = torch.sigmoid(-margin)
    value = (torch.nn.functional.softplus(-margin) * mass).sum(dtype=torch.float64)[None]
    judged = logits[0] + certain
    return ChunkLoss(
        value, (wrong * mass * -sign)[None], (wrong * (1.0 - wrong) * mass).sum()[None], (judged > 0) == (target == 1),
        torch.nn.functional.softplus(-judged * sign),
    )  # fmt: skip


def hinge_chunk(logits: Tensor, target: Tensor, mass: Tensor, own: Tensor | None, certain: float) -> ChunkLoss:
    """``sum_i w_i * max(0, 1 - s_i z_i)**2``, each class against the rest.

    Parameters
    ----------
    logits : Tensor of shape (outputs, m)
    target, mass, certain
        As `logistic_chunk`.
    own : Tensor of shape (k,), or None
        Factor of each class' own rows; None for two classes, whose factors are in `mass`.

    Examples
    --------
    >>> found = hinge_chunk(torch.zeros(1, 2), torch.tensor([0, 1]), torch.ones(2), None, 0.0)
    >>> float(found.value), found.residual.tolist()
    (2.0, [[2.0, -2.0]])
    """
    outputs = len(logits)
    if outputs == 1:
        right = (logits[0] + certain > 0) == (target == 1)
        sign = torch.where(target == 1, 1.0, -1.0).to(logits.dtype)[None]
    else:
        others = logits.scatter(0, target[None], -torch.inf)
        right = _first(others, others.amax(dim=0), logits.gather(0, target[None])[0], target)
        sign = torch.full_like(logits, -1.0).scatter_(0, target[None], 1.0)
    weight = mass.expand(outputs, -1)
    if own is not None:
        weight = weight.clone().scatter_(0, target[None], (mass * own[target])[None])
    short = torch.addcmul(torch.ones_like(logits), logits, sign, value=-1.0).clamp_min_(0.0)
    pull = short * weight
    value = (pull * short).sum(dim=1, dtype=torch.float64)
    curvature = ((short > 0) * weight).sum(dim=1).mul_(2.0)
    return ChunkLoss(value, pull.mul_(sign).mul_(-2.0), curvature, right, None)


def _first(others: Tensor, top: Tensor, own: Tensor | float, target: Tensor) -> Tensor:
    """Whether the largest of the others (k, m), `top` (m,), is below `own`, or equal and further down the list."""
    right = top < own
    shared = torch.nonzero(top == own)[:, 0]
    if len(shared):
        right[shared] = target[shared] < others[:, shared].argmax(dim=0)
    return right
