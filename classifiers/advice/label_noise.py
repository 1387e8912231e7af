"""LabelNoise: the share of wrong labels in a training part, as an estimate with an interval."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import pdtr

from classifiers.formatting import count, percent

FEW = 20
"""With fewer images than this that both heads agree on nothing is told."""

_MOST = 0.6  # share of wrong labels that is thought of at most
_SHARES = _MOST * np.linspace(0, 1, 61) ** 1.5  # finer near 0
_RATES = np.geomspace(0.25, 16, 19)  # how fast errors vanish, against the median margin
_POWERS = (np.inf, 2.0, 1.0, 0.5)  # exponential, and heavier and heavier tails
_TIES = 3
_BINS = 40
_CELL = 0.2  # of the median margin: ties and what they are compared with are counted in cells of this width
_USUAL = 0.1  # half of what is thought of at first lies below: labels of known data sets are wrong in 0.2 to 10 %
_TRUE_TO = 100  # images: no more than so many could tell the curve from the truth, however many there are
_TELLING = 0.15  # an interval that begins at 0 and ends above this tells nothing


@dataclass(frozen=True)
class LabelNoise:
    """How many labels are wrong.

    Attributes
    ----------
    share : float
        Estimate, the median of what is likely; in [0, 1]. Where `low` is 0 it is no sign of wrong labels.
    low, high : float
        Interval of that share (95 %): the shortest that holds so much of what is likely.
    told : bool
        Whether the images tell anything: False where there are few, or where errors of the head and wrong labels
        cannot be told apart, because answers are seldom sure or wrong also where they are.
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
    neighbours: NDArray[np.int64] | None = None,
    groups: NDArray[np.int64] | None = None,
    level: float = 0.95,
) -> LabelNoise:
    """Estimate the share of wrong labels from where answers and labels disagree.

    A head's own errors become rare as its answers become sure; wrong labels stay at every sureness. So the
    share of disagreement is modelled by the margin m between the two largest scores as
    ``e + (1 - e) * t * h(b * m)``: a plateau `e`, the wrong labels, and errors that begin with a share `t` of at least
    one half where two classes are tied (neither can then be right more often) and vanish at a rate `b`, exponentially
    or with a heavy tail `h`; nowhere are there more of them than at ties. What is likely for `e` is averaged over `t`,
    `b` and `h`, all a grid, beginning with what is known of other data sets. Where no answer is sure the curve fits
    with and without a plateau, and the interval begins at 0 and is wide. No such curve is true, so evidence beyond that
    of 100 images is not counted (coarsening).

    Labels that are wrong as a rule, which a head learns, are beyond it, and so are classes that a head surely confuses.
    Shares of 20 % and more are underestimated: such labels spoil the head that is to find them.

    Parameters
    ----------
    scores : ndarray of shape (n, k), float
        Out-of-fold decision values; NaN for rows that are not judged.
    y : ndarray of shape (n,), int64
        Labels, as column numbers of `scores`; rows below 0 have none and are left out.
    neighbours : ndarray of shape (n,), int64, optional
        Out-of-fold answers of nearest neighbours, as column numbers. Rows where they differ from the head's are left
        out: two kinds of head err together less often than one errs.
    groups : ndarray of shape (n,), int64, optional
        Source of each row. Where rows of a source err together, the evidence is weakened accordingly.
    level : float
        Of the interval, in (0, 1).

    References
    ----------
    Angluin, D., Laird, P. (1988). Learning from noisy examples. Machine Learning 2. Miller, J., Dunson, D. (2019).
    Robust Bayesian inference via coarsening. JASA 114. Northcutt, C., Athalye, A., Mueller, J. (2021). Pervasive label
    errors in test sets destabilize machine learning benchmarks. NeurIPS.

    Examples
    --------
    >>> rng, y = np.random.default_rng(0), np.repeat([0, 1], 200)
    >>> scores = np.eye(2)[y] + rng.normal(0, 0.2, (400, 2))
    >>> y[:40] = 1  # of 400 labels 40 are wrong
    >>> noise = estimate_label_noise(scores, y)
    >>> noise.told, noise.low < 0.1 < noise.high
    (True, True)
    """
    k = scores.shape[1]
    judged = np.isfinite(scores).all(axis=1) & (y >= 0)
    asked = judged.copy()
    if neighbours is not None:
        asked &= np.where(asked[:, None], scores, 0).argmax(axis=1) == neighbours
    rows = np.flatnonzero(asked)
    if len(rows) < FEW or len(np.unique(y[rows])) < 2:
        return LabelNoise(
            0.0, 0.0, 1.0, False, f"Whether labels are wrong cannot be told from {count(len(rows), 'image')}."
        )
    margin, wrong = _margins(np.asarray(scores[rows], dtype=np.float64), y[rows])
    everywhere = _margins(np.asarray(scores[judged], dtype=np.float64), y[judged])[0]
    log_likelihood, fitted = _grid(margin, wrong, k, everywhere)
    effect = _design_effect(wrong - fitted, fitted, None if groups is None else groups[rows])
    # Of n rows as much is counted as of n / (1 + n / 100).
    weight = 1 / (effect * (1 + len(rows) / effect / _TRUE_TO))
    density = np.exp(weight * (log_likelihood - log_likelihood.max())).sum(axis=(1, 2)) / (1 + (_SHARES / _USUAL) ** 2)
    mass = density * np.gradient(_SHARES)
    mass /= mass.sum()
    share = float(np.interp(0.5, np.cumsum(mass), _SHARES))
    low, high = _shortest(density, mass, level)
    told = low > 0 or high <= _TELLING
    return LabelNoise(share, low, high, told, _text(share, low, high, told, level))


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
    margin: NDArray[np.float64], wrong: NDArray[np.float64], k: int, everywhere: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Log-likelihood over (shares, ties, rates and tails), and the most likely curve at each row."""
    order = np.argsort(margin, kind="stable")
    bins = np.array_split(order, min(_BINS, len(order)))
    at = np.array([margin[b].mean() for b in bins])
    bad, good = np.array([wrong[b].sum() for b in bins]), np.array([len(b) - wrong[b].sum() for b in bins])
    ties = np.linspace(0.5, 1 - 1 / k, _TIES) if k > 2 else np.array([0.5])
    tails = np.array([_tail(rate * at, power) for power in _POWERS for rate in _RATES])  # (tails, bins)
    support = _ties_support(everywhere)
    found = np.empty((len(_SHARES), len(ties), len(tails)))
    for i, tie in enumerate(ties):
        for j, share in enumerate(_SHARES):
            curve = np.clip(share + (1 - share) * tie * tails, 1e-9, 1 - 1e-9)
            found[j, i] = np.log(curve) @ bad + np.log1p(-curve) @ good + support
    j, i, t = (int(place) for place in np.unravel_index(int(found.argmax()), found.shape))
    curve = _SHARES[j] + (1 - _SHARES[j]) * ties[i] * tails[t]
    fitted = np.empty(len(margin))
    for b, value in zip(bins, curve, strict=True):
        fitted[b] = value
    return found, fitted


def _ties_support(margin: NDArray[np.float64]) -> NDArray[np.float64]:
    """Log-likelihood of the count of near-ties, for each tail that errors may have; 0 where there are enough of them.

    An image moves past the tie before its answer can be surely wrong, so errors of the head are nowhere denser than at
    ties. A tail that needs more of them at some margin than there are near-ties is unlikely.
    """
    cells = np.minimum((margin / _CELL).astype(np.intp), int(2 / _CELL))
    found = []
    for power in _POWERS:
        for rate in _RATES:
            errors = np.bincount(cells, _tail(rate * margin, power), minlength=2)
            needed = float(errors[1:-1].max(initial=0.0))  # the last cell has no end
            enough = needed <= errors[0]
            found.append(0.0 if enough else np.log(max(float(pdtr(np.floor(errors[0]), needed)), 1e-300)))
    return np.array(found)


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


def _text(share: float, low: float, high: float, told: bool, level: float) -> str:
    if low > 0:
        return (
            f"About {percent(share, 0)} % of the labels are wrong ({100 * level:g} % interval {percent(low)} to "
            f"{percent(high, 0)} %), or the classes are confused where a head is sure."
        )
    if told:
        return (
            f"No wrong labels are shown; at most {percent(high, 0)} % of the labels are wrong ({100 * level:g} % sure)."
        )
    return (
        "Whether labels are wrong cannot be told: a head's own errors would look the same "
        f"({100 * level:g} % interval 0 to {percent(high, 0)} %)."
    )
