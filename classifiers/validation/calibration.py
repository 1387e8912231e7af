"""Calibration: probabilities that mean what they say, learnt from out-of-fold predictions."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from numpy.typing import NDArray

from classifiers.validation.scores import log_losses
from classifiers.validation.temperature import enough_rows, fit_slope, softmax

METHODS = ("none", "temperature", "isotonic")

_FEW = 30  # out-of-fold predictions below which nothing is learnt from them
_ENOUGH_FOR_STEPS = 300
_WORTH = 0.005  # nats that a method has to save to be used
_TINY = 1e-12


@dataclasses.dataclass(frozen=True, eq=False)
class Calibration:
    """A map of probabilities that never changes which class is the most probable.

    Attributes
    ----------
    method : {"none", "temperature", "isotonic"}
        "temperature" divides the logarithms by one number; "isotonic" maps the winner's probability by a rising step
        function and shares the rest out as before.
    temperature : float
        1 without.
    knots : ndarray of shape (2, m), float64
        Of the isotonic map: probabilities, and what becomes of them.
    before, after : float
        Cross-fitted log loss of the out-of-fold predictions, nats.

    Examples
    --------
    >>> Calibration("temperature", temperature=2.0).apply(np.array([[0.9, 0.1]])).round(2)
    array([[0.75, 0.25]])
    """

    method: str = "none"
    temperature: float = 1.0
    knots: NDArray[np.float64] = dataclasses.field(default_factory=lambda: np.empty((2, 0)))
    before: float | None = None
    after: float | None = None

    def apply(self, proba: NDArray[np.floating]) -> NDArray[np.float64]:
        """Calibrated probabilities (n, k); rows sum to 1, and the winner stays."""
        p = proba.astype(np.float64)
        if self.method == "temperature":
            return _tempered(p, self.temperature)
        if self.method == "isotonic":
            return _stepped(p, self.knots)
        return p

    def to_json(self) -> dict[str, Any]:
        """The report's `calibration` of a run."""
        return {
            "method": self.method,
            "temperature": self.temperature if self.method == "temperature" else None,
            "log_loss_before": self.before,
            "log_loss_after": self.after,
        }


def fit_calibration(
    proba: NDArray[np.floating], y: NDArray[np.int64], *, seed: int = 0, method: str = "auto"
) -> Calibration:
    """Learn a calibration from predictions of images that the head had not seen.

    The methods are compared by two-fold cross-fitting, so that one with more freedom does not win by fitting noise.

    Parameters
    ----------
    proba : ndarray of shape (n, k)
        Out-of-fold probabilities.
    y : ndarray of shape (n,), int64
        True classes.
    seed : int
        Seed of the two halves.
    method : {"auto", "none", "temperature", "isotonic"}

    Returns
    -------
    Calibration
        "none" below 30 predictions, or where nothing saves 0.005 nats.

    References
    ----------
    Guo, C. et al. (2017). On calibration of modern neural networks. ICML.
    Gupta, C., Ramdas, A. (2022). Top-label calibration and multiclass-to-binary reductions. ICLR.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> y = rng.integers(0, 2, 200)
    >>> sure = np.where(rng.random(200) < 0.7, y, 1 - y)  # right on 70 %, and 99 % sure of it
    >>> proba = np.where(np.arange(2) == sure[:, None], 0.99, 0.01)
    >>> fit_calibration(proba, y).method
    'temperature'
    """
    if method not in ("auto", *METHODS):
        raise ValueError(f"method is {method!r}, expected one of auto, {', '.join(METHODS)}")
    y = np.asarray(y, dtype=np.int64)
    if len(y) < _FEW or method == "none":
        return Calibration()
    few = enough_rows(*proba.shape)
    proba, y = proba[few], y[few]
    halves = np.random.default_rng(seed).permutation(len(y)) % 2
    losses = {}
    for name in METHODS:
        if (name == "isotonic" and len(y) < _ENOUGH_FOR_STEPS and method != "isotonic") or method not in ("auto", name):
            continue
        total = 0.0
        for half in (0, 1):
            learnt = _fitted(name, proba[halves != half], y[halves != half])
            total += float(log_losses(y[halves == half], learnt.apply(proba[halves == half])).sum())
        losses[name] = total / len(y)
    before = float(log_losses(y, proba).mean())
    best = min(losses, key=losses.__getitem__)
    if method == "auto" and before - losses[best] < _WORTH:
        return Calibration(before=before, after=before)
    return dataclasses.replace(_fitted(best, proba, y), before=before, after=losses[best])


def _fitted(method: str, proba: NDArray[np.floating], y: NDArray[np.int64]) -> Calibration:
    p = proba.astype(np.float64)
    if method == "temperature":
        return Calibration("temperature", temperature=1.0 / fit_slope(_log(p), y))
    if method == "isotonic":
        from sklearn.isotonic import IsotonicRegression

        winner = p.argmax(axis=1)
        # As if one more prediction had been wrong at the top and right at the bottom: no step says 0 or 1.
        edge = 1 / (len(y) + 2)
        steps = IsotonicRegression(y_min=edge, y_max=1 - edge, out_of_bounds="clip")
        steps.fit(p[np.arange(len(y)), winner], winner == y)
        return Calibration("isotonic", knots=np.stack([steps.X_thresholds_, steps.y_thresholds_]).astype(np.float64))
    return Calibration()


def _log(p: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.log(np.maximum(p, _TINY))


def _tempered(p: NDArray[np.float64], temperature: float) -> NDArray[np.float64]:
    return _first_stays(p, softmax(_log(p) / temperature))


def _stepped(p: NDArray[np.float64], knots: NDArray[np.float64]) -> NDArray[np.float64]:
    rows = np.arange(len(p))
    winner = p.argmax(axis=1)
    top = p[rows, winner]
    rest = np.maximum(1.0 - top, _TINY)
    others = p.copy()
    others[rows, winner] = 0.0
    runner_up = others.max(axis=1)
    # The winner keeps at least as much as the runner-up gets.
    least = runner_up / (rest + runner_up)
    mapped = np.clip(np.maximum(np.interp(top, knots[0], knots[1]), least), 0.0, 1.0)
    out = others * ((1.0 - mapped) / rest)[:, None]
    out[rows, winner] = mapped
    return _first_stays(p, out / out.sum(axis=1, keepdims=True))


def _first_stays(before: NDArray[np.float64], after: NDArray[np.float64]) -> NDArray[np.float64]:
    """Undo a winner that rounding made out of a tie."""
    rows = np.arange(len(before))
    old, new = before.argmax(axis=1), after.argmax(axis=1)
    moved = old != new
    if moved.any():
        r, a, b = rows[moved], old[moved], new[moved]
        after[r, a] = after[r, b] = (after[r, a] + after[r, b]) / 2
        tied = after[r].argmax(axis=1) != a
        after[r[tied], a[tied]] = np.nextafter(after[r[tied], a[tied]], 2.0)
    return after
