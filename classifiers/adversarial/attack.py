"""How images are attacked: small changes of the pixels that make a network see something else.

Sources: I. Goodfellow, J. Shlens, C. Szegedy, "Explaining and Harnessing Adversarial Examples", ICLR 2015,
arXiv:1412.6572 (fgsm); A. Madry et al., "Towards Deep Learning Models Resistant to Adversarial Attacks", ICLR 2018,
arXiv:1706.06083 (pgd, random starts); N. Carlini, D. Wagner, "Towards Evaluating the Robustness of Neural Networks",
IEEE S&P 2017, arXiv:1608.04644 (the margin of the logits as the goal).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from featstore.errors import AttackError

Norm = Literal["linf", "l2"]
METHODS = ("pgd", "fgsm", "descent")
NORMS = {"linf": "L-infinity", "l2": "L2"}
"""How norms are called in reports."""
LEVELS = 255
"""The largest grey level of an 8-bit picture."""


@dataclass(frozen=True)
class PerturbationSet:
    """The changes of a picture that an attacker may make.

    Parameters
    ----------
    norm : {"linf", "l2"}
        Largest change of any number of a pixel, or root of the sum of the squared changes.
    epsilon : float
        Radius for pixels in [0, 1]; infinity for no bound.

    Raises
    ------
    AttackError
        A radius that is negative, above 0 but below one grey level, or above 1 in L-infinity.
    """

    norm: Norm
    epsilon: float

    def __post_init__(self) -> None:
        if not self.epsilon >= 0:
            raise AttackError(f"epsilon is {self.epsilon}, expected 0 or more")
        if 0 < self.epsilon < 1 / LEVELS - 1e-9:
            raise AttackError(
                f"epsilon {self.epsilon:g} is below one grey level (1/255 = 0.0039): the only 8-bit picture within it "
                f"is the original itself; use 1/255 or more"
            )
        if self.norm == "linf" and 1 < self.epsilon < float("inf"):
            raise AttackError(
                f"epsilon {self.epsilon:g} is more than the whole range of a pixel, which is 0 to 1; "
                f"for so many grey levels write {self.epsilon:g}/255"
            )

    @property
    def radius(self) -> float:
        """In grey levels; whole ones in L-infinity."""
        levels = self.epsilon * LEVELS
        return float(int(levels + 1e-6)) if self.norm == "linf" and levels < float("inf") else levels

    def length(self, change: Tensor) -> Tensor:
        """Size of each change, (b,): of a change of shape (b, ...) in the same unit as it."""
        flat = change.flatten(1)
        return flat.abs().amax(1) if self.norm == "linf" else flat.norm(dim=1)

    def direction(self, gradient: Tensor) -> Tensor:
        """The change of length 1 along which a linear function of this gradient rises most."""
        if self.norm == "linf":
            return gradient.sign()
        return gradient / _each(gradient.flatten(1).norm(dim=1).clamp(min=1e-30), gradient)

    def project(self, change: Tensor) -> Tensor:
        """The nearest change in the set; in grey levels."""
        if self.norm == "linf":
            return change.clamp(-self.radius, self.radius)
        length = self.length(change).clamp(min=1e-30)
        return change * _each((self.radius / length).clamp(max=1.0), change)

    def sample(self, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
        """A random change of the set, in grey levels: uniform in L-infinity, of any length and direction in L2."""
        if self.norm == "linf":
            whole = int(self.radius)
            return torch.randint(-whole, whole + 1, shape, generator=generator).float()
        change = torch.randn(shape, generator=generator)
        length = float(change.flatten().norm())
        return change * (self.radius * float(torch.rand((), generator=generator)) / length)

    def quantise(self, original: Tensor, change: Tensor) -> Tensor:
        """The change in whole grey levels, inside the set and inside the range of a pixel.

        In L-infinity rounding to the nearest level stays inside. In L2 it would not: there every part of the change is
        first cut towards zero, and what room that leaves is spent on the parts that lost most.

        Parameters
        ----------
        original : Tensor of shape (b, 3, h, w)
            Grey levels 0 to 255.
        change : Tensor of the same shape
            Of the set, in grey levels.
        """
        change = change.clamp(-original, LEVELS - original)
        if self.norm == "linf" or self.radius == float("inf"):
            return change.round()
        cut = change.trunc()
        flat, rest = cut.flatten(1), (change - cut).flatten(1)
        order = rest.abs().argsort(dim=1, descending=True)
        cost = (2 * flat.abs() + 1).gather(1, order).double()
        room = (self.radius**2 * (1 + 1e-12) - flat.double().square().sum(1))[:, None]
        affordable = (cost.cumsum(1) <= room) & (rest.gather(1, order) != 0)
        step = rest.sign().gather(1, order) * affordable
        return (flat + torch.zeros_like(flat).scatter_(1, order, step)).view_as(change)


@dataclass(frozen=True)
class Attack:
    """How images are attacked.

    Parameters
    ----------
    method : {"pgd", "fgsm", "descent"}
        Many bounded steps from random starts; one step; the lesson's gradient descent, which knows no bound.
    norm : {"linf", "l2"}
    epsilon : float
        Radius, for pixels in [0, 1]; "descent" pays no heed to it.
    steps : int, optional
        Default: 40 for "pgd", 200 for "descent".
    rate : float, optional
        Length of a step in the norm, for pixels in [0, 1]. Default: 2.5 * epsilon / steps, at least one grey level in
        L-infinity; 0.5 (L2) for "descent".
    restarts : int
        Random starts of "pgd"; the best result is kept.
    goal : {"cross-entropy", "margin"}
        What is followed: the loss of the class, or the difference between its logit and the best other one, which has
        a gradient also where the cross-entropy is too small to have one.
    enough : float, optional
        An image is done once it is fooled with at least this probability; None takes all the steps for the surest
        result. Default of "descent": 0.9, as in the lesson.
    seed : int
        Of the random starts.

    Raises
    ------
    AttackError
        An unknown method, norm or goal, or numbers out of range.

    Examples
    --------
    >>> attack = Attack(epsilon=8 / 255, steps=10)
    >>> attack.method, attack.rounds, attack.stride
    ('pgd', 10, 2.0)
    """

    method: str = "pgd"
    norm: Norm = "linf"
    epsilon: float = 4 / 255
    steps: int | None = None
    rate: float | None = None
    restarts: int = 1
    goal: str = "cross-entropy"
    enough: float | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        for what, value, known in (
            ("method", self.method, METHODS),
            ("norm", self.norm, tuple(NORMS)),
            ("goal", self.goal, ("cross-entropy", "margin")),
        ):
            if value not in known:
                raise AttackError(f"{what} {value!r} is not known; use one of {', '.join(known)}")
        whole = self.restarts >= 1 and (self.steps is None or self.steps >= 1)
        if not whole or (self.rate is not None and not self.rate > 0):
            raise AttackError(
                f"steps {self.steps} and restarts {self.restarts} must be at least 1, the rate {self.rate} above 0"
            )
        _ = self.allowed

    def to_json(self) -> dict[str, Any]:
        """How images were attacked, as reports state it; norm and epsilon are None where there is no bound."""
        bounded = self.method != "descent"
        return {
            "method": self.method,
            "norm": self.norm if bounded else None,
            "epsilon": self.epsilon if bounded else None,
            "steps": self.rounds,
            "restarts": self.restarts,
            "goal": self.goal,
            "seed": self.seed,
        }

    @property
    def allowed(self) -> PerturbationSet:
        """The changes that may be made."""
        return (
            PerturbationSet("l2", float("inf"))
            if self.method == "descent"
            else PerturbationSet(self.norm, self.epsilon)
        )

    @property
    def rounds(self) -> int:
        """Steps that are taken at most; none where only the original is near enough."""
        if self.allowed.radius == 0:
            return 0
        if self.method == "fgsm":
            return 1
        return self.steps or (200 if self.method == "descent" else 40)

    @property
    def stride(self) -> float:
        """Length of a step in grey levels; whole ones in L-infinity."""
        allowed = self.allowed
        if self.method == "fgsm":
            return allowed.radius
        if self.method == "descent":
            return LEVELS * (0.5 if self.rate is None else self.rate)
        length = 2.5 * allowed.radius / self.rounds if self.rate is None else LEVELS * self.rate
        return max(1.0, float(round(length))) if allowed.norm == "linf" else length

    @property
    def patience(self) -> float | None:
        """Probability at which an image is done."""
        return 0.9 if self.enough is None and self.method == "descent" else self.enough


def parse_epsilon(text: str) -> float:
    """A radius as people write it: `4/255`, `0.0157`, `0`.

    Raises
    ------
    AttackError
        Anything else.
    """
    if text.strip().startswith("-"):
        raise AttackError(f"epsilon {text!r} is negative; it is the largest size of the change, so 0 or more")
    match = re.fullmatch(r"\s*((?:\d+(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d{1,3})?)\s*(?:/\s*(\d+(?:\.\d*)?))?\s*", text)
    if match is None or (match[2] is not None and float(match[2]) == 0):
        raise AttackError(f"epsilon {text!r} is no number; write a fraction like 4/255 or a decimal like 0.0157")
    return float(match[1]) / float(match[2] or 1)


def epsilon_text(epsilon: float, norm: str) -> str:
    """How an epsilon is said: in grey levels where it bounds each number (linf), else as the length it is (l2)."""
    return f"{epsilon * LEVELS:.3g}/255" if norm == "linf" else f"{epsilon:.3g}"


def _each(values: Tensor, like: Tensor) -> Tensor:
    """(b,) -> (b, 1, ...), to multiply images with."""
    return values.view(-1, *[1] * (like.dim() - 1))
