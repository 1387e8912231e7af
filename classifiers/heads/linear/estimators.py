"""Softmax regression and linear SVM with scikit-learn's objectives: one C, or a path of C over all folds at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike

from classifiers.heads.base.head_input import ClassWeight, folds_of, read_training
from classifiers.heads.linear.linear_head import LinearHead
from classifiers.types import Budget, Fold
from featstore.errors import FeaturesError, UnknownNameError

VALUES = {"quick": 5, "normal": 10, "thorough": 19}
"""Values of C that each budget walks over."""
SEARCH_TOL = {"quick": 3e-3, "normal": 1e-3, "thorough": 1e-4}
"""Duality gap / objective of the folds while searching."""


class SoftmaxRegression(LinearHead):
    """Multinomial logistic regression at one C, with the objective of scikit-learn's `LogisticRegression`.

    ``C * sum_i w_i log_loss_i + 0.5 |W|^2``; intercepts are not penalised; two classes have one weight vector. Features
    are taken as they are: standardise first, or use `SoftmaxRegressionCV`.

    Parameters
    ----------
    C : float, default 1.0
        Weight of the loss against the penalty, > 0.
    class_weight : "balanced", mapping or None
        Factors of the classes' losses.
    tol : float, default 1e-6
        Duality gap / objective at which the fit is done; small problems are solved to 1e-14 in any case.
    max_iter : int, default 100
        Newton steps at most.

    Attributes
    ----------
    coef_, intercept_ : ndarray of shape (k, d) and (k,), float64; one row for two classes
    classes_, n_features_in_, best_params_, cv_results_, oof_proba_, converged_, certificate_, search_seconds_, \
fit_seconds_
        As every head.

    Examples
    --------
    >>> import numpy as np
    >>> y = np.repeat([0, 1], 20)
    >>> X = np.random.default_rng(0).normal(size=(40, 3)) + 9 * y[:, None]
    >>> head = SoftmaxRegression(C=1.0).fit(X, y)
    >>> head.predict([[0, 0, 0], [9, 9, 9]]).tolist()
    [0, 1]
    """

    head_name = "logistic"
    _loss = "softmax"

    def __init__(
        self, C: float = 1.0, *, class_weight: ClassWeight = None, tol: float = 1e-6, max_iter: int = 100
    ) -> None:
        self.C, self.class_weight, self.tol, self.max_iter = C, class_weight, tol, max_iter

    def fit(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> Self:
        """Fit.

        Parameters
        ----------
        X : array-like of shape (n, d), float32 or float64
        y : array-like of shape (n,)
        sample_weight : array-like of shape (n,), optional

        Raises
        ------
        FeaturesError
            For features that are not finite, fewer than two classes, a C that is not positive.
        """
        training = read_training(self, X, y, sample_weight)
        return self._learn(training, folds=None, grid=[_positive(self.C)], standardise=False, search_tol=1.0)


class LinearSVM(LinearHead):
    """Linear SVM at one C, with the objective of scikit-learn's `LinearSVC`: squared hinge, one class against the rest.

    ``C * sum_i w_i max(0, 1 - s_i z_i)^2 + 0.5 (|w|^2 + b^2)`` for each class. Features are taken as they are.

    `predict_proba` is the softmax of ``slope_ * decision_function``, where the slope is the one that makes held-out
    rows most likely (temperature scaling over `cv` folds); it never changes which class is largest.

    Parameters
    ----------
    C, class_weight, tol, max_iter
        As for `SoftmaxRegression`.
    cv : int, iterable of (train, valid), splitter or None
        Folds on which the probabilities are calibrated; None for 5.
    random_state : int, default 0
        Seed of the folds.

    Attributes
    ----------
    coef_, intercept_ : ndarray of shape (k, d) and (k,), float64; one row for two classes
    slope_ : float
        Inverse temperature of the probabilities.
    classes_, n_features_in_, best_params_, cv_results_, oof_proba_, converged_, certificate_, search_seconds_, \
