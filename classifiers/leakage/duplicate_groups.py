"""DuplicateGroups: which images come from the same picture, and what could not be told."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from classifiers.formatting import count
from classifiers.leakage.candidate_pairs import CandidatePairs, find_candidate_pairs
from classifiers.leakage.compared_pairs import ComparedPairs, compare_pairs, time_ahead
from classifiers.leakage.data_groups import connected_groups, data_groups, joined, neighbours
from classifiers.leakage.filename_groups import FilenameGroups, find_filename_groups
from classifiers.leakage.kept_comparison import keep_comparison, kept_comparison
from classifiers.linalg import power_scaled
from classifiers.validation.grouping_effect import GroupingEffect, grouping_effect
from classifiers.validation.splits import group_by
from featstore.features import FeatureSet

_FEW = 0.02  # share of the images that may be look-alikes without a trial of what they change


@dataclasses.dataclass(frozen=True, eq=False)
class DuplicateGroups:
    """Images that come from the same picture, and how that was seen.

    Attributes
    ----------
    identical : ndarray of shape (m, 2), int64
        Pairs of rows whose files are the same bytes (each with the first of them).
    copies : ndarray of shape (m, 2), int64
        Pairs of other bytes that show one picture: saved again, resized, cropped, turned, mirrored, in other light. The
        pixels confirm it; where they cannot be compared, features that are all but equal do. The most alike first.
    cosine : ndarray of shape (m,), float32
        Of the centred features of `copies`.
    kinds : tuple of m str
        How the copies differ as far as it was seen: "", "mirrored", "turned", "cropped" or several of them.
    confirmed : ndarray of shape (m,), bool
        Which of `copies` the pixels confirm.
    look_alikes : ndarray of shape (m, 2), int64
        Pairs that are alike in their features and not confirmed: one scene, one object, one material, or pictures with
        too little in them to tell. The most alike first.
    conflicts : ndarray of shape (m, 2), int64
        Pairs of `identical` and `copies` whose classes differ: one of the labels is wrong.
    pixels : ComparedPairs
        What comparing the pixels of all candidates brought.
    by_filename : FilenameGroups or None
        Part of the file names that tells the source.
    rejected : tuple of FilenameGroups
        Parts of names that are shared without meaning anything.
    effect : GroupingEffect or None
        Of keeping copies and look-alikes together; None where look-alikes are too few to matter.
    groups : ndarray of shape (n,), int64
        Number of the group of each row, by bytes, copies and names; never by look-alikes.
    """

    identical: NDArray[np.int64]
    copies: NDArray[np.int64]
    cosine: NDArray[np.float32]
    kinds: tuple[str, ...]
    confirmed: NDArray[np.bool_]
    look_alikes: NDArray[np.int64]
    conflicts: NDArray[np.int64]
    pixels: ComparedPairs
    by_filename: FilenameGroups | None
    rejected: tuple[FilenameGroups, ...]
    effect: GroupingEffect | None
    groups: NDArray[np.int64]

    @property
    def suggestion(self) -> str | None:
        """What to give as `groups`: "auto", a pattern, or None where every image is for itself."""
        if len(self.copies) or len(self.identical):
            return "auto"
        return self.by_filename.suggestion if self.by_filename is not None else None


def find_duplicate_groups(
    features: FeatureSet, *, seed: int = 0, told: Callable[[str], None] | None = None
) -> DuplicateGroups:
    """Find out which labelled images come from the same picture.

    Files of the same bytes do. Other images are candidates where one is among the nearest of the other in features (see
    `classifiers.leakage.candidate_pairs`), whatever their classes; then their pixels are compared (see
    `classifiers.leakage.pixels.pixel_comparison`). Names tell sources where images that share a part of them are more
    alike than others.

    Parameters
    ----------
    features : FeatureSet
    seed : int
    told : callable, optional
        Told in a sentence what is about to be done and how long it takes, where that is long.

    Returns
    -------
    DuplicateGroups
        Of all rows of `features`; those without a label are groups of their own.

    Examples
    --------
    >>> from featstore.fingerprint import Fingerprint
    >>> made = Fingerprint("resnet50", "0" * 64, "avgpool", "none", {}, {}, "fp32", "IMAGENET1K_V2")
    >>> rng, names = np.random.default_rng(0), tuple(f"{i}.jpg" for i in range(40))
    >>> pets = FeatureSet(
    ...     X=rng.normal(size=(40, 8)).astype(np.float32), y=np.arange(40) % 2, ids=names, classes=("cat", "dog"),
    ...     splits=np.full(40, ""), digests=rng.integers(0, 256, (20, 32), np.uint8).repeat(2, axis=0),
    ...     fingerprint=made, dataset="pets", root=b"/pets", paths=tuple(map(str.encode, names)),
    ... )
    >>> found = find_duplicate_groups(pets)  # each file is there twice, as a cat and as a dog
    >>> len(found.identical), len(found.conflicts), len(np.unique(found.groups)), found.suggestion
    (20, 20, 20, 'auto')
    """
    rows = np.flatnonzero(features.labelled())
    identical = rows[_identical(features.digests[rows])].reshape(-1, 2).astype(np.int64)
    first = np.setdiff1d(rows, identical[:, 1])  # one row of each file
    near = _candidates(features, first, seed, told)
    seen = kept_comparison(features, near, seed=seed)
    if seen is None:
        seen = compare_pairs(features, near, seed=seed, told=told)
        keep_comparison(features, near, seen, seed=seed)
    X, y = power_scaled(features.X[rows]), features.y[rows]
    names = tuple(features.ids[i] for i in rows.tolist())
    by_filename, rejected = find_filename_groups(names, y, X, seed=seed)
    if by_filename is not None and len(rows) < len(features):  # rows without a label stand alone
        groups = np.arange(len(features)) + len(rows)
        groups[rows] = by_filename.groups
        by_filename = dataclasses.replace(by_filename, groups=groups)
    copies = near.pairs[seen.copies]
    alike = near.pairs[near.alike & ~seen.copies]
    links = [identical, copies] + ([] if by_filename is None else [neighbours(by_filename.groups).T])
    linked = np.concatenate(links).reshape(-1, 2)
    told_twice = np.concatenate([identical, copies])
    return DuplicateGroups(
        identical=identical,
        copies=copies,
        cosine=near.cosine[seen.copies],
        kinds=tuple(seen.kinds[at] for at in np.flatnonzero(seen.copies).tolist()),
        confirmed=seen.confirmed[seen.copies],
        look_alikes=alike,
        conflicts=told_twice[features.y[told_twice[:, 0]] != features.y[told_twice[:, 1]]],
        pixels=seen,
        by_filename=by_filename,
        rejected=tuple(rejected),
        effect=_effect_of(features, rows, copies, alike, seed),
        groups=connected_groups(len(features), linked[:, 0], linked[:, 1]),
    )


def _candidates(
    features: FeatureSet, rows: NDArray[np.intp], seed: int, told: Callable[[str], None] | None
) -> CandidatePairs:
    ahead = time_ahead(told, f"looking for neighbours among {count(len(rows), 'image')}", len(rows))
    found = find_candidate_pairs(
        features.X[rows], seed=seed, progress=lambda share: ahead(round(1e6 * share), 1_000_000)
    )
    return dataclasses.replace(found, pairs=rows[found.pairs].reshape(-1, 2).astype(np.int64))


def _identical(digests: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Pairs of a row and the first row with the same digest; digests of zeros are files that nobody could read."""
    keys = np.ascontiguousarray(digests).view(np.dtype((np.void, 32))).ravel()
    _, first, inverse = np.unique(keys, return_index=True, return_inverse=True)
    first_of = first[inverse.ravel()]
    copies = np.flatnonzero((first_of != np.arange(len(keys))) & digests.any(axis=1))
    return np.stack([first_of[copies], copies], axis=1).astype(np.int64)


