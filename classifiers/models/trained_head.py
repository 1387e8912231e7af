"""TrainedHead: one head, tuned on the training part by cross-validation and judged once on the test part."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import numpy as np

from classifiers.heads.base.convergence import convergence_kept_quiet, unconverged_text
from classifiers.heads.registry import check_name, make_head
from classifiers.leakage.data_groups import data_groups, group_text
from classifiers.leakage.duplicate_groups import find_duplicate_groups, members_of
from classifiers.models.bundle import Bundle, save_bundle
from classifiers.types import Budget
from classifiers.validation.alignment import check_few, check_memory
from classifiers.validation.labelled import labelled_part
from classifiers.validation.scores import Scores
from classifiers.validation.significance import wilson
from classifiers.validation.splits import stratified_folds
from featstore.backbone.recipe import recipe_of
from featstore.errors import FeaturesError
from featstore.features import FeatureSet

VERSIONS = ("featstore", "numpy", "scikit-learn", "torch", "lightgbm")


@dataclass(frozen=True, eq=False)
class TrainedHead:
    """A fitted head and what is known about it.

    Attributes
    ----------
    name : str
        One of `classifiers.heads.registry.HEADS`.
    head : classifier
        Fitted on the training part.
    features : FeatureSet
    settings : mapping
        Seed, budget, folds, class weight, groups: as asked for.
    cv_accuracy : float or None
        Of the chosen parameters, out of fold; None where the head has nothing to choose.
    scores : Scores or None
        On the test part; None where the data has none.
    remarks : tuple of str
        Which images were left out, and how the folds were laid.

    Examples
    --------
    The result of `train`; see there.

    >>> trained = TrainedHead("knn", None, None, {"seed": 0}, cv_accuracy=0.9, scores=None)
    >>> trained.name, trained.cv_accuracy
    ('knn', 0.9)
    """

    name: str
    head: Any
    features: FeatureSet
    settings: Mapping[str, Any]
    cv_accuracy: float | None
    scores: Scores | None
    remarks: tuple[str, ...] = ()

    def summary(self) -> dict[str, Any]:
        """What a bundle tells people about itself; JSON-able."""
        rows = self.features.training()
        summary: dict[str, Any] = {
            "dataset": self.features.dataset,
            "train": len(rows),
            "test": len(self.features.testing()),
            "cv_accuracy": self.cv_accuracy,
            "accuracy": None,
            "accuracy_ci": None,
            "params": dict(self.head.best_params_),
            "converged": bool(self.head.converged_),
            **self.settings,
            "versions": {name: version(name) for name in VERSIONS} | {"python": platform.python_version()},
        }
        if self.scores is not None:
            n = self.scores.n  # of those that were judged
            summary["test"] = n
            summary["accuracy"] = self.scores.accuracy
            summary["accuracy_ci"] = list(wilson(round(self.scores.accuracy * n), n))
        return summary

    def notes(self) -> list[str]:
        """What a reader of the cross-validated accuracy has to know."""
        counts = np.bincount(self.features.y[self.features.training()], minlength=len(self.features.classes))
        few = check_few(counts, self.features.classes, self.settings["folds"], allow_few=True)
        unsure = [] if self.head.converged_ else [unconverged_text(self.name, self.settings["budget"])]
        return [*self.remarks, *([few] if few else []), *unsure]

    def save(
        self,
        path: str | os.PathLike[str],
        *,
        weights: str | os.PathLike[str] | None = None,
        overwrite: bool = False,
    ) -> Bundle:
        """Save the head as a bundle.

        Parameters
        ----------
        weights : str or path, optional
            The network's weights file, where it is not where `extract` saw it.

        Raises
        ------
        OutputExistsError, StoreWriteError
        """
        fingerprint = self.features.fingerprint
        return save_bundle(
            path,
            self.head,
            fingerprint,
            recipe_of(fingerprint, weights),
            self.features.classes,
            name=self.name,
            summary=self.summary(),
            trained_on=self.features.digests[self.features.training()],
            overwrite=overwrite,
        )


def train(
    features: FeatureSet,
    name: str = "logistic",
    *,
    seed: int = 0,
    budget: Budget = "normal",
    folds: int = 5,
    class_weight: Any = None,
    groups: str | None = None,
    allow_few: bool = False,
) -> TrainedHead:
    """Tune and fit one head on the training part, then judge it on the test part, once.

    Parameters
    ----------
    features : FeatureSet
    name : str
        One of `classifiers.heads.registry.HEADS`.
    seed : int
    budget : {"quick", "normal", "thorough"}
        How many candidates the search tries.
    folds : int
        Of the stratified cross-validation that chooses the parameters.
    class_weight : None or "balanced"
    groups : str, optional
        Regular expression; images for which it catches the same text stay in one fold. "auto": the groups that
        `compare` suggests where it finds copies, and those that the data name. Default: those that the data name.
    allow_few : bool
        Go on where a class has fewer training images than there are folds.

    Raises
    ------
    UnknownNameError
        No such head.
    FeaturesError
        Features that cannot be learnt from.

    Examples
    --------
    >>> import numpy as np
    >>> from featstore.backbone import Backbone
    >>> from featstore.features import FeatureSet
    >>> backbone = Backbone("mobilenet_v3_small", "none", nodes=("features.0",), input_size=32)
    >>> ((_, fingerprint),) = backbone.fingerprints().items()
    >>> y = np.repeat([0, 1], 20)
    >>> X = np.random.default_rng(0).normal(size=(40, 16)).astype(np.float32) + 9 * y[:, None].astype(np.float32)
    >>> names = tuple(f"{i}.jpg" for i in range(40))
    >>> digests = np.arange(40 * 32, dtype=np.int64).astype(np.uint8).reshape(40, 32)
    >>> features = FeatureSet(
    ...     X, y, names, ("ants", "bees"), np.array(["train", "train", "train", "test"] * 10), digests, fingerprint,
    ...     "insects", b"/insects", tuple(name.encode() for name in names),
    ... )
    >>> trained = train(features, "centroid", budget="quick", folds=3)
    >>> trained.cv_accuracy, trained.scores.accuracy
    (1.0, 1.0)
    """
    check_name(name)
    features, unlabelled = labelled_part(features)
    rows, test = features.training(), features.testing()
    check_memory([features], "training on")
    part = features.subset(rows)
    if not len(part):
        raise FeaturesError(f"data set {features.dataset!r} has no row to train on; `featstore info` says why")
    if len(np.unique(part.y)) < 2:
        raise FeaturesError(
            f"the training part of {features.dataset!r} has images of one class only; expected at least two classes"
        )
    check_few(np.bincount(part.y, minlength=len(features.classes)), features.classes, folds, allow_few=allow_few)
    named = data_groups(features) if groups in (None, "auto") else None
    members = named
    if groups is not None:
        members = members_of(features, find_duplicate_groups(features, seed=seed), groups)
    together = None if members is None else members[rows]
    remarks = (*unlabelled, *([] if named is None else [group_text(named)]))
    head = make_head(
        name, seed=seed, budget=budget, cv=stratified_folds(part.y, folds, seed, together), class_weight=class_weight
    )
    with convergence_kept_quiet():
        head.fit(part.X, part.y)
    settings = {"seed": seed, "budget": budget, "folds": folds, "class_weight": class_weight, "groups": groups}
    judged = _judged(head, features, test)
    return TrainedHead(name, head, features, settings, _cv_accuracy(head, part), judged, remarks)


def full_proba(head: Any, X: np.ndarray[Any, Any], classes: int) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Probabilities with a column for every class of the data set, 0 for those that the head has never seen.

    Parameters
    ----------
    head : classifier
        Fitted on integer classes.
    X : ndarray of shape (n, d), float32

    Returns
    -------
    ndarray of shape (n, classes), float64
    """
    proba = np.zeros((len(X), classes))
    proba[:, np.asarray(head.classes_, dtype=np.intp)] = head.predict_proba(X)
    return proba


def _cv_accuracy(head: Any, part: FeatureSet) -> float | None:
    """Accuracy of the out-of-fold probabilities, over the images that have one."""
    if head.oof_proba_ is None:
        return None
    proba = np.asarray(head.oof_proba_)
    judged = np.isfinite(proba).all(axis=1) & (proba.sum(axis=1) > 0.5)
    predicted = np.asarray(head.classes_)[proba.argmax(axis=1)]
    return float((predicted == part.y)[judged].mean()) if judged.any() else None


def _judged(head: Any, features: FeatureSet, test: Any) -> Scores | None:
    if not len(test):
        return None
    proba = full_proba(head, features.X[test], len(features.classes))
    return Scores.of(features.y[test], np.clip(proba, 0, 1), features.classes)
