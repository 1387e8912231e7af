"""FilenameGroups: parts of file names that several images share, and whether sharing one means anything."""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from classifiers.validation.splits import group_by
from featstore.errors import FeaturesError

PATTERNS = (
    r"([^/]+)\.rf\.[^/]*$",  # photo_jpg.rf.0123abcd.jpg
    r"(?i)([^/]*?[^/ _.-])[ _.-]*(?:copy|aug|flip|rot|crop|mirror|blur|noise|bright|dup)[^/]*$",  # photo_aug3.png
    r"([^/]+?) ?\(\d+\)\.[^/.]*$",  # photo (2).jpg
    r"(?:^|/)[^/\d]*(\d+)[^/\d][^/]*\d[^/]*$",  # _12_3456.jpeg: the first of several numbers
    r"([^/]*[^/\d])\d+\.[^/.]*$",  # scan_a_017.png: all before the last number
    r"(?:^|/)([^/_. -]+)[_. -][^/]*$",  # patient7-left-2.png: the first word
    r"^(.*)/[^/]*$",  # patient7/slice.png: the folder
)
"""What copies, frames and slices of one source are often called."""

_CREDIBLE = 0.75  # chance that a pair of one group is more alike than a pair of two
_PAIRS = 20_000


@dataclasses.dataclass(frozen=True, eq=False)
class FilenameGroups:
    """A pattern whose groups hold images that are more alike than others of their class.

    Attributes
    ----------
    pattern : str
        Regular expression on printable paths.
    groups : ndarray of shape (n,), int64
    evidence : float
        Chance in [0, 1] that two images of one group are more alike than two of the same class and different groups;
        0.5 says that the shared part of the names means nothing.
    """

    pattern: str
    groups: NDArray[np.int64]
    evidence: float


def find_filename_groups(
    names: tuple[str, ...], y: NDArray[np.int64], X: NDArray[np.float32], *, seed: int = 0
) -> tuple[FilenameGroups | None, list[FilenameGroups]]:
    """Look for a part of the names that tells which images come from one source.

    A shared part alone proves little (numbers are often counters), so pairs that share it have to look more alike than
    other pairs of their class.

    Parameters
    ----------
    names : tuple of n str
        Printable paths.
    y : ndarray of shape (n,), int64
        Classes.
    X : ndarray of shape (n, d), float32
        Features.
    seed : int
        Seed of the drawing of pairs.

    Returns
    -------
    best : FilenameGroups or None
        The most telling pattern, None where no pattern means anything.
    rejected : list of FilenameGroups
        Patterns that group the names but not the looks.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> person = np.arange(60) // 3
    >>> names = tuple(f"person{p}-{i}.jpg" for i, p in enumerate(person))
    >>> X = (rng.normal(size=(20, 8))[person] + 0.1 * rng.normal(size=(60, 8))).astype(np.float32)
    >>> groups, _ = find_filename_groups(names, person % 2, X)
    >>> len(np.unique(groups.groups)), groups.evidence > 0.9
    (20, True)
    """
    rng = np.random.default_rng(seed)
    centred = X - X.mean(axis=0)
    unit = centred / np.maximum(np.linalg.norm(centred, axis=1, keepdims=True), 1e-12)
    candidates: list[FilenameGroups] = []
    for pattern in PATTERNS:
        try:
            groups = group_by(names, pattern)
        except FeaturesError:
            continue  # it matches no name
        if _groups_something(groups, y) and not any(np.array_equal(groups, c.groups) for c in candidates):
            candidates.append(FilenameGroups(pattern, groups, _evidence(unit, y, groups, rng)))
    good = [c for c in candidates if c.evidence >= _CREDIBLE]
    best = max(good, key=lambda c: c.evidence, default=None)
    return best, [c for c in candidates if c.evidence < _CREDIBLE]


def _groups_something(groups: NDArray[np.int64], y: NDArray[np.int64]) -> bool:
    """Whether enough images share a group, and no class is one group."""
    sizes = np.bincount(groups)
    if (sizes[groups] > 1).mean() < 0.1:
        return False
    per_class = np.array([len(np.unique(groups[y == c])) for c in np.unique(y)])
    return bool(per_class.min() >= 2 and np.median(per_class) >= 5 and sizes.max() < 0.5 * len(y))


def _evidence(
    unit: NDArray[np.float32], y: NDArray[np.int64], groups: NDArray[np.int64], rng: np.random.Generator
) -> float:
    """Probability that a pair of one group has a larger cosine than a pair of the same class and different groups."""
    same = _drawn(groups * (int(y.max()) + 1) + y, rng)
    other = _drawn(y, rng)
    other = other[groups[other[:, 0]] != groups[other[:, 1]]]
    if len(same) < 10 or len(other) < 10:
        return 0.5
    a = np.einsum("ij,ij->i", unit[same[:, 0]], unit[same[:, 1]])
    b = np.sort(np.einsum("ij,ij->i", unit[other[:, 0]], unit[other[:, 1]]))
    below = (np.searchsorted(b, a, "left") + np.searchsorted(b, a, "right")) / 2
    return float(below.mean() / len(b))


def _drawn(keys: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.intp]:
    """Pairs (m, 2) of different rows with equal keys: neighbours in shuffled order, several times over."""
    parts = []
    for _ in range(max(1, min(10, _PAIRS // max(len(keys), 1)))):
        order = rng.permutation(len(keys))
        order = order[np.argsort(keys[order], kind="stable")]
        pairs = np.stack([order[:-1], order[1:]], axis=1)
        parts.append(pairs[keys[order[:-1]] == keys[order[1:]]])
    found = np.concatenate(parts)
    return found if len(found) <= _PAIRS else found[rng.choice(len(found), _PAIRS, replace=False)]
