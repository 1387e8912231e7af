"""FilenameGroups: images whose names share a part that tells their source, as far as their looks bear it out."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from classifiers.leakage.data_groups import connected_groups, neighbours
from classifiers.leakage.filename_patterns import PATTERNS, FilenamePattern, part_codes
from classifiers.validation.significance import wilson
from classifiers.validation.splits import group_by
from featstore.errors import FeaturesError

_CREDIBLE = 0.75  # chance that a pair that shares the part is more alike than one that does not
_SHOWN = 0.6  # what this chance has to be at least, in view of how many groups tell it
_LEVEL = 1 - 0.01 / len(PATTERNS)  # each pattern is one more chance to be wrong
_SHARED = 0.1  # share of the images that have to share their part with another, for it to matter
_KINDS = 5  # groups a class from which words without a digit may be sources: fewer are rather kinds (indoors, outdoors)
_PAIRS = 1000  # that are looked at for each scope
_OTHERS = 16  # images that each of them is held against
_READABLE = 60  # letters of an expression that one may be asked to type

SCOPES = ("folder", "folders", "classes")
"""Pairs of images that share a part: of one folder and class; of several folders of one class; of several classes."""


@dataclasses.dataclass(frozen=True, eq=False)
class FilenameGroups:
    """Images that share a part of their names, joined where such images are more alike than others.

    Attributes
    ----------
    pattern : str
        Regular expression on printable paths whose first group is the shared part.
    groups : ndarray of shape (n,), int64
        Joined within the `joined` scopes only: a number that starts again in every folder joins no folders.
    evidence : float
        Chance in [0, 1] that two images that are joined are more alike than one of them and an image of the other's
        class and folder that does not share the part; 0.5 says that the part means nothing.
    at_least : float
        Lower end of its interval, each group of several images counted as one observation.
    joined : tuple of str
        The `SCOPES` in which sharing the part is shown to mean something.
    apart : tuple of str
        Those in which images share the part, too, and are not shown to be alike for it; they are not joined.
    exact : bool
        Whether `pattern` gives the very groups; else only `groups="auto"` does.
    spoken : str
        What the shared part is, in words.
    marked : bool
        Whether the names say themselves that images of one folder are variants (`photo.jpg`, `photo_flip.jpg`), and
        looks do not speak against it.
    """

    pattern: str
    groups: NDArray[np.int64]
    evidence: float
    at_least: float = 0.0
    joined: tuple[str, ...] = ("folder",)
    apart: tuple[str, ...] = ()
    exact: bool = True
    spoken: str = "a part"
    marked: bool = False

    @property
    def telling(self) -> bool:
        """Whether images that share this part of a name are clearly more alike, be they ever so few."""
        return self.evidence >= _CREDIBLE

    @property
    def credible(self) -> bool:
        """Whether sharing this part of a name means something, seen in enough groups."""
        return self.marked or (self.telling and self.at_least >= _SHOWN)

    @property
    def suggestion(self) -> str:
        """What to give as `groups`: the pattern, or "auto" where no short pattern keeps to the scopes."""
        return self.pattern if self.exact and len(self.pattern) <= _READABLE else "auto"


def find_filename_groups(
    names: Sequence[str], y: NDArray[np.int64], X: NDArray[np.float32], *, seed: int = 0
) -> tuple[FilenameGroups | None, list[FilenameGroups]]:
    """Look for a part of the names that tells which images come from one source.

    A shared part alone proves little (numbers are often counters), so pairs that share it have to look more alike than
    pairs that do not, in enough groups to tell. This is asked three times: of images in one folder, of images of one
    class in several folders, and of images of several classes. Images are joined only where the answer is yes: the
    number of `cat/001_a.jpg` and `dog/001_a.jpg` is no source if it starts again in every folder, but `patient_12`
    may be one in all of them. A pair (i, j) is held against pairs (i, k), where k is of the same folder and class as j
    (of the same class where the folder holds no other), so that what folders or classes have in common proves nothing.
    A part of a random id (a digest, a UUID) is none. Names of one folder that differ in words such as copy, flip or aug
    only say more than looks: there it is enough that images are more alike than chance, however few or many they are.

    Parameters
    ----------
    names : sequence of n str
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
    if not len(names):
        return None, []
    rng = np.random.default_rng(seed)
    centred = X - X.mean(axis=0)
    unit = centred / np.maximum(np.linalg.norm(centred, axis=1, keepdims=True), 1e-12)
    known: list[NDArray[np.int64]] = []
    candidates: list[FilenameGroups] = []
    for pattern in PATTERNS:
        parts, folders = pattern.read(names)
        codes = part_codes(parts)
        if any(np.array_equal(codes, other) for other in known):
            continue
        marked = pattern.marked and _say_themselves(names, parts, codes)
        if not (marked or _may_tell(parts, codes, y)) or pattern.reads_ids(names):
            continue
        known.append(codes)
        found = _judged(pattern, marked, names, _Looks(unit, y, part_codes(folders), codes), rng)
        if found is not None and not any(np.array_equal(found.groups, c.groups) for c in candidates):
            candidates.append(found)
    good = [c for c in candidates if c.credible]
    best = _coarsest(good, unit, y, rng) if good else None
    within = {"folder", "folders"}  # that a counter starts again for every class is not worth a word
    return best, [c for c in candidates if not c.credible and within & {*c.joined, *c.apart}]


