"""DuplicateGroups: which images come from the same picture, and what it does to a cross-validation that parts them."""

from __future__ import annotations

import dataclasses

import numpy as np
import scipy.linalg
from numpy.typing import NDArray

from classifiers.leakage.data_groups import data_groups, joined, neighbours
from classifiers.leakage.filename_groups import FilenameGroups, find_filename_groups
from classifiers.leakage.near_duplicates import NearDuplicates, connected_groups, find_near_duplicates
from classifiers.linalg import standardised_kernel
from classifiers.validation.significance import mcnemar_exact
from classifiers.validation.splits import group_by, stratified_folds
from featstore.errors import FeaturesError
from featstore.features import FeatureSet

_MOST_ROWS = 3000  # rows of the trial fits; their kernel is as large squared
_WORTH = 0.02  # accuracy that keeping groups together has to cost before it is called a leak
_LEVEL = 0.01
_ENOUGH_IMAGES = 500  # of fewer, whitening leaves too few directions to tell a copy from a relative
_CLIQUES = 0.65  # transitivity of near-duplicates from which they are copies and not clusters


@dataclasses.dataclass(frozen=True)
class GroupingEffect:
    """What keeping groups on one side does to a cross-validated accuracy.

    Attributes
    ----------
    parted : float
        Accuracy, as a share, where groups of the same sizes are kept together at random: true groups end on both sides.
    kept : float
        Accuracy where the groups themselves are kept together.
    p : float
        Exact McNemar of the two.
    images : int
        Images judged.
    """

    parted: float
    kept: float
    p: float
    images: int

    @property
    def leaks(self) -> bool:
        """Whether parting the groups makes heads look better than they are."""
        return self.p < _LEVEL and self.parted - self.kept >= _WORTH


@dataclasses.dataclass(frozen=True, eq=False)
class DuplicateGroups:
    """Images that come from the same picture, and how that was seen.

    Attributes
    ----------
    identical : ndarray of shape (m, 2), int64
        Pairs of rows whose files are the same bytes (each with the first of them).
    near : ndarray of shape (m, 2), int64
        Pairs that look like copies of one picture, as far as believed; the most alike first.
    sure : ndarray of shape (m,), bool
        Which of `near` are the same picture for certain, re-encoded or resized.
    threshold : float
        Cosine from which near-duplicates were believed.
    by_filename : FilenameGroups or None
        Part of the file names that tells the source.
    rejected : tuple of FilenameGroups
        Parts of names that are shared without meaning anything.
    effect : GroupingEffect or None
        Of keeping near-duplicates together, believed or not; None where there are too few to tell.
    groups : ndarray of shape (n,), int64
        Number of the group of each row, by all of the above.
    """

    identical: NDArray[np.int64]
    near: NDArray[np.int64]
    sure: NDArray[np.bool_]
    threshold: float
    by_filename: FilenameGroups | None
    rejected: tuple[FilenameGroups, ...]
    effect: GroupingEffect | None
    groups: NDArray[np.int64]

    @property
    def suggestion(self) -> str | None:
        """What to give as `groups`: "auto", a pattern, or None where every image is for itself."""
        if len(self.near) or len(self.identical):
            return "auto"
        return self.by_filename.pattern if self.by_filename is not None else None


def find_duplicate_groups(
    features: FeatureSet, rows: NDArray[np.intp] | None = None, *, seed: int = 0
) -> DuplicateGroups:
    """Find out which images come from the same picture.

    Byte-identical files and sure near-duplicates (cosine of the centred features at least 0.95) count at once. Other
    near-duplicates (see `classifiers.leakage.near_duplicates`) count if they form cliques, as copies do, and if keeping
    them together makes a cross-validation worse, and more than keeping as many images together at random does: then
    parting them lets a head recognise pictures, not classes. That takes 500 images to see.

    Parameters
    ----------
    features : FeatureSet
    rows : ndarray of int, optional
        Look at these only; the others are groups of their own.
    seed : int

    Returns
    -------
    DuplicateGroups
        Of all rows of `features`.

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
    >>> found = find_duplicate_groups(pets)  # each file is there twice
    >>> len(found.identical), len(np.unique(found.groups)), found.suggestion
    (20, 20, 'auto')
    """
    rows = np.arange(len(features)) if rows is None else rows
    X, y = features.X[rows], features.y[rows]
    pairs = find_near_duplicates(X, y, seed=seed)
    identical = _identical(features.digests[rows])
    effect = _effect_of(X, y, pairs, seed)
    copies = effect is not None and effect.leaks and pairs.transitivity >= _CLIQUES and len(rows) >= _ENOUGH_IMAGES
    believed = pairs.sure | copies
    near = np.stack([pairs.a, pairs.b], axis=1)[believed]
    if len(identical):
        n = len(rows)
        near_keys, same_keys = near[:, 0] * n + near[:, 1], identical[:, 0] * n + identical[:, 1]
        distinct = ~np.isin(near_keys, same_keys)
    else:
        distinct = np.ones(len(near), dtype=bool)
    by_filename, rejected = find_filename_groups(tuple(features.ids[i] for i in rows.tolist()), y, X, seed=seed)
    links = [rows[identical], rows[near]]
    if by_filename is not None:
        links.append(rows[neighbours(by_filename.groups).T])
    linked = np.concatenate(links).reshape(-1, 2)
    return DuplicateGroups(
        identical=rows[identical].reshape(-1, 2).astype(np.int64),
        near=rows[near[distinct]].reshape(-1, 2).astype(np.int64),
        sure=pairs.sure[believed][distinct],
        threshold=pairs.threshold,
        by_filename=by_filename,
        rejected=tuple(rejected),
        effect=effect,
        groups=connected_groups(len(features), linked[:, 0], linked[:, 1]),
    )


