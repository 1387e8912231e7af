"""Scores: how good predictions are. Integer counts first, metrics as properties, `+` to roll folds up."""

from __future__ import annotations

import dataclasses
import html
from collections.abc import Sequence
from functools import reduce

import numpy as np
from numpy.typing import NDArray

from classifiers.validation.significance import bootstrap_counts, wilson
from featstore.errors import FeaturesError

BINS = 15
"""Bins of the reliability table: equal widths of the winning probability in [0, 1]."""

DENSE = 1000
"""Most classes for which the confusion matrix is built whole."""

_BLOCK = 16_000_000  # probabilities looked at together: 128 MB
_EPSILON = float(np.finfo(np.float64).eps)


def log_losses(y: NDArray[np.int64], proba: NDArray[np.floating]) -> NDArray[np.float64]:
    """Negative log probability of the true class, one number a row.

    Parameters
    ----------
    y : ndarray of shape (n,), int
        Column of the true class.
    proba : ndarray of shape (n, k)
        Probabilities; below 2.2e-16 they count as 2.2e-16.

    Returns
    -------
    ndarray of shape (n,), float64

    Examples
    --------
    >>> log_losses(np.array([0, 1]), np.array([[0.5, 0.5], [0.2, 0.8]])).round(3)
    array([0.693, 0.223])
    """
    true = proba[np.arange(len(y)), y].astype(np.float64)
    return np.asarray(-np.log(np.clip(true, _EPSILON, 1.0)))


def brier_scores(y: NDArray[np.int64], proba: NDArray[np.floating]) -> NDArray[np.float64]:
    """Squared distance of the probabilities from the truth, one number in [0, 2] a row (Brier 1950).

    Parameters
    ----------
    y : ndarray of shape (n,), int
    proba : ndarray of shape (n, k)

    Returns
    -------
    ndarray of shape (n,), float64

    Examples
    --------
    >>> brier_scores(np.array([0, 1]), np.array([[0.5, 0.5], [0.0, 1.0]]))
    array([0.5, 0. ])
    """
    squares = np.einsum("ij,ij->i", proba, proba, dtype=np.float64)
    true = proba[np.arange(len(y)), y].astype(np.float64)
    return np.asarray(np.clip(squares - 2.0 * true + 1.0, 0.0, 2.0))


