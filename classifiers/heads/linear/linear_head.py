"""LinearHead: what linear classifiers share once their weights are found, and how they are found."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.validation import check_is_fitted

from classifiers.heads.base.head import Head, linear_layer
from classifiers.heads.base.head_input import Training, check_logits, class_weights, read_features
from classifiers.heads.linear.linear_problem import LinearProblem, LossName
from classifiers.heads.linear.reg_path import PathPoint, RegularisationPath, walk
from classifiers.threads import at_most
from classifiers.types import Fold
from classifiers.validation.temperature import as_logits, softmax

if TYPE_CHECKING:
    from torch import nn

END_TOL = 1e-14
"""Gap / objective of problems that are small enough to be solved to the end."""
PREDICT_ROWS = 4096
"""Rows that are held in float64 at a time while predicting."""
ONE_THREAD = 50_000_000
"""Multiplications in a product up to which a second thread costs more than it brings."""


class LinearHead(Head):
    """What the linear estimators share: search, fit and certificate, prediction, saving, torch.

    A subclass says which loss it has (`_loss`), and has the parameters `class_weight`, `tol` and `max_iter`.
    """

    seed_parameter = "random_state"
    _loss: ClassVar[LossName]
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

    def to_torch(self) -> nn.Linear:
        """A linear layer from features to logits, of which the softmax is `predict_proba`; scaling is folded in.

        Returns
        -------
        nn.Linear
            float32 (n, d) -> (n, k).
        """
        check_is_fitted(self)
        weight, bias = self.coef_ * self.slope_, self.intercept_ * self.slope_
        if len(weight) == 1:
            weight, bias = np.vstack([-0.5 * weight, 0.5 * weight]), np.concatenate([-0.5 * bias, 0.5 * bias])
        return linear_layer(weight, bias)

    def _state(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        params = {name: value for name, value in self.get_params().items() if name not in ("cv", "progress")}
        if isinstance(params.get("class_weight"), Mapping):
            params["class_weight"] = [[label, factor] for label, factor in params["class_weight"].items()]
        return {"params": params, "slope": self.slope_}, {"coef": self.coef_, "intercept": self.intercept_}

    def _restore(self, meta: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> None:
        self.coef_, self.intercept_ = np.asarray(arrays["coef"]), np.asarray(arrays["intercept"])
        self.n_features_in_, self.slope_ = self.coef_.shape[1], float(meta["slope"])

    @classmethod
    def _params_of(cls, meta: Mapping[str, Any]) -> dict[str, Any]:
        params = dict(meta["params"])
        if isinstance(params.get("class_weight"), list):
            params["class_weight"] = dict(params["class_weight"])
        return params

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
        progress: Callable[[dict[str, Any]], None] | None = None,
    ) -> Self:
        """Walk the path over the folds (if any), then fit everything at the best C."""
        n, d = training.X.shape
        check_logits(n, len(training.classes), self.head_name)
        product = n * d * len(training.classes) * (1 + len(folds or []))
        with at_most(1 if product <= ONE_THREAD else None):
            return self._search_and_fit(
                training, folds, grid, standardise, search_tol=search_tol, patience=patience, extend=extend,
                progress=progress,
            )  # fmt: skip

    def _search_and_fit(
        self,
        training: Training,
        folds: list[Fold] | None,
        grid: list[float],
        standardise: bool,
        *,
        search_tol: float,
        patience: int,
        extend: int,
        progress: Callable[[dict[str, Any]], None] | None,
    ) -> Self:
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
                tol=search_tol, max_steps=max_steps, patience=patience, extend=extend,
                progress=None if progress is None else lambda point: progress(as_row(point)),
            )  # fmt: skip
            C, start, self.slope_ = path.best.C, path.solution, path.best.slope
            self.cv_results_ = [as_row(point) for point in path.points]
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
        loosest = max(worst / tol, search.get("search_relative_gap", 0.0) / search_tol)
        self.converged_ = loosest <= 1.0 or (problem.small and worst <= float(self.tol))
        if not self.converged_:
            warnings.warn(
                f"{type(self).__name__} stopped at C={C:g} with a relative duality gap {loosest:.1e} times as large as "
                f"asked for, after {solution.steps} Newton steps of at most {max_steps}; raise max_iter or tol, or "
                "scale the features",
                ConvergenceWarning,
                stacklevel=4,
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
            loss_name=self._loss, standardise=standardise,
        )  # fmt: skip


def as_row(point: PathPoint) -> dict[str, Any]:
    """A point as every head's `cv_results_` has it, with what only a path knows."""
    return {
        "params": {"C": point.C},
        "accuracy": point.accuracy,
        "fold_accuracies": list(point.fold_accuracies),
        "log_loss": point.log_loss,
        "seconds": point.seconds,
        "relative_gap": point.relative_gap,
        "converged": point.converged,
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