def _say_themselves(names: Sequence[str], parts: list[str | None], codes: NDArray[np.int64]) -> bool:
    """Whether names that share a part are mostly an original and its variants, not `beagle_crop_1`, `beagle_crop_2`:
    the part alone is a name, or it holds a number."""
    several = np.bincount(codes) > 1
    own = np.zeros(len(several), dtype=bool)
    for code, name, part in zip(codes.tolist(), names, parts, strict=True):
        if part is not None:
            stem = name.rpartition("/")[2].rpartition(".")
            own[code] |= part == (stem[0] or stem[2]) or any(map(str.isdigit, part))
    return bool(several.any() and own[several].mean() > 0.5)


def _may_tell(parts: list[str | None], codes: NDArray[np.int64], y: NDArray[np.int64]) -> bool:
    """Whether enough images share a part, and the parts are not a few kinds of things."""
    shared = np.bincount(codes)[codes] > 1
    if shared.mean() < _SHARED:
        return False
    words = np.array([part is not None and not any(map(str.isdigit, part)) for part in parts])
    if words[shared].mean() <= 0.5:
        return True
    return float(np.median([len(np.unique(codes[y == c])) for c in np.unique(y)])) >= _KINDS


@dataclasses.dataclass(frozen=True, eq=False)
class _Looks:
    """Whether images that share a part are more alike than others.

    unit: (n, d) centred features of length 1; y, folders, parts: (n,) numbers of classes, folders and parts.
    """

    unit: NDArray[np.float32]
    y: NDArray[np.int64]
    folders: NDArray[np.int64]
    parts: NDArray[np.int64]

    def pairs(self, rng: np.random.Generator) -> dict[str, NDArray[np.intp]]:
        """Pairs of each scope that share the part."""
        y, folders = self.y, self.folders
        inside = _drawn(_codes(self.parts, y, folders), rng)
        across = _drawn(_codes(self.parts, y), rng)
        other = _drawn(self.parts, rng)
        return {
            "folder": inside,
            "folders": across[folders[across[:, 0]] != folders[across[:, 1]]],
            "classes": other[y[other[:, 0]] != y[other[:, 1]]],
        }

    def chances(self, pairs: NDArray[np.intp], rng: np.random.Generator) -> _Chances:
        """How often each pair is more alike than one of its images and another of the other's folder and class."""
        if len(pairs) > _PAIRS:
            pairs = pairs[rng.choice(len(pairs), _PAIRS, replace=False)]
        others, fit = self._others(pairs, rng)
        told = fit.any(axis=1)
        pairs, others, fit = pairs[told], others[told], fit[told]
        below = np.empty(len(pairs))
        for some in np.array_split(np.arange(len(pairs)), -(-len(pairs) // 256) or 1):
            first = self.unit[pairs[some, 0]]
            own = np.einsum("ij,ij->i", first, self.unit[pairs[some, 1]])[:, None]
            theirs = np.einsum("ij,ikj->ik", first, self.unit[others[some]])
            won = (own > theirs) + 0.5 * (own == theirs)
            below[some] = (won * fit[some]).sum(axis=1) / fit[some].sum(axis=1)
        return _Chances(pairs[:, 0], below, fit.sum(axis=1))

    def _others(self, pairs: NDArray[np.intp], rng: np.random.Generator) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
        """Images of the class and folder of the second of each pair, shape (m, k); and which of them may be used."""
        own = self.parts[pairs[:, 1]][:, None]
        others = _alongside(_codes(self.y, self.folders), pairs[:, 1], rng)
        lacking = (self.parts[others] == own).all(axis=1)
        if lacking.any():
            others[lacking] = _alongside(self.y, pairs[lacking, 1], rng)
        return others, self.parts[others] != own


@dataclasses.dataclass(frozen=True, eq=False)
class _Chances:
    """rows, below, others, each (m,): one row of each pair, its chance in [0, 1], how many others told it."""

    rows: NDArray[np.intp]
    below: NDArray[np.float64]
    others: NDArray[np.int64]

    @classmethod
    def together(cls, several: Sequence[_Chances]) -> _Chances:
        """Those of several scopes."""
        fields = ([getattr(one, field.name) for one in several] for field in dataclasses.fields(cls))
        return cls(*map(np.concatenate, fields))

    def each(self, groups: NDArray[np.int64]) -> NDArray[np.float64]:
        """The mean of each group: pairs of one group are not independent of one another."""
        owner = np.unique(groups[self.rows], return_inverse=True)[1]
        return np.bincount(owner, weights=self.below) / np.bincount(owner)

    def shown(self, groups: NDArray[np.int64], at_least: float = _CREDIBLE) -> bool:
        """Whether the pairs are alike beyond chance, and as clearly as is asked for."""
        if not len(self.rows):
            return False
        each = self.each(groups)
        # A pair that is like any other wins against 0 to k of k others, each as likely.
        variance = float((1 / 12 + 1 / (6 * self.others)).mean()) / len(each)
        mean = float(each.mean())
        return mean >= at_least and mean - float(norm.ppf(_LEVEL)) * variance**0.5 > 0.5


def _judged(
    pattern: FilenamePattern, marked: bool, names: Sequence[str], looks: _Looks, rng: np.random.Generator
) -> FilenameGroups | None:
    """The groups of a pattern, joined where looks bear them out; None where nothing can be told."""
    chances = {scope: looks.chances(pairs, rng) for scope, pairs in looks.pairs(rng).items() if len(pairs)}
    told = [scope for scope in chances if len(chances[scope].rows)]
    if not told:
        return None
    by_words = marked and "folder" in told and chances["folder"].shown(_groups(looks, ("folder",)), 0.5)
    joined = tuple(
        scope for scope in told if chances[scope].shown(_groups(looks, (scope,))) or (by_words and scope == "folder")
    )
    apart = tuple(scope for scope in chances if scope not in joined)
    counted = joined or told  # nothing shown: all together tell how little the part means
    groups = _groups(looks, counted)
    each = _Chances.together([chances[scope] for scope in counted]).each(groups)
    low, _ = wilson(float(each.sum()), len(each), 2 * _LEVEL - 1)
    expression = next((e for e in (pattern.anywhere, pattern.with_last_folder, pattern.with_folder)
                       if _gives(e, names, groups)), None)  # fmt: skip
    return FilenameGroups(
        expression or pattern.anywhere, groups, float(each.mean()), low, joined, apart, expression is not None,
        pattern.spoken, by_words,
    )  # fmt: skip


def _groups(looks: _Looks, scopes: Sequence[str]) -> NDArray[np.int64]:
    """Rows that share a part within one of the scopes."""
    links = [np.empty((2, 0), dtype=np.int64)]
    if "folder" in scopes:
        links.append(neighbours(_codes(looks.parts, looks.y, looks.folders)))
    if "folders" in scopes:
        links.append(_bridged(_codes(looks.parts, looks.y), looks.folders))
    if "classes" in scopes:
        links.append(_bridged(looks.parts, looks.y))
    return connected_groups(len(looks.parts), *np.concatenate(links, axis=1))


def _bridged(keys: NDArray[np.int64], banks: NDArray[np.int64]) -> NDArray[np.int64]:
    """Pairs that chain the rows of each key that stands on several banks: folders, classes."""
    distinct = np.unique(np.stack([keys, banks]), axis=1)[0]
    pairs = neighbours(keys)
    return np.asarray(pairs[:, np.bincount(distinct)[keys[pairs[0]]] > 1])


def _gives(expression: str, names: Sequence[str], groups: NDArray[np.int64]) -> bool:
    """Whether an expression puts the names into these very groups."""
    try:
        found = group_by(names, expression)
    except FeaturesError:
        return False
    return np.array_equal(found, part_codes([str(group) for group in groups.tolist()]))


def _coarsest(
    good: list[FilenameGroups], unit: NDArray[np.float32], y: NDArray[np.int64], rng: np.random.Generator
) -> FilenameGroups:
    """The pattern that tells most; or one that joins its groups further, if these pairs are as alike as the others."""
    best = max(good, key=lambda c: (c.at_least, c.evidence))
    for one in sorted(good, key=lambda c: len(np.unique(c.groups)), reverse=True):
        if one is best or not _refines(best.groups, one.groups):
            continue
        added = _drawn(one.groups, rng)
        added = added[best.groups[added[:, 0]] != best.groups[added[:, 1]]]
        chances = _Looks(unit, y, np.zeros_like(y), one.groups).chances(added, rng)
        if len(chances.rows) and chances.each(one.groups).mean() >= best.at_least:
            best = one
    return best


def _refines(fine: NDArray[np.int64], coarse: NDArray[np.int64]) -> bool:
    """Whether every group of the one lies within a group of the other, and there are more of them."""
    both = len(np.unique(_codes(fine, coarse)))
    return both == len(np.unique(fine)) > len(np.unique(coarse))


def _codes(*columns: NDArray[np.int64]) -> NDArray[np.int64]:
    """One number for each combination of several."""
    found = columns[0]
    for column in columns[1:]:
        found = np.unique(found * (int(column.max()) + 1) + column, return_inverse=True)[1].ravel().astype(np.int64)
    return found


def _drawn(keys: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.intp]:
    """Pairs (m, 2) of different rows with equal keys: neighbours in shuffled order, several times over."""
    parts = []
    for _ in range(max(1, min(10, 20 * _PAIRS // max(len(keys), 1)))):
        order = rng.permutation(len(keys))
        order = order[np.argsort(keys[order], kind="stable")]
        pairs = np.stack([order[:-1], order[1:]], axis=1)
        parts.append(pairs[keys[order[:-1]] == keys[order[1:]]])
    return np.concatenate(parts)


def _alongside(cells: NDArray[np.int64], rows: NDArray[np.intp], rng: np.random.Generator) -> NDArray[np.intp]:
    """Rows (m, k) drawn from the cell of each of m rows, with repetition."""
    order = np.argsort(cells, kind="stable")
    sizes = np.bincount(cells)
    begins = np.cumsum(sizes) - sizes
    own = cells[rows][:, None]
    drawn = (rng.random((len(rows), _OTHERS)) * sizes[own]).astype(np.intp)
    return np.asarray(order[begins[own] + drawn])
