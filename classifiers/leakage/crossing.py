"""Crossing: pairs of images of one source that a split parts."""

from __future__ import annotations

import dataclasses
import itertools
from typing import Any

import numpy as np
from numpy.typing import NDArray

from classifiers.leakage.data_groups import connected_groups
from classifiers.leakage.duplicate_groups import DuplicateGroups
from classifiers.types import Fold
from featstore.features import FeatureSet

_EXAMPLES = 24  # of all kinds together


@dataclasses.dataclass(frozen=True)
class Crossing:
    """Pairs of images of one source of which one trains and the other judges.

    Attributes
    ----------
    identical, near, by_filename, look_alikes : int
        Pairs of byte-identical files, of copies, of further files in one group by name, of look-alikes; each pair
        counts once.
    conflicts : int
        Those of `identical` and `near` that `DuplicateGroups.conflicts` names: of two classes.
    training, judged : ndarray of int
        Rows that stand in such pairs, but for look-alikes.
    resembling : ndarray of int
        Rows that judge and look like one that trains.
    examples : tuple of dict
        kind, a (trains), b (judges), cosine of the centred features; each kind that there is, the most alike first.
    """

    identical: int
    near: int
    by_filename: int
    look_alikes: int
    conflicts: int
    training: NDArray[np.intp]
    judged: NDArray[np.intp]
    resembling: NDArray[np.intp]
    examples: tuple[dict[str, Any], ...]

    @property
    def any(self) -> bool:
        """Whether there is any of one source for certain."""
        return bool(self.identical or self.near or self.by_filename)


def find_crossing(features: FeatureSet, duplicates: DuplicateGroups, parts: list[Fold]) -> Crossing:
    """Count the pairs of one source that some part divides.

    Parameters
    ----------
    features : FeatureSet
    duplicates : DuplicateGroups
        Of `features`.
    parts : list of (train, test)
        Row numbers. With several, as the folds of a cross-validation, either image of a pair trains once and judges
        once; the pair counts once all the same.

    Returns
    -------
    Crossing

    Examples
    --------
    >>> from classifiers.leakage.duplicate_groups import find_duplicate_groups
    >>> from featstore.fingerprint import Fingerprint
    >>> made = Fingerprint("resnet50", "0" * 64, "avgpool", "none", {}, {}, "fp32", "IMAGENET1K_V2")
    >>> rng, names = np.random.default_rng(0), tuple(f"{i}.jpg" for i in range(40))
    >>> pets = FeatureSet(
    ...     X=rng.normal(size=(40, 8)).astype(np.float32), y=np.arange(40) // 20, ids=names, classes=("cat", "dog"),
    ...     splits=np.full(40, ""), digests=rng.integers(0, 256, (20, 32), np.uint8).repeat(2, axis=0),
    ...     fingerprint=made, dataset="pets", root=b"/pets", paths=tuple(map(str.encode, names)),
    ... )
    >>> crossing = find_crossing(pets, find_duplicate_groups(pets), [(np.arange(20), np.arange(19, 40))])
    >>> crossing.identical, crossing.training.tolist(), crossing.judged.tolist()
    (1, [18], [19])
    """
    n = len(features)
    identical = _across(duplicates.identical, parts, n)
    near = _across(duplicates.copies, parts, n)
    direct = np.concatenate([identical, near])
    near = np.concatenate([near, _through_others(duplicates, parts, direct)])
    alike = _across(duplicates.look_alikes, parts, n)
    copied = np.concatenate([identical, near])
    by_filename, n_by_filename = np.empty((0, 3), dtype=np.int64), 0
    if duplicates.by_filename is not None:
        groups = duplicates.by_filename.groups
        told = np.unique(np.sort(copied[:, :2], axis=1), axis=0)
        n_by_filename = _count_filename_pairs(groups, parts) - int((groups[told[:, 0]] == groups[told[:, 1]]).sum())
        by_filename = _filename_pairs(groups, parts) if n_by_filename else by_filename
    pairs = np.concatenate([identical, near, by_filename])
    kinds = [(kind, found.tolist()) for kind, found in (("identical", identical), ("near", near), ("stem", by_filename),
             ("look_alike", alike)) if len(found)]  # fmt: skip
    each = _EXAMPLES // max(len(kinds), 1)
    trains, judges = ((0, 1), (0, 1)) if len(parts) > 1 else ((0,), (1,))  # folds take turns
    return Crossing(
        identical=len(identical),
        near=len(near),
        by_filename=n_by_filename,
        look_alikes=len(alike),
        conflicts=int((features.y[direct[:, 0]] != features.y[direct[:, 1]]).sum()),
        training=np.unique(pairs[:, trains]).astype(np.intp),
        judged=np.unique(pairs[:, judges]).astype(np.intp),
        resembling=np.unique(alike[:, judges]).astype(np.intp),
        examples=tuple(_example(features, kind, row) for kind, found in kinds for row in found[:each]),
    )


