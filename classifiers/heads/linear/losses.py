"""Losses of linear models over many independent problems at once, with what Newton's method needs of them.

A *group* is one problem that is solved on its own: a fold (softmax, logistic), or a class of a fold (squared hinge).
It has `r` rows of logits over the same `n` samples. Every loss works on *relative* logits, in which the true class (or
the side of the true class) is the reference: what a nearly separable problem has left of loss, gradient and curvature
then keeps its digits in float32 instead of drowning in ``1 - p``.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor


class Loss(Protocol):
    """What the solver asks of a loss. `take` restricts everything to some groups."""

    mass: Tensor  # (groups, n): sample weights, 0 for held-out rows
    fold: Tensor  # (groups,): the fold that each group belongs to
    rows: int  # logits a sample and group
    bias_penalty: float  # weight of 0.5 * bias**2 in the objective

    def relative(self, logits: Tensor) -> Tensor:
        """Logits (groups, r, n) relative to the true class; linear, may overwrite its argument."""

    def logits(self, relative: Tensor) -> Tensor:
        """Logits (groups, r, n), up to what the softmax does not see; -inf for classes that the fold has not seen."""

    def value(self, relative: Tensor) -> tuple[Tensor, Tensor]:
        """Summed loss (groups,) in float64, and the state (groups, r, n) of which the next two are made."""

    def residual(self, state: Tensor) -> Tensor:
        """Derivative of the summed loss with respect to the logits, (groups, r, n)."""

    def curve(self, state: Tensor, direction: Tensor) -> Tensor:
        """Second derivative of the summed loss, applied to a relative direction (groups, r, n)."""

    def stiffness(self, state: Tensor) -> Tensor:
        """Diagonal of the second derivative summed over the samples, (groups, r)."""

    def take(self, index: Tensor) -> Loss:
        """The same loss for some of the groups."""

    def to(self, dtype: torch.dtype) -> Loss:
        """The same loss in another precision."""


class SoftmaxLoss:
    """``sum_i w_i * -log softmax(z_i)[y_i]``, `k` logits a sample; classes absent from a fold get probability 0.

    Parameters
    ----------
    mass : Tensor of shape (folds, n)
        Sample weights, 0 for held-out rows.
    target : Tensor of shape (n,), int64
        Classes.
    k : int
        Number of classes.
    fold : Tensor of shape (folds,), int64
        Numbers of the folds.
    """

    bias_penalty = 0.0

    def __init__(self, mass: Tensor, target: Tensor, k: int, fold: Tensor) -> None:
        folds, n = mass.shape
        self.mass, self.rows, self.fold = mass, k, fold
        present = torch.zeros(folds, k, dtype=mass.dtype).index_add_(1, target, mass) > 0
        self.absent = ~present  # (folds, k)
        # A held-out row may be of an absent class; any class that is present serves as its (weightless) reference.
        known = present.gather(1, target.expand(folds, n))
        self.reference = torch.where(known, target, present.int().argmax(dim=1)[:, None])[:, None, :]  # (folds, 1, n)

    def take(self, index: Tensor) -> SoftmaxLoss:
        """The same loss for some of the folds."""
        part = object.__new__(SoftmaxLoss)
        part.mass, part.rows, part.fold = self.mass[index], self.rows, self.fold[index]
        part.absent, part.reference = self.absent[index], self.reference[index]
        return part

    def to(self, dtype: torch.dtype) -> SoftmaxLoss:
        """The same loss in another precision."""
        part = self.take(torch.arange(len(self.fold)))
        part.mass = part.mass.to(dtype)
        return part

    def relative(self, logits: Tensor) -> Tensor:
        """``z_j - z_y``."""
        return logits.sub_(logits.gather(1, self.reference))

    def logits(self, relative: Tensor) -> Tensor:
        """The relative logits themselves; -inf for absent classes."""
        return relative.masked_fill(self.absent[:, :, None], -torch.inf)

    def value(self, relative: Tensor) -> tuple[Tensor, Tensor]:
        """Loss, and the probabilities with that of the true class set to 0."""
        relative = relative.masked_fill(self.absent[:, :, None], -torch.inf)
        top = relative.amax(dim=1, keepdim=True)  # >= 0, for the true class has 0
        other = relative.sub_(top).exp_().scatter_(1, self.reference, 0.0)
        total = other.sum(dim=1, keepdim=True)
        loss = top + torch.log1p(total + torch.expm1(-top))
        state = other.div_(total + torch.exp(-top))
        return (loss[:, 0] * self.mass).sum(dim=-1, dtype=torch.float64), state

    def residual(self, state: Tensor) -> Tensor:
        """``w * (p - onehot(y))``, the true class' entry summed from the others."""
        weighted = state * self.mass[:, None, :]
        return weighted.scatter_(1, self.reference, -weighted.sum(dim=1, keepdim=True))

    def curve(self, state: Tensor, direction: Tensor) -> Tensor:
        """``w * (diag(p) - p p^T) v`` for a `v` that is 0 at the true class."""
        weighted = direction * state
        mean = weighted.sum(dim=1, keepdim=True)
        weighted = weighted.addcmul_(state, mean, value=-1.0).mul_(self.mass[:, None, :])
        return weighted.scatter_(1, self.reference, -weighted.sum(dim=1, keepdim=True))

    def stiffness(self, state: Tensor) -> Tensor:
        """``sum_i w_i p_ij (1 - p_ij)``."""
        other = state.sum(dim=1, keepdim=True)  # 1 - p of the true class
        spread = (state * (1.0 - state)).scatter_(1, self.reference, other * (1.0 - other))
        return (spread @ self.mass[:, :, None])[..., 0]


