"""Intervals and paired tests: how much a difference between two numbers of right answers means."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import bdtr, ndtri  # scipy.stats takes 1.7 s to import

SIGNIFICANT = 0.05
"""A difference counts as shown where the p-value is below this."""

_BLOCK = 4_000_000  # numbers resampled at a time: 32 MB


def wilson(successes: float, n: float, level: float = 0.95) -> tuple[float, float]:
    """Wilson's score interval of a share.

    Parameters
    ----------
    successes : float
        Right answers. Fractional where repeated predictions of one image were averaged.
    n : float
        Independent trials: images, not predictions.
    level : float
        Coverage, in (0, 1).

    Returns
    -------
    tuple of float
        Low and high end, in [0, 1]; (0, 1) for no trial.

    Raises
    ------
    ValueError
        If `successes` is outside [0, n] or `level` outside (0, 1).

    References
    ----------
    Wilson, E. B. (1927). Probable inference, the law of succession, and statistical inference. JASA 22.

    Examples
    --------
    >>> low, high = wilson(90, 100)
    >>> round(low, 3), round(high, 3)
    (0.826, 0.945)
    """
    if not 0 < level < 1:
        raise ValueError(f"level is {level}, expected a number between 0 and 1")
    if not 0 <= successes <= n:
        raise ValueError(f"{successes} successes in {n} trials: expected between 0 and {n}")
    if n == 0:
        return 0.0, 1.0
    z = float(ndtri(0.5 + level / 2))
    share = successes / n
    centre = share + z * z / (2 * n)
    half = z * np.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    scale = 1 + z * z / n
    # At the ends the formula is exactly 0 or 1; rounding must not say otherwise.
    low = 0.0 if successes == 0 else float((centre - half) / scale)
    high = 1.0 if successes == n else float((centre + half) / scale)
    return max(low, 0.0), min(high, 1.0)


def differences(a: Mapping[int, bool], b: Mapping[int, bool]) -> tuple[int, int, int]:
    """What a paired test of two heads counts.

    Parameters
    ----------
    a, b : mapping of int to bool
        Image -> whether the head is right on it.

    Returns
    -------
    n, a_only, b_only : int
        Images that both judged; that only `a` got right; that only `b` got right.
    """
    common = a.keys() & b.keys()
    return len(common), sum(a[i] and not b[i] for i in common), sum(b[i] and not a[i] for i in common)


def mcnemar_exact(a_only: int, b_only: int) -> float:
    """Two-sided exact McNemar test of two heads on the same images.

    Parameters
    ----------
    a_only, b_only : int
        Images that only the one, or only the other, got right. Images that both got right or wrong say nothing.

    Returns
    -------
    float
        p-value in (0, 1]; 1 where the heads never differ.

    References
    ----------
    McNemar, Q. (1947). Note on the sampling error of the difference between correlated proportions. Psychometrika 12.

    Examples
    --------
    >>> round(mcnemar_exact(1, 5), 3), mcnemar_exact(0, 0)
    (0.219, 1.0)
    """
    if a_only < 0 or b_only < 0:
        raise ValueError(f"counts are {a_only} and {b_only}, expected none below 0")
    n = a_only + b_only
    if n == 0:
        return 1.0
    return float(min(1.0, 2.0 * bdtr(min(a_only, b_only), n, 0.5)))


def holm(ps: ArrayLike) -> NDArray[np.float64]:
    """Correct p-values for their number.

    Parameters
    ----------
    ps : array-like of shape (m,)
        p-values of one family of tests.

    Returns
    -------
    ndarray of shape (m,), float64
        Adjusted p-values, in the order given, in [0, 1].

    References
    ----------
    Holm, S. (1979). A simple sequentially rejective multiple test procedure. Scandinavian Journal of Statistics 6.

    Examples
    --------
    >>> holm([0.01, 0.04, 0.03]).round(3)
    array([0.03, 0.06, 0.06])
    """
    p = np.asarray(ps, dtype=np.float64)
    if p.ndim != 1 or not bool(np.all((p >= 0) & (p <= 1))):
        raise ValueError("expected a list of p-values in [0, 1]")
    order = np.argsort(p, kind="stable")
    stepped = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(stepped, 1.0)
    return adjusted


def bootstrap(
    values: ArrayLike,
    *,
    seed: int,
    samples: int = 1000,
    level: float = 0.95,
) -> tuple[float, float]:
    """Percentile bootstrap interval of the mean of one value an image, such as its log loss.

    Parameters
    ----------
    values : array-like of shape (n,)
        One number an image (average repeated predictions of an image first).
    seed : int
        Seed of the resampling.
    samples : int
        Resamples.
    level : float
        Coverage, in (0, 1).

    Returns
    -------
    tuple of float
        Low and high end.

    References
    ----------
    Efron, B. (1979). Bootstrap methods: another look at the jackknife. Annals of Statistics 7.

    Examples
    --------
    >>> low, high = bootstrap([0.1, 0.2, 0.3, 0.4], seed=0)
    >>> 0.1 <= low < 0.25 < high <= 0.4
    True
    """
    x = np.asarray(values, dtype=np.float64)
    if x.ndim != 1 or x.size == 0:
        raise ValueError(f"values have shape {x.shape}, expected (n,) with n > 0")
    rng = np.random.default_rng(seed)
    means = np.empty(samples)
    step = max(1, _BLOCK // x.size)
    for start in range(0, samples, step):
        stop = min(start + step, samples)
        means[start:stop] = x[rng.integers(0, x.size, (stop - start, x.size))].mean(axis=1)
    return _percentiles(means, level)


def bootstrap_counts(
    counts: ArrayLike,
    statistics: Sequence[Callable[[NDArray[np.float64]], NDArray[np.float64]]],
    *,
    seed: int,
    images: int | None = None,
    samples: int = 1000,
    level: float = 0.95,
) -> list[tuple[float, float]]:
    """Percentile bootstrap intervals of numbers that depend on counts alone, such as macro F1 on a confusion matrix.

    Drawing images with replacement is drawing the counts from a multinomial distribution, so no image is touched.

    Parameters
    ----------
    counts : array-like of shape (m,), int
        How many predictions fell into each cell.
    statistics : sequence of callables
        Each takes resampled counts (b, m) and returns b numbers.
    seed : int
        Seed of the resampling; all statistics see the same resamples.
    images : int, optional
        Images to draw (default: as many as there are counts); fewer where images were predicted repeatedly.
    samples : int
        Resamples.
    level : float
        Coverage, in (0, 1).

    Returns
    -------
    list of tuple of float
        Low and high end for each statistic.
    """
    cells = np.asarray(counts, dtype=np.int64)
    total = int(cells.sum())
    if total == 0:
        raise ValueError("there is nothing to resample: all counts are 0")
    rng = np.random.default_rng(seed)
    drawn: list[list[NDArray[np.float64]]] = [[] for _ in statistics]
    step = max(1, _BLOCK // cells.size)
    for start in range(0, samples, step):
        size = min(step, samples - start)
        resample = rng.multinomial(total if images is None else images, cells / total, size=size).astype(np.float64)
        for values, statistic in zip(drawn, statistics, strict=True):
            values.append(statistic(resample))
    return [_percentiles(np.concatenate(values), level) for values in drawn]


def _percentiles(values: NDArray[np.float64], level: float) -> tuple[float, float]:
    low, high = np.quantile(values, [0.5 - level / 2, 0.5 + level / 2])
    return float(low), float(high)
