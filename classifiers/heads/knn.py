"""KNNHead: the most similar training images vote."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from classifiers.heads.base.fold_search import SearchedHead
from classifiers.heads.base.fold_table import FoldTable, Learnt, Outcome, Params
from classifiers.heads.base.head_input import Training
from classifiers.linalg import standardiser

_BLOCK = 16_000_000  # numbers held at a time: 64 MB
_NEIGHBOURS = {
    "quick": (1, 5, 15),
    "normal": (1, 3, 5, 9, 15, 25, 45),
    "thorough": (1, 2, 3, 5, 7, 11, 17, 25, 45, 80),
}
_PRIORS = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0)


class KNNHead(SearchedHead):
    """k nearest neighbours on standardised features, by matrix products; near votes weigh more.

    A neighbour's vote weighs `exp((s - s_nearest) / temperature)`, where `s` is the cosine, or one minus half the mean
    squared difference (euclidean). The votes are mixed with a prior, equal or by `class_weight`, fitted out of fold.

    See SearchedHead for parameters and attributes. `class_weight` weighs votes and prior. Candidates: 10 quick, 26
    normal, 92 thorough.

    Examples
    --------
    >>> import numpy as np
    >>> y = np.repeat([0, 1], 20)
    >>> X = np.random.default_rng(0).normal(size=(40, 3)) + 9 * y[:, None]
    >>> head = KNNHead(budget="quick").fit(X, y)
    >>> head.predict([[0, 0, 0], [9, 9, 9]]).tolist()
    [0, 1]
    """

    head_name = "knn"

    def _candidates(self, training: Training, table: FoldTable) -> Iterator[Params]:
        smallest = min((len(train) for train, _ in self._folds), default=len(training.X))
        temperatures = {"quick": (0.1,), "normal": (0.05, 0.2), "thorough": (0.02, 0.05, 0.1, 0.2, 1.0)}
        for metric in ("cosine", "euclidean"):
            for n_neighbors in sorted({min(n, smallest) for n in _NEIGHBOURS[self.budget]}):
                for temperature in temperatures[self.budget] if n_neighbors > 1 else temperatures[self.budget][:1]:
                    yield {"metric": metric, "n_neighbors": n_neighbors, "temperature": temperature}

    def _fold_proba(self, training: Training, params: Params, fold: int) -> Outcome:
        train, valid = self._folds[fold]
        X, weight, codes = training.X, training.weight, training.codes[valid]
        key = (params["metric"], fold)
        if key not in self._cache:
            mean, gain = standardiser(X[train], weight[train])
            space = _Space(params["metric"], (X[train] - mean) * gain)
            most = min(max(_NEIGHBOURS[self.budget]), *(len(train) for train, _ in self._folds))
            self._cache[key] = space.nearest((X[valid] - mean) * gain, most, exact=False)
        index, similarity = self._cache[key]
        votes = self._votes(index, similarity, training.codes[train], weight[train], params, len(self.classes_))
        true, total = votes[np.arange(len(valid)), codes], votes.sum(axis=1)

        def loss(prior: float) -> float:
            """Log loss of the true classes, as that of `_mixed` votes."""
            share = (true + prior * self._class_mass[codes]) / (total + prior * self._class_mass.sum())
            return float(-np.log(np.maximum(share, 1e-12)).mean())

        prior = min(_PRIORS, key=loss)
        return _mixed(votes, prior * self._class_mass), {"prior": prior}

    def _refit(self, training: Training, params: Params, learnt: Sequence[Learnt]) -> None:
        self._mean, self._gain = standardiser(training.X, training.weight)
        self._rows = (training.X - self._mean) * self._gain
        self._labels, self._weights = training.codes, training.weight
        prior = float(np.median([found["prior"] for found in learnt])) if learnt else 1.0
        self._prior = prior * self._class_mass
        self.certificate_ = {"method": "exact search", "prior": prior}

    def _proba(self, X: NDArray[np.float32]) -> NDArray[np.float64]:
        params = self.best_params_
        space = _Space(params["metric"], self._rows)
        near = space.nearest((X - self._mean) * self._gain, min(params["n_neighbors"], len(self._rows)), exact=True)
        return _mixed(self._votes(*near, self._labels, self._weights, params, len(self.classes_)), self._prior)

    def _votes(
        self, index: NDArray[np.intp], similarity: NDArray[np.floating], labels: NDArray[np.intp],
        weights: NDArray[np.float64], params: Params, k: int,
    ) -> NDArray[np.float64]:  # fmt: skip
        index, similarity = index[:, : params["n_neighbors"]], similarity[:, : params["n_neighbors"]]
        nearness = np.exp((similarity - similarity[:, :1]).astype(np.float64) / params["temperature"])
        cells = np.arange(len(index))[:, None] * k + labels[index]
        votes = np.bincount(cells.ravel(), (nearness * weights[index]).ravel(), minlength=len(index) * k)
        return np.asarray(votes.reshape(len(index), k), dtype=np.float64)

    def _model_state(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        arrays = {
            "mean": self._mean, "gain": self._gain, "rows": self._rows,
            "labels": self._labels.astype(np.int64), "weights": self._weights, "prior": self._prior,
        }  # fmt: skip
        return {}, arrays

    def _restore_model(self, meta: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> None:
        self._prior = arrays["prior"]
        self._mean, self._gain, self._rows = arrays["mean"], arrays["gain"], arrays["rows"]
        self._labels, self._weights = arrays["labels"].astype(np.intp), arrays["weights"]


class _Space:
    """Rows among which neighbours are looked for."""

    def __init__(self, metric: str, rows: NDArray[np.float32]) -> None:
        self.cosine = metric == "cosine"
        self.rows = _unit(rows) if self.cosine else rows
        self.squares = np.einsum("ij,ij->i", self.rows, self.rows)

    def nearest(self, queries: NDArray[np.float32], count: int, exact: bool) -> tuple[NDArray[np.intp], NDArray[Any]]:
        """The most similar rows of each query, the most similar first: index and similarity, (n, count).

        With `exact` the similarities of those found are computed row by row, so that they depend neither on the
        rounding of a large matrix product nor on the other queries.
        """
        n, d = self.rows.shape
        queries = _unit(queries) if self.cosine else queries
        # A few more than needed: rounding may have swapped the last ones.
        wanted = min(count + 8, n) if exact else count
        step = max(1, min(_BLOCK // max(n, 1), _BLOCK // (wanted * d) if exact else _BLOCK))
        indices, similarities = [], []
        for at in range(0, max(len(queries), 1), step):
            block = queries[at : at + step]
            products = block @ self.rows.T
            if not self.cosine:
                products -= self.squares / 2
            found = np.argpartition(products, n - wanted, axis=1)[:, n - wanted :] if wanted < n else None
            index = np.tile(np.arange(n), (len(block), 1)) if found is None else found
            if exact:
                index = np.sort(index, axis=1)
                similarity: NDArray[Any] = self._exact(block, index)
            else:
                similarity = np.take_along_axis(products, index, axis=1)
                if not self.cosine:
                    similarity = 1 - (np.einsum("ij,ij->i", block, block)[:, None] / 2 - similarity) / d
            order = np.argsort(-similarity, axis=1, kind="stable")[:, :count]
            indices.append(np.take_along_axis(index, order, axis=1))
            similarities.append(np.take_along_axis(np.asarray(similarity), order, axis=1))
        return np.concatenate(indices), np.concatenate(similarities)

    def _exact(self, block: NDArray[np.float32], index: NDArray[np.intp]) -> NDArray[np.float64]:
        there = self.rows[index]  # (b, wanted, d)
        if self.cosine:
            return np.asarray(np.einsum("id,ijd->ij", block, there, dtype=np.float64))
        there -= block[:, None, :]
        return np.asarray(1 - np.einsum("ijd,ijd->ij", there, there, dtype=np.float64) / (2 * self.rows.shape[1]))


def _unit(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    length = np.sqrt(np.einsum("ij,ij->i", rows, rows))
    return np.asarray(rows / np.where(length > 0, length, 1)[:, None])


def _mixed(votes: NDArray[np.float64], prior: NDArray[np.float64]) -> NDArray[np.float64]:
    """Shares of the votes (n, k), mixed with a prior (k,) that weighs as many nearest neighbours as it sums to."""
    mixed = votes + prior
    return np.asarray(mixed / mixed.sum(axis=1, keepdims=True))
