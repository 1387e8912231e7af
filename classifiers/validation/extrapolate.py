"""Where a learning curve is going: a power law through its points, and how far that can be trusted.

The error of a classifier over the number of training images mostly follows `floor + scale * n ** -exponent`.

References
----------
Hestness et al.: "Deep Learning Scaling is Predictable, Empirically", 2017; Viering, Loog: "The Shape of Learning
Curves: a Review", 2021.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from featstore.errors import FeaturesError

EXPONENTS = np.linspace(0.05, 1.5, 59)


@dataclasses.dataclass(frozen=True)
class Extrapolation:
    """The expected accuracy at one number of training images, with its interval; all shares in [0, 1]."""

    train: int
    accuracy: float
    low: float
    high: float


def extrapolate(
    sizes: Sequence[int],
    accuracies: Sequence[float],
    judged: Sequence[int],
    targets: Sequence[int],
    *,
    seed: int = 0,
    samples: int = 400,
    level: float = 0.95,
) -> list[Extrapolation]:
    """Extend a learning curve to other numbers of training images.

    Parameters
    ----------
    sizes : sequence of int
        Training images of each point; at least three different ones.
    accuracies : sequence of float in [0, 1]
    judged : sequence of int
        Distinct images that each accuracy was counted on: its noise.
    targets : sequence of int
        Numbers of training images to predict for.
    samples : int
        Parametric bootstrap curves behind the interval.

    Returns
    -------
    list of Extrapolation, one a target. The interval covers the counting noise of the points and the choice of
    exponent, not a change of the curve's shape beyond them.

    Raises
    ------
    FeaturesError
        Fewer than three points.
    """
    n = np.asarray(sizes, dtype=np.float64)
    if len(np.unique(n)) < 3:
        raise FeaturesError(f"a learning curve through {len(np.unique(n))} points cannot be extended; three are needed")
    error = 1.0 - np.asarray(accuracies, dtype=np.float64)
    noise = np.sqrt(np.maximum(error * (1 - error), 0.25 / np.asarray(judged)) / np.asarray(judged))
    rng = np.random.default_rng(seed)
    curves = np.vstack([error, rng.normal(error, noise, size=(samples, len(error)))])
    predicted = _fit(n, np.clip(curves, 0.0, 1.0), 1.0 / noise**2, np.asarray(targets, dtype=np.float64))
    accuracy = 1.0 - np.clip(predicted, 0.0, 1.0)
    low, high = np.quantile(accuracy, [(1 - level) / 2, (1 + level) / 2], axis=0)
    centre = np.clip(accuracy[0], low, high)
    return [
        Extrapolation(int(t), float(c), float(lo), float(hi))
        for t, c, lo, hi in zip(targets, centre, low, high, strict=True)
    ]


def _fit(
    n: NDArray[np.float64], curves: NDArray[np.float64], weight: NDArray[np.float64], targets: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Weighted least squares with floor >= 0 and scale >= 0: curves (s, p) -> predictions (s, t)."""
    best = np.full(len(curves), np.inf)
    predicted = np.zeros((len(curves), len(targets)))
    for exponent in EXPONENTS:
        x = n**-exponent
        mean_x = np.average(x, weights=weight)
        mean_y = np.average(curves, weights=weight, axis=1)
        slope = ((curves - mean_y[:, None]) * weight * (x - mean_x)).sum(axis=1) / (weight * (x - mean_x) ** 2).sum()
        through_zero = (curves * weight * x).sum(axis=1) / (weight * x**2).sum()
        floor = mean_y - slope * mean_x
        slope, floor = (
            np.where(slope < 0, 0.0, np.where(floor < 0, through_zero, slope)),
            np.where(slope < 0, mean_y, np.maximum(floor, 0.0)),
        )
        loss = (weight * (curves - floor[:, None] - slope[:, None] * x) ** 2).sum(axis=1)
        better = loss < best
        best[better] = loss[better]
        predicted[better] = floor[better, None] + slope[better, None] * targets**-exponent
    return predicted
