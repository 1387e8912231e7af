"""Softmax regression and linear SVM with scikit-learn's objectives: one C, or a path of C over all folds at once."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.validation import check_is_fitted

from classifiers.headinput import ClassWeight, Training, class_weights, folds_of, read_features, read_training
from classifiers.linearproblem import Kind, LinearProblem
from classifiers.regpath import PathPoint, RegularisationPath, walk
from classifiers.splits import Fold
from classifiers.temperature import as_logits, softmax
from featstore.errors import FeaturesError, UnknownNameError

if TYPE_CHECKING:
    from torch import nn

Budget = Literal["quick", "normal", "thorough"]
VALUES = {"quick": 5, "normal": 10, "thorough": 19}
"""Values of C that each budget walks over."""
SEARCH_TOL = {"quick": 3e-3, "normal": 1e-3, "thorough": 1e-4}
"""Duality gap / objective of the folds while searching."""
END_TOL = 1e-14
"""Gap / objective of problems that are small enough to be solved to the end."""
PREDICT_ROWS = 4096
"""Rows that are held in float64 at a time while predicting."""


class _LinearHead(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """What the four estimators share: prediction, the certificate, saving, torch."""

    _kind: ClassVar[Kind]
    classes_: NDArray[Any]
    coef_: NDArray[np.float64]
    intercept_: NDArray[np.float64]
    slope_: float

    def decision_function(self, X: ArrayLike) -> NDArray[np.float64]:
        """Decision values.

        Parameters
        ----------
        X : array-like of shape (n, d)
            Features as in training.

        Returns
        -------
        ndarray of shape (n,) for two classes, (n, k) else; float64
        """
        check_is_fitted(self)
        features = read_features(self, X)
        parts = [
            features[at : at + PREDICT_ROWS].astype(np.float64) @ self.coef_.T + self.intercept_
            for at in range(0, len(features), PREDICT_ROWS)
        ]
        decision = np.concatenate(parts)
        return decision[:, 0] if decision.shape[1] == 1 else decision

    def predict(self, X: ArrayLike) -> NDArray[Any]:
        """Classes, ndarray of shape (n,): those of the largest decision value."""
        decision = self.decision_function(X)
        return np.asarray(
            self.classes_[(decision > 0).astype(np.intp) if decision.ndim == 1 else decision.argmax(axis=1)]
        )

    def predict_proba(self, X: ArrayLike) -> NDArray[np.float64]:
        """Probabilities, ndarray of shape (n, k), float64; columns in the order of `classes_`."""
        return softmax(as_logits(self.decision_function(X), self.slope_))

    def to_torch(self) -> nn.Module:
        """A linear layer from features to logits, of which the softmax is `predict_proba`; scaling is folded in.

        Returns
        -------
        nn.Linear
            float32 (n, d) -> (n, k).
        """
        import torch

        check_is_fitted(self)
        weight, bias = self.coef_ * self.slope_, self.intercept_ * self.slope_
        if len(weight) == 1:
            weight, bias = np.vstack([-0.5 * weight, 0.5 * weight]), np.concatenate([-0.5 * bias, 0.5 * bias])
        layer = torch.nn.Linear(weight.shape[1], weight.shape[0])
        with torch.no_grad():
            layer.weight.copy_(torch.from_numpy(weight))
            layer.bias.copy_(torch.from_numpy(bias))
        return layer

    def get_state(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        """What `from_state` needs: JSON-able values, and arrays of numbers."""
        check_is_fitted(self)
        params = {name: value for name, value in self.get_params().items() if name not in ("cv", "progress")}
        if isinstance(params.get("class_weight"), Mapping):
            params["class_weight"] = [[label, factor] for label, factor in params["class_weight"].items()]
        meta = {
            "params": params,
            "classes": self.classes_.tolist(),
            "classes_dtype": self.classes_.dtype.str,
            "best_params": self.best_params_,
            "slope": self.slope_,
            "certificate": self.certificate_,
            "converged": self.converged_,
        }
        return meta, {"coef": self.coef_, "intercept": self.intercept_}

    @classmethod
    def from_state(cls, meta: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> Self:
        """The fitted head that `get_state` described, predicting the same bits; without its search results."""
        params = dict(meta["params"])
        if isinstance(params.get("class_weight"), list):
            params["class_weight"] = dict(params["class_weight"])
        head = cls(**params)
        head.classes_ = np.array(meta["classes"], dtype=np.dtype(meta["classes_dtype"]))
        head.coef_, head.intercept_ = np.asarray(arrays["coef"]), np.asarray(arrays["intercept"])
        head.n_features_in_ = head.coef_.shape[1]
        head.slope_, head.best_params_ = float(meta["slope"]), dict(meta["best_params"])
        head.certificate_, head.converged_ = dict(meta["certificate"]), bool(meta["converged"])
        head.cv_results_, head.oof_proba_ = [], None
        head.search_seconds_ = head.fit_seconds_ = 0.0
        return head

    def _learn(
        self,
        training: Training,
        *,
        folds: list[Fold] | None,
        grid: list[float],
        standardise: bool,
        search_tol: float,
        patience: int = 0,
        extend: int = 0,
        progress: Callable[[PathPoint], None] | None = None,
    ) -> Self:
        """Walk the path over the folds (if any), then fit everything at the best C."""
        began = time.perf_counter()
        self.classes_ = training.classes
        max_steps, tol = int(self.max_iter), float(self.tol)
        self.slope_, self.cv_results_, self.oof_proba_, search = 1.0, [], None, {}
        parts = [train for train, _ in folds or []]
        problem = self._problem(training, [*parts, np.arange(len(training.codes))], standardise)
        if problem.small:
            search_tol, tol = min(tol, END_TOL), min(tol, END_TOL)
        C, start = grid[-1], None
        if folds is not None:
            path = walk(
                problem, folds, grid, training.weight,
                tol=search_tol, max_steps=max_steps, patience=patience, extend=extend, progress=progress,
            )  # fmt: skip
            C, start, self.slope_ = path.best.C, path.solution, path.best.slope
            self.cv_results_ = [_as_row(point) for point in path.points]
            self.oof_proba_ = _out_of_fold(path, folds, len(training.codes), len(training.classes))
            search = {
                "search_relative_gap": path.best.relative_gap,
                "search_tol": search_tol,
                "search_products": sum(point.products for point in path.points),
            }
        self.search_seconds_ = time.perf_counter() - began
        began = time.perf_counter()
        solution = problem.solve_whole(C, start, tol=tol, max_steps=max_steps)
        self.coef_, self.intercept_ = problem.coefficients(solution)
        self.n_iter_ = max(1, solution.steps)
        self.best_params_ = {"C": C}
        worst = float(solution.relative_gap.max())
        self.certificate_ = {
            "method": "duality gap / objective, float64",
            "relative_gap": worst,
            "tol": tol,
            "objective": float(solution.objective.sum()),
            "newton_steps": solution.steps,
            "hessian_products": solution.products,
            "factorisations": solution.factored,
            **search,
        }
        loose = [
            value
            for value, limit in ((worst, tol), (search.get("search_relative_gap", 0.0), search_tol))
            if value > limit
        ]
        self.converged_ = not loose or problem.small and worst <= float(self.tol)
        if not self.converged_:
            warnings.warn(
                f"{type(self).__name__} stopped after {max_steps} Newton steps at C={C:g} with a relative duality gap "
                f"of {max(loose):.1e}; raise max_iter, or scale the features",
                ConvergenceWarning,
                stacklevel=3,
            )
        self.fit_seconds_ = time.perf_counter() - began
        return self

    def _problem(self, training: Training, parts: list[NDArray[np.intp]], standardise: bool) -> LinearProblem:
        weights = np.zeros((len(parts), len(training.codes)))
        factors = np.ones((len(parts), len(training.classes)))
        for row, factor, part in zip(weights, factors, parts, strict=True):
            row[part] = training.weight[part]
            factor[:] = class_weights(self.class_weight, training.classes, training.codes, row)
        return LinearProblem(
            training.X, training.codes, len(training.classes), weights, factors,
            kind=self._kind, standardise=standardise,
        )  # fmt: skip


class SoftmaxRegression(_LinearHead):
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
    """

    _kind = "softmax"

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


