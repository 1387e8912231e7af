"""What heads are given, checked: features, classes, sample and class weights, folds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_array, column_or_1d, validate_data

from classifiers.types import FOLDS, Fold, Index
from classifiers.validation.splits import stratified_folds
from featstore.errors import FeaturesError

BOTH = (np.float32, np.float64)
MOST_NUMBERS = 100_000_000
"""Training images x classes: every step of a fit looks at so many numbers (800 MB in float64), several times over."""


def check_logits(n: int, k: int, head: str) -> None:
    """Refuse what would take hours or more memory than there is.

    Parameters
    ----------
    n, k : int
        Training images and classes.
    head : str
        The name that the message has.

    Raises
    ------
    FeaturesError
        For more than `MOST_NUMBERS`.
    """
    if n * k > MOST_NUMBERS:
        raise FeaturesError(
            f"{head} works on a number for each class and image; {n:,} training images x {k:,} classes are "
            f"{n * k / 1e6:,.0f} million, expected at most {MOST_NUMBERS // 1_000_000} million; use centroid or knn"
        )


ClassWeight = Literal["balanced"] | Mapping[Any, float] | None


@dataclass(frozen=True, eq=False)
class Training:
    """Checked training data.

    Attributes
    ----------
    X : ndarray of shape (n, d), float32 or float64
    codes : ndarray of shape (n,), int
        Index into `classes`.
    classes : ndarray of shape (k,)
        Sorted class labels.
    weight : ndarray of shape (n,), float64
        Sample weights, at least 0. A row of weight 0 may have a class that is not in `classes`; its code means nothing.
    """

    X: NDArray[Any]
    codes: NDArray[np.intp]
    classes: NDArray[Any]
    weight: NDArray[np.float64]

    def part(self, rows: Index) -> Training:
        """The same for some of the rows, with all classes."""
        return Training(self.X[rows], self.codes[rows], self.classes, self.weight[rows])


def read_training(
    head: Any, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None, *, dtypes: Sequence[type] = BOTH,
    order: Literal["C"] | None = "C",
) -> Training:  # fmt: skip
    """Check what `fit` was given, and set `n_features_in_` (and `feature_names_in_`) of the head.

    Parameters
    ----------
    head : estimator
    X : array-like of shape (n, d)
        Features, finite.
    y : array-like of shape (n,)
        Class labels, at least two different ones with a positive weight.
    sample_weight : array-like of shape (n,), or float, optional
    dtypes : sequence of type
        What X may have; it is converted to the first of them else.
    order : "C" or None
        Layout of X in memory; None leaves it as it is.

    Returns
    -------
    Training

    Raises
    ------
    FeaturesError
        For NaN or infinity, a single class, weights that are no weights.
    """
    features, labels = validate_data(
        head, X, y, dtype=list(dtypes), order=order, ensure_all_finite=False, y_numeric=False
    )
    require_finite(features)
    labels = column_or_1d(labels, warn=True)
    check_classification_targets(labels)
    if sample_weight is None or isinstance(sample_weight, int | float):
        weight = np.full(len(labels), 1.0 if sample_weight is None else float(sample_weight))
    else:
        weight = np.asarray(check_array(sample_weight, ensure_2d=False, dtype=np.float64, input_name="sample_weight"))
    if weight.shape != (len(labels),):
        raise FeaturesError(f"sample_weight has shape {weight.shape}, expected ({len(labels)},): one number a row")
    if (weight < 0).any():
        raise FeaturesError(f"{int((weight < 0).sum())} sample weights are negative, expected 0 or more")
    if not weight.any():
        raise FeaturesError("every sample weight is zero, expected a positive one for some rows of each class")
    classes = np.unique(labels[weight > 0])
    if len(classes) < 2:
        raise FeaturesError(
            f"all {int((weight > 0).sum())} images are of one class, {str(classes[0])!r}; expected two classes or "
            "more: add images of another class"
        )
    # A row of weight 0 is as good as absent, also where nobody else has its class; any class serves it.
    codes = np.where(np.isin(labels, classes), np.searchsorted(classes, labels), 0).astype(np.intp)
    return Training(features, codes, classes, weight)


def read_features(head: Any, X: ArrayLike, *, dtypes: Sequence[type] = BOTH) -> NDArray[Any]:
    """Check features that a fitted head is to judge.

    Parameters
    ----------
    head, X, dtypes
        As for `read_training`.

    Returns
    -------
    ndarray of shape (n, d), of one of the dtypes

    Raises
    ------
    FeaturesError
        For NaN or infinity.
    """
    features = validate_data(head, X, reset=False, dtype=list(dtypes), ensure_all_finite=False)
    require_finite(features)
    return np.asarray(features)


def require_finite(X: NDArray[np.floating]) -> None:
    """Raise FeaturesError, naming the first rows, if a feature is NaN or infinite."""
    with np.errstate(over="ignore", invalid="ignore"):
        if np.isfinite(X.sum(dtype=np.float64)):
            return
    bad = np.flatnonzero(~np.isfinite(X).all(axis=1))
    if bad.size:
        rows = ", ".join(str(row) for row in bad[:5]) + (", ..." if bad.size > 5 else "")
        raise FeaturesError(
            f"features contain NaN or infinity in {bad.size} of {len(X)} rows (row {rows}); expected finite numbers: "
            "leave these rows out or extract them again"
        )


def class_weights(
    class_weight: ClassWeight, classes: NDArray[Any], codes: NDArray[np.intp], weight: NDArray[np.float64]
) -> NDArray[np.float64]:
    """What each class' loss is multiplied by.

    Parameters
    ----------
    class_weight : "balanced", mapping or None
        "balanced": inversely to the summed weight of the class, 1 on average, as in scikit-learn. A mapping gives the
        factor of the classes it names, 1 for the others.
    classes : ndarray of shape (k,)
    codes : ndarray of shape (n,), int
    weight : ndarray of shape (n,)
        Sample weights; rows with 0 do not count.

    Returns
    -------
    ndarray of shape (k,), float64
    """
    factors = np.ones(len(classes))
    if class_weight is None:
        return factors
    check_class_weight(class_weight)
    if isinstance(class_weight, str):
        mass = np.bincount(codes, weights=weight, minlength=len(classes))
        np.divide(mass.sum() / max(1, int((mass > 0).sum())), mass, out=factors, where=mass > 0)
        return factors
    known = {label: i for i, label in enumerate(classes.tolist())}
    strangers = [label for label in class_weight if label not in known]
    if strangers:
        raise FeaturesError(f"class_weight names {strangers[0]!r}, which is no class of the training part")
    for label, factor in class_weight.items():
        factors[known[label]] = factor
    return factors


def check_class_weight(class_weight: str | Mapping[Any, float] | None) -> None:
    """Raise FeaturesError for what is neither "balanced", None nor a mapping to positive numbers."""
    if class_weight is None or (isinstance(class_weight, str) and class_weight == "balanced"):
        return
    if not isinstance(class_weight, Mapping):
        raise FeaturesError(f"class_weight is {class_weight!r}, expected 'balanced', a mapping or None")
    for label, factor in class_weight.items():
        if not (isinstance(factor, int | float | np.number) and np.isfinite(factor) and factor > 0):
            raise FeaturesError(f"the class weight of {label!r} is {factor!r}, expected a positive number")


def present_classes(codes: NDArray[np.intp], k: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Which of k classes have rows, (p,), and the place of every class among those, (k,), -1 for one without rows."""
    present = np.unique(codes)
    place = np.full(k, -1)
    place[present] = np.arange(len(present))
    return present, place


