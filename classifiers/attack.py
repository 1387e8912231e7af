"""How images are attacked: small changes of the pixels that make a network see something else.

Sources: I. Goodfellow, J. Shlens, C. Szegedy, "Explaining and Harnessing Adversarial Examples", ICLR 2015,
arXiv:1412.6572 (fgsm); A. Madry et al., "Towards Deep Learning Models Resistant to Adversarial Attacks", ICLR 2018,
arXiv:1706.06083 (pgd, random starts); N. Carlini, D. Wagner, "Towards Evaluating the Robustness of Neural Networks",
IEEE S&P 2017, arXiv:1608.04644 (the margin of the logits as the goal).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from classifiers.ball import LEVELS, Ball, Norm
from featstore.errors import AttackError

METHODS = ("pgd", "fgsm", "descent")
NORMS = {"linf": "L-infinity", "l2": "L2"}
"""How norms are called in reports."""


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
        _ = self.ball

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
    def ball(self) -> Ball:
        """The pictures that the result may be one of."""
        return Ball("l2", float("inf")) if self.method == "descent" else Ball(self.norm, self.epsilon)

    @property
    def rounds(self) -> int:
        """Steps that are taken at most; none where only the original is near enough."""
        if self.ball.radius == 0:
            return 0
        if self.method == "fgsm":
            return 1
        return self.steps or (200 if self.method == "descent" else 40)

    @property
    def stride(self) -> float:
        """Length of a step in grey levels; whole ones in L-infinity."""
        ball = self.ball
        if self.method == "fgsm":
            return ball.radius
        if self.method == "descent":
            return LEVELS * (0.5 if self.rate is None else self.rate)
        length = 2.5 * ball.radius / self.rounds if self.rate is None else LEVELS * self.rate
        return max(1.0, float(round(length))) if ball.norm == "linf" else length

    @property
    def patience(self) -> float | None:
        """Probability at which an image is done."""
        return 0.9 if self.enough is None and self.method == "descent" else self.enough