def _effect_of(
    features: FeatureSet, rows: NDArray[np.intp], copies: NDArray[np.int64], alike: NDArray[np.int64], seed: int
) -> GroupingEffect | None:
    """The effect of keeping pairs together; None where look-alikes are too few to matter, for copies leave no doubt."""
    if len(np.unique(alike)) < max(10, _FEW * len(rows)):
        return None
    pairs = np.concatenate([copies, alike])
    groups = connected_groups(len(features), pairs[:, 0], pairs[:, 1])[rows]
    return grouping_effect(features.X[rows], features.y[rows], groups, seed=seed)


def members_of(features: FeatureSet, duplicates: DuplicateGroups, groups: str | None) -> NDArray[np.int64] | None:
    """Which images stay together; byte-identical files do in any case.

    Parameters
    ----------
    features : FeatureSet
    duplicates : DuplicateGroups
        Of `features`.
    groups : str or None
        None for those that the data name; "auto" for these and for the groups that were found; else a regular
        expression on image paths, see `splits.group_by`, in their place.

    Returns
    -------
    ndarray of shape (n,), int64, or None
        Number of the group of each row; None where every image is for itself.
    """
    if groups == "auto":
        return joined(duplicates.groups, data_groups(features))
    same = duplicates.identical
    copied = connected_groups(len(features), same[:, 0], same[:, 1]) if len(same) else None
    return joined(data_groups(features) if groups is None else group_by(features.ids, groups), copied)