def folds_of(
    cv: int | Iterable[Fold] | Any | None, training: Training, seed: int, *, may_be_empty: bool = False
) -> list[Fold]:
    """The folds of a search.

    Parameters
    ----------
    cv : int, iterable of (train, valid), scikit-learn splitter, or None
        None: `FOLDS` stratified folds.
    training : Training
    seed : int
        For folds that are made here.
    may_be_empty : bool
        Leave out folds with an empty part, and give no folds at all where classes are too small to judge anything:
        then there is no search.

    Returns
    -------
    list of (train, valid)

    Raises
    ------
    FeaturesError
        For folds that do not fit the rows; unless they `may_be_empty` for those with an empty part, too.
    """
    if cv is None or isinstance(cv, int | np.integer):
        try:
            return stratified_folds(training.codes, FOLDS if cv is None else int(cv), seed)
        except FeaturesError:
            if may_be_empty and (cv is None or cv >= 2):
                return []
            raise
    pairs = cv.split(training.X, training.codes) if hasattr(cv, "split") else cv
    folds = [(_row_numbers(train), _row_numbers(valid)) for train, valid in pairs]
    rows = len(training.codes)
    named = np.concatenate([part.ravel() for fold in folds for part in fold] or [np.arange(0)])
    outside = named[(named < 0) | (named >= rows)]
    if outside.size:
        raise FeaturesError(f"cv names row {outside[0]}, but there are {rows} rows")
    whole = [fold for fold in folds if fold[0].size and fold[1].size]
    if not may_be_empty and len(whole) < max(1, len(folds)):
        raise FeaturesError(
            f"cv has {len(folds)} folds, expected at least one, each of two non-empty parts of {rows} rows"
        )
    return whole


def _row_numbers(part: ArrayLike) -> NDArray[np.intp]:
    """Rows of one part of a fold; a mask says the same as their numbers."""
    rows = np.asarray(part)
    return np.flatnonzero(rows) if rows.dtype == bool else rows.astype(np.intp)
