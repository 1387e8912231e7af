"""SearchedHead: a classifier that tunes itself over folds and is then fitted on everything."""

from __future__ import annotations

import time
from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import compute_class_weight
from sklearn.utils.validation import check_is_fitted

from classifiers.heads.base.fold_table import FoldTable, Learnt, Outcome, Params
from classifiers.heads.base.head import Head
from classifiers.heads.base.head_input import (
    Training,
    check_class_weight,
    folds_of,
    read_features,
    read_training,
)
from classifiers.types import BUDGETS, Budget, Fold, Index
from featstore.errors import FeaturesError


class SearchedHead(Head):
    """A head whose `fit` tries candidates, one after the other, over folds and then fits the best on everything.

    The best candidate has the highest accuracy over all out-of-fold predictions; among equals the lowest log loss.

    Parameters
    ----------
    seed, budget, cv, class_weight
        As for `classifiers.heads.make_head`. None of a class with one image can be judged; `cv` may be a splitter.

    Attributes
    ----------
    classes_, n_features_in_, best_params_, cv_results_, oof_proba_, converged_, certificate_, search_seconds_, \
fit_seconds_
        As every `Head`; `oof_proba_` is float32, and None where no row can be judged.

    Examples
    --------
    >>> import numpy as np
    >>> from classifiers.heads import CentroidHead
    >>> y = np.repeat([0, 1], 20)
    >>> X = np.random.default_rng(0).normal(size=(40, 3)) + 9 * y[:, None]
    >>> head = CentroidHead(budget="quick", cv=4).fit(X, y)
    >>> len(head.cv_results_), len(head.cv_results_[0]["fold_accuracies"])
    (4, 4)
    """

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
    def _candidates(self, training: Training, table: FoldTable) -> Iterator[Params]:
        """Parameters to try, one after the other; the table holds what came out so far. First make what all share."""

    def _outcomes(self, training: Training, params: Params) -> list[Outcome]:
        """The outcome of each fold; a head that fits all folds at once does it here."""
        work, folds = partial(self._fold_proba, training, params), range(len(self._folds))
        with ThreadPoolExecutor(self._fold_threads()) as pool:
            return list((pool.map if self._fold_threads() > 1 else map)(work, folds))

    def _fold_proba(self, training: Training, params: Params, fold: int) -> Outcome:
        """Fit on the training part of `self._folds[fold]`, return the probabilities of its valid part."""
        raise NotImplementedError

    @abstractmethod
    def _refit(self, training: Training, params: Params, learnt: Sequence[Learnt]) -> None:
        """Fit on everything; `learnt` holds what each fold's fit found (empty without search)."""

    @abstractmethod
    def _proba(self, X: NDArray[np.float32]) -> NDArray[np.float64]:
        """Probabilities (n, k)."""

    @abstractmethod
    def _model_state(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        """What `_proba` needs: JSON-able values, and arrays."""

    @abstractmethod
    def _restore_model(self, meta: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> None:
        """Take `_model_state` back."""

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
            For one class only, features that are not finite, or more data than this head can take.
        ValueError
            scikit-learn's own, for sparse or misshapen input.
        """
        if self.budget not in BUDGETS:
            raise FeaturesError(f"budget is {self.budget!r}, expected one of {', '.join(BUDGETS)}")
        return self._fit(read_training(self, X, y, sample_weight, dtypes=[np.float32], order=None))

    def _fit(self, given: Training) -> Self:
        n, k = len(given.codes), len(given.classes)
        training, cv = given, self.cv
        keep = np.flatnonzero(given.weight > 0)
        if len(keep) < n:
            # A row of weight 0 is a row that is not there, also for folds and for neighbours.
            training, cv = given.part(keep), _renumbered(cv, keep, n)
        codes, self.classes_ = training.codes, training.classes
        self._check_size(len(codes), training.X.shape[1], k)
        balance = np.ones(k)
        check_class_weight(self.class_weight)
        if self.class_weight is not None:
            balance = compute_class_weight(self.class_weight, classes=self.classes_, y=self.classes_[codes])
        self._class_mass = balance / balance.sum()
        self._folds = folds_of(cv, training, self.seed, may_be_empty=True)
        self._cache: dict[Any, Any] = {}
        table = FoldTable(codes, k, training.weight)
        training = replace(training, weight=balance[codes] * training.weight)
        start = time.perf_counter()
        fallback: Params | None = None
        for params in self._candidates(training, table):
            if not self._folds:
                fallback = params
                break
            table.judge(params, self._folds, partial(self._outcomes, training, params))
            if self.progress is not None:
                self.progress(table.rows[-1])
        searched = time.perf_counter()
        self.cv_results_ = table.rows
        self.best_params_ = dict(table.rows[table.best]["params"] if table.rows else fallback or {})
        self.oof_proba_ = table.best_proba
        if self.oof_proba_ is not None and len(keep) < n:
            whole = np.full((n, k), np.nan, dtype=np.float32)
            whole[keep] = self.oof_proba_
            self.oof_proba_ = whole
        self.converged_, self.certificate_ = True, {}
        self._refit(training, self.best_params_, table.best_learnt)
        self.search_seconds_, self.fit_seconds_ = searched - start, time.perf_counter() - searched
        del self._folds, self._class_mass, self._cache
        return self

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
        return self._proba(read_features(self, X, dtypes=[np.float32]))

    def predict(self, X: Any) -> NDArray[Any]:
        """The most probable class of each row, (n,)."""
        best = self.predict_proba(X).argmax(axis=1)
        return np.asarray(self.classes_[best])

    def _state(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        model, arrays = self._model_state()
        meta = {
            "head": self.head_name,
            "n_features_in": int(self.n_features_in_),
            "init": {"seed": self.seed, "budget": self.budget},
            "state": model,
        }
        return meta, arrays

    def _restore(self, meta: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> None:
        self.n_features_in_ = int(meta["n_features_in"])
        self._restore_model(meta["state"], arrays)

    @classmethod
    def _params_of(cls, meta: Mapping[str, Any]) -> dict[str, Any]:
        if meta["head"] != cls.head_name:
            raise FeaturesError(f"this is the state of the head {meta['head']!r}, expected {cls.head_name!r}")
        return dict(meta["init"])


def _renumbered(cv: Any, keep: Index, n: int) -> Any:
    """Given folds of n rows in the numbers of those that are kept."""
    if cv is None or isinstance(cv, int | np.integer) or hasattr(cv, "split"):
        return cv
    place = np.full(n, -1)
    place[keep] = np.arange(len(keep))
    parts = [(place[np.asarray(train)], place[np.asarray(valid)]) for train, valid in cv]
    return [(train[train >= 0], valid[valid >= 0]) for train, valid in parts]
