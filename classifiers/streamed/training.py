"""StreamedTraining: labels and folds in memory, features in chunks: what streamed heads are fitted to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from classifiers.streamed.feature_rows import FeatureRows, gathered
from classifiers.streamed.fold_sums import FoldSums, fold_sums, training_masks
from classifiers.types import Fold
from classifiers.validation.splits import stratified_folds
from featstore.errors import FeaturesError

SAMPLE_BYTES = 64 << 20
"""Of the rows that are kept in memory to fit temperatures and slopes."""
MOST_JUDGED = 5_000_000
"""Numbers (rows x classes) of the out-of-fold probabilities that are kept."""


@dataclass(frozen=True, eq=False)
class OutOfFold:
    """Probabilities of rows by folds that had not seen them.

    Attributes
    ----------
    rows : ndarray of shape (m,), int
    proba : ndarray of shape (m, k), float32
    """

    rows: NDArray[np.intp]
    proba: NDArray[np.float32]


@dataclass(eq=False)
class StreamedTraining:
    """Checked training data whose features are looked at in passes.

    Attributes
    ----------
    rows : FeatureRows
    codes : ndarray of shape (n,), int
        Index into `classes`.
    classes : ndarray of shape (k,)
    folds : list of (train, valid)
    seed : int
        Of every sample of rows.
    told : callable, optional
        Called with the share of the first pass that is done.
    named : callable, optional
        What a row is called, for errors.
    passes : int
        Over all rows, that were needed for what all heads share.

    Examples
    --------
    >>> from classifiers.streamed.feature_rows import ArrayRows
    >>> training = StreamedTraining.of(ArrayRows(np.eye(6, 2, dtype=np.float32)), np.repeat([3, 7], 3), folds=3)
    >>> len(training), training.classes.tolist(), training.masks.sum(axis=1).tolist()
    (6, [3, 7], [4, 4, 4, 6])
    """

    rows: FeatureRows
    codes: NDArray[np.intp]
    classes: NDArray[Any]
    folds: list[Fold]
    seed: int = 0
    told: Callable[[float], None] | None = None
    named: Callable[[int], str] | None = None
    passes: int = field(default=0, init=False)

    @classmethod
    def of(
        cls,
        rows: FeatureRows,
        y: NDArray[Any],
        folds: int | Sequence[Fold],
        *,
        seed: int = 0,
        told: Callable[[float], None] | None = None,
        named: Callable[[int], str] | None = None,
    ) -> Self:
        """Check labels and folds.

        Parameters
        ----------
        rows : FeatureRows
        y : ndarray of shape (n,)
            Classes.
        folds : int, or sequence of (train, valid)
            A number makes stratified ones by `seed`.
        seed : int
        told, named : callable, optional

        Raises
        ------
        FeaturesError
            For labels of another number than the rows, for one class only, for folds that cannot be made.
        """
        labels = np.asarray(y)
        if labels.shape != (len(rows),):
            raise FeaturesError(f"y has shape {labels.shape}, expected ({len(rows)},): one label a row")
        classes, codes = np.unique(labels, return_inverse=True)
        if len(classes) < 2:
            found = str(classes[0]) if len(classes) else "none"
            raise FeaturesError(
                f"all {len(labels)} images are of one class, {found!r}; expected two classes or more: add images of "
                "another class"
            )
        codes = codes.astype(np.intp).ravel()
        parts = stratified_folds(codes, folds, seed) if isinstance(folds, int) else list(folds)
        return cls(rows, codes, classes, parts, seed, told, named)

    def __len__(self) -> int:
        return len(self.codes)

    @cached_property
    def masks(self) -> NDArray[np.bool_]:
        """Rows that each fold trains on, (folds + 1, n); last everything."""
        return training_masks(self.folds, len(self))

    @cached_property
    def held(self) -> NDArray[np.bool_]:
        """Rows that each fold judges, (folds + 1, n); everything judges none."""
        held = np.zeros_like(self.masks)
        for row, (_, valid) in zip(held, self.folds, strict=False):
            row[valid] = True
        return held

    @cached_property
    def sums(self) -> FoldSums:
        """What one pass tells."""

        def tell(seen: int) -> None:
            if self.told is not None:
                self.told(seen / len(self))

        found = fold_sums(
            self.rows, self.codes, len(self.classes), self.masks, seed=self.seed, told=tell, named=self.named
        )
        self.passes += 1
        return found

    @cached_property
    def sample(self) -> NDArray[np.intp]:
        """Rows that are kept in memory, ascending."""
        return self._drawn(np.flatnonzero(self.held.any(axis=0)), SAMPLE_BYTES // (4 * self.rows.width), 1)

    @cached_property
    def sample_X(self) -> NDArray[np.float32]:
        """Their features, (m, d)."""
        return gathered(self.rows, self.sample)

    @cached_property
    def judged(self) -> NDArray[np.intp]:
        """Rows whose out-of-fold probabilities are kept, ascending: all that folds hold out, or some of them."""
        return self._drawn(np.flatnonzero(self.held.any(axis=0)), MOST_JUDGED // len(self.classes), 2)

    @cached_property
    def judged_rows(self) -> FeatureRows:
        """Their features, in chunks."""
        return self.rows.subset(self.judged)

    def _drawn(self, rows: NDArray[np.intp], most: int, salt: int) -> NDArray[np.intp]:
        if len(rows) <= most:
            return rows
        return np.sort(np.random.default_rng([self.seed, salt]).choice(rows, most, replace=False))