class LinearSVM(_LinearHead):
    """Linear SVM at one C, with the objective of scikit-learn's `LinearSVC`: squared hinge, one class against the rest.

    ``C * sum_i w_i max(0, 1 - s_i z_i)^2 + 0.5 (|w|^2 + b^2)`` for each class. Features are taken as they are.

    `predict_proba` is the softmax of ``slope_ * decision_function``, where the slope is the one that makes held-out
    rows most likely (temperature scaling over `cv` folds); it never changes which class is largest.

    Parameters
    ----------
    C : float, default 1.0
        Weight of the loss against the penalty, > 0.
    class_weight : "balanced", mapping or None
        Factors of the classes' losses.
    cv : int, iterable of (train, valid), splitter or None
        Folds on which the probabilities are calibrated; None for 5.
    tol : float, default 1e-6
        Duality gap / objective at which the fit is done; small problems are solved to 1e-14 in any case.
    max_iter : int, default 100
        Newton steps at most.
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
    """

    _kind = "svm"

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
        folds = folds_of(self.cv, training, self.random_state)
        return self._learn(training, folds=folds, grid=[_positive(self.C)], standardise=False, search_tol=1e-3)


class _PathHead(_LinearHead):
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
        progress: Callable[[PathPoint], None] | None = None,
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
        training = read_training(self, X, y, sample_weight)
        folds = folds_of(self.cv, training, self.random_state)
        given = self.Cs is not None
        grid = (
            sorted(_positive(C) for C in self.Cs) if self.Cs is not None else _decades(*self._ends, VALUES[self.budget])
        )
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
        Called with the `PathPoint` of every C.

    Attributes
    ----------
    coef_, intercept_ : ndarray of shape (k, d) and (k,), float64; one row for two classes
        For features as given: the scaling is folded in.
    classes_, n_features_in_, best_params_, cv_results_, oof_proba_, converged_, certificate_, search_seconds_, \