class _SignedLoss:
    """A loss of one margin ``s * z`` a sample, ``s`` being +1 or -1."""

    rows = 1

    def __init__(self, mass: Tensor, sign: Tensor, fold: Tensor) -> None:
        self.mass, self.sign, self.fold = mass, sign, fold

    def relative(self, logits: Tensor) -> Tensor:
        """Margins."""
        return logits.mul_(self.sign[:, None, :])

    def logits(self, relative: Tensor) -> Tensor:
        """Margins with their sign taken back."""
        return relative * self.sign[:, None, :]


class LogisticLoss(_SignedLoss):
    """``sum_i w_i * log(1 + exp(-s_i z_i))``: two classes, one logit, as scikit-learn writes it.

    Parameters
    ----------
    mass : Tensor of shape (groups, n)
        Sample weights, 0 for held-out rows.
    sign : Tensor of shape (groups, n)
        +1 for the second class, -1 for the first.
    fold : Tensor of shape (groups,), int64
    """

    bias_penalty = 0.0

    def take(self, index: Tensor) -> LogisticLoss:
        """The same loss for some of the groups."""
        return LogisticLoss(self.mass[index], self.sign[index], self.fold[index])

    def to(self, dtype: torch.dtype) -> LogisticLoss:
        """The same loss in another precision."""
        return LogisticLoss(self.mass.to(dtype), self.sign.to(dtype), self.fold)

    def value(self, relative: Tensor) -> tuple[Tensor, Tensor]:
        """Loss, and the probability of the wrong side."""
        loss = torch.nn.functional.softplus(-relative)
        return (loss[:, 0] * self.mass).sum(dim=-1, dtype=torch.float64), torch.sigmoid(-relative)

    def residual(self, state: Tensor) -> Tensor:
        """``-w s p(wrong)``."""
        return state * (self.mass * -self.sign)[:, None, :]

    def curve(self, state: Tensor, direction: Tensor) -> Tensor:
        """``w p (1 - p) v``, brought back to the sign of the logits."""
        return (state * (1.0 - state)).mul_(direction).mul_((self.mass * self.sign)[:, None, :])

    def stiffness(self, state: Tensor) -> Tensor:
        """``sum_i w_i p_i (1 - p_i)``."""
        return ((state * (1.0 - state)) * self.mass[:, None, :]).sum(dim=-1)


class SquaredHingeLoss(_SignedLoss):
    """``sum_i w_i * max(0, 1 - s_i z_i)**2``: liblinear's L2-loss SVM, one class against the rest; intercept penalised.

    Parameters
    ----------
    mass : Tensor of shape (groups, n)
        Sample weights, 0 for held-out rows.
    sign : Tensor of shape (groups, n)
        +1 for the class of the group, -1 for the rest.
    fold : Tensor of shape (groups,), int64
    """

    bias_penalty = 1.0

    def take(self, index: Tensor) -> SquaredHingeLoss:
        """The same loss for some of the groups."""
        return SquaredHingeLoss(self.mass[index], self.sign[index], self.fold[index])

    def to(self, dtype: torch.dtype) -> SquaredHingeLoss:
        """The same loss in another precision."""
        return SquaredHingeLoss(self.mass.to(dtype), self.sign.to(dtype), self.fold)

    def value(self, relative: Tensor) -> tuple[Tensor, Tensor]:
        """Loss, and how far each margin falls short of 1."""
        short = (1.0 - relative).clamp_min_(0.0)
        return (short[:, 0].square() * self.mass).sum(dim=-1, dtype=torch.float64), short

    def residual(self, state: Tensor) -> Tensor:
        """``-2 w s max(0, 1 - s z)``."""
        return state * (self.mass * self.sign)[:, None, :].mul(-2.0)

    def curve(self, state: Tensor, direction: Tensor) -> Tensor:
        """``2 w v`` where the margin falls short, brought back to the sign of the logits."""
        return (state > 0).to(direction.dtype).mul_(direction).mul_((self.mass * self.sign)[:, None, :].mul(2.0))

    def stiffness(self, state: Tensor) -> Tensor:
        """``2 sum_i w_i`` over the margins that fall short."""
        return ((state > 0) * self.mass[:, None, :]).sum(dim=-1).mul_(2.0)
