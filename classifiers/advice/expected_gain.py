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

CLOSE = (0.25, 0.75)
"""Chances of a gain worth having between which the advice is a toss-up."""


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
        return CLOSE[0] <= self.chance <= CLOSE[1]

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
    error: float, *, train: int, per_class: float, distance: float, side: int, images: int, elsewhere: bool = False
) -> ExpectedGain:
    """Expect a gain from what the cache shows.

    The share of the error that goes away grows with the number of training images, with the distance from ImageNet, and
    as images get smaller than those that the network was trained on. The model and its figures are fitted to fine-tunes
    of many small problems (docs/judgement.md), each data set left out in turn.

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
    side : int
        Pixels of the network's input.
    images : int
        Test images.
    elsewhere : bool
        The error is a guess about images of another kind.

    Examples
    --------
    >>> far = expected_gain(0.4, train=1000, per_class=250, distance=0.9, side=128, images=300)
    >>> near = expected_gain(0.05, train=300, per_class=150, distance=0.1, side=224, images=300)
    >>> far.worth, near.worth, far.ci[0] < far.gain < far.ci[1]
    (True, False, True)
    """
    size = np.clip(np.log10(max(train, 1) / 20) / 2, 0, 1)
    share = float(size) * (0.15 + 0.45 * distance)
    spread = 0.15 + 0.3 * share
    gain = error * share
    known = max(error * spread, 1e-6)
    if elsewhere:
        known *= 1.5
    # Images on which the two networks differ, of which the sampling error of a paired difference is made.
    differing = min(1.0, abs(gain) + 0.5 * error)
    sampling = np.sqrt(max(differing - gain**2, 0.0) / max(images, 1))
    half = float(ndtri(0.5 + LEVEL / 2)) * float(np.hypot(known, sampling))
    chance = float(ndtr((gain - WORTH) / known))
    return ExpectedGain(gain, (max(-1.0, gain - half), min(error, gain + half)), chance, images)