def _through_others(duplicates: DuplicateGroups, parts: list[Fold], direct: NDArray[np.int64]) -> NDArray[np.int64]:
    """(trains, judges, -1) for every judged row of which a copy of a copy trains, and no copy; each pair once."""
    linked = np.concatenate([duplicates.identical, duplicates.copies])
    groups = connected_groups(len(duplicates.groups), linked[:, 0], linked[:, 1])
    found = _filename_pairs(groups, parts)
    found = found[~np.isin(found[:, 1], direct[:, :2])]  # a cross-validation judges either image of a pair
    _, first = np.unique(np.sort(found[:, :2], axis=1), axis=0, return_index=True)
    return found[np.sort(first)]


def _example(features: FeatureSet, kind: str, pair: list[int]) -> dict[str, Any]:
    a, b = pair[:2]
    centred = features.X[[a, b]] - features.X.mean(axis=0)
    lengths = np.linalg.norm(centred, axis=1)
    cosine = float(centred[0] @ centred[1] / max(float(lengths[0] * lengths[1]), 1e-12))
    return {"kind": kind, "a": features.ids[a], "b": features.ids[b], "cosine": round(cosine, 4)}


def _across(pairs: NDArray[np.int64], parts: list[Fold], n: int) -> NDArray[np.int64]:
    """(trains, judges, number of the pair) for every pair that some part divides, each pair once."""
    found: list[NDArray[np.int64]] = []
    seen = np.zeros(len(pairs), dtype=bool)
    for train, test in parts:
        side = np.zeros(n, dtype=np.int8)
        side[train], side[test] = 1, 2
        first, second = side[pairs[:, 0]], side[pairs[:, 1]]
        for a, b, hit in ((0, 1, (first == 1) & (second == 2)), (1, 0, (first == 2) & (second == 1))):
            rows = np.flatnonzero(hit & ~seen)
            found.append(np.stack([pairs[rows, a], pairs[rows, b], rows], axis=1))
            seen[rows] = True
    together = np.concatenate(found) if found else np.empty((0, 3), dtype=np.int64)
    return np.asarray(together[np.argsort(together[:, 2], kind="stable")])


def _filename_pairs(groups: NDArray[np.int64], parts: list[Fold]) -> NDArray[np.int64]:
    """One (trains, judges, -1) for every judged row whose group by file name trains."""
    found = []
    for train, test in parts:
        first = dict(zip(groups[train[::-1]].tolist(), train[::-1].tolist(), strict=True))
        rows = [(first[group], row, -1) for row, group in zip(test.tolist(), groups[test].tolist(), strict=True)
                if group in first]  # fmt: skip
        found.append(np.array(rows, dtype=np.int64).reshape(-1, 3))
    return np.concatenate(found)


def _count_filename_pairs(groups: NDArray[np.int64], parts: list[Fold]) -> int:
    """Pairs of one group that some part divides, each once."""
    if len(parts) == 1:
        size = int(groups.max()) + 1
        train, test = (np.bincount(groups[rows], minlength=size) for rows in parts[0])
        return int(train @ test)
    sides = np.zeros((len(groups), len(parts)), dtype=np.int64)
    for number, (train, test) in enumerate(parts):
        sides[train, number], sides[test, number] = 1, 2
    # Images of one group that stand on the same sides of all parts are as one.
    cells, sizes = np.unique(np.column_stack([groups, sides]), axis=0, return_counts=True)
    begins = np.flatnonzero(np.r_[True, np.diff(cells[:, 0]) > 0, True])
    total = 0
    for begin, end in itertools.pairwise(begins.tolist()):
        if end - begin > 1:
            own = cells[begin:end, 1:]
            divided = (own == 1) @ (own == 2).T
            total += int(sizes[begin:end] @ (divided | divided.T) @ sizes[begin:end]) // 2
    return total
