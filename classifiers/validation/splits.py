"""Who trains and who judges: stratified, group-safe, seeded index arrays."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from classifiers.formatting import quoted
from classifiers.types import Fold, Index
from featstore.errors import FeaturesError


def stratified_folds(y: ArrayLike, k: int, seed: int, groups: ArrayLike | None = None) -> list[Fold]:
    """Folds in which every class has its share and no group is on both sides.

    A class of at least two images is in the training part of every fold, also where it has fewer images than there
    are folds (then some folds do not judge it). A class whose images cannot be parted (a single image, or a single
    group) is always in training and never judged: a head cannot answer with a class that it has not seen.

    Parameters
    ----------
    y : array-like of shape (n,)
        Classes.
    k : int
        Folds, at least 2; fewer come back where there are fewer images (or groups) than that to judge.
    seed : int
        Seed of the shuffling.
    groups : array-like of shape (n,), optional
        Rows with equal values stay together.

    Returns
    -------
    list of (train, valid)
        Sorted row numbers. The valid parts do not overlap; together they are everything that can be judged.

    Raises
    ------
    FeaturesError
        For less than two folds, lengths that differ, or where nothing can be judged at all.

    Examples
    --------
    >>> folds = stratified_folds([0, 0, 0, 1, 1, 1], 3, seed=0)
    >>> [len(valid) for _, valid in folds], sorted(np.concatenate([valid for _, valid in folds]).tolist())
    ([2, 2, 2], [0, 1, 2, 3, 4, 5])
    """
    if k < 2:
        raise FeaturesError(f"{k} folds were asked for, expected at least 2")
    codes = np.unique(np.asarray(y), return_inverse=True)[1].reshape(-1)
    if groups is None:
        fold = _spread(codes, k, seed)
    else:
        members = np.unique(np.asarray(groups), return_inverse=True)[1].reshape(-1)
        if len(members) != len(codes):
            raise FeaturesError(f"there are {len(members)} groups for {len(codes)} rows, expected one for each row")
        fold = _spread_groups(codes, members, k, seed)
    folds = []
    for i in range(k):
        valid = np.flatnonzero(fold == i)
        if valid.size:
            folds.append((np.flatnonzero(fold != i), valid))
    if len(folds) < 2:
        if len(codes) > 1 and len(np.unique(codes)) == len(codes):
            raise FeaturesError(
                f"no cross-validation is possible: each of the {len(codes)} images has a class of its own, expected "
                "classes with at least two images each. Labels that differ from image to image are mostly names, "
                "numbers or several labels in one text: look at them with `featstore info`, and read the class from "
                "another column or pattern; or add images"
            )
        what = "group" if groups is not None else "image"
        raise FeaturesError(
            f"no cross-validation is possible: expected classes with at least two {what}s each, found "
            f"{len(np.unique(codes))} classes in {len(codes)} images of which {int((fold >= 0).sum())} can be judged"
            + ("; give a `groups` pattern that parts the images more finely" if groups is not None else "; add images")
        )
    return folds


def _spread(codes: NDArray[np.intp], k: int, seed: int) -> NDArray[np.intp]:
    """Fold of each row, -1 for the only image of a class."""
    order = np.random.default_rng(seed).permutation(len(codes))
    order = order[np.argsort(codes[order], kind="stable")]
    order = order[np.bincount(codes)[codes[order]] > 1]
    fold = np.full(len(codes), -1, dtype=np.intp)
    # Dealt out like cards, class after class: each class, and the whole, differ by at most one image between folds.
    fold[order] = np.arange(len(order)) % k
    return fold


def _spread_groups(codes: NDArray[np.intp], members: NDArray[np.intp], k: int, seed: int) -> NDArray[np.intp]:
    """Fold of each row, -1 where a class is in one group only; a group goes where its classes are rarest."""
    n_groups = int(members.max()) + 1 if len(members) else 0
    n_classes = int(codes.max()) + 1 if len(codes) else 0
    pairs, counts = np.unique(members * n_classes + codes, return_counts=True)
    group_of, class_of = pairs // n_classes, pairs % n_classes
    lonely = np.bincount(class_of, minlength=n_classes) < 2  # classes in one group only
    fixed = np.zeros(n_groups, dtype=bool)
    fixed[group_of[lonely[class_of]]] = True
    starts = np.searchsorted(group_of, np.arange(n_groups + 1))
    size = np.bincount(codes, minlength=n_classes).astype(np.float64)
    # Large groups first, since small ones can still even out; ties in a seeded order.
    shuffled = np.random.default_rng(seed).permutation(n_groups)
    sizes = np.bincount(members, minlength=n_groups)
    share = np.zeros((k, n_classes))  # of each class, already in each fold
    load = np.zeros(k)
    fold_of = np.full(n_groups, -1, dtype=np.intp)
    for group in shuffled[np.argsort(-sizes[shuffled], kind="stable")]:
        if fixed[group]:
            continue
        its = slice(starts[group], starts[group + 1])
        classes = class_of[its]
        added = counts[its] / size[classes]
        # Growth of the summed squares of the shares: least where its classes are rarest. The load breaks ties.
        cost = (added * (2 * share[:, classes] + added)).sum(axis=1)
        best = int(np.lexsort((load, np.round(cost, 12)))[0])
        fold_of[group] = best
        share[best, classes] += added
        load[best] += sizes[group]
    _keep_classes(fold_of, group_of, class_of)
    return np.asarray(fold_of[members])


def _keep_classes(fold_of: NDArray[np.intp], group_of: NDArray[np.intp], class_of: NDArray[np.intp]) -> None:
    """Keep one group in training where all groups of a class fell into one fold, for that fold's sake."""
    for groups in np.split(group_of[np.argsort(class_of, kind="stable")], np.cumsum(np.bincount(class_of))[:-1]):
        if len(groups) and len(np.unique(fold_of[groups])) == 1:
            fold_of[groups[-1]] = -1


