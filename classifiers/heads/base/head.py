"""Head: what every head promises beyond scikit-learn's contract: its search in numbers, its state without pickle."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.validation import check_is_fitted

from featstore.errors import NoGradientError

if TYPE_CHECKING:
    from torch import nn


class Head(ClassifierMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """A scikit-learn classifier whose `fit` includes its search, and which is saved as numbers and text.

    Below it stand `SearchedHead` (candidates, one after the other, over folds) and `LinearHead` (a path over C in all
    folds at once).

    Attributes
    ----------
    classes_ : ndarray of shape (k,)
        Sorted.
    n_features_in_ : int
    best_params_ : dict
    cv_results_ : list of dict
        params, accuracy, fold_accuracies, log_loss, seconds of each candidate.
    oof_proba_ : ndarray of shape (n, k), or None
        Out-of-fold probabilities of the chosen candidate; NaN in rows that no fold judges.
    converged_ : bool
    certificate_ : dict
        What shows it.
    search_seconds_, fit_seconds_ : float

    Examples
    --------
    >>> import numpy as np
    >>> from classifiers.heads import CentroidHead
    >>> y = np.repeat([0, 1], 20)
    >>> X = np.random.default_rng(0).normal(size=(40, 3)) + 9 * y[:, None]
    >>> meta, arrays = CentroidHead(budget="quick").fit(X, y).get_state()
    >>> CentroidHead.from_state(meta, arrays).predict(X[:2]).tolist()
    [0, 0]
    """

    head_name: ClassVar[str] = ""
    """The name in `classifiers.heads.registry.HEADS`."""

    seed_parameter: ClassVar[str] = "seed"
    """What the constructor calls the seed of everything random."""

    classes_: NDArray[Any]
    n_features_in_: int
    best_params_: dict[str, Any]
    cv_results_: list[dict[str, Any]]
    oof_proba_: NDArray[np.floating] | None
    converged_: bool
    certificate_: dict[str, Any]
    search_seconds_: float
    fit_seconds_: float

    @abstractmethod
    def _state(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        """What predictions and `_params_of` need beside what all heads have: JSON-able values, and arrays."""

    @abstractmethod
    def _restore(self, meta: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> None:
        """Take `_state` back."""

    @classmethod
    @abstractmethod
    def _params_of(cls, meta: Mapping[str, Any]) -> dict[str, Any]:
        """What the constructor is given; FeaturesError for the state of another head."""

    def get_state(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        """Everything that predictions need, without pickle.

        Returns
        -------
        meta : dict
            JSON-able.
        arrays : dict of ndarray
        """
        check_is_fitted(self, "classes_")
        meta, arrays = self._state()
        common = {
            "classes": self.classes_.tolist(),
            "classes_dtype": self.classes_.dtype.str,
            "best_params": self.best_params_,
            "converged": bool(self.converged_),
            "certificate": self.certificate_,
        }
        return {**common, **meta}, arrays

    @classmethod
    def from_state(cls, meta: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> Self:
        """A fitted head from `get_state`; it predicts the same bits, and has no search results.

        Raises
        ------
        FeaturesError
            For the state of another head.
        """
        head = cls(**cls._params_of(meta))
        head.classes_ = np.array(meta["classes"], dtype=np.dtype(meta["classes_dtype"]))
        head.best_params_ = dict(meta["best_params"])
        head.converged_, head.certificate_ = bool(meta["converged"]), dict(meta["certificate"])
        head.cv_results_, head.oof_proba_ = [], None
        head.search_seconds_ = head.fit_seconds_ = 0.0
        head._restore(meta, arrays)
        return head

    def to_torch(self) -> nn.Module:
        """Refuse: this head has no gradients.

        Raises
        ------
        NoGradientError
        """
        raise NoGradientError(
            f"the head {self.head_name!r} has no gradients; train one that has, for instance logistic "
            "(`classifiers.HEADS[name].differentiable` tells)"
        )


def linear_layer(weight: NDArray[np.float64], bias: NDArray[np.float64]) -> nn.Linear:
    """An affine map as a module.

    Parameters
    ----------
    weight : ndarray of shape (k, d), float64
    bias : ndarray of shape (k,), float64

    Returns
    -------
    nn.Linear
        float32 (n, d) -> (n, k).
    """
    import torch

    layer = torch.nn.Linear(weight.shape[1], weight.shape[0])
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(np.array(weight)))
        layer.bias.copy_(torch.from_numpy(np.array(bias)))
    return layer
