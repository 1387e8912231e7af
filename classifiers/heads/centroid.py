"""CentroidHead: the nearest class mean wins."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from classifiers.heads.base.fold_search import SearchedHead
from classifiers.heads.base.fold_table import FoldTable, Learnt, Outcome, Params
from classifiers.heads.base.head import linear_layer
from classifiers.heads.base.head_input import Training
from classifiers.types import Budget
from classifiers.validation.temperature import best_temperature, softmax

_CHUNK = 4096  # rows held in float64 at a time


class CentroidHead(SearchedHead):
    """Nearest shrunken class mean on standardised features: one affine map, fitted in one pass.

    What a class mean differs from the overall mean, in standard errors, is moved towards 0 by `shrink` times the
    largest such difference; features that tell no class apart drop out. Distances become probabilities by a
    temperature that is fitted out of fold.

    See SearchedHead for parameters and attributes. Candidates: 4 quick, 12 normal, 20 thorough.

    References
    ----------
    Tibshirani, R. et al. (2002). Diagnosis of multiple cancer types by shrunken centroids of gene expression. PNAS 99.

    Examples
    --------
    >>> import numpy as np
    >>> y = np.repeat([0, 1], 20)
    >>> X = np.random.default_rng(0).normal(size=(40, 3)) + 9 * y[:, None]
    >>> head = CentroidHead(budget="quick").fit(X, y)
    >>> head.predict([[0, 0, 0], [9, 9, 9]]).tolist()
    [0, 1]
    """

    head_name = "centroid"

    def _candidates(self, training: Training, table: FoldTable) -> Iterator[Params]:
        yield from centroid_candidates(self.budget)

    def _fold_proba(self, training: Training, params: Params, fold: int) -> Outcome:
        train, valid = self._folds[fold]
        if fold not in self._cache:
            self._cache[fold] = class_moments(training.part(train))
        logits = affine(training.X[valid], *centroid_map(self._cache[fold], params))
        temperature = best_temperature(logits, training.codes[valid])
        logits /= temperature
        logits += self._odds()
        return softmax(logits), {"temperature": temperature}

    def _refit(self, training: Training, params: Params, learnt: Sequence[Learnt]) -> None:
        self.adopt(class_moments(training), params, learnt)

    def adopt(self, moments: Moments, params: Params, learnt: Sequence[Learnt]) -> None:
        """Become the classifier of these moments, with the temperature that the folds learnt on average."""
        coef, intercept = centroid_map(moments, params)
        # Without folds nothing says how far to trust the distances; in d dimensions they grow like d.
        found = [f["temperature"] for f in learnt] or [float(coef.shape[1])]
        temperature = float(np.exp(np.median(np.log(found))))
        self.coef_, self.intercept_ = coef / temperature, intercept / temperature + self._odds()
        self.certificate_ = {"method": "closed form", "temperature": temperature}

    def take_odds(self, balance: NDArray[np.float64]) -> NDArray[np.float64]:
        """Remember the classes' weights; what they add to the logits, (k,)."""
        self._class_mass = balance / balance.sum()
        return self._odds()

    def _odds(self) -> NDArray[np.float64]:
        """What given class weights add. Distances know no class sizes, so "balanced" is what they are anyway."""
        if not isinstance(self.class_weight, Mapping):
            return np.zeros(len(self.classes_))
        return np.asarray(np.log(np.maximum(self._class_mass, 1e-12)))

    def _proba(self, X: NDArray[np.float32]) -> NDArray[np.float64]:
        return softmax(affine(X, self.coef_, self.intercept_))

    def _model_state(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        return {}, {"coef": self.coef_, "intercept": self.intercept_}

    def _restore_model(self, meta: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> None:
        self.coef_, self.intercept_ = arrays["coef"], arrays["intercept"]

    def to_torch(self) -> Any:
        """The affine map as a module.

        Returns
        -------
        torch.nn.Linear
            Features (n, d) float32 -> logits (n, k) whose softmax is `predict_proba`.
        """
        return linear_layer(self.coef_, self.intercept_).eval()


def centroid_candidates(budget: Budget) -> Iterator[Params]:
    """What is tried: the variance by which features are scaled, and how far means are shrunken."""
    shrinks = {"quick": (0.0, 0.2), "normal": (0.0, 0.05, 0.1, 0.2, 0.35, 0.5)}
    shrinks["thorough"] = (*shrinks["normal"], 0.02, 0.15, 0.27, 0.7)
    for scale in ("total", "within"):
        for shrink in sorted(shrinks[budget]):
            yield {"scale": scale, "shrink": shrink}


Moments = tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]


def class_moments(training: Training) -> Moments:
    """Weight (k,) and mean (k, d) of each class, total and within-class variance (d,)."""
    X, y, weight, k = training.X, training.codes, training.weight, len(training.classes)
    mass = np.bincount(y, weight, minlength=k)
    centre = (weight / weight.sum()) @ X.astype(np.float64)
    means, total = np.zeros((k, X.shape[1])), np.zeros(X.shape[1])
    for at in range(0, len(X), _CHUNK):
        rows, w = X[at : at + _CHUNK] - centre, weight[at : at + _CHUNK]
        total += w @ (rows * rows)
        order = np.argsort(y[at : at + _CHUNK], kind="stable")
        found, starts = np.unique(y[at : at + _CHUNK][order], return_index=True)
        means[found] += np.add.reduceat((rows * w[:, None])[order], starts, axis=0)
    there = mass > 0
    means[there] /= mass[there, None]
    between = mass @ (means * means)
    within = np.asarray(np.maximum(total - between, 0) / mass.sum())
    return np.asarray(mass, dtype=np.float64), means + centre, total / mass.sum(), within


def centroid_map(moments: Moments, params: Params) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Weights (k, d) and intercepts (k,) whose largest output is the nearest shrunken mean."""
    mass, means, total, within = moments
    there = mass > 0
    centre = (mass / mass.sum()) @ means
    variance = total if params["scale"] == "total" else within
    alive = total > 1e-12 * np.maximum(centre * centre, 1e-30)
    # What varies between classes only would decide everything alone; a floor keeps it in bounds.
    floor = 1e-3 * total if params["scale"] == "within" else 0.0
    gain = np.where(alive, 1.0 / np.maximum(np.maximum(variance, floor), 1e-30), 0.0)
    difference = np.where(there[:, None], means - centre, 0.0)
    if params["shrink"]:
        error = np.sqrt(np.where(there, 1 / np.maximum(mass, 1e-12) - 1 / mass.sum(), 0.0))[:, None]
        unit = np.maximum(error / np.sqrt(np.maximum(gain, 1e-30)), 1e-30)  # (k, d): standard error of a mean
        scaled = np.where(alive, difference / unit, 0.0)
        threshold = params["shrink"] * np.abs(scaled).max(initial=0.0)
        difference = np.sign(scaled) * np.maximum(np.abs(scaled) - threshold, 0.0) * unit
    coef = difference * gain
    intercept = -coef @ centre - 0.5 * np.einsum("kd,kd->k", coef, difference)
    intercept[~there] = -1e30  # a class that training lacks is no answer
    return coef, intercept


def affine(X: NDArray[np.float32], coef: NDArray[np.float64], intercept: NDArray[np.float64]) -> NDArray[np.float64]:
    """``X @ coef.T + intercept`` in float64, (n, k)."""
    out = np.empty((len(X), len(coef)))
    for at in range(0, len(X), _CHUNK):
        out[at : at + _CHUNK] = X[at : at + _CHUNK].astype(np.float64) @ coef.T
    out += intercept
    return out
