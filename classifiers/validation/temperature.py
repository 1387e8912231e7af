"""Probabilities from decision values: one temperature, fitted on decisions about rows that were held out."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

MOST_LOGITS = 4_000_000
"""Logits that a temperature is found on; what 10,000 classes would take minutes for."""

_LEAST = float(np.log(1e-30))  # of the logarithm of a probability
_TEMPERATURES = np.geomspace(1e-4, 1e3, 71)
_STRIDE = 7


def as_logits(decision: NDArray[np.floating], slope: float = 1.0) -> NDArray[np.float64]:
    """Logits of all classes.

    Parameters
    ----------
    decision : ndarray of shape (n,) or (n, 1) for two classes, (n, k) else
        Decision values; of the second class where there are two.
    slope : float
        What they are multiplied by.

    Returns
    -------
    ndarray of shape (n, k), float64
        For two classes ``-slope * decision / 2`` and ``+slope * decision / 2``.
    """
    scaled = slope * np.asarray(decision, dtype=np.float64).reshape(len(decision), -1)
    return np.hstack([-0.5 * scaled, 0.5 * scaled]) if scaled.shape[1] == 1 else scaled


def softmax(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    """Probabilities (n, k) that sum to 1; a logit of minus infinity gets 0."""
    odds = np.subtract(logits, logits.max(axis=1, keepdims=True), dtype=np.float64)
    np.exp(odds, out=odds)
    odds /= odds.sum(axis=1, keepdims=True)
    return np.asarray(odds)


def enough_rows(n: int, k: int) -> NDArray[np.intp] | slice:
    """Rows on which one number about n x k logits may be found: all, or of many millions an even selection."""
    if n * k <= MOST_LOGITS:
        return slice(None)
    return np.linspace(0, n - 1, max(1, MOST_LOGITS // k)).astype(np.intp)


def fit_slope(
    decision: NDArray[np.floating], codes: NDArray[np.int64], weight: NDArray[np.float64] | None = None
) -> float:
    """The slope (1 / temperature) that makes ``softmax(slope * decision)`` most likely.

    One number cannot change which class is largest, so predictions stay as they are. Newton's method on the logarithm
    of the slope, safeguarded by bisection.

    Parameters
    ----------
    decision : ndarray of shape (n,), (n, 1) or (n, k)
        Decision values of rows that the model did not see.
    codes : ndarray of shape (n,), int64
        True classes.
    weight : ndarray of shape (n,), optional
        Sample weights.

    Returns
    -------
    float
        Between 1e-4 and 1e4.

    References
    ----------
    C. Guo et al., On calibration of modern neural networks, ICML 2017; J. Platt, Probabilistic outputs for support
    vector machines, 1999.
    """
    few = enough_rows(*decision.reshape(len(decision), -1).shape)
    logits, codes = as_logits(decision[few]), codes[few]
    mass = np.ones(len(codes)) if weight is None else weight[few]
    true = logits[np.arange(len(codes)), codes]
    low, high, at = np.log(1e-4), np.log(1e4), 0.0
    for _ in range(100):
        slope = np.exp(at)
        p = softmax(slope * logits)
        mean = np.einsum("ij,ij->i", p, logits)
        spread = np.einsum("ij,ij->i", p, logits * logits) - mean * mean
        first = slope * float(mass @ (mean - true))
        second = first + slope * slope * float(mass @ spread)
        low, high = (low, at) if first > 0 else (at, high)
        step = at - first / second if second > 0 else np.inf
        if not low < step < high:
            step = 0.5 * (low + high)
        if abs(step - at) < 1e-13 * max(1.0, abs(at)):
            break
        at = step
    return float(np.exp(at))


def best_temperature(logits: NDArray[np.float64], y: NDArray[np.intp]) -> float:
    """What to divide logits (n, k) by so that the log loss of the true classes (n,) is least.

    As Platt does, a little of each row's truth is given to the other classes (as if n + 2 rows had been seen, one of
    them wrong): where all rows happen to be right, certainty must not become infinite.

    References
    ----------
    Guo, C. et al. (2017). On calibration of modern neural networks. ICML.
    Platt, J. (1999). Probabilistic outputs for support vector machines.
    """
    n, k = logits.shape
    doubt = 1 / (n + 2)
    few = enough_rows(n, k)
    logits, y = logits[few], y[few]
    rows = np.arange(len(y))
    gaps = (logits - logits.max(axis=1, keepdims=True)).astype(np.float32)
    scale = float(np.mean(logits.max(axis=1) - np.median(logits, axis=1))) or 1.0

    def loss(step: int) -> float:
        shares = gaps / np.float32(_TEMPERATURES[step] * scale)
        shares -= np.log(np.exp(shares).sum(axis=1, keepdims=True))
        np.maximum(shares, _LEAST, out=shares)
        true = shares[rows, y].astype(np.float64)
        others = shares.sum(axis=1, dtype=np.float64) - true
        return float(-((1 - doubt) * true + doubt * others / max(k - 1, 1)).mean())

    # The loss falls, then rises: every seventh step shows where, and the steps between its neighbours decide.
    last = len(_TEMPERATURES) - 1
    near = min(range(0, last + 1, _STRIDE), key=loss)
    best = min(range(max(0, near - _STRIDE + 1), min(last, near + _STRIDE - 1) + 1), key=loss)
    return float(_TEMPERATURES[best] * scale)
