"""FilenameGroups: images whose names share a part that tells their source, as far as their looks bear it out."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from classifiers.leakage.filename_patterns import PATTERNS, FilenamePattern, part_codes
from classifiers.leakage.shared_parts import Chances, SharedParts, combined, drawn_pairs
from classifiers.validation.significance import wilson
from classifiers.validation.splits import group_by
from featstore.errors import FeaturesError

_CREDIBLE = 0.75  # chance that a pair that shares the part is more alike than one that does not
_SHOWN = 0.6  # what this chance has to be at least, in view of how many groups tell it
_LEVEL = 1 - 0.01 / len(PATTERNS)  # each pattern is one more chance to be wrong
_SHARED = 0.1  # share of the images that have to share their part with another, for it to matter
_KINDS = 5  # groups a class from which words without a digit may be sources: fewer are rather kinds (indoors, outdoors)
_READABLE = 60  # letters of an expression that one may be asked to type


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
        The `shared_parts.SCOPES` in which sharing the part is shown to mean something.
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
        found = _judged(pattern, marked, names, SharedParts(unit, y, part_codes(folders), codes), rng)
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


def _judged(
    pattern: FilenamePattern, marked: bool, names: Sequence[str], shared: SharedParts, rng: np.random.Generator
) -> FilenameGroups | None:
    """The groups of a pattern, joined where looks bear them out; None where nothing can be told."""
    chances = {scope: shared.chances(pairs, rng) for scope, pairs in shared.pairs(rng).items() if len(pairs)}
    told = [scope for scope in chances if len(chances[scope].rows)]
    if not told:
        return None
    by_words = marked and "folder" in told and chances["folder"].shown(shared.groups(("folder",)), 0.5, _LEVEL)
    joined = tuple(
        scope
        for scope in told
        if chances[scope].shown(shared.groups((scope,)), _CREDIBLE, _LEVEL) or (by_words and scope == "folder")
    )
    apart = tuple(scope for scope in chances if scope not in joined)
    counted = joined or told  # nothing shown: all together tell how little the part means
    groups = shared.groups(counted)
    each = Chances.together([chances[scope] for scope in counted]).each(groups)
    low, _ = wilson(float(each.sum()), len(each), 2 * _LEVEL - 1)
    expression = next((e for e in (pattern.anywhere, pattern.with_last_folder, pattern.with_folder)
                       if _gives(e, names, groups)), None)  # fmt: skip
    return FilenameGroups(
        expression or pattern.anywhere, groups, float(each.mean()), low, joined, apart, expression is not None,
        pattern.spoken, by_words,
    )  # fmt: skip


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
        added = drawn_pairs(one.groups, rng)
        added = added[best.groups[added[:, 0]] != best.groups[added[:, 1]]]
        chances = SharedParts(unit, y, np.zeros_like(y), one.groups).chances(added, rng)
        if len(chances.rows) and chances.each(one.groups).mean() >= best.at_least:
            best = one
    return best


def _refines(fine: NDArray[np.int64], coarse: NDArray[np.int64]) -> bool:
    """Whether every group of the one lies within a group of the other, and there are more of them."""
    both = len(np.unique(combined(fine, coarse)))
    return both == len(np.unique(fine)) > len(np.unique(coarse))
