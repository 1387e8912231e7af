"""EvaluationProtocol: which images train and which judge, decided once so that every head is judged alike."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from classifiers.types import FOLDS, Fold
from classifiers.validation.splits import holdout, stratified_folds
from featstore.errors import FeaturesError
from featstore.features import FeatureSet

FEW_PER_CLASS = 20
"""Below this many images a class (the median one) a held-out part would say too little about each class."""

FEW = 400
"""Below this many images a held-out quarter, less than 100 images, would say too little about anything."""

MANY = 10_000
"""From this many images on a held-out part says enough, however many classes there are."""

HELD_OUT = 0.25
PROTOCOLS = ("auto", "given", "holdout", "cv")

Rows = NDArray[np.intp]


@dataclasses.dataclass(frozen=True, eq=False)
class EvaluationProtocol:
    """Who trains and who judges.

    Attributes
    ----------
    name : {"given", "holdout", "cv"}
    text : str
        One sentence about it.
    folds, repeats, seed : int
    selected_on : str
        What hyper-parameters are chosen on.
    outer : tuple of (train, test)
        Row numbers, sorted; one pair, or with cross-validation one a fold (and repeat).
    inner : tuple of list of (train, valid)
        For each outer pair the folds of the search, as positions within its training rows.
    whole : (rows, folds) or None
        With cross-validation: all rows, and folds over them, on which the reported parameters are chosen.
    dropped : ndarray of int
        Rows that were to train and were left out because the judged part holds their copies.

    Examples
    --------
    >>> train, test = np.arange(6), np.arange(6, 8)
    >>> protocol = EvaluationProtocol("given", "", 2, 1, 0, "", outer=((train, test),), inner=([],))
    >>> protocol.judged, protocol.trained
    (array([6, 7]), array([0, 1, 2, 3, 4, 5]))
    """

    name: str
    text: str
    folds: int
    repeats: int
    seed: int
    selected_on: str
    outer: tuple[Fold, ...]
    inner: tuple[list[Fold], ...]
    whole: tuple[Rows, list[Fold]] | None = None
    dropped: Rows = dataclasses.field(default_factory=lambda: np.empty(0, dtype=np.intp))

    @property
    def judged(self) -> Rows:
        """Rows that are judged, each once, sorted."""
        return np.unique(np.concatenate([test for _, test in self.outer]))

    @property
    def trained(self) -> Rows:
        """Rows that train somewhere, each once, sorted."""
        return np.unique(np.concatenate([train for train, _ in self.outer]))


def default_protocol(features: FeatureSet) -> str:
    """What `protocol="auto"` means for these features: "given", "cv" or "holdout"."""
    if features.testing().size:
        return "given"
    counts = np.bincount(features.y)
    few = float(np.median(counts[counts > 0])) < FEW_PER_CLASS and len(features) < MANY
    return "cv" if few or len(features) < FEW else "holdout"


def make_protocol(
    features: FeatureSet,
    *,
    protocol: str = "auto",
    folds: int = FOLDS,
    repeats: int = 1,
    seed: int = 0,
    groups: NDArray[np.int64] | None = None,
    apart: NDArray[np.int64] | None = None,
) -> EvaluationProtocol:
    """Lay out the comparison.

    Parameters
    ----------
    features : FeatureSet
    protocol : {"auto", "given", "holdout", "cv"}
        "given": train on the training part, judge the test part. "holdout": hold a seeded, stratified quarter out.
        "cv": nested cross-validation, so that every image is judged by heads that were tuned and fitted without it.
        "auto": what the data brings; else "cv" below 20 images a class or 400 images, else "holdout".
    folds : int
        Folds of every cross-validation, at least 2.
    repeats : int
        How often a nested cross-validation is done, each time with other folds.
    seed : int
        Seed of all parts and folds.
    groups : ndarray of shape (n,), int64, optional
        Rows with equal numbers stay on one side of every part and fold that is made here.
    apart : ndarray of shape (n,), int64, optional
        Training rows that have a number in common with a judged row do not train (`drop_leaks`).

    Returns
    -------
    EvaluationProtocol

    Raises
    ------
    FeaturesError
        For an unknown protocol, "given" without a test part, or parts that cannot be made.

    Examples
    --------
    >>> from featstore.fingerprint import Fingerprint
    >>> made = Fingerprint("resnet50", "0" * 64, "avgpool", "none", {}, {}, "fp32", "IMAGENET1K_V2")
    >>> rng, names = np.random.default_rng(0), tuple(f"{i}.jpg" for i in range(40))
    >>> pets = FeatureSet(
    ...     X=rng.normal(size=(40, 8)).astype(np.float32), y=np.arange(40) % 2, ids=names, classes=("cat", "dog"),
    ...     splits=np.full(40, ""), digests=rng.integers(0, 256, (40, 32), dtype=np.uint8), fingerprint=made,
    ...     dataset="pets", root=b"/pets", paths=tuple(map(str.encode, names)),
    ... )
    >>> protocol = make_protocol(pets, folds=4)
    >>> protocol.name, len(protocol.outer), len(protocol.judged)
    ('cv', 4, 40)
    """
    if protocol not in PROTOCOLS:
        raise FeaturesError(f"protocol is {protocol!r}, expected one of {', '.join(PROTOCOLS)}")
    protocol = default_protocol(features) if protocol == "auto" else protocol

    def search(rows: Rows, its_seed: int) -> list[Fold]:
        found = stratified_folds(features.y[rows], folds, its_seed, None if groups is None else groups[rows])
        return found if apart is None else [(_apart(a, b, apart[rows]), b) for a, b in found]

    if protocol == "cv":
        return _nested(features, search, folds, repeats, seed)
    if protocol == "given":
        train, test = features.training(), features.testing()
        if not test.size:
            raise FeaturesError(
                'the data brings no test part; extract with `split={"test": 0.25}`, or let `protocol="auto"` choose'
            )
        if not train.size:
            raise FeaturesError(
                'all images are in the test part; expected some that train: `protocol="cv"` cross-validates all images'
            )
    else:
        train, test = holdout(features.y, HELD_OUT, seed, groups)
    kept = train if apart is None else _apart(train, test, apart)
    if not kept.size:
        raise FeaturesError(
            "every training image has a copy in the judged part, or one of its group; nothing is left to train on. "
            'Leave `drop_leaks` away: `protocol="cv"` with `groups="auto"` parts all images anew, by their sources'
        )
    left = len(train) - len(kept)
    without = f" ({left} left out: copies of judged images, or of their group)" if left else ""
    if protocol == "given":
        how = (
            f"Heads are tuned by {folds}-fold cross-validation of the {len(kept)} training images{without}, fitted "
            f"to all of them and judged once on the {len(test)} test images."
        )
    else:
        how = (
            f"A seeded, stratified quarter ({len(test)} images) is held out for judging; heads are tuned by "
            f"{folds}-fold cross-validation of the other {len(kept)}{without} and fitted to all of them."
        )
    return EvaluationProtocol(
        name=protocol,
        text=how,
        folds=folds,
        repeats=1,
        seed=seed,
        selected_on=f"{folds}-fold cross-validation of the training part",
        outer=((kept, test),),
        inner=(search(kept, seed),),
        dropped=np.setdiff1d(train, kept),
    )


def _apart(train: Rows, judged: Rows, apart: NDArray[np.int64]) -> Rows:
    """The training rows that have nothing in common with a judged row."""
    return np.asarray(train[~np.isin(apart[train], apart[judged])])


def _nested(
    features: FeatureSet, search: Callable[[Rows, int], list[Fold]], folds: int, repeats: int, seed: int
) -> EvaluationProtocol:
    rows = np.arange(len(features))
    outer: list[Fold] = []
    inner: list[list[Fold]] = []
    for repeat in range(repeats):
        for train, test in search(rows, seed + repeat):
            outer.append((train, test))
            inner.append(search(train, seed + repeat))
    often = f", {repeats} times with other folds" if repeats > 1 else ""
    judged = len(np.unique(np.concatenate([test for _, test in outer])))
    return EvaluationProtocol(
        name="cv",
        text=(
            f"Nested {folds}-fold cross-validation{often}: each of {judged} images is judged by heads that were tuned "
            "and fitted without it."
        ),
        folds=folds,
        repeats=repeats,
        seed=seed,
        selected_on=f"{folds}-fold cross-validation inside the training part of each outer fold",
        outer=tuple(outer),
        inner=tuple(inner),
        whole=(rows, search(rows, seed)),
    )
