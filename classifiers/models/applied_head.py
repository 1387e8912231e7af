"""AppliedHead: what a saved head says, from its numbers alone; neither scikit-learn nor torch is loaded for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from classifiers.validation.temperature import as_logits, softmax

_ROWS = 4096  # held in float64 at a time, as the heads do it

Arrays = Mapping[str, NDArray[Any]]
_Logits = Callable[[NDArray[Any]], NDArray[np.float64]]
"""(n, d) features -> (n, k) logits."""


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
        self.n_features_in_, self._logits = APPLIED[name](meta, arrays)

    def predict_proba(self, X: ArrayLike) -> NDArray[np.float64]:
        """Probabilities, ndarray of shape (n, k), float64; columns in the order of `classes_`.

        Parameters
        ----------
        X : array-like of shape (n, d), float32 or float64
            Finite.
        """
        return softmax(self._logits(np.asarray(X)))


def _linear(meta: Mapping[str, Any], arrays: Arrays) -> tuple[int, _Logits]:
    slope, (width, decide) = float(meta["slope"]), _affine(meta, arrays)
    return width, lambda rows: as_logits(decide(rows), slope)


def _affine(meta: Mapping[str, Any], arrays: Arrays) -> tuple[int, _Logits]:
    coef, intercept = _layer(arrays["coef"], arrays["intercept"])

    def decide(rows: NDArray[Any]) -> NDArray[np.float64]:
        parts = [rows[at : at + _ROWS].astype(np.float64) @ coef.T + intercept for at in range(0, len(rows), _ROWS)]
        return np.concatenate(parts)

    return coef.shape[1], decide


def _two_layers(meta: Mapping[str, Any], arrays: Arrays) -> tuple[int, _Logits]:
    weight, bias = _layer(arrays["0_weight"], arrays["0_bias"])
    last, last_bias = _layer(arrays["2_weight"], arrays["2_bias"])

    def decide(rows: NDArray[Any]) -> NDArray[np.float64]:
        hidden = np.maximum(rows.astype(np.float32, copy=False) @ weight.T + bias, 0)
        return np.asarray(hidden @ last.T + last_bias, dtype=np.float64)

    return weight.shape[1], decide


def _layer(weight: NDArray[Any], bias: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """(k, d) and (k,); ValueError where they are not."""
    outputs, _ = weight.shape
    if bias.shape != (outputs,):
        raise ValueError(f"{outputs} rows of weights beside biases of shape {bias.shape}")
    return weight, bias


APPLIED: dict[str, Callable[[Mapping[str, Any], Arrays], tuple[int, _Logits]]] = {
    "logistic": _linear,
    "svm": _linear,
    "centroid": _affine,
    "mlp": _two_layers,
}
"""By the heads' names: from a saved head to the number of features and what makes logits of them."""
