"""StartingPoint: what a fine-tune begins with: cached features, who trains and who validates, the cached head."""

from __future__ import annotations

import dataclasses
import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from classifiers.heads import HEADS, differentiable, make_head
from classifiers.leaks import suggest_groups
from classifiers.splits import group_by, holdout, stratified_folds
from featstore.errors import FeaturesError, UnknownNameError
from featstore.features import FeatureSet

FOLDS = 5
SOURCES = 12
"""With fewer groups than this in the training part a suggested grouping is not taken unasked."""


@dataclass(frozen=True, eq=False)
class StartingPoint:
    """Cached features and their parts.

    Attributes
    ----------
    features : FeatureSet
        All rows of the data set.
    fit, valid, test : ndarray of int
        Rows that train, that choose the epoch, and that judge once; `test` is empty where the data has no such part.
    groups : ndarray of shape (n,), int64, or None
        Source of each row; no source is in `fit` and in `valid`.
    classes : tuple of str
        Names, in the order of the head's logits.
    notes : tuple of str
    """

    features: FeatureSet
    fit: NDArray[np.intp]
    valid: NDArray[np.intp]
    test: NDArray[np.intp]
    groups: NDArray[np.int64] | None
    notes: tuple[str, ...] = ()

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, those of the data set."""
        return self.features.classes

    @property
    def training(self) -> NDArray[np.intp]:
        """Rows of `fit` and `valid` together."""
        return np.sort(np.concatenate([self.fit, self.valid]))

    def head(self, rows: NDArray[np.intp], *, seed: int, budget: str, class_weight: str | None, name: str) -> Any:
        """A head fitted on the cached features of some rows, its parameters chosen by cross-validation within them.

        Parameters
        ----------
        rows : ndarray of int
        name : str
            Of a differentiable head.
        """
        part = self.features.subset(rows)
        together = None if self.groups is None else self.groups[rows]
        folds = stratified_folds(part.y, FOLDS, seed, together)
        head: Any = make_head(name, seed=seed, budget=budget, cv=folds, class_weight=class_weight)  # type: ignore[arg-type]
        return head.fit(part.X, part.y)

    def identity(self) -> str:
        """64 hexadecimal digits over everything that training depends on: images, labels, parts and their order."""
        total = hashlib.sha256(self.features.fingerprint.key.encode())
        for array in (self.features.digests, self.features.y.astype("<i8")):
            total.update(np.ascontiguousarray(array).tobytes())
        for rows in (self.fit, self.valid):
            total.update(np.asarray(rows, dtype="<i8").tobytes() + b"|")
        total.update("\0".join(self.classes).encode("utf-8", "surrogatepass"))
        return total.hexdigest()

    def at(self, features: FeatureSet) -> StartingPoint:
        """The same rows at another node."""
        return dataclasses.replace(self, features=features)


def starting_point(features: FeatureSet, *, fraction: float, seed: int, groups: str | None = None) -> StartingPoint:
    """Part the training part into what trains and what validates.

    Where the data has a "test" and a "val" part, "val" validates; otherwise a stratified share of the training part is
    held out. Images of one source stay together: by `groups`, or by a stem that their names share.

    Parameters
    ----------
    fraction : float
        Share of the training part to hold out, in (0, 1).
    groups : str, optional
        Regular expression; images for which it catches the same text are of one source.

    Raises
    ------
    FeaturesError
        A class without training images, or no image to spare for validation.
    """
    training, test = features.training(), features.testing()
    counts = np.bincount(features.y[training], minlength=len(features.classes))
    if len(features.classes) < 2:
        raise FeaturesError(f"{features.dataset!r} has one class only; expected at least two")
    if not counts.all():
        empty = [features.classes[i] for i in np.flatnonzero(counts == 0)]
        raise FeaturesError(
            f"{len(empty)} of {len(counts)} classes have no training image with features ({', '.join(empty[:3])}); add "
            f"images to their folders under train, or remove these classes"
        )
    notes: list[str] = []
    sources = _sources(features, training, groups, notes)
    validates = (features.splits == "val") & (features.splits[test[0]] == "test" if len(test) else False)
    if validates.any():
        valid = np.flatnonzero(validates)
        fit = np.setdiff1d(training, valid)
        missing = np.bincount(features.y[fit], minlength=len(counts)) == 0
        if missing.any():
            name = features.classes[int(np.flatnonzero(missing)[0])]
            raise FeaturesError(f"class {name!r} has images under val but none under train; move some")
    else:
        if not 0 < fraction < 1:
            raise FeaturesError(
                f"no validation part: the share to hold out is {fraction}, expected a number between 0 and 1; the epoch "
                f"to keep cannot be chosen on training images"
            )
        together = None if sources is None else sources[training]
        try:
            kept, held = holdout(features.y[training], fraction, seed, groups=together)
        except FeaturesError as error:
            found = len(training)
            raise FeaturesError(f"no validation part can be held out of {found} training images: {error}") from error
        fit, valid = training[kept], training[held]
    return StartingPoint(features, fit, valid, test, sources, tuple(notes))


def check_head(name: str, notes: list[str]) -> str:
    """The head to start from: `name` where it has gradients, else the linear one, which is said in `notes`.

    Raises
    ------
    UnknownNameError
        No such head.
    """
    if name not in HEADS:
        raise UnknownNameError("head", name, HEADS)
    if HEADS[name].differentiable and name in differentiable():
        return name
    notes.append(f"{name} has no gradients, so the fine-tune starts from logistic, a linear head, instead")
    return "logistic"


def _sources(
    features: FeatureSet, training: NDArray[np.intp], pattern: str | None, notes: list[str]
) -> NDArray[np.int64] | None:
    if pattern is not None:
        return group_by(features.ids, pattern)
    suggested = suggest_groups(tuple(features.ids[i] for i in training))
    if suggested is None:
        return None
    groups = group_by(features.ids, suggested[0])
    count = len(np.unique(groups[training]))
    if count < SOURCES:
        return None
    notes.append(
        f"names share stems, so the images are taken as {count} sources that stay together (--groups {suggested[0]!r})"
    )
    return groups
