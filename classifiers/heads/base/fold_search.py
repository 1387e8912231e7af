"""SearchedHead: a classifier that tunes itself over folds and is then fitted on everything."""

from __future__ import annotations

import time
from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import compute_class_weight
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from classifiers.heads.base.fold_table import FoldTable, Learnt, Outcome, Params
from classifiers.heads.base.head_input import check_class_weight
from classifiers.types import BUDGETS, FOLDS, Budget, Fold
from classifiers.validation.splits import stratified_folds
from featstore.errors import FeaturesError, NoGradientError

WITH_GRADIENTS = ("logistic", "svm", "mlp", "centroid")
"""Heads that have `to_torch`."""


class SearchedHead(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """A scikit-learn classifier whose `fit` searches its own parameters over folds and then fits on everything.

    The best candidate has the highest accuracy over all out-of-fold predictions; among equals the lowest log loss.

    Parameters
    ----------
    seed : int
        Seed of everything random.
    budget : {"quick", "normal", "thorough"}
        How many candidates are tried.
    cv : int, or list of (train, valid), optional
        Folds of the search (default 5, stratified, seeded); None of a class with one image can judge it.
    class_weight : "balanced", dict or None
        Weight of each class in training.

    Attributes
    ----------
    classes_ : ndarray of shape (k,)
    n_features_in_ : int
    best_params_ : dict
    cv_results_ : list of dict
        params, accuracy, fold_accuracies, log_loss, seconds of each candidate.
    oof_proba_ : ndarray of shape (n, k), float32, or None
        Out-of-fold probabilities of the chosen candidate; NaN in rows that no fold judges.
    converged_ : bool
    certificate_ : dict
        What shows it.
    search_seconds_, fit_seconds_ : float
    """

    head_name = ""
    """The name in `classifiers.heads.registry.HEADS`."""

    progress: Callable[[dict[str, Any]], None] | None = None
    """Set before `fit`: called with the row of `cv_results_` of each candidate."""

    def __init__(
        self,
        *,
        seed: int = 0,
        budget: Budget = "normal",
        cv: int | Sequence[Fold] | None = None,
        class_weight: str | Mapping[Any, float] | None = None,
    ) -> None:
        self.seed = seed
        self.budget = budget
        self.cv = cv
        self.class_weight = class_weight

    @abstractmethod
    def _candidates(
        self, X: NDArray[np.float32], y: NDArray[np.intp], weight: NDArray[np.float64], table: FoldTable
    ) -> Iterator[Params]:
        """Parameters to try, one after the other; the table holds what came out so far. First make what all share."""

    def _outcomes(
        self, X: NDArray[np.float32], y: NDArray[np.intp], weight: NDArray[np.float64], params: Params
    ) -> list[Outcome]:
        """The outcome of each fold; a head that fits all folds at once does it here."""
        work, folds = partial(self._fold_proba, X, y, weight, params), range(len(self._folds))
        with ThreadPoolExecutor(self._fold_threads()) as pool:
            return list((pool.map if self._fold_threads() > 1 else map)(work, folds))

    def _fold_proba(
        self, X: NDArray[np.float32], y: NDArray[np.intp], weight: NDArray[np.float64], params: Params, fold: int
    ) -> Outcome:
        """Fit on the training part of `self._folds[fold]`, return the probabilities of its valid part."""
        raise NotImplementedError

    @abstractmethod
    def _refit(
        self, X: NDArray[np.float32], y: NDArray[np.intp], weight: NDArray[np.float64], params: Params,
        learnt: Sequence[Learnt],
    ) -> None:  # fmt: skip
        """Fit on everything; `learnt` holds what each fold's fit found (empty without search)."""

    @abstractmethod
    def _proba(self, X: NDArray[np.float32]) -> NDArray[np.float64]:
        """Probabilities (n, k)."""

    @abstractmethod
    def _state(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        """What `_proba` needs: JSON-able values, and arrays."""

    @abstractmethod
    def _restore(self, meta: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> None:
        """Take `_state` back."""

    def _fold_threads(self) -> int:
        """Folds that are fitted at the same time."""
        return 1

    def _check_size(self, n: int, d: int, k: int) -> None:
        """Raise FeaturesError where this head cannot do the job in sensible time or memory."""

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Search over the folds, then fit on everything.

        Parameters
        ----------
        X : array-like of shape (n, d)
            Features; computed with in float32.
        y : array-like of shape (n,)
            Classes.
        sample_weight : array-like of shape (n,), optional
            Weights of rows, in training and in judging the candidates.

        Raises
        ------
        FeaturesError
            For one class only, or more data than this head can take.
        ValueError
            scikit-learn's own, for NaN, infinity, sparse or misshapen input.
        """
        if self.budget not in BUDGETS:
            raise FeaturesError(f"budget is {self.budget!r}, expected one of {', '.join(BUDGETS)}")
        X, y = validate_data(self, X, y, dtype=np.float32, ensure_min_samples=2)
        check_classification_targets(y)
        weight = None
        if sample_weight is not None:
            weight = _check_sample_weight(sample_weight, X, dtype=np.float64, ensure_non_negative=True)
            if not (weight > 0).all():
                # A row of weight 0 is a row that is not there, also for folds and for neighbours.
                return self._fit_rows(X, np.asarray(y), weight, np.flatnonzero(weight > 0))
        return self._fit_rows(X, np.asarray(y), weight, None)

    def _fit_rows(
        self, X: NDArray[np.float32], y: NDArray[Any], weight: NDArray[np.float64] | None, keep: NDArray[np.intp] | None
    ) -> Self:
        n = len(y)
        given = self.cv
        if keep is not None:
            if given is not None and not isinstance(given, int):
                place = np.full(n, -1)
                place[keep] = np.arange(len(keep))
                parts = [(place[np.asarray(a)], place[np.asarray(b)]) for a, b in given]
                given = [(a[a >= 0], b[b >= 0]) for a, b in parts]
            X, y, weight = X[keep], y[keep], weight[keep] if weight is not None else None
        self.classes_, codes = np.unique(y, return_inverse=True)
        k = len(self.classes_)
        if k < 2:
            raise FeaturesError(
                f"all {len(y)} images are of one class, {str(self.classes_[0])!r}; expected two classes or more"
            )
        self._check_size(len(y), X.shape[1], k)
        balance = np.ones(k)
        check_class_weight(self.class_weight)
        if self.class_weight is not None:
            balance = compute_class_weight(self.class_weight, classes=self.classes_, y=y)
        self._class_mass = balance / balance.sum()
        total = balance[codes] if weight is None else balance[codes] * weight
        self._folds = fold_list(given, codes, self.seed)
        table = FoldTable(codes, k, weight)
        start = time.perf_counter()
        fallback: Params | None = None
        for params in self._candidates(X, codes, total, table):
            if not self._folds:
                fallback = params
                break
            table.judge(params, self._folds, partial(self._outcomes, X, codes, total, params))
            if self.progress is not None:
                self.progress(table.rows[-1])
        searched = time.perf_counter()
        self.cv_results_ = table.rows
        self.best_params_ = dict(table.rows[table.best]["params"] if table.rows else fallback or {})
        self.oof_proba_ = table.best_proba
        if keep is not None and self.oof_proba_ is not None:
            whole = np.full((n, k), np.nan, dtype=np.float32)
            whole[keep] = self.oof_proba_
            self.oof_proba_ = whole
        self.converged_ = True
        self.certificate_: dict[str, Any] = {}
        self._refit(X, codes, total, self.best_params_, table.best_learnt)
        self.search_seconds_, self.fit_seconds_ = searched - start, time.perf_counter() - searched
        self._forget()
        return self

    def _forget(self) -> None:
        """Drop what only the search needed."""
        del self._folds, self._class_mass

    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        """Probabilities of the classes.

        Parameters
        ----------
        X : array-like of shape (n, d)

        Returns
        -------
        ndarray of shape (n, k), float64
            In the order of `classes_`; rows sum to 1.
        """
        check_is_fitted(self, "classes_")
        X = validate_data(self, X, dtype=np.float32, reset=False)
        return self._proba(X)

    def predict(self, X: Any) -> NDArray[Any]:
        """The most probable class of each row, (n,)."""
        best = self.predict_proba(X).argmax(axis=1)
        return np.asarray(self.classes_[best])

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
            "head": self.head_name,
            "classes": self.classes_.tolist(),
            "classes_dtype": self.classes_.dtype.str,
            "n_features_in": int(self.n_features_in_),
            "best_params": self.best_params_,
            "converged": bool(self.converged_),
            "certificate": self.certificate_,
            "init": {"seed": self.seed, "budget": self.budget},
        }
        return {**common, "state": meta}, arrays

    @classmethod
    def from_state(cls, meta: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> Self:
        """A fitted head from `get_state`; it predicts the same bits.

        Raises
        ------
        FeaturesError
            For the state of another head.
        """
        if meta["head"] != cls.head_name:
            raise FeaturesError(f"this is the state of the head {meta['head']!r}, expected {cls.head_name!r}")
        head = cls(**meta["init"])
        head.classes_ = np.array(meta["classes"], dtype=np.dtype(meta["classes_dtype"]))
        head.n_features_in_ = int(meta["n_features_in"])
        head.best_params_ = dict(meta["best_params"])
        head.converged_, head.certificate_ = bool(meta["converged"]), dict(meta["certificate"])
        head.cv_results_, head.oof_proba_ = [], None
        head.search_seconds_ = head.fit_seconds_ = 0.0
        head._restore(meta["state"], arrays)
        return head

    def to_torch(self) -> Any:
        """Refuse: this head has no gradients.

        Raises
        ------
        NoGradientError
            Naming the heads that have.
        """
        raise NoGradientError(
            f"the head {self.head_name!r} has no gradients; train one of {', '.join(WITH_GRADIENTS)} instead"
        )


def fold_list(cv: int | Sequence[Fold] | None, codes: NDArray[np.intp], seed: int) -> list[Fold]:
    """The folds of a search.

    Parameters
    ----------
    cv : int, list of (train, valid), or None
        None is 5; an empty list is no search.
    codes : ndarray of shape (n,), int
        Classes as numbers.
    seed : int
        Seed of folds that are made here.

    Returns
    -------
    list of (train, valid)
        Empty where the classes are too small to judge anything: then the first candidate is taken.
    """
    if cv is None or isinstance(cv, int | np.integer):
        if np.bincount(codes).max() < 2:
            return []
        try:
            return stratified_folds(codes, FOLDS if cv is None else int(cv), seed)
        except FeaturesError:
            if cv is not None and cv < 2:
                raise
            return []
    folds = [(np.asarray(train), np.asarray(valid)) for train, valid in cv]
    for train, valid in folds:
        if len(valid) and (valid.max() >= len(codes) or train.max() >= len(codes)):
            raise FeaturesError(f"cv names row {max(valid.max(), train.max())}, but there are {len(codes)} rows")
    return [(train, valid) for train, valid in folds if len(train) and len(valid)]