fit_seconds_
        As every head.
    """

    _kind = "softmax"
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
    """

    _kind = "svm"
    _ends = (1e-6, 1e3)


def _positive(C: float) -> float:
    if not (np.isfinite(C) and C > 0):
        raise FeaturesError(f"C is {C!r}, expected a positive number")
    return float(C)


def _decades(low: float, high: float, count: int) -> list[float]:
    return [float(f"{C:.6g}") for C in np.geomspace(low, high, count)]


def _as_row(point: PathPoint) -> dict[str, Any]:
    """A point as every head's `cv_results_` has it, with what only a path knows."""
    return {
        "params": {"C": point.C},
        "accuracy": point.accuracy,
        "fold_accuracies": list(point.fold_accuracies),
        "log_loss": point.log_loss,
        "seconds": point.seconds,
        "relative_gap": point.relative_gap,
    }


def _out_of_fold(path: RegularisationPath, folds: list[Fold], n: int, k: int) -> NDArray[np.float64]:
    """Probabilities (n, k) by the folds that held a row out, their mean where several did; NaN where none did."""
    total, times = np.zeros((n, k)), np.zeros((n, 1))
    probability = softmax(as_logits(path.decision, path.best.slope))
    ends = np.cumsum([len(valid) for _, valid in folds])[:-1]
    for (_, valid), part in zip(folds, np.split(probability, ends), strict=True):
        total[valid] += part
        times[valid] += 1
    return np.asarray(np.divide(total, times, out=np.full((n, k), np.nan), where=times > 0))
