"""SharedParts: whether images that share a part of their names look more alike than others do."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from classifiers.leakage.data_groups import connected_groups, neighbours

SCOPES = ("folder", "folders", "classes")
"""Pairs of images that share a part: of one folder and class; of several folders of one class; of several classes."""

_PAIRS = 1000  # that are looked at for each scope
_OTHERS = 16  # images that each of them is held against


@dataclasses.dataclass(frozen=True, eq=False)
class SharedParts:
    """Parts of names that several images share, and whether such images look more alike than others.

    Attributes
    ----------
    unit : ndarray of shape (n, d), float32
        Centred features of length 1.
    y, folders, parts : ndarray of shape (n,), int64
        Numbers of the class, the folder and the part of each image.

    Examples
    --------
    >>> unit = np.eye(4, dtype=np.float32)[[0, 0, 1, 1, 2, 2, 3, 3]]
    >>> folder = np.zeros(8, dtype=np.int64)
    >>> shared = SharedParts(unit, folder, folder, np.arange(8) // 2)
    >>> pairs = shared.pairs(np.random.default_rng(0))["folder"]
    >>> float(shared.chances(pairs, np.random.default_rng(0)).below.min())
    1.0
    >>> shared.groups(("folder",))
    array([0, 0, 1, 1, 2, 2, 3, 3])
    """

    unit: NDArray[np.float32]
    y: NDArray[np.int64]
    folders: NDArray[np.int64]
    parts: NDArray[np.int64]

    def pairs(self, rng: np.random.Generator) -> dict[str, NDArray[np.intp]]:
        """Pairs of each of `SCOPES` that share the part, drawn, each of shape (m, 2)."""
        y, folders = self.y, self.folders
        inside = drawn_pairs(combined(self.parts, y, folders), rng)
        across = drawn_pairs(combined(self.parts, y), rng)
        other = drawn_pairs(self.parts, rng)
        return {
            "folder": inside,
            "folders": across[folders[across[:, 0]] != folders[across[:, 1]]],
            "classes": other[y[other[:, 0]] != y[other[:, 1]]],
        }

    def chances(self, pairs: NDArray[np.intp], rng: np.random.Generator) -> Chances:
        """How often each pair is more alike than one of its images and another of the other's folder and class.

        Parameters
        ----------
        pairs : ndarray of shape (m, 2), int
        rng : Generator
            Of the images that they are held against.
        """
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
        return Chances(pairs[:, 0], below, fit.sum(axis=1))

    def groups(self, scopes: Sequence[str]) -> NDArray[np.int64]:
        """Number of the group of each row, (n,): rows that share a part within one of the scopes."""
        links = [np.empty((2, 0), dtype=np.int64)]
        if "folder" in scopes:
            links.append(neighbours(combined(self.parts, self.y, self.folders)))
        if "folders" in scopes:
            links.append(_bridged(combined(self.parts, self.y), self.folders))
        if "classes" in scopes:
            links.append(_bridged(self.parts, self.y))
        return connected_groups(len(self.parts), *np.concatenate(links, axis=1))

    def _others(self, pairs: NDArray[np.intp], rng: np.random.Generator) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
        """Images of the class and folder of the second of each pair, shape (m, k); and which of them may be used."""
        own = self.parts[pairs[:, 1]][:, None]
        others = _alongside(combined(self.y, self.folders), pairs[:, 1], rng)
        lacking = (self.parts[others] == own).all(axis=1)
        if lacking.any():
            others[lacking] = _alongside(self.y, pairs[lacking, 1], rng)
        return others, self.parts[others] != own


@dataclasses.dataclass(frozen=True, eq=False)
class Chances:
    """How often pairs of images are more alike than others.

    Attributes
    ----------
    rows : ndarray of shape (m,), int
        One row of each pair.
    below : ndarray of shape (m,), float64
        Its chance, in [0, 1].
    others : ndarray of shape (m,), int64
        How many other images told it.
    """

    rows: NDArray[np.intp]
    below: NDArray[np.float64]
    others: NDArray[np.int64]

    @classmethod
    def together(cls, several: Sequence[Chances]) -> Chances:
        """Those of several scopes."""
        fields = ([getattr(one, field.name) for one in several] for field in dataclasses.fields(cls))
        return cls(*map(np.concatenate, fields))

    def each(self, groups: NDArray[np.int64]) -> NDArray[np.float64]:
        """The mean of each group: pairs of one group are not independent of one another."""
        owner = np.unique(groups[self.rows], return_inverse=True)[1]
        return np.bincount(owner, weights=self.below) / np.bincount(owner)

    def shown(self, groups: NDArray[np.int64], at_least: float, level: float) -> bool:
        """Whether the pairs are alike beyond chance, and as clearly as is asked for.

        Parameters
        ----------
        groups : ndarray of shape (n,), int64
            Of all rows.
        at_least : float
            The mean chance that is asked for.
        level : float
            Of the one-sided test that it is above 0.5.
        """
        if not len(self.rows):
            return False
        each = self.each(groups)
        # A pair that is like any other wins against 0 to k of k others, each as likely.
        variance = float((1 / 12 + 1 / (6 * self.others)).mean()) / len(each)
        mean = float(each.mean())
        return mean >= at_least and mean - float(norm.ppf(level)) * variance**0.5 > 0.5


def combined(*columns: NDArray[np.int64]) -> NDArray[np.int64]:
    """One number for each combination of several."""
    found = columns[0]
    for column in columns[1:]:
        found = np.unique(found * (int(column.max()) + 1) + column, return_inverse=True)[1].ravel().astype(np.int64)
    return found


def drawn_pairs(keys: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.intp]:
    """Pairs (m, 2) of different rows with equal keys: neighbours in shuffled order, several times over."""
    parts = []
    for _ in range(max(1, min(10, 20 * _PAIRS // max(len(keys), 1)))):
        order = rng.permutation(len(keys))
        order = order[np.argsort(keys[order], kind="stable")]
        pairs = np.stack([order[:-1], order[1:]], axis=1)
        parts.append(pairs[keys[order[:-1]] == keys[order[1:]]])
    return np.concatenate(parts)


def _bridged(keys: NDArray[np.int64], banks: NDArray[np.int64]) -> NDArray[np.int64]:
    """Pairs that chain the rows of each key that stands on several banks: folders, classes."""
    distinct = np.unique(np.stack([keys, banks]), axis=1)[0]
    pairs = neighbours(keys)
    return np.asarray(pairs[:, np.bincount(distinct)[keys[pairs[0]]] > 1])


def _alongside(cells: NDArray[np.int64], rows: NDArray[np.intp], rng: np.random.Generator) -> NDArray[np.intp]:
    """Rows (m, k) drawn from the cell of each of m rows, with repetition."""
    order = np.argsort(cells, kind="stable")
    sizes = np.bincount(cells)
    begins = np.cumsum(sizes) - sizes
    own = cells[rows][:, None]
    drawn = (rng.random((len(rows), _OTHERS)) * sizes[own]).astype(np.intp)
    return np.asarray(order[begins[own] + drawn])
