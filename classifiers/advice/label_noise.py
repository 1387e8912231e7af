"""LabelNoise: the share of wrong labels in a training part, as an estimate with an interval."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from classifiers.formatting import percent

FEW = 20
"""With fewer judged images than this nothing is told."""

_MOST = 0.6  # share of wrong labels that is thought of at most
_SHARES = _MOST * np.linspace(0, 1, 121) ** 1.5  # finer near 0
_RATES = np.geomspace(0.25, 16, 37)  # how fast errors vanish, against the median margin
_POWERS = (np.inf, 4.0, 2.0)  # exponential, and two heavy tails
_TIES = 4
_BINS = 80
_TELLING = 0.15  # an interval wider than this does not tell a share


@dataclass(frozen=True)
class LabelNoise:
    """How many labels are wrong.

    Attributes
    ----------
    share : float
        Estimate, the median of what is likely; in [0, 1].
    low, high : float
        Interval of that share (95 %): the shortest that holds so much of what is likely.
    told : bool
        Whether the images tell anything: False where there are few, or where answers are never so sure that errors of
        the head and wrong labels can be told apart.
    text : str
        A sentence.
    """

    share: float
    low: float
    high: float
    told: bool
    text: str


def estimate_label_noise(
    scores: NDArray[np.floating],
    y: NDArray[np.int64],
    *,
    groups: NDArray[np.int64] | None = None,
    level: float = 0.95,
) -> LabelNoise:
    """Estimate the share of wrong labels from where answers and labels disagree.

    A head's own errors become rare as its answers become sure; wrong labels stay at every sureness. So the
    share of disagreement is modelled by the margin m between the two largest scores as
    ``e + (1 - e) * t * h(b * m)``: a plateau `e`, the wrong labels, and errors that begin with a share `t` of at least
    one half where two classes are tied (neither can then be right more often) and vanish at a rate `b`, exponentially
    or with a heavy tail `h`. What is likely for `e` is averaged over `t`, `b` and `h`, all a grid. Where
    no answer is sure the curve fits with and without a plateau, and the interval begins at 0 and is wide.

    Labels that are wrong as a rule, which a head learns, and classes that no head can tell apart are beyond it.

    Parameters
    ----------
    scores : ndarray of shape (n, k), float
        Out-of-fold decision values; NaN for rows that are not judged.
    y : ndarray of shape (n,), int64
        Labels, as column numbers of `scores`.
    groups : ndarray of shape (n,), int64, optional
        Source of each row. Where rows of a source err together, the evidence is weakened accordingly.
    level : float
        Of the interval, in (0, 1).

    References
    ----------
    Angluin, D., Laird, P. (1988). Learning from noisy examples. Machine Learning 2. Northcutt, C., Jiang, L., Chuang,
    I. (2021). Confident learning: estimating uncertainty in dataset labels. JAIR 70.

    Examples
    --------
    >>> rng, y = np.random.default_rng(0), np.repeat([0, 1], 200)
    >>> scores = np.eye(2)[y] + rng.normal(0, 0.2, (400, 2))
    >>> y[:40] = 1  # of 400 labels 40 are wrong
    >>> noise = estimate_label_noise(scores, y)
    >>> noise.told, noise.low < 0.1 < noise.high
    (True, True)
    """
    rows = np.flatnonzero(np.isfinite(scores).all(axis=1))
    k = scores.shape[1]
    if len(rows) < FEW or k < 2:
        return _untold(len(rows))
    margin, wrong = _margins(np.asarray(scores[rows], dtype=np.float64), y[rows])
    log_likelihood, fitted = _grid(margin, wrong, k)
    log_likelihood /= _design_effect(wrong - fitted, fitted, None if groups is None else groups[rows])
    density = np.exp(log_likelihood - log_likelihood.max()).sum(axis=(1, 2))
    mass = density * np.gradient(_SHARES)
    mass /= mass.sum()
    share = float(np.interp(0.5, np.cumsum(mass), _SHARES))
    low, high = _shortest(density, mass, level)
    told = high - low <= _TELLING or low > 0
    return LabelNoise(share, low, high, told, _text(share, low, high, told))


def _margins(scores: NDArray[np.float64], y: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Margin of each answer against the usual one of its class, and whether it disagrees with the label."""
    answers = scores.argmax(axis=1)
    top = np.partition(scores, -2, axis=1)[:, -2:]
    margin = top[:, 1] - top[:, 0]
    usual = np.median(margin)
    # A class whose labels are often wrong has low scores throughout: its margins count against its own median, which
    # is drawn towards that of all where images are few.
    for c in np.unique(answers):
        its = answers == c
        weight = its.sum() / (its.sum() + 5)
        margin[its] /= max(weight * np.median(margin[its]) + (1 - weight) * usual, 1e-12)
    return margin, (answers != y).astype(np.float64)


