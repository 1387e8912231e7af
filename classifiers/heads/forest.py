"""ForestHead: randomised trees, predicted from plain arrays."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from classifiers.heads.base.fold_search import SearchedHead
from classifiers.heads.base.fold_table import FoldTable, Learnt, Outcome, Params
from classifiers.heads.base.head_input import Training
from classifiers.heads.reduction import Reduction, reduced_fold
from classifiers.types import Budget, Fold
from featstore.errors import FeaturesError
from featstore.system.machine import usable_cores

MOST_CLASSES = 1000
"""More classes than this are refused: every leaf of every tree holds a share a class."""

_BLOCK = 2_000_000  # (row, tree) pairs walked at a time
_CANDIDATES: dict[str, tuple[Params, ...]] = {
    "quick": ({"trees": "extra", "features": "reduced", "max_features": "sqrt"},),
    "normal": (
        {"trees": "extra", "features": "reduced", "max_features": "sqrt"},
        {"trees": "random", "features": "raw", "max_features": "sqrt"},
        {"trees": "extra", "features": "raw", "max_features": "sqrt"},
    ),
    "thorough": tuple(
        {"trees": trees, "features": features, "max_features": width}
        for features in ("reduced", "raw")
        for trees in ("extra", "random")
        for width in ("sqrt", 0.1, 0.3)
        if not (features == "raw" and width == 0.3)
    ),
}
_TREES = {"quick": 100, "normal": 300, "thorough": 500}


class Trees:
    """Trees as arrays.

    Attributes
    ----------
    feature : ndarray of shape (nodes,), int32
        -1 in leaves.
    threshold : ndarray of shape (nodes,), float64
        Rows with `x[feature] <= threshold` go left.
    left, right : ndarray of shape (nodes,), int32
    value : ndarray of shape (leaves, k), float32
        Class shares.
    leaf : ndarray of shape (nodes,), int32
        Row of `value`; -1 in inner nodes.
    roots : ndarray of shape (trees,), int32
    """

    names = ("feature", "threshold", "left", "right", "value", "leaf", "roots")

    def __init__(self, **arrays: NDArray[Any]) -> None:
        for name in self.names:
            setattr(self, name, arrays[name])
        self.arrays: dict[str, NDArray[Any]] = {name: arrays[name] for name in self.names}

    @classmethod
    def of(cls, forest: Any) -> Trees:
        """From a fitted forest of scikit-learn."""
        parts: dict[str, list[NDArray[Any]]] = {name: [] for name in cls.names}
        nodes = leaves = 0
        for estimator in forest.estimators_:
            tree = estimator.tree_
            is_leaf = tree.children_left < 0
            share = tree.value[is_leaf, 0, :]
            parts["feature"].append(np.where(is_leaf, -1, tree.feature).astype(np.int32))
            parts["threshold"].append(tree.threshold.copy())
            parts["left"].append(np.where(is_leaf, -1, tree.children_left + nodes).astype(np.int32))
            parts["right"].append(np.where(is_leaf, -1, tree.children_right + nodes).astype(np.int32))
            parts["value"].append((share / share.sum(axis=1, keepdims=True)).astype(np.float32))
            parts["leaf"].append(np.where(is_leaf, np.cumsum(is_leaf) - 1 + leaves, -1).astype(np.int32))
            parts["roots"].append(np.array([nodes], dtype=np.int32))
            nodes, leaves = nodes + len(is_leaf), leaves + len(share)
        return cls(**{name: np.concatenate(arrays) for name, arrays in parts.items()})

    def predict_proba(self, X: NDArray[np.float32]) -> NDArray[np.float64]:
        """Mean class shares of the leaves that each row falls into, (n, k) float64."""
        a = self.arrays
        proba = np.zeros((len(X), a["value"].shape[1]))
        step = max(1, _BLOCK // len(a["roots"]))
        for at in range(0, len(X), step):
            rows = X[at : at + step]
            node = np.tile(a["roots"], (len(rows), 1))  # (b, trees)
            flat = node.reshape(-1)
            active = np.flatnonzero(a["feature"][flat] >= 0)
            while len(active):
                here = flat[active]
                value = rows[active // node.shape[1], a["feature"][here]]
                flat[active] = np.where(value <= a["threshold"][here], a["left"][here], a["right"][here])
                active = active[a["feature"][flat[active]] >= 0]
            for tree in range(node.shape[1]):
                proba[at : at + step] += a["value"][a["leaf"][node[:, tree]]]
        return np.asarray(proba / proba.sum(axis=1, keepdims=True))


class ForestHead(SearchedHead):
    """Random forest or extremely randomised trees, on the features or on their reduction.

    The reduction (`classifiers.heads.reduction.Reduction`) is fitted inside the fold. Predictions walk plain arrays,
    before and after saving, so that they are the same bits.

    Parameters
    ----------
    seed, budget, cv, class_weight
        See SearchedHead. Candidates: 1 quick, 3 normal, 10 thorough, of 100, 300 and 500 trees.
    n_estimators : int, optional
        Trees (default: by budget).
    n_jobs : int, optional
        Threads of the fit (default: as many as this process may use).

    References
    ----------
    Breiman, L. (2001). Random forests. Machine Learning 45.
    Geurts, P., Ernst, D., Wehenkel, L. (2006). Extremely randomized trees. Machine Learning 63.

    Examples
    --------
    >>> import numpy as np
    >>> y = np.repeat([0, 1], 20)
    >>> X = np.random.default_rng(0).normal(size=(40, 3)) + 9 * y[:, None]
    >>> head = ForestHead(budget="quick", n_estimators=10, n_jobs=1).fit(X, y)
    >>> head.predict([[0, 0, 0], [9, 9, 9]]).tolist()
    [0, 1]
    """

    head_name = "forest"

    def __init__(
        self,
        *,
        seed: int = 0,
        budget: Budget = "normal",
        cv: int | Sequence[Fold] | None = None,
        class_weight: str | Mapping[Any, float] | None = None,
        n_estimators: int | None = None,
        n_jobs: int | None = None,
    ) -> None:
        super().__init__(seed=seed, budget=budget, cv=cv, class_weight=class_weight)
        self.n_estimators = n_estimators
        self.n_jobs = n_jobs

    def _check_size(self, n: int, d: int, k: int) -> None:
        if k > MOST_CLASSES:
            raise FeaturesError(
                f"a forest keeps a share a class in every leaf; {k} classes are too many (at most {MOST_CLASSES}); "
                "use logistic, knn or centroid"
            )

    def _candidates(self, training: Training, table: FoldTable) -> Iterator[Params]:
        yield from (dict(params) for params in _CANDIDATES[self.budget])

    def _fold_proba(self, training: Training, params: Params, fold: int) -> Outcome:
        train, valid = self._folds[fold]
        if params["features"] == "raw":
            rows, judged = training.X[train], training.X[valid]
        else:
            if fold not in self._cache:
                self._cache[fold] = reduced_fold(training, self._folds[fold], self.seed)
            rows, judged = self._cache[fold]
        present, trees = self._grow(rows, training.codes[train], training.weight[train], params)
        proba = np.zeros((len(valid), len(self.classes_)))
        proba[:, present] = trees.predict_proba(judged)
        return proba, {}

    def _grow(
        self, rows: NDArray[np.float32], y: NDArray[np.intp], weight: NDArray[np.float64], params: Params
    ) -> tuple[NDArray[np.intp], Trees]:
        from sklearn.ensemble import ExtraTreesClassifier, RandomForestClassifier

        kind = ExtraTreesClassifier if params["trees"] == "extra" else RandomForestClassifier
        forest = kind(
            self.n_estimators or _TREES[self.budget],
            max_features=params["max_features"],
            # In leaves of one image no weight can change the answer; rare classes need leaves they can win.
            min_weight_fraction_leaf=min(0.5, 2 / len(rows)) if self.class_weight is not None else 0.0,
            n_jobs=self.n_jobs or usable_cores(),
            random_state=self.seed,
        )
        # A constant weight is no weight: scikit-learn's bootstrap then draws rows, not weights.
        forest.fit(rows, y, None if np.ptp(weight) == 0 else weight)
        return forest.classes_, Trees.of(forest)

    def _refit(self, training: Training, params: Params, learnt: Sequence[Learnt]) -> None:
        self._matrix: NDArray[np.float32] | None = None
        self._offset: NDArray[np.float32] | None = None
        rows, y, weight = training.X, training.codes, training.weight
        if params["features"] == "reduced":
            reduction = Reduction(seed=self.seed)
            rows = reduction.fit_transform(rows, y, len(self.classes_), weight)
            self._matrix, self._offset = reduction.matrix, reduction.offset
        self._trees = self._grow(rows, y, weight, params)[1]
        self.certificate_ = {"method": "greedy trees", "trees": len(self._trees.arrays["roots"])}

    def _proba(self, X: NDArray[np.float32]) -> NDArray[np.float64]:
        rows = X if self._matrix is None or self._offset is None else X @ self._matrix + self._offset
        return self._trees.predict_proba(rows)

    def _model_state(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        arrays = dict(self._trees.arrays)
        if self._matrix is not None and self._offset is not None:
            arrays |= {"matrix": self._matrix, "offset": self._offset}
        return {}, arrays

    def _restore_model(self, meta: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> None:
        self._matrix, self._offset = arrays.get("matrix"), arrays.get("offset")
        self._trees = Trees(**{name: arrays[name] for name in Trees.names})
