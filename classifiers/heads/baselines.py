"""The two rows that every comparison is held against: the majority class, and raw pixels."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from classifiers.heads.base.fold_search import SearchedHead
from classifiers.heads.base.fold_table import FoldTable, Learnt, Outcome, Params
from classifiers.heads.base.head_input import Training
from classifiers.linalg import standardiser
from classifiers.validation.temperature import best_temperature, softmax
from featstore.features import FeatureSet

SIDE = 16
"""Pixels: the raw-pixel reference sees 16 x 16 colour thumbnails."""

_PENALTIES = (0.1, 1.0, 3.0, 10.0, 30.0, 100.0)
"""Of the ridge regression, against a variance of 1 of every pixel."""


class MajorityHead(SearchedHead):
    """Always the largest class of the training part; probabilities are the classes' shares of it.

    Examples
    --------
    >>> MajorityHead().fit([[0.0], [1.0], [2.0], [3.0]], ["ant", "ant", "ant", "bee"]).predict([[3.0]]).tolist()
    ['ant']
    """

    head_name = "majority"

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.poor_score = True  # on purpose
        return tags

    def _candidates(self, training: Training, table: FoldTable) -> Iterator[Params]:
        yield {}

    def _fold_proba(self, training: Training, params: Params, fold: int) -> Outcome:
        train, valid = self._folds[fold]
        return np.tile(_shares(training.part(train)), (len(valid), 1)), {}

    def _refit(self, training: Training, params: Params, learnt: Sequence[Learnt]) -> None:
        self.shares_ = _shares(training)
        self.certificate_ = {"method": "closed form"}

    def _proba(self, X: NDArray[np.float32]) -> NDArray[np.float64]:
        return np.tile(self.shares_, (len(X), 1))

    def _model_state(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        return {}, {"shares": self.shares_}

    def _restore_model(self, meta: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> None:
        self.shares_ = arrays["shares"]


class PixelsHead(SearchedHead):
    """Ridge regression on the classes' indicators, for raw pixels; see `pixels`.

    Close to logistic regression in accuracy, and solved directly: with a thousand classes it takes seconds. One
    decomposition of a fold serves all strengths. Scores become probabilities by a temperature fitted out of fold.

    Parameters
    ----------
    seed, budget, cv, class_weight
        See SearchedHead; the strengths of the penalty are the same for every budget.

    References
    ----------
    Hastie, T., Tibshirani, R., Friedman, J. (2009). The Elements of Statistical Learning, 4.2 (indicator matrices).

    Examples
    --------
    >>> import numpy as np
    >>> y = np.repeat([0, 1], 20)
    >>> X = np.random.default_rng(0).normal(size=(40, 3)) + 9 * y[:, None]
    >>> head = PixelsHead(budget="quick").fit(X, y)
    >>> head.predict([[0, 0, 0], [9, 9, 9]]).tolist()
    [0, 1]
    """

    head_name = "pixels"

    def _candidates(self, training: Training, table: FoldTable) -> Iterator[Params]:
        yield from ({"penalty": penalty} for penalty in _PENALTIES)

    def _fold_proba(self, training: Training, params: Params, fold: int) -> Outcome:
        train, valid = self._folds[fold]
        if fold not in self._cache:
            ridge = _Ridge(training.part(train))
            self._cache[fold] = ridge, ridge.projected(training.X[valid])
        ridge, projected = self._cache[fold]
        scores = ridge.scores(projected, params["penalty"])
        temperature = best_temperature(scores, training.codes[valid])
        return softmax(scores / temperature), {"temperature": temperature}

    def _refit(self, training: Training, params: Params, learnt: Sequence[Learnt]) -> None:
        found = [fold["temperature"] for fold in learnt if fold]
        self._temperature = float(np.exp(np.mean(np.log(found)))) if found else 1.0
        ridge = _Ridge(training)
        self._weights, self._offset = ridge.layer(params["penalty"])
        self.certificate_ = {"method": "closed form"}

    def _proba(self, X: NDArray[np.float32]) -> NDArray[np.float64]:
        return softmax((X @ self._weights + self._offset) / self._temperature)

    def _model_state(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        return {"temperature": self._temperature}, {"weights": self._weights, "offset": self._offset}

    def _restore_model(self, meta: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> None:
        self._temperature = float(meta["temperature"])
        self._weights, self._offset = arrays["weights"], arrays["offset"]


class _Ridge:
    """Ridge regressions of every strength on the same standardised rows."""

    def __init__(self, training: Training) -> None:
        X, weight = training.X, training.weight
        self._mean, self._gain = standardiser(X, weight)
        root = np.sqrt(weight / weight.sum())[:, None]
        target = np.eye(len(training.classes))[training.codes]
        self._prior = (weight / weight.sum()) @ target
        rows = ((X - self._mean) * self._gain * root).astype(np.float32)
        aim = (target - self._prior) * root
        # By whichever of the two Gram matrices is smaller.
        wide = rows.shape[1] > rows.shape[0]
        gram = rows @ rows.T if wide else rows.T @ rows
        self._values, vectors = np.linalg.eigh(gram.astype(np.float64))
        self._basis = (rows.T @ vectors if wide else vectors).astype(np.float32)
        self._aim = vectors.T @ (aim if wide else rows.T @ aim)

    def projected(self, X: NDArray[np.float32]) -> NDArray[np.float32]:
        """Rows of X in the eigenvectors' coordinates."""
        return np.asarray((X - self._mean) * self._gain @ self._basis)

    def scores(self, projected: NDArray[np.float32], penalty: float) -> NDArray[np.float64]:
        """Scores of the classes, (n, k)."""
        return np.asarray(projected @ self._solution(penalty) + self._prior)

    def layer(self, penalty: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Weights (d, k) and offset (k,) for features as given."""
        weights = self._gain[:, None] * (self._basis @ self._solution(penalty))
        return np.asarray(weights), np.asarray(self._prior - self._mean @ weights)

    def _solution(self, penalty: float) -> NDArray[np.float64]:
        return np.asarray(self._aim / (np.maximum(self._values, 0) + penalty)[:, None])


def _shares(training: Training) -> NDArray[np.float64]:
    total = np.bincount(training.codes, weights=training.weight, minlength=len(training.classes))
    return np.asarray(total / total.sum())


def pixels(features: FeatureSet) -> NDArray[np.float32] | str:
    """Thumbnails of the images as rows of numbers, or why there are none.

    Returns
    -------
    ndarray of shape (n, 768), float32 in [0, 1], or str
    """
    from featstore.decoding.decoded_files import GONE, decoded_files
    from featstore.decoding.pixels.transform import TransformSpec

    paths = [os.path.join(features.root, path) for path in features.paths]  # noqa: PTH118 - bytes
    X = np.zeros((len(features), SIDE * SIDE * 3), dtype=np.float32)
    for batch in decoded_files(paths, features.digests, TransformSpec(resize=SIDE, crop=SIDE)):
        for place, reason in zip(batch.places.tolist(), batch.reasons, strict=True):
            if reason == GONE:
                return f"the image {features.ids[place]} {GONE}, so raw pixels cannot be read"
            if reason is not None:
                return f"{features.ids[place]}: {reason}, so raw pixels cannot be compared"
        X[batch.places] = batch.images.reshape(len(batch.images), -1) / 255.0
    return X