def _grid(
    margin: NDArray[np.float64], wrong: NDArray[np.float64], k: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Log-likelihood over (shares, ties, rates and tails), and the most likely curve at each row."""
    order = np.argsort(margin, kind="stable")
    bins = np.array_split(order, min(_BINS, len(order)))
    at = np.array([margin[b].mean() for b in bins])
    bad, good = np.array([wrong[b].sum() for b in bins]), np.array([len(b) - wrong[b].sum() for b in bins])
    ties = np.linspace(0.5, 1 - 1 / k, _TIES) if k > 2 else np.array([0.5])
    tails = np.array([_tail(rate * at, power) for power in _POWERS for rate in _RATES])  # (tails, bins)
    found = np.empty((len(_SHARES), len(ties), len(tails)))
    for i, tie in enumerate(ties):
        for j, share in enumerate(_SHARES):
            curve = np.clip(share + (1 - share) * tie * tails, 1e-9, 1 - 1e-9)
            found[j, i] = np.log(curve) @ bad + np.log1p(-curve) @ good
    j, i, t = np.unravel_index(int(found.argmax()), found.shape)
    curve = _SHARES[j] + (1 - _SHARES[j]) * ties[i] * tails[t]
    fitted = np.empty(len(margin))
    for b, value in zip(bins, curve, strict=True):
        fitted[b] = value
    return found, fitted


def _tail(z: NDArray[np.float64], power: float) -> NDArray[np.float64]:
    """1 at 0, falling to 0."""
    if np.isinf(power):
        return np.asarray(2 / (1 + np.exp(np.minimum(z, 500))))
    return np.asarray((1 + z / power) ** -power)


def _design_effect(
    residual: NDArray[np.float64], fitted: NDArray[np.float64], groups: NDArray[np.int64] | None
) -> float:
    """How much more the residuals' sum varies over groups than over independent rows; at least 1 (Kish 1965)."""
    if groups is None:
        return 1.0
    sums = np.bincount(np.unique(groups, return_inverse=True)[1].reshape(-1), residual)
    return max(1.0, float((sums**2).sum() / max((fitted * (1 - fitted)).sum(), 1e-9)))


def _shortest(density: NDArray[np.float64], mass: NDArray[np.float64], level: float) -> tuple[float, float]:
    """From the least to the largest share among those of the highest density that hold `level`."""
    order = np.argsort(-density, kind="stable")
    held = order[: int(np.searchsorted(np.cumsum(mass[order]), level)) + 1]
    return float(_SHARES[held.min()]), float(_SHARES[held.max()])


def _untold(n: int) -> LabelNoise:
    return LabelNoise(0.0, 0.0, 1.0, False, f"Whether labels are wrong cannot be told from {n} judged images.")


def _text(share: float, low: float, high: float, told: bool) -> str:
    if not told:
        return (
            "Whether labels are wrong cannot be told: the linear head is too seldom sure "
            f"(95 % interval 0 to {percent(high, 0)} %)."
        )
    between = f"95 % interval {percent(low)} to {percent(high)} %"
    if low > 0:
        return f"About {percent(share)} % of the labels are wrong ({between})."
    return f"No wrong labels are shown: at most {percent(high)} % ({between})."
