"""HEADS: what can be trained on features, by name.

Examples
--------
>>> [name for name, info in HEADS.items() if info.differentiable and not info.reference]
['logistic', 'svm', 'mlp', 'centroid']
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Any

from classifiers.types import BUDGETS, Budget, Fold
from featstore.errors import FeaturesError, UnknownNameError


@dataclasses.dataclass(frozen=True)
class HeadInfo:
    """What there is to know about a head before it is made.

    Attributes
    ----------
    factory : callable
        Makes the estimator; its module is imported then.
    differentiable : bool
        Whether it has `to_torch`.
    summary : str
        One line for people.
    reference : bool
        Whether it only stands in comparisons as a yardstick.

    Examples
    --------
    >>> HEADS["knn"].summary, HEADS["knn"].differentiable
    ('nearest neighbours, near ones weighing more', False)
    """

    factory: Callable[..., Any]
    differentiable: bool
    summary: str
    reference: bool = False


def _later(target: str) -> Callable[..., Any]:
    """The class `module:name`, imported when it is first called: LightGBM and torch take their time."""

    def make(**params: Any) -> Any:
        module, _, name = target.partition(":")
        head = getattr(import_module(module), name)
        params[head.seed_parameter] = params.pop("seed")
        return head(**params)

    return make


HEADS: dict[str, HeadInfo] = {
    "logistic": HeadInfo(
        _later("classifiers.heads.linear.estimators:SoftmaxRegressionCV"),
        True,
        "softmax regression over a path of L2 penalties",
    ),
    "svm": HeadInfo(
        _later("classifiers.heads.linear.estimators:LinearSVMCV"),
        True,
        "linear support vector machine over a path of L2 penalties",
    ),
    "svm-rbf": HeadInfo(
        _later("classifiers.heads.svm_rbf:RBFHead"), False, "support vector machine with a Gaussian kernel"
    ),
    "lightgbm": HeadInfo(
        _later("classifiers.heads.boosting:LightGBMHead"),
        False,
        "boosted trees on ridge scores and principal components",
    ),
    "mlp": HeadInfo(
        _later("classifiers.heads.mlp:MLPHead"), True, "small neural network with early stopping and averaged weights"
    ),
    "knn": HeadInfo(_later("classifiers.heads.knn:KNNHead"), False, "nearest neighbours, near ones weighing more"),
    "centroid": HeadInfo(_later("classifiers.heads.centroid:CentroidHead"), True, "nearest shrunken class mean"),
    "forest": HeadInfo(
        _later("classifiers.heads.forest:ForestHead"), False, "randomised trees on the features or their reduction"
    ),
    "majority": HeadInfo(
        _later("classifiers.heads.baselines:MajorityHead"),
        False,
        "reference: always the most frequent class",
        reference=True,
    ),
    "pixels": HeadInfo(
        _later("classifiers.heads.baselines:PixelsHead"),
        False,
        "reference: ridge regression on 16 x 16 raw pixels",
        reference=True,
    ),
}
"""The heads by name, in the order in which reports list them: name -> `HeadInfo`, for instance `HEADS["knn"].summary`.

All follow scikit-learn's contract; see `classifiers.heads.base.Head` for what else a fitted head has.
"""

DEFAULT = ("logistic", "svm", "lightgbm", "mlp", "knn")
"""What `compare` tries unless told otherwise."""


def candidates() -> list[str]:
    """Names of the heads that can be chosen: all but the references."""
    return [name for name, info in HEADS.items() if not info.reference]


def check_name(name: str) -> None:
    """Raise UnknownNameError for a name that is no head to choose, with close matches; references are none."""
    if name not in candidates():
        raise UnknownNameError("head", name, candidates())


def make_head(
    name: str,
    *,
    seed: int = 0,
    budget: Budget = "normal",
    cv: int | Sequence[Fold] | None = None,
    class_weight: str | Mapping[Any, float] | None = None,
    **params: Any,
) -> Any:
    """Make an unfitted head.

    Parameters
    ----------
    name : str
        One of `HEADS`.
    seed : int
        Seed of everything random in it.
    budget : {"quick", "normal", "thorough"}
        How many candidates its search tries.
    cv : int, or list of (train, valid), optional
        Folds of the search (default 5, stratified by `seed`). `fit` searches over them, then fits on everything.
    class_weight : "balanced", dict or None
        Weight of each class in training.
    **params
        Handed to the head's class.

    Returns
    -------
    estimator
        In scikit-learn's contract.

    Raises
    ------
    UnknownNameError
        For a name that is no head; the message offers close matches.
    FeaturesError
        For an unknown budget, or a parameter that the head does not have.

    Examples
    --------
    >>> import numpy as np
    >>> y = np.repeat([0, 1], 20)
    >>> X = np.random.default_rng(0).normal(size=(40, 3)) + 9 * y[:, None]
    >>> head = make_head("logistic", seed=0, budget="quick").fit(X, y)
    >>> head.predict([[0, 0, 0], [9, 9, 9]]).tolist()
    [0, 1]
    >>> head.converged_, head.predict_proba(X).shape
    (True, (40, 2))
    """
    if name not in HEADS:
        raise UnknownNameError("head", name, candidates())
    if budget not in BUDGETS:
        raise FeaturesError(f"budget is {budget!r}, expected one of {', '.join(BUDGETS)}")
    try:
        return HEADS[name].factory(seed=seed, budget=budget, cv=cv, class_weight=class_weight, **params)
    except TypeError as error:
        usual = HEADS[name].factory(seed=seed)
        known = usual.get_params(deep=False).keys() - {usual.seed_parameter} | {"seed"}
        unknown = [param for param in params if param not in known]
        if not unknown:
            raise
        raise FeaturesError(
            f"the head {name!r} does not take {', '.join(unknown)}; it takes {', '.join(sorted(known))}"
        ) from error


def differentiable() -> list[str]:
    """Names of the heads that have gradients, without references."""
    return [name for name in candidates() if HEADS[name].differentiable]