def _identical(digests: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Pairs of a row and the first row with the same digest; digests of zeros are files that nobody could read."""
    keys = np.ascontiguousarray(digests).view(np.dtype((np.void, 32))).ravel()
    _, first, inverse = np.unique(keys, return_index=True, return_inverse=True)
    first_of = first[inverse.ravel()]
    copies = np.flatnonzero((first_of != np.arange(len(keys))) & digests.any(axis=1))
    return np.stack([first_of[copies], copies], axis=1).astype(np.int64)


def _effect_of(X: NDArray[np.float32], y: NDArray[np.int64], pairs: NearDuplicates, seed: int) -> GroupingEffect | None:
    """The effect of keeping near-duplicates together, None where a trial could show nothing."""
    touched = len(np.unique(np.concatenate([pairs.a, pairs.b])))
    if touched < max(10, 0.01 * len(y)):
        return None
    return grouping_effect(X, y, connected_groups(len(y), pairs.a, pairs.b), seed=seed)


def grouping_effect(
    X: NDArray[np.float32], y: NDArray[np.int64], groups: NDArray[np.int64], *, seed: int = 0
) -> GroupingEffect | None:
    """Measure what keeping groups together does to 5-fold cross-validation of a ridge classifier.

    The groups are compared with the same groups dealt out at random within each class, so that the sizes of groups and
    folds are not mistaken for an effect.

    Parameters
    ----------
    X : ndarray of shape (n, d), float32
    y : ndarray of shape (n,), int64
    groups : ndarray of shape (n,), int64
    seed : int

    Returns
    -------
    GroupingEffect or None
        None where groups or classes are too few for folds.
    """
    rng = np.random.default_rng(seed)
    if len(y) > _MOST_ROWS:  # whole groups, or there would be nothing left to see
        order = np.argsort(rng.permutation(int(groups.max()) + 1)[groups], kind="stable")
        kept = np.sort(order[:_MOST_ROWS])
        X, y, groups = X[kept], y[kept], groups[kept]
    dealt = groups.copy()
    for c in np.unique(y):
        own = np.flatnonzero(y == c)
        dealt[own] = groups[rng.permutation(own)]
    kernel = standardised_kernel(X)
    try:
        parted = _hits(kernel, y, dealt, seed)
        kept_together = _hits(kernel, y, groups, seed)
    except FeaturesError:
        return None
    both = (parted >= 0) & (kept_together >= 0)
    a, b = parted[both] == 1, kept_together[both] == 1
    p = mcnemar_exact(int((a & ~b).sum()), int((b & ~a).sum()))
    return GroupingEffect(float(a.mean()), float(b.mean()), p, int(both.sum()))


def _hits(kernel: NDArray[np.float32], y: NDArray[np.int64], groups: NDArray[np.int64], seed: int) -> NDArray[np.int8]:
    """1 where a ridge classifier that has not seen the row's group is right, 0 where wrong, -1 where none judges."""
    codes = np.unique(y, return_inverse=True)[1]
    target = np.eye(int(codes.max()) + 1, dtype=np.float32)[codes]
    target -= target.mean(axis=0)
    out = np.full(len(y), -1, dtype=np.int8)
    for train, valid in stratified_folds(codes, 5, seed, groups):
        inner = kernel[np.ix_(train, train)]
        inner[np.arange(len(train)), np.arange(len(train))] += 1
        factor = scipy.linalg.cho_factor(inner, lower=True, overwrite_a=True, check_finite=False)
        scores = kernel[np.ix_(valid, train)] @ scipy.linalg.cho_solve(factor, target[train], check_finite=False)
        out[valid] = scores.argmax(axis=1) == codes[valid]
    return out


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
