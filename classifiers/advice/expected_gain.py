"""ExpectedGain: what reopening the network is expected to bring, with an interval that was calibrated."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

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

DIFFERING = 0.3
"""Share of the wrong images on which both networks differ beside what the gain makes them differ."""


@dataclass(frozen=True)
class ExpectedGain:
    """Accuracy that fine-tuning brings over a linear head on the last cached node.

    Attributes
    ----------
    gain : float
        Expected; a share in [-1, 1].
    ci : tuple of float
        Interval of 90 % of what a fine-tune will show on a test part of `images` images: what is not known of the
        gain, and what so many images add to it.
    chance : float
        Of a true gain worth having, at least `WORTH`; in [0, 1].
    images : int
        Test images that the interval is meant for.
    """

    gain: float
    ci: tuple[float, float]
    chance: float
    images: int

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

    The share of the error that goes away grows with the number of training images and with the distance from ImageNet.
    The form follows published comparisons; its few figures and the interval are those of 63 small problems that were
    fine-tuned (docs/judgement.md).

    Parameters
    ----------
    error : float in [0, 1]
        Of the linear head on the last node.
    train : int
        Training images.
    per_class : float
        The median.
    distance : float in [0, 1]
        From ImageNet.
    images : int
        Test images.
    lead : float
        Accuracy of the chosen node over the last.
    elsewhere : bool
        The error is a guess about images of another kind.

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
    known = max(error * SPREAD * (1.5 if elsewhere else 1.0), 1e-6)
    # The sampling error of a paired difference is made of the images on which the two networks differ.
    differing = min(1.0, abs(gain) + DIFFERING * error)
    sampling = np.sqrt(max(differing - gain**2, 0.0) / images)
    half = float(ndtri(0.5 + LEVEL / 2)) * float(np.hypot(known, sampling))
    chance = float(ndtr((gain - WORTH) / known))
    return ExpectedGain(gain, (max(-1.0, gain - half), max(gain, min(error, gain + half))), chance, images)