fit_seconds_
        As every head.

    Examples
    --------
    >>> import numpy as np
    >>> y = np.repeat([0, 1], 20)
    >>> X = np.random.default_rng(0).normal(size=(40, 3)) + 9 * y[:, None]
    >>> head = LinearSVM(C=1.0).fit(X, y)
    >>> head.predict([[0, 0, 0], [9, 9, 9]]).tolist()
    [0, 1]
    """

    head_name = _loss = "svm"

    def __init__(
        self,
        C: float = 1.0,
        *,
        class_weight: ClassWeight = None,
        cv: int | Iterable[Fold] | None = None,
        tol: float = 1e-6,
        max_iter: int = 100,
        random_state: int = 0,
    ) -> None:
        self.C, self.class_weight, self.cv = C, class_weight, cv
        self.tol, self.max_iter, self.random_state = tol, max_iter, random_state

    def fit(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> Self:
        """Fit; as `SoftmaxRegression.fit`."""
        training = read_training(self, X, y, sample_weight)
        folds = folds_of(self.cv, training, self.random_state)
        return self._learn(training, folds=folds, grid=[_positive(self.C)], standardise=False, search_tol=1e-3)


class _PathHead(LinearHead):
    """What the two tuned heads share: their options and the search."""

    _ends: ClassVar[tuple[float, float]]

    def __init__(
        self,
        *,
        Cs: Iterable[float] | None = None,
        cv: int | Iterable[Fold] | None = None,
        budget: Budget = "normal",
        class_weight: ClassWeight = None,
        standardize: bool = True,
        patience: int = 2,
        tol: float = 1e-5,
        max_iter: int = 100,
        random_state: int = 0,
        progress: Callable[[dict[str, Any]], None] | None = None,
    ) -> None:
        self.Cs, self.cv, self.budget, self.class_weight = Cs, cv, budget, class_weight
        self.standardize, self.patience, self.tol, self.max_iter = standardize, patience, tol, max_iter
        self.random_state, self.progress = random_state, progress

    def fit(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> Self:
        """Search over the folds, then fit everything at the best C.

        Parameters
        ----------
        X : array-like of shape (n, d), float32 or float64
        y : array-like of shape (n,)
        sample_weight : array-like of shape (n,), optional
            Also what a row counts when the folds are judged.

        Raises
        ------
        FeaturesError
            For features that are not finite, fewer than two classes, folds that do not fit, a C that is not positive.
        """
        if self.budget not in VALUES:
            raise UnknownNameError("budget", str(self.budget), VALUES)
        if not self.tol > 0:
            raise FeaturesError(f"tol is {self.tol!r}, expected a positive number")
        training = read_training(self, X, y, sample_weight)
        folds = folds_of(self.cv, training, self.random_state)
        given = self.Cs is not None
        grid = (
            sorted(_positive(C) for C in self.Cs) if self.Cs is not None else decades(*self._ends, VALUES[self.budget])
        )
        if not grid:
            raise FeaturesError("Cs is empty, expected at least one value")
        return self._learn(
            training, folds=folds, grid=grid, standardise=self.standardize, search_tol=SEARCH_TOL[self.budget],
            patience=self.patience, extend=0 if given else 3, progress=self.progress,
        )  # fmt: skip


class SoftmaxRegressionCV(_PathHead):
    """The `logistic` head: standardised softmax regression, its C chosen by cross-validation.

    All folds are solved at once, from the smallest C upwards, each C starting where the last one ended; the walk ends
    when validation has turned. The C of the best accuracy is refitted on everything; among equals the smaller log loss
    decides.

    Parameters
    ----------
    Cs : iterable of float, optional
        Values to try; default 5, 10 or 19 (by `budget`) from 1e-4 to 1e4 and up to three more beyond an end where the
        best one lies there.
    cv : int, iterable of (train, valid), splitter or None
        Folds; None for 5.
    budget : "quick", "normal" or "thorough"
        Number of values, and how exactly the folds are solved: to a gap of 3e-3, 1e-3, 1e-4.
    class_weight : "balanced", mapping or None
        Factors of the classes' losses, "balanced" by each fold's own training part.
    standardize : bool, default True
        Features at mean 0 and variance 1, by each fold's own training part.
    patience : int, default 2
        Values in turn without gain and with a rising log loss after which the walk ends; 0 walks everything.
    tol : float, default 1e-5
        Duality gap / objective of the refit; small problems are solved to 1e-14 in any case.
    max_iter : int, default 100
        Newton steps a C at most.
    random_state : int, default 0
        Seed of the folds.
    progress : callable, optional
        Called with the row of `cv_results_` of every C.

    Attributes
    ----------
    coef_, intercept_ : ndarray of shape (k, d) and (k,), float64; one row for two classes
        For features as given: the scaling is folded in.
    classes_, n_features_in_, best_params_, cv_results_, oof_proba_, converged_, certificate_, search_seconds_, \
fit_seconds_
        As every head.

    Examples
    --------
    >>> import numpy as np
    >>> y = np.repeat([0, 1], 20)
    >>> X = np.random.default_rng(0).normal(size=(40, 3)) + 9 * y[:, None]
    >>> head = SoftmaxRegressionCV(budget="quick").fit(X, y)
    >>> head.predict([[0, 0, 0], [9, 9, 9]]).tolist()
    [0, 1]
    """

    head_name = "logistic"
    _loss = "softmax"
    _ends = (1e-4, 1e4)


class LinearSVMCV(_PathHead):
    """The `svm` head: standardised linear SVM, its C chosen by cross-validation, with calibrated probabilities.

    As `SoftmaxRegressionCV`, with the objective and the probabilities of `LinearSVM`; the default values of C go from
    1e-6 to 1e3, for a squared hinge loss wants less of it.

    Parameters
    ----------
    Cs, cv, budget, class_weight, standardize, patience, tol, max_iter, random_state, progress
        As in `SoftmaxRegressionCV`.

    Attributes
    ----------
    slope_ : float
        Inverse temperature of the probabilities, fitted on out-of-fold decisions at the chosen C.
    coef_, intercept_, classes_, n_features_in_, best_params_, cv_results_, oof_proba_, converged_, certificate_, \
search_seconds_, fit_seconds_
        As in `SoftmaxRegressionCV`.

    Examples
    --------
    >>> import numpy as np
    >>> y = np.repeat([0, 1], 20)
    >>> X = np.random.default_rng(0).normal(size=(40, 3)) + 9 * y[:, None]
    >>> head = LinearSVMCV(budget="quick").fit(X, y)
    >>> head.predict([[0, 0, 0], [9, 9, 9]]).tolist()
    [0, 1]
    """

    head_name = _loss = "svm"
    _ends = (1e-6, 1e3)


def _positive(C: float) -> float:
    if not (np.isfinite(C) and C > 0):
        raise FeaturesError(f"C is {C!r}, expected a positive number")
    return float(C)


def decades(low: float, high: float, count: int) -> list[float]:
    """Values of C from one end to the other, at equal ratios."""
    return [float(f"{C:.6g}") for C in np.geomspace(low, high, count)]
