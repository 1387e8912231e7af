"""Plan: which images train and which judge, laid out once so that every head is judged alike."""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from classifiers.splits import Fold, holdout, stratified_folds
from featstore.errors import FeaturesError
from featstore.features import FeatureSet

FEW_PER_CLASS = 20
"""Below this many images a class, a held-out part would say too little: nested cross-validation judges every image."""
HELD_OUT = 0.25

PROTOCOLS = ("auto", "given", "holdout", "cv")


@dataclasses.dataclass(frozen=True)
class Plan:
    """Who trains and who judges.

    Attributes
    ----------
    name : {"given", "holdout", "cv"}
    text : str
        One sentence about it.
    outer : tuple of (train, test)
        Row numbers; one pair, or with cross-validation one a fold (and repeat).
    inner : tuple of list of (train, valid)
        For each outer pair the folds of the search, as positions within its training rows.
    whole : tuple of (rows, folds) or None
        With cross-validation, all rows and folds over them: what the parameters that are reported were chosen on.
    """

    name: str
    text: str
    folds: int
    repeats: int
    seed: int
    selected_on: str
    outer: tuple[Fold, ...]
    inner: tuple[list[Fold], ...]
    whole: tuple[NDArray[np.intp], list[Fold]] | None = None

    @property
    def judged(self) -> NDArray[np.intp]:
        """Rows that are judged, each once, sorted."""
        return np.unique(np.concatenate([test for _, test in self.outer]))


def lay_out(
    features: FeatureSet,
    *,
    protocol: str = "auto",
    folds: int = 5,
    repeats: int = 1,
    seed: int = 0,
    groups: NDArray[np.int64] | None = None,
    leave_out: NDArray[np.intp] | None = None,
) -> Plan:
    """Lay out the comparison.

    Parameters
    ----------
    protocol : {"auto", "given", "holdout", "cv"}
        `given`: train on the training part, judge the test part. `holdout`: hold a quarter out. `cv`: nested
        cross-validation. `auto`: what the data brings, else `cv` below 20 images a class, else `holdout`.
    leave_out : ndarray of int, optional
        Rows that must not train.

    Raises
    ------
    FeaturesError
    """
    testing = features.testing()
    if protocol == "auto":
        smallest = int(np.bincount(features.y).max())
        protocol = "given" if testing.size else ("cv" if smallest < FEW_PER_CLASS else "holdout")
    out = np.zeros(len(features), dtype=bool)
    if leave_out is not None:
        out[leave_out] = True

    def search(rows: NDArray[np.intp], its_seed: int) -> list[Fold]:
        return stratified_folds(features.y[rows], folds, its_seed, None if groups is None else groups[rows])

    if protocol == "cv":
        rows = np.flatnonzero(~out)
        outer, inner = [], []
        for repeat in range(repeats):
            for train, test in search(rows, seed + repeat):
                outer.append((rows[train], rows[test]))
                inner.append(search(rows[train], seed + repeat))
        times = f", {repeats} times with other folds" if repeats > 1 else ""
        return Plan(
            "cv",
            f"Nested {folds}-fold cross-validation over all {len(rows)} images{times}: each image is judged by heads that "
            f"were tuned and fitted without it.",
            folds, repeats, seed, f"{folds}-fold cross-validation inside each training fold",
            tuple(outer), tuple(inner), (rows, search(rows, seed)),
        )  # fmt: skip
    if protocol == "given":
        if not testing.size:
            raise FeaturesError(
                "the data brings no test part; extract with --split test=0.25, or use --protocol holdout or cv"
            )
        train, test = features.training(), testing
        text = f"Heads were tuned by {folds}-fold cross-validation of the {len(train)} training images, fitted to all of "
        text += f"them, and judged once on the {len(test)} test images."
    else:
        train, test = holdout(features.y, HELD_OUT, seed, groups)
        text = f"A seeded, stratified quarter ({len(test)} images) was held out for judging; heads were tuned by "
        text += f"{folds}-fold cross-validation of the other {len(train)} and fitted to all of them."
    train = train[~out[train]]
    return Plan(
        protocol, text, folds, 1, seed, f"{folds}-fold cross-validation of the training part",
        ((train, test),), (search(train, seed),),
    )  # fmt: skip