def holdout(
    y: ArrayLike, fraction: float, seed: int, groups: ArrayLike | None = None, at_least: int = 1
) -> tuple[Index, Index]:
    """One seeded, stratified test part.

    Parameters
    ----------
    y : array-like of shape (n,)
        Classes.
    fraction : float
        Share of each class that becomes test images, in (0, 1); rounded, at least one image of a class of two.
    seed : int
        Seed of the shuffling.
    groups : array-like of shape (n,), optional
        Rows with equal values stay together; the fraction is then kept as nearly as the groups allow.
    at_least : int
        Images of each class that have to stay in training.

    Returns
    -------
    (train, test)
        Sorted row numbers.

    Raises
    ------
    FeaturesError
        For a fraction outside (0, 1), or where no class has an image to spare.

    Examples
    --------
    >>> train, test = holdout([0, 0, 0, 0, 1, 1, 1, 1], 0.25, seed=0)
    >>> len(train), len(test)
    (6, 2)
    """
    if not 0 < fraction < 1:
        raise FeaturesError(f"the fraction to hold out is {fraction}, expected a number between 0 and 1")
    codes = np.unique(np.asarray(y), return_inverse=True)[1].reshape(-1)
    if groups is not None:
        parts = max(2, round(1 / min(fraction, 1 - fraction)))
        train, test = stratified_folds(codes, parts, seed, groups)[0]
        return (train, test) if fraction <= 0.5 else (test, train)
    order = np.random.default_rng(seed).permutation(len(codes))
    order = order[np.argsort(codes[order], kind="stable")]
    size = np.bincount(codes)
    rank = np.arange(len(codes)) - np.repeat(np.cumsum(size) - size, size)
    take = np.clip(np.maximum(np.round(size * fraction), 1), 0, np.maximum(size - at_least, 0))
    chosen = rank < take[codes[order]]
    if not chosen.any():
        raise FeaturesError("no class has an image to spare for a test part: expected classes with at least two images")
    return np.sort(order[~chosen]), np.sort(order[chosen])


