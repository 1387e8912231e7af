"""FilenameGroups: parts of file names that several images share, and whether sharing one means anything."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from classifiers.validation.significance import wilson
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
_SHOWN = 0.6  # what this chance has to be at least, in view of how many groups tell it
_LEVEL = 1 - 0.01 / len(PATTERNS)  # each pattern is one more chance to be wrong
_INSIDE = 0.05  # share of names whose shared part lies inside of an id from which the pattern reads ids, not sources
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
    at_least : float
        Lower end of its interval, each group of several images counted as one observation.
    """

    pattern: str
    groups: NDArray[np.int64]
    evidence: float
    at_least: float = 0.0

    @property
    def credible(self) -> bool:
        """Whether sharing this part of a name means something."""
        return self.evidence >= _CREDIBLE and self.at_least >= _SHOWN


def find_filename_groups(
    names: tuple[str, ...], y: NDArray[np.int64], X: NDArray[np.float32], *, seed: int = 0
) -> tuple[FilenameGroups | None, list[FilenameGroups]]:
    """Look for a part of the names that tells which images come from one source.

    A shared part alone proves little (numbers are often counters), so pairs that share it have to look more alike than
    other pairs of their class, in enough groups to tell. A part of a random id (a digest, a UUID) is none.

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
    if not names:
        return None, []
    rng = np.random.default_rng(seed)
    centred = X - X.mean(axis=0)
    unit = centred / np.maximum(np.linalg.norm(centred, axis=1, keepdims=True), 1e-12)
    candidates: list[FilenameGroups] = []
    for pattern in PATTERNS:
        try:
            groups = group_by(names, pattern)
        except FeaturesError:
            continue  # it matches no name
        known = any(np.array_equal(groups, c.groups) for c in candidates)
        if _groups_something(groups, y) and not known and not _reads_ids(names, pattern):
            candidates.append(FilenameGroups(pattern, groups, *_evidence(unit, y, groups, rng)))
    good = [c for c in candidates if c.credible]
    best = max(good, key=lambda c: (c.at_least, c.evidence), default=None)
    return best, [c for c in candidates if not c.credible]


_WORD = re.compile(r"[0-9A-Za-z]{8,}|[0-9A-Fa-f]{4,}(?:-[0-9A-Fa-f]{4,}){2,}")
_SWITCH = re.compile(r"(?<=[0-9])(?=[A-Za-z])|(?<=[A-Za-z])(?=[0-9])")
_HEXADECIMAL = re.compile(r"[0-9A-Fa-f-]+")


def _random_ids(name: str) -> list[tuple[int, int]]:
    """Where a name holds a digest, a UUID or another random id: letters and digits that change places often."""
    found = []
    for word in _WORD.finditer(name):
        text = word[0]
        switches = len(_SWITCH.findall(text))
        plain = _HEXADECIMAL.fullmatch(text) is not None
        if switches >= 3 and (plain or (len(text) >= 12 and switches >= len(text) / 6)):
            found.append(word.span())
    return found


def _reads_ids(names: Sequence[str], pattern: str) -> bool:
    """Whether what a pattern catches is often a part of a random id, and not the whole of it."""
    inside = 0
    for name in names:
        caught = re.search(pattern, name)
        if caught is None:
            continue
        left, right = caught.span(1)
        ids = _random_ids(name)
        inside += any(a <= left < b and (left, right) != (a, b) or a < right < b for a, b in ids)
    return inside > _INSIDE * len(names)


def _groups_something(groups: NDArray[np.int64], y: NDArray[np.int64]) -> bool:
    """Whether enough images share a group, and no class is one group."""
    sizes = np.bincount(groups)
    if (sizes[groups] > 1).mean() < 0.1:
        return False
    per_class = np.array([len(np.unique(groups[y == c])) for c in np.unique(y)])
    return bool(per_class.min() >= 2 and np.median(per_class) >= 5 and sizes.max() < 0.5 * len(y))


def _evidence(
    unit: NDArray[np.float32], y: NDArray[np.int64], groups: NDArray[np.int64], rng: np.random.Generator
) -> tuple[float, float]:
    """Probability that a pair of one group has a larger cosine than a pair of the same class and different groups; and
    the lower end of its interval."""
    same = _drawn(groups * (int(y.max()) + 1) + y, rng)
    other = _drawn(y, rng)
    other = other[groups[other[:, 0]] != groups[other[:, 1]]]
    if not len(same) or not len(other):
        return 0.5, 0.0
    a = np.einsum("ij,ij->i", unit[same[:, 0]], unit[same[:, 1]])
    b = np.sort(np.einsum("ij,ij->i", unit[other[:, 0]], unit[other[:, 1]]))
    below = (np.searchsorted(b, a, "left") + np.searchsorted(b, a, "right")) / (2 * len(b))
    # Pairs of one group are not independent of one another: each group is one observation, its mean.
    owner = np.unique(groups[same[:, 0]], return_inverse=True)[1]
    each = np.bincount(owner, weights=below) / np.bincount(owner)
    low, _ = wilson(float(each.sum()), len(each), 2 * _LEVEL - 1)
    return float(below.mean()), low


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
