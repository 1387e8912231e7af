"""AppliedHead: what a saved head says, from its numbers alone; neither scikit-learn nor torch is loaded for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from classifiers.validation.temperature import as_logits, softmax

_ROWS = 4096  # held in float64 at a time, as the heads do it

Arrays = Mapping[str, NDArray[Any]]
_Logits = Callable[[NDArray[np.float64]], NDArray[np.float64]]


class AppliedHead:
    """A fitted head that only predicts, to the bit as the estimator that was saved.

    Parameters
    ----------
    name : str
        One of `APPLIED`.
    meta, arrays : mapping
        The head's `get_state()`.

    Attributes
    ----------
    classes_ : ndarray of shape (k,)
    n_features_in_ : int

    Examples
    --------
    >>> meta = {"classes": [0, 1], "classes_dtype": "<i8", "slope": 1.0}
    >>> head = AppliedHead("logistic", meta, {"coef": np.array([[1.0, -1.0]]), "intercept": np.zeros(1)})
    >>> head.predict_proba([[2.0, 2.0]]).tolist()
    [[0.5, 0.5]]
    """

    def __init__(self, name: str, meta: Mapping[str, Any], arrays: Arrays) -> None:
        self.classes_ = np.array(meta["classes"], dtype=np.dtype(meta["classes_dtype"]))
        self._logits = APPLIED[name](meta)
        self._coef, self._intercept = np.asarray(arrays["coef"]), np.asarray(arrays["intercept"])
        values, self.n_features_in_ = self._coef.shape
        if self._intercept.shape != (values,):
            raise ValueError(f"{values} rows of coefficients beside intercepts of shape {self._intercept.shape}")

    def predict_proba(self, X: ArrayLike) -> NDArray[np.float64]:
        """Probabilities, ndarray of shape (n, k), float64; columns in the order of `classes_`.

        Parameters
        ----------
        X : array-like of shape (n, d), float32 or float64
            Finite.
        """
        rows = np.asarray(X)
        parts = [
            rows[at : at + _ROWS].astype(np.float64) @ self._coef.T + self._intercept
            for at in range(0, len(rows), _ROWS)
        ]
        return softmax(self._logits(np.concatenate(parts)))


def _sloped(meta: Mapping[str, Any]) -> _Logits:
    slope = float(meta["slope"])
    return lambda decision: as_logits(decision, slope)


def _plain(meta: Mapping[str, Any]) -> _Logits:
    return lambda decision: decision


APPLIED: dict[str, Callable[[Mapping[str, Any]], _Logits]] = {
    "logistic": _sloped,
    "svm": _sloped,
    "centroid": _plain,
}
"""Heads that are an affine map of the features and a softmax, by name: what makes logits of its values."""