def most_alike(
    y: NDArray[np.int64], like: NDArray[np.floating], fraction: float, groups: NDArray[np.int64] | None = None
) -> tuple[Index, Index]:
    """A share of each class, those rows that are most like something else, and the others.

    Parameters
    ----------
    y : ndarray of shape (n,), int64
    like : ndarray of shape (n,), float
    fraction : float
        In (0, 1); rounded, at least one image of a class of two.
    groups : ndarray of shape (n,), int64, optional
        Rows with equal numbers stay together and count with their mean; the fraction is then kept as nearly as the
        groups allow.

    Returns
    -------
    (kept, held)
        Row numbers, sorted. A class of at least two images (or groups) is in both.

    Raises
    ------
    FeaturesError
        Where `like` has not one number a row, or no class has an image to spare.

    Examples
    --------
    >>> kept, held = most_alike(np.array([0, 0, 0, 0, 1, 1, 1, 1]), np.array([0, 9, 1, 2, 3, 0, 0, 8.0]), 0.25)
    >>> held
    array([1, 7])
    """
    if len(like) != len(y):
        raise FeaturesError(f"there are {len(like)} likenesses for {len(y)} rows, expected one a row")
    units = np.arange(len(y)) if groups is None else np.unique(groups, return_inverse=True)[1].reshape(-1)
    codes = np.unique(y, return_inverse=True)[1].reshape(-1)
    shape = (int(units.max(initial=-1)) + 1, int(codes.max(initial=-1)) + 1)
    counts = np.zeros(shape, dtype=np.int64)  # rows of each class in each group
    np.add.at(counts, (units, codes), 1)
    wanted = np.maximum(1, np.round(fraction * counts.sum(axis=0)))
    left, taken = (counts > 0).sum(axis=0), np.zeros(shape[1], dtype=np.int64)
    held = np.zeros(shape[0], dtype=bool)
    mean = np.bincount(units, like) / np.maximum(np.bincount(units), 1)
    for unit in np.argsort(-mean, kind="stable"):
        its = counts[unit] > 0
        # A group may lead a class past its share by less than what is missing; each class keeps a group to train on.
        missing = wanted - taken
        if (missing[its] > 0).all() and (counts[unit][its] <= 2 * missing[its]).all() and (left[its] > 1).all():
            held[unit] = True
            taken += counts[unit]
            left = left - its
    if not held.any():
        raise FeaturesError(
            "no class has an image to spare for a part that judges: expected classes with at least two images"
            + ("" if groups is None else ", of different groups")
        )
    return np.flatnonzero(~held[units]), np.flatnonzero(held[units])


def group_by(names: Sequence[str], pattern: str) -> NDArray[np.int64]:
    r"""Put names that agree in a part into one group.

    Parameters
    ----------
    names : sequence of n str
        Printable paths of images.
    pattern : str
        Regular expression, searched in each path; what its first group caught (without one: the whole match) names the
        group. A path that it does not match is a group of its own.

    Returns
    -------
    ndarray of shape (n,), int64
        Number of the group of each name, counted in order of appearance.

    Raises
    ------
    FeaturesError
        For an expression that is none, or that matches no name at all.

    Examples
    --------
    >>> group_by(["anna-1.jpg", "anna-2.jpg", "ben-1.jpg"], r"(\w+)-")
    array([0, 0, 1])
    """
    try:
        expression = re.compile(pattern)
    except re.error as error:
        raise FeaturesError(f"the groups pattern {quoted(pattern)} is no regular expression: {error}") from error
    numbers: dict[tuple[bool, str], int] = {}
    groups = np.empty(len(names), dtype=np.int64)
    matched = 0
    for i, name in enumerate(names):
        match = expression.search(name)
        caught = None if match is None else match.group(1 if expression.groups else 0)
        matched += caught is not None
        groups[i] = numbers.setdefault((caught is None, str(i) if caught is None else caught), len(numbers))
    if len(names) and not matched:
        raise FeaturesError(
            f"the groups pattern {quoted(pattern)} matches none of {len(names)} paths, for instance {names[0]!r}; "
            "expected a regular expression whose first group is the same for images of the same source"
        )
    return groups
