"""StartingPoint: what a fine-tune begins with: cached features, who trains and who validates, the cached head."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from classifiers.formatting import count, listing
from classifiers.heads.base.convergence import convergence_kept_quiet
from classifiers.heads.registry import HEADS, candidates, make_head
from classifiers.leakage.data_groups import data_groups, group_text, joined
from classifiers.leakage.duplicate_groups import find_duplicate_groups
from classifiers.training.learner import Learner
from classifiers.types import FOLDS
from classifiers.validation.splits import group_by, holdout, stratified_folds
from featstore.errors import FeaturesError, UnknownNameError
from featstore.features import FeatureSet

FEWEST = 5
"""Validation images: fewer cannot be gained by more than two standard errors, even where none is lost."""
VIEWS = 2
"""Of each image that a fine-tune's first head is fitted to, where images are few."""
VARIED = 10_000
"""Such views at most: a head of some thousand weights learns little more from more of them."""
LINEAR = ("logistic", "svm")
"""Heads that a network's last layer can start from and go back to."""


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
    held out. Images of one source stay together.

    Parameters
    ----------
    fraction : float
        Share of the training part to hold out, in (0, 1).
    groups : str, optional
        Which images are of one source: "auto" (default) takes the groups that the data name and looks for copies and
        shared stems of names, "none" takes every image for itself, anything else is a regular expression that catches
        the same text in their names.

    Raises
    ------
    FeaturesError
        A class without training images, or no image to spare for validation.
    """
    training, test = features.training(), features.testing()
    counts = np.bincount(features.y[training], minlength=len(features.classes))
    if len(features.classes) < 2:
        raise FeaturesError(f"{features.dataset!r} has one class only; expected at least two, add images of another")
    if not counts.all():
        empty = [features.classes[i] for i in np.flatnonzero(counts == 0)]
        raise FeaturesError(
            f"{len(empty)} of {len(counts)} classes have no training image with features ({', '.join(empty[:3])}); add "
            f"images to their folders under train, or remove these classes"
        )
    notes: list[str] = []
    sources = _sources(features, training, groups, seed, notes)
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
                f"no validation part: the share to hold out is {fraction}, expected a number between 0 and 1; the "
                f"epoch to keep cannot be chosen on training images"
            )
        together = None if sources is None else sources[training]
        try:
            kept, held = holdout(features.y[training], fraction, seed, groups=together)
        except FeaturesError as error:
            images = f"{len(training)} training images"
            raise FeaturesError(f"no validation part can be held out of {images}: {error}") from error
        fit, valid = training[kept], training[held]
        missing = np.bincount(features.y[fit], minlength=len(counts)) == 0
        if missing.any():
            name = features.classes[int(np.flatnonzero(missing)[0])]
            raise FeaturesError(
                f"no validation part can be held out: all training images of class {name!r} are of one source "
                f"and would "
                f'leave the training; add images of other sources, give a "val" part, or use `groups="none"`'
            )
    notes += _doubts(features, valid)
    return StartingPoint(features, fit, valid, test, sources, tuple(notes))


@dataclass(frozen=True)
class CachedHead:
    """How a head on cached features is fitted.

    Attributes
    ----------
    name : str
        Of a linear head.
    seed : int
    budget : {"quick", "normal", "thorough"}
    class_weight : {"balanced", None}
    """

    name: str
    seed: int
    budget: str
    class_weight: str | None

    def fit(self, start: StartingPoint, rows: NDArray[np.intp]) -> Any:
        """A head fitted on some rows, its parameters chosen by cross-validation within them, sources kept together."""
        part = start.features.subset(rows)
        return self.fit_features(part.X, part.y, None if start.groups is None else start.groups[rows])

    def fit_features(self, X: NDArray[np.float32], y: NDArray[np.int64], groups: NDArray[np.int64] | None) -> Any:
        """The same on any features, for instance of varied images.

        Parameters
        ----------
        X : ndarray of shape (n, d), float32
        y : ndarray of shape (n,), int64
        groups : ndarray of shape (n,), int64, or None
            Rows of one group stay in one fold.
        """
        folds = stratified_folds(y, FOLDS, self.seed, groups)
        options: dict[str, Any] = {"seed": self.seed, "budget": self.budget, "class_weight": self.class_weight}
        with convergence_kept_quiet():
            return make_head(self.name, cv=folds, **options).fit(X, y)

    def fit_varied(
        self,
        features: Callable[[NDArray[np.intp], int], NDArray[np.float32]],
        y: NDArray[np.int64],
        groups: NDArray[np.int64] | None,
        *,
        epoch: int,
        plain: NDArray[np.float32] | None = None,
    ) -> Any:
        """The same on varied views of the training images, which is what a fine-tune starts from.

        The cached head knows each image in one form only. Turned, cropped or in other light, an image may wake features
        that were all but silent in the training part, and whose weights are large for that reason: the loss then starts
        at many times that of guessing, and its gradients tear the network apart. Linear probing before fine-tuning
        means probing on what will be trained on (Kumar et al., "Fine-tuning can distort pretrained features", ICLR
        2022).

        Parameters
        ----------
        features : callable
            Rows of the training part and an epoch -> their features as varied in it, (n, d) float32; see
            `Learner.features`.
        y : ndarray of shape (n,), int64
            Of the training rows.
        groups : ndarray of shape (n,), int64, or None
            Source of each row. Views of one image stay together in any case.
        epoch : int
            The first whose variations are taken; beyond those that are trained on.
        plain : ndarray of shape (n, d), float32, optional
            Features of the training rows as they will be seen in use, one view more.
        """
        rows = np.arange(len(y))
        if len(rows) > VARIED:
            chosen = np.random.default_rng(self.seed).permutation(rows)[:VARIED]
            rows = np.union1d(chosen, np.concatenate([np.flatnonzero(y == name)[:FOLDS] for name in np.unique(y)]))
        views = max(1, min(VIEWS, VARIED // len(rows)))
        seen = [] if plain is None else [plain[rows]]
        seen += [features(rows, epoch + view) for view in range(views)]
        together = np.tile(rows if groups is None else groups[rows], len(seen)).astype(np.int64)
        return self.fit_features(np.concatenate(seen), np.tile(y[rows], len(seen)), together)

    def varied_layer(self, learner: Learner, start: StartingPoint, *, adapted: bool) -> nn.Module:
        """The head that `fit_varied` finds with the network of a learner, as the layer to start from.

        `adapted` says that batch norm follows the data: then the network no longer gives the features that are cached,
        and the head is fitted to varied images alone.
        """
        y, sources = start.features.y[start.fit], None if start.groups is None else start.groups[start.fit]
        plain = None if adapted else start.features.X[start.fit]
        head = self.fit_varied(learner.features, y, sources, epoch=learner.unseen + 1, plain=plain)
        layer: nn.Module = head.to_torch().float()
        return layer


def linear_head(name: str, notes: list[str]) -> str:
    """The head to start from: `name` where it is linear, else logistic, which is said in `notes`.

    Raises
    ------
    UnknownNameError
        No such head.
    """
    if name not in HEADS:
        raise UnknownNameError("head", name, candidates())
    if name in LINEAR:
        return name
    why = "is not linear" if HEADS[name].differentiable else "has no gradients"
    notes.append(f"{name} {why}, so the fine-tune starts from logistic, a linear head, instead")
    return "logistic"


def _doubts(features: FeatureSet, valid: NDArray[np.intp]) -> list[str]:
    """What a validation part cannot tell."""
    found, images = np.bincount(features.y[valid], minlength=len(features.classes)), count(len(valid), "image")
    if len(valid) < FEWEST:
        return [
            f"the validation part has {images}: no epoch can be shown to be better than the cached head on fewer than "
            f"{FEWEST}; a larger `valid_fraction` or more images would"
        ]
    absent = [name for name, images_of in zip(features.classes, found, strict=True) if not images_of]
    if len(absent) == len(features.classes) - 1:
        return [
            f"the validation part ({images}) holds one class only: a network that gives it to every image looks "
            f"perfect there, so the epoch that is kept tells nothing; give every class validation images"
        ]
    if absent:
        return [f"the validation part has no image of {listing(absent)}: the epoch is chosen without them"]
    return []


def _sources(
    features: FeatureSet, training: NDArray[np.intp], pattern: str | None, seed: int, notes: list[str]
) -> NDArray[np.int64] | None:
    """Source of every row; None where every image is one of its own."""
    if pattern == "none":
        return None
    if pattern not in (None, "auto"):
        return group_by(features.ids, str(pattern))
    named = data_groups(features)
    if named is not None:
        notes.append(group_text(named))
    found = find_duplicate_groups(features, seed=seed)
    if found.suggestion is None:
        return named
    count = len(np.unique(found.groups[training]))
    notes.append(
        f"{len(training)} training images come from about {count} pictures; those of one picture stay on one side "
        f"(`groups={found.suggestion!r}`)"
    )
    return joined(found.groups, named)