@dataclasses.dataclass(frozen=True, eq=False)
class Scores:
    """What there is to say about predictions, as counts.

    Attributes
    ----------
    classes : tuple of k str
    cells : ndarray of shape (m, 3), int64
        True class, predicted class, count: the confusion matrix without its zeros.
    top3_hits : int
        Predictions whose true class is among the three most probable (ties: the lower class first).
    log_loss_sum, brier_sum : float
        Sums over predictions.
    bin_counts, bin_hits : ndarray of shape (15,), int64
        Predictions, and right ones, by the winner's probability.
    bin_confidence : ndarray of shape (15,), float64
        Sum of the winners' probabilities.
    images : int
        Different images; intervals use this number, so that repeated predictions of an image count once.

    Examples
    --------
    >>> proba = np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]])
    >>> scores = Scores.of(np.array([0, 1, 1]), proba, ("cat", "dog"))
    >>> scores.cells.tolist(), round(scores.accuracy, 3)
    ([[0, 0, 1], [1, 0, 1], [1, 1, 1]], 0.667)
    """

    classes: tuple[str, ...]
    cells: NDArray[np.int64]
    top3_hits: int
    log_loss_sum: float
    brier_sum: float
    bin_counts: NDArray[np.int64]
    bin_hits: NDArray[np.int64]
    bin_confidence: NDArray[np.float64]
    images: int

    @classmethod
    def of(cls, y: NDArray[np.int64], proba: NDArray[np.floating], classes: Sequence[str]) -> Scores:
        """Count.

        Parameters
        ----------
        y : ndarray of shape (n,), int
            True classes, index into `classes`.
        proba : ndarray of shape (n, k)
            Probabilities; the first of the largest is the prediction.
        classes : sequence of k str

        Raises
        ------
        FeaturesError
            Where shapes do not fit, a class is unknown or a probability is not a finite number in [0, 1].
        """
        y = np.asarray(y, dtype=np.int64)
        n, k = len(y), len(classes)
        if proba.shape != (n, k):
            raise FeaturesError(f"probabilities have shape {proba.shape}, expected ({n}, {k}): a row an image")
        if n and not (y.min() >= 0 and y.max() < k):
            raise FeaturesError(f"true classes go from {y.min()} to {y.max()}, expected 0 to {k - 1}")
        step = max(1, _BLOCK // max(k, 1))
        parts = [cls._block(y[i : i + step], proba[i : i + step], tuple(classes)) for i in range(0, max(n, 1), step)]
        return reduce(lambda a, b: a + b, parts)

    @classmethod
    def _block(cls, y: NDArray[np.int64], proba: NDArray[np.floating], classes: tuple[str, ...]) -> Scores:
        if not bool(np.all((proba >= 0) & (proba <= 1 + 1e-5))):  # NaN fails both
            raise FeaturesError("a probability is not a finite number in [0, 1]")
        rows = np.arange(len(y))
        predicted = proba.argmax(axis=1)
        confidence = proba[rows, predicted].astype(np.float64)
        true = proba[rows, y][:, None]
        before = np.arange(len(classes)) < y[:, None]
        rank = ((proba > true) | ((proba == true) & before)).sum(axis=1)
        pairs, counts = np.unique(y * len(classes) + predicted, return_counts=True)
        cells = np.stack([pairs // len(classes), pairs % len(classes), counts], axis=1)
        bins = np.clip(np.ceil(confidence * BINS).astype(np.int64) - 1, 0, BINS - 1)
        return cls(
            classes=classes,
            cells=cells.astype(np.int64),
            top3_hits=int((rank < 3).sum()),
            log_loss_sum=float(log_losses(y, proba).sum()),
            brier_sum=float(brier_scores(y, proba).sum()),
            bin_counts=np.bincount(bins, minlength=BINS).astype(np.int64),
            bin_hits=np.bincount(bins[predicted == y], minlength=BINS).astype(np.int64),
            bin_confidence=np.bincount(bins, weights=confidence, minlength=BINS).astype(np.float64),
            images=len(y),
        )

    def __add__(self, other: Scores) -> Scores:
        """Scores of other images joined to these: folds of one cross-validation."""
        return self._joined(other, self.images + other.images)

    def again(self, other: Scores) -> Scores:
        """Scores of the same images, predicted once more: repeats with another seed. The images count once."""
        if self.images != other.images:
            raise FeaturesError(f"a repeat over {other.images} images cannot be joined to one over {self.images}")
        return self._joined(other, self.images)

    def _joined(self, other: Scores, images: int) -> Scores:
        if self.classes != other.classes:
            raise FeaturesError(
                f"scores of {len(self.classes)} classes and of {len(other.classes)} other classes cannot be added"
            )
        k = len(self.classes)
        both = np.concatenate([self.cells, other.cells])
        pairs, where = np.unique(both[:, 0] * k + both[:, 1], return_inverse=True)
        counts = np.bincount(where, weights=both[:, 2], minlength=len(pairs)).astype(np.int64)
        return Scores(
            classes=self.classes,
            cells=np.stack([pairs // k, pairs % k, counts], axis=1),
            top3_hits=self.top3_hits + other.top3_hits,
            log_loss_sum=self.log_loss_sum + other.log_loss_sum,
            brier_sum=self.brier_sum + other.brier_sum,
            bin_counts=self.bin_counts + other.bin_counts,
            bin_hits=self.bin_hits + other.bin_hits,
            bin_confidence=self.bin_confidence + other.bin_confidence,
            images=images,
        )

    @property
    def n(self) -> int:
        """Predictions: images times repeats."""
        return int(self.cells[:, 2].sum())

    @property
    def hits(self) -> int:
        """Right predictions."""
        return int(self.cells[self.cells[:, 0] == self.cells[:, 1], 2].sum())

    @property
    def confusion(self) -> NDArray[np.int64]:
        """Counts by [true, predicted] class, (k, k) int64; FeaturesError above 1000 classes (see `cells`)."""
        k = len(self.classes)
        if k > DENSE:
            raise FeaturesError(f"a confusion matrix of {k} classes is not built whole (at most {DENSE}); use `cells`")
        matrix = np.zeros((k, k), dtype=np.int64)
        matrix[self.cells[:, 0], self.cells[:, 1]] = self.cells[:, 2]
        return matrix

    @property
    def support(self) -> NDArray[np.int64]:
        """Predictions of images of each class, (k,) int64."""
        return self._per_class(self.cells[:, 0])

    @property
    def predicted(self) -> NDArray[np.int64]:
        """How often each class was the answer, (k,) int64."""
        return self._per_class(self.cells[:, 1])

    @property
    def class_hits(self) -> NDArray[np.int64]:
        """Right predictions of each class, (k,) int64."""
        right = self.cells[:, 0] == self.cells[:, 1]
        return self._per_class(np.where(right, self.cells[:, 0], -1))

    def _per_class(self, index: NDArray[np.int64]) -> NDArray[np.int64]:
        counts = np.zeros(len(self.classes), dtype=np.int64)
        np.add.at(counts, index[index >= 0], self.cells[index >= 0, 2])
        return counts

    @property
    def accuracy(self) -> float:
        """Share of right predictions, NaN without any."""
        return self.hits / self.n if self.n else float("nan")

    @property
    def top3_accuracy(self) -> float:
        """Share of predictions whose true class is among the three most probable."""
        return self.top3_hits / self.n if self.n else float("nan")

    @property
    def balanced_accuracy(self) -> float:
        """Mean of the recalls of the classes that are there."""
        return float(self._balanced(self.cells[None, :, 2])[0])

    @property
    def macro_f1(self) -> float:
        """Mean F1 of the classes that are there or were predicted."""
        return float(self._f1(self.cells[None, :, 2])[0])

    @property
    def log_loss(self) -> float:
        """Mean negative log probability of the true class, in nats."""
        return self.log_loss_sum / self.n if self.n else float("nan")

    @property
    def brier(self) -> float:
        """Mean squared distance of the probabilities from the truth, in [0, 2]."""
        return self.brier_sum / self.n if self.n else float("nan")

    @property
    def ece(self) -> float:
        """Expected calibration error: mean distance of confidence from accuracy over 15 equal bins (Naeini 2015)."""
        return float(np.abs(self.bin_hits - self.bin_confidence).sum() / self.n) if self.n else float("nan")

    def accuracy_interval(self, level: float = 0.95) -> tuple[float, float]:
        """Wilson's interval of the accuracy; each image counts once."""
        return wilson(self.accuracy * self.images if self.n else 0, self.images, level)

    def intervals(self, seed: int = 0, level: float = 0.95, samples: int = 1000) -> dict[str, tuple[float, float]]:
        """Intervals of the metrics that are counts.

        Returns
        -------
        dict
            accuracy and top3_accuracy (Wilson), balanced_accuracy and macro_f1 (seeded bootstrap over images).
        """
        balanced, f1 = bootstrap_counts(
            self.cells[:, 2], [self._balanced, self._f1], seed=seed, images=self.images, samples=samples, level=level
        )
        return {
            "accuracy": self.accuracy_interval(level),
            "top3_accuracy": wilson(self.top3_accuracy * self.images, self.images, level),
            "balanced_accuracy": balanced,
            "macro_f1": f1,
        }

    def _sums(self, counts: NDArray[np.generic], column: int | None) -> NDArray[np.float64]:
        """Sum counts (b, m) of cells by true (0) or predicted (1) class, or the diagonal (None): (b, k)."""
        keep = slice(None) if column is not None else self.cells[:, 0] == self.cells[:, 1]
        index = self.cells[keep, column or 0]
        order = np.argsort(index, kind="stable")
        found, starts = np.unique(index[order], return_index=True)
        sums = np.zeros((len(counts), len(self.classes)))
        if len(found):
            sums[:, found] = np.add.reduceat(counts[:, keep][:, order], starts, axis=1)
        return sums

    def _balanced(self, counts: NDArray[np.generic]) -> NDArray[np.float64]:
        support, hits = self._sums(counts, 0), self._sums(counts, None)
        there = support > 0
        recall = np.divide(hits, support, out=np.zeros_like(hits), where=there)
        return np.asarray(recall.sum(axis=1) / np.maximum(there.sum(axis=1), 1))

    def _f1(self, counts: NDArray[np.generic]) -> NDArray[np.float64]:
        both = self._sums(counts, 0) + self._sums(counts, 1)
        f1 = np.divide(2 * self._sums(counts, None), both, out=np.zeros_like(both), where=both > 0)
        return np.asarray(f1.sum(axis=1) / np.maximum((both > 0).sum(axis=1), 1))

    def reliability(self) -> list[dict[str, float | int | None]]:
        """The reliability table.

        Returns
        -------
        list of dict
            low, high, count, and mean confidence and accuracy of each of the 15 bins (None where a bin is empty).
        """
        rows: list[dict[str, float | int | None]] = []
        for i in range(BINS):
            count = int(self.bin_counts[i])
            rows.append(
                {
                    "low": i / BINS,
                    "high": (i + 1) / BINS,
                    "count": count,
                    "confidence": float(self.bin_confidence[i]) / count if count else None,
                    "accuracy": int(self.bin_hits[i]) / count if count else None,
                }
            )
        return rows

    def per_class(self) -> list[dict[str, float | int | str | tuple[float, float] | None]]:
        """What there is to say about each class.

        Returns
        -------
        list of k dicts
            name, support, predicted, hits, precision, recall, recall_ci (Wilson) and f1; None where nothing was there.
        """
        repeats = self.n / self.images if self.images else 1.0
        rows: list[dict[str, float | int | str | tuple[float, float] | None]] = []
        for name, support, predicted, hits in zip(
            self.classes, self.support.tolist(), self.predicted.tolist(), self.class_hits.tolist(), strict=True
        ):
            rows.append(
                {
                    "name": name,
                    "support": support,
                    "predicted": predicted,
                    "hits": hits,
                    "precision": hits / predicted if predicted else None,
                    "recall": hits / support if support else None,
                    "recall_ci": wilson(hits / repeats, support / repeats) if support else None,
                    "f1": 2 * hits / (support + predicted) if support + predicted else None,
                }
            )
        return rows

    def __repr__(self) -> str:
        low, high = self.accuracy_interval()
        return (
            f"Scores({self.hits} of {self.n} right: accuracy {self.accuracy:.4f} ({low:.4f} to {high:.4f}), "
            f"top 3 {self.top3_accuracy:.4f}, macro F1 {self.macro_f1:.4f}, log loss {self.log_loss:.4f}, "
            f"ECE {self.ece:.4f})"
        )

    def _repr_html_(self) -> str:
        low, high = self.accuracy_interval()
        metrics = [
            ("accuracy", f"{self.accuracy:.4f} ({low:.4f} to {high:.4f})"),
            ("right", f"{self.hits} of {self.n}"),
            ("top-3 accuracy", f"{self.top3_accuracy:.4f}"),
            ("balanced accuracy", f"{self.balanced_accuracy:.4f}"),
            ("macro F1", f"{self.macro_f1:.4f}"),
            ("log loss", f"{self.log_loss:.4f}"),
            ("Brier score", f"{self.brier:.4f}"),
            ("calibration error", f"{self.ece:.4f}"),
        ]
        rows = "".join(f'<tr><th scope="row">{name}</th><td>{value}</td></tr>' for name, value in metrics)
        caption = html.escape(f"{len(self.classes)} classes, {self.images} images")
        return f"<table><caption>{caption}</caption><tbody>{rows}</tbody></table>"
