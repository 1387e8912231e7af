"""ExpectedGain: what reopening the network is expected to bring, with an interval and the chance that it pays."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from scipy.special import ndtr, ndtri

WORTH = 0.015
"""Accuracy that must be expected before anything is worth the trouble."""

LEVEL = 0.9
"""Of the interval."""

TOSS_UP = (0.25, 0.75)
"""Chances of a gain worth having between which it may as well turn out the other way."""

FEWEST = 20
"""Training images from which nothing is learnt that the pretrained network does not know."""

ENOUGH_A_CLASS = 15.0
"""Images a class at which half of what many would bring is reached."""

SHARE = 0.3
"""Of the error that goes away with ten times `FEWEST` images, many a class, as far from ImageNet as can be."""

LEAD = 0.3
"""Of what an earlier node knows better than the last one, which a reopened network finds again beside the above."""

ELSEWHERE = 0.2
"""Further share of the error on images of another kind, where a network tuned on varied images is the sturdier."""

SPREAD = 0.18
"""Standard deviation of the share of the error that goes away, between data sets alike in all of this."""

GUESSED = 1.5
"""How many times as wide it is where the error is guessed."""

DIFFERING = 0.3
"""Share of the wrong images on which both networks differ beside what the gain makes them differ."""


@dataclass(frozen=True)
class ExpectedGain:
    """Accuracy that fine-tuning brings over a linear head on the last cached node.

    Attributes
    ----------
    gain : float
        Expected; a share in [-1, error of the linear head], not below 0 before anything was measured.
    ci : tuple of float
        Interval of what a fine-tune will show on a test part of `images` images, meant to hold nine times in ten
        (`LEVEL`): what is not known of the gain, and what so many images add to it. Its ends lie in [-1, error].
    chance : float
        Of a true gain worth having, at least `WORTH`; in [0, 1]. What is not known of the gain counts, the number of
        test images does not.
    images : int
        Test images that the interval is meant for.
    unknown, sampling : float
        Standard deviations: of what is not known of the gain, and of what so many images add to it.
    error : float in [0, 1]
        Of the linear head: more cannot be gained.
    """

    gain: float
    ci: tuple[float, float]
    chance: float
    images: int
    unknown: float
    sampling: float
    error: float

    @classmethod
    def of(cls, gain: float, *, unknown: float, sampling: float, error: float, images: int) -> Self:
        """An expectation with the interval and the chance that follow from what is not known of it."""
        half = float(ndtri(0.5 + LEVEL / 2)) * float(np.hypot(unknown, sampling))
        chance = float(ndtr((gain - WORTH) / unknown))
        ci = (max(-1.0, gain - half), max(gain, min(error, gain + half)))
        return cls(gain, ci, chance, images, unknown, sampling, error)

    def updated(self, measured: float, se: float) -> Self:
        """What is expected after the gain was measured, each by its precision: few images change little.

        Parameters
        ----------
        measured : float
            A share in [-1, 1].
        se : float
            Its standard error, above 0.
        """
        before, seen = self.unknown**-2, se**-2
        gain = min((before * self.gain + seen * measured) / (before + seen), self.error)
        unknown = float((before + seen) ** -0.5)
        return self.of(gain, unknown=unknown, sampling=self.sampling, error=self.error, images=self.images)

    @property
    def worth(self) -> bool:
        """Whether a gain worth having is likelier than not."""
        return self.chance >= 0.5

    @property
    def close(self) -> bool:
        """Whether it may as well turn out the other way."""
        return TOSS_UP[0] <= self.chance <= TOSS_UP[1]

    def to_json(self) -> dict[str, Any]:
        """Plain JSON."""
        return {
            "gain": round(self.gain, 4),
            "ci": [round(bound, 4) for bound in self.ci],
            "level": LEVEL,
            "chance": round(self.chance, 3),
            "close": self.close,
            "images": self.images,
        }


def expected_gain(
    error: float,
    *,
    train: int,
    per_class: float,
    distance: float,
    images: int,
    lead: float = 0.0,
    elsewhere: bool = False,
) -> ExpectedGain:
    """Expect a gain from what the cache shows.

    A share of the error goes away: `SHARE` times the distance from ImageNet times the decades of training images above
    `FEWEST`, less where a class has few images, and `ELSEWHERE` more of it on images of another kind. `LEAD` of what an
    earlier node knows better comes on top, and all together is at most the error. That fine-tuning gains more with more
    images and farther from ImageNet is published; the form and the figures are own ones, fitted to all of 63 small
    problems that were fine-tuned shortly (docs/judgement.md), with a network like MobileNetV2 on 36 to 800 images.
    Elsewhere they extrapolate. What is not known of the gain is taken to be normal, with a standard deviation of
    `SPREAD` times the error.

    Parameters
    ----------
    error : float in [0, 1]
        Of the linear head on the last node.
    train : int
        Training images.
    per_class : float
        Training images a class, the median.
    distance : float in [0, 1]
        From ImageNet.
    images : int
        Test images.
    lead : float in [-1, 1]
        Accuracy of the chosen node over the last; below 0 it counts as 0.
    elsewhere : bool
        The error is a guess about images of another kind.

    Returns
    -------
    ExpectedGain

    References
    ----------
    Kornblith, S., Shlens, J., Le, Q. (2019). Do Better ImageNet Models Transfer Better? CVPR. Yosinski, J. et al.
    (2014). How transferable are features in deep neural networks? NeurIPS.

    Examples
    --------
    >>> far = expected_gain(0.4, train=1000, per_class=250, distance=0.9, images=300)
    >>> near = expected_gain(0.05, train=300, per_class=150, distance=0.1, images=300)
    >>> far.worth, near.worth, far.ci[0] < far.gain < far.ci[1]
    (True, False, True)
    """
    images = max(images, 1)
    size = np.log10(max(train, FEWEST) / FEWEST) * per_class / (per_class + ENOUGH_A_CLASS)
    share = SHARE * distance * float(size) + (ELSEWHERE if elsewhere else 0.0)
    gain = min(error * min(share, 1.0) + LEAD * max(lead, 0.0), error)
    known = max(error * SPREAD * (GUESSED if elsewhere else 1.0), 1e-6)
    # The sampling error of a paired difference is made of the images on which the two networks differ.
    differing = min(1.0, abs(gain) + DIFFERING * error)
    sampling = np.sqrt(max(differing - gain**2, 0.0) / images)
    return ExpectedGain.of(gain, unknown=known, sampling=float(sampling), error=error, images=images)
