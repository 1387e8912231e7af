"""RBFHead: a support vector machine with a Gaussian kernel, predicted from plain arrays."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from classifiers.heads.base.fold_search import SearchedHead
from classifiers.heads.base.fold_table import FoldTable, Learnt, Outcome, Params
from classifiers.heads.base.head_input import Training, present_classes
from classifiers.linalg import standardiser
from classifiers.validation.temperature import best_temperature, softmax
from featstore.errors import FeaturesError

MOST_IMAGES = 10_000
"""More training images than this are refused: the kernel has a number for each pair of them (800 MB here)."""

MOST_CLASSES = 300
"""More classes than this are refused: there is a machine for each pair of them (44,850 here)."""

_ITERATIONS = 1_000_000
_BLOCK = 16_000_000  # kernel values computed at a time


class OneVsOneSVM:
    """A fitted one-against-one support vector machine.

    Attributes
    ----------
    rows : ndarray of shape (m, d), float32
        Support vectors, standardised, in the order of their classes.
    starts : ndarray of shape (k + 1,), int64
        Where the support vectors of each class begin.
    dual : ndarray of shape (k - 1, m), float64
        libsvm's coefficients.
    intercept : ndarray of shape (k (k - 1) / 2,), float64
    gamma : float
    """

    def __init__(
        self, rows: NDArray[np.float32], starts: NDArray[np.int64], dual: NDArray[np.float64],
        intercept: NDArray[np.float64], gamma: float,
    ) -> None:  # fmt: skip
        self.rows, self.starts, self.dual, self.intercept, self.gamma = rows, starts, dual, intercept, gamma

    def decision(self, X: NDArray[np.float32]) -> NDArray[np.float64]:
        """Pairs won by each class plus its bounded margin, (n, k); the largest is the answer."""
        out = []
        step = max(1, _BLOCK // max(len(self.rows), 1))
        for at in range(0, max(len(X), 1), step):
            block = X[at : at + step]
            out.append(self.votes(gaussian(distances(block, self.rows), self.gamma)))
        return np.concatenate(out)

    def votes(self, kernel: NDArray[np.float64]) -> NDArray[np.float64]:
        """The same from kernel values (n, m) between rows and support vectors."""
        k = len(self.starts) - 1
        sums = np.empty((k, len(kernel), k - 1))  # what the support vectors of a class say, in each of its pairs
        for c in range(k):
            part = slice(self.starts[c], self.starts[c + 1])
            sums[c] = kernel[:, part] @ self.dual[:, part].T
        votes, margins = np.zeros((len(kernel), k)), np.zeros((len(kernel), k))
        pair = 0
        for i in range(k):
            for j in range(i + 1, k):
                margin = sums[i, :, j - 1] + sums[j, :, i] + self.intercept[pair]
                votes[:, i] += margin > 0
                votes[:, j] += margin <= 0
                margins[:, i] += margin
                margins[:, j] -= margin
                pair += 1
        # The margins settle ties between votes but, bounded by 1/3, never overrule a vote.
        return np.asarray(votes + margins / (3 * (np.abs(margins) + 1)))


def distances(a: NDArray[np.float32], b: NDArray[np.float32]) -> NDArray[np.float32]:
    """Squared euclidean distances, (len(a), len(b)) float32."""
    squares = np.einsum("ij,ij->i", a, a)[:, None] + np.einsum("ij,ij->i", b, b)
    squares -= 2 * (a @ b.T)
    return np.asarray(np.maximum(squares, 0, out=squares))


def gaussian(squares: NDArray[np.float32], gamma: float) -> NDArray[np.float64]:
    """exp(-gamma d^2), float64 as libsvm wants it."""
    kernel = squares.astype(np.float64)
    kernel *= -gamma
    return np.asarray(np.exp(kernel, out=kernel))


class RBFHead(SearchedHead):
    """Support vector machine with a Gaussian kernel on standardised features.

    The distances of a fold are computed once for all candidates. C is searched at gamma = 1 / d, then gamma at the best
    C. What the pairs of classes vote becomes probabilities by a temperature that is fitted out of fold.

    See SearchedHead for parameters and attributes. Candidates: 2 quick, 5 normal, 10 thorough. At most 10,000 images
    and 300 classes.

    Examples
    --------
    >>> import numpy as np
    >>> y = np.repeat([0, 1], 20)
    >>> X = np.random.default_rng(0).normal(size=(40, 3)) + 9 * y[:, None]
    >>> head = RBFHead(budget="quick").fit(X, y)
    >>> head.predict([[0, 0, 0], [9, 9, 9]]).tolist()
    [0, 1]
    """

    head_name = "svm-rbf"

    def _check_size(self, n: int, d: int, k: int) -> None:
        if n > MOST_IMAGES or k > MOST_CLASSES:
            raise FeaturesError(
                f"svm-rbf compares all pairs of images and of classes; {n} training images and {k} classes are too "
                f"many (at most {MOST_IMAGES} and {MOST_CLASSES}); use svm, logistic or knn"
            )

    def _candidates(self, training: Training, table: FoldTable) -> Iterator[Params]:
        base = 1.0 / training.X.shape[1]
        costs = {"quick": (1.0, 10.0), "normal": (10.0, 1.0, 100.0), "thorough": (10.0, 1.0, 100.0, 0.1, 1000.0)}
        widths = {"quick": (), "normal": (0.2, 3.0), "thorough": (0.05, 0.2, 0.5, 2.0, 5.0)}
        for cost in costs[self.budget]:
            yield {"C": cost, "gamma": base}
        best = table.rows[table.best]["params"]["C"] if table.rows else 10.0
        for width in widths[self.budget]:
            yield {"C": best, "gamma": width * base}

    def _fold_proba(self, training: Training, params: Params, fold: int) -> Outcome:
        X, y, weight, (train, valid) = training.X, training.codes, training.weight, self._folds[fold]
        proba = np.zeros((len(valid), len(self.classes_)))
        present, place = present_classes(y[train], len(self.classes_))
        if len(present) == 1:
            proba[:, present] = 1.0
            return proba, {}
        if fold not in self._cache:
            mean, gain = standardiser(X[train], weight[train])
            rows = (X[train] - mean) * gain
            self._cache[fold] = distances(rows, rows), distances((X[valid] - mean) * gain, rows)
        inside, across = self._cache[fold]
        svm, support, done = _train(gaussian(inside, params["gamma"]), place[y[train]], weight[train], params)
        votes = svm.votes(gaussian(across[:, support], params["gamma"]))
        known = place[y[valid]] >= 0
        temperature = best_temperature(votes[known], place[y[valid[known]]]) if known.any() else 1.0
        proba[:, present] = softmax(votes / temperature)
        return proba, {"temperature": temperature, "done": float(done)}

    def _refit(self, training: Training, params: Params, learnt: Sequence[Learnt]) -> None:
        self._mean, self._gain = standardiser(training.X, training.weight)
        rows = (training.X - self._mean) * self._gain
        kernel = gaussian(distances(rows, rows), params["gamma"])
        svm, support, done = _train(kernel, training.codes, training.weight, params)
        svm.rows = rows[support]
        found = [fold["temperature"] for fold in learnt if fold]
        self._svm = svm
        self._temperature = float(np.exp(np.mean(np.log(found)))) if found else 1.0
        self.converged_ = done and all(fold["done"] for fold in learnt if fold)
        self.certificate_ = {
            "tolerance": 1e-3, "support_vectors": len(support), "most_iterations": _ITERATIONS,
            "temperature": self._temperature,
        }  # fmt: skip

    def _proba(self, X: NDArray[np.float32]) -> NDArray[np.float64]:
        return softmax(self._svm.decision((X - self._mean) * self._gain) / self._temperature)

    def _model_state(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        m = self._svm
        arrays: dict[str, NDArray[Any]] = {
            "mean": self._mean, "gain": self._gain, "rows": m.rows, "starts": m.starts, "dual": m.dual,
            "intercept": m.intercept,
        }  # fmt: skip
        return {"gamma": m.gamma, "temperature": self._temperature}, arrays

    def _restore_model(self, meta: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> None:
        self._mean, self._gain, self._temperature = arrays["mean"], arrays["gain"], float(meta["temperature"])
        self._svm = OneVsOneSVM(
            arrays["rows"], arrays["starts"], arrays["dual"], arrays["intercept"], float(meta["gamma"])
        )


def _train(
    kernel: NDArray[np.float64], y: NDArray[np.intp], weight: NDArray[np.float64], params: Params
) -> tuple[OneVsOneSVM, NDArray[np.intp], bool]:
    """The SVM (still without rows), which training rows are its support vectors, and whether libsvm finished."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.svm import SVC
    from sklearn.utils._testing import ignore_warnings

    svc = SVC(C=params["C"], kernel="precomputed", cache_size=200, max_iter=_ITERATIONS)
    # libsvm's own warning is not silenced but turned into `converged_`.
    ignore_warnings(svc.fit, category=ConvergenceWarning)(kernel, y, sample_weight=weight / weight.mean())
    starts = np.concatenate([[0], np.cumsum(svc.n_support_)]).astype(np.int64)
    dual, intercept = np.array(svc._dual_coef_), np.array(svc._intercept_)
    svm = OneVsOneSVM(np.empty((0, 0), np.float32), starts, dual, intercept, float(params["gamma"]))
    return svm, np.asarray(svc.support_), svc.fit_status_ == 0
