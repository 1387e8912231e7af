"""CandidatePairs: pairs of images that are near each other in features, so that their pixels are worth comparing."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from classifiers.linalg import power_scaled, truncated_svd

SURE = 0.95
"""Cosine of centred features from which two images may be one picture, re-encoded or resized, by features alone."""

NEIGHBOURS = 5
"""Nearest rows of each row that are candidates, in the features as they are and once more in whitened ones."""

CLOSEST = 2
"""Of these, the nearest ones whose pixels are compared under crops and turns, too."""

_EXACT = 12_000  # rows up to which every row is compared with every other
_SAMPLE = 4000  # rows that the principal axes are read off
_RANK = 128  # of the whitened features
_EQUAL = 1e-3  # one minus the cosine up to which features are all but equal, though every image may have a twin
_ROUNDING = 2e-6  # one minus the cosine up to which it is 0: what float32 leaves of the cosine of equal rows
_SHORT = 1e-9  # length of a row whose squares float32 begins to lose
_DIRECTIONS = 5.0  # that features need to have before their cosines alone make anything certain
_BLOCK = 1024
_FEW = 128  # pairs whose rows stay in the processor's cache
_CELLS = 3  # of an inverted index that each row is looked up in


@dataclasses.dataclass(frozen=True, eq=False)
class CandidatePairs:
    """Pairs of rows that may show one picture; the most alike first.

    Attributes
    ----------
    pairs : ndarray of shape (m, 2), int64
        Row numbers, the smaller one first.
    cosine : ndarray of shape (m,), float32
        Of the centred features.
    closest : ndarray of shape (m,), bool
        Among the nearest two of one of the images.
    alike : ndarray of shape (m,), bool
        At most half as far apart as an image and the nearest that is not its equal usually are.
    sure : ndarray of shape (m,), bool
        The same picture by features alone: cosine at least 0.95 and a quarter as far apart as an image and the
        nearest that is not its equal usually are, or cosine at least 0.999; and half as far as all but one in a
        thousand pairs. Where more pairs than that are equal, to be equal makes nothing sure.
    """

    pairs: NDArray[np.int64]
    cosine: NDArray[np.float32]
    closest: NDArray[np.bool_]
    alike: NDArray[np.bool_]
    sure: NDArray[np.bool_]


def find_candidate_pairs(
    X: NDArray[np.float32], *, seed: int = 0, progress: Callable[[float], None] | None = None
) -> CandidatePairs:
    """The nearest rows of each row, whatever their classes.

    Whitened features leave what is special about an image; copies that are cropped or turned are often nearer there.
    Above 12,000 rows an inverted index of seeded centres takes the place of comparing every row with every other.

    Features are scaled by a power of two first, so that none is too large or too small to be squared; no other scale of
    them changes anything. Nothing can be told of rows without features or all alike.

    Parameters
    ----------
    X : ndarray of shape (n, d), float32
        Finite.
    seed : int
        Seed of the sample that the axes are read off, and of the centres.
    progress : callable, optional
        Told the share that is done.

    Returns
    -------
    CandidatePairs

    References
    ----------
    Sivic, J., Zisserman, A. (2003). Video Google: a text retrieval approach to object matching in videos. ICCV (the
    inverted index).

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(30, 20)).astype(np.float32)
    >>> X[4] = X[0] + 0.01  # nearly the same picture
    >>> found = find_candidate_pairs(X)
    >>> found.pairs[found.sure].tolist()
    [[0, 4]]
    """
    n = len(X)
    X = power_scaled(X)
    if n < 2 or not X.shape[1]:
        none = np.zeros(0, dtype=bool)
        return CandidatePairs(np.empty((0, 2), np.int64), np.empty(0, np.float32), none, none, none)
    rng = np.random.default_rng(seed)
    mean, axes, lengths = _principal_axes(X, rng, seed)
    scores = np.concatenate([(X[at : at + _BLOCK] - mean) @ axes.T for at in range(0, n, _BLOCK)])
    plain = _unit(np.asarray(X - mean, dtype=np.float32)) if n <= _EXACT else _unit(scores)
    views = [plain] if len(lengths) < 8 else [plain, _unit(np.asarray(scores / lengths, dtype=np.float32))]
    found, closest = [], []
    for number, view in enumerate(views):

        def told(share: float, number: int = number) -> None:
            if progress is not None:
                progress((number + share) / len(views))

        near = _nearest_rows(view, min(NEIGHBOURS, n - 1), rng, told)
        own = np.repeat(np.arange(n), near.shape[1])
        found.append(np.stack([own, near.ravel()], axis=1))
        closest.append(np.tile(np.arange(near.shape[1]) < CLOSEST, n))
    together = np.sort(np.concatenate(found), axis=1).astype(np.int64)
    good = (together[:, 0] >= 0) & (together[:, 0] != together[:, 1])
    keys, inverse = np.unique(together[good, 0] * n + together[good, 1], return_inverse=True)
    pairs = np.stack([keys // n, keys % n], axis=1)
    among = np.zeros(len(keys), dtype=bool)
    among[inverse[np.concatenate(closest)[good]]] = True
    cosine = _cosines(X, mean, pairs)
    usual = _usual_distance(n, pairs, cosine)
    one, other = rng.integers(0, n, (2, 20_000))
    drawn = np.stack([np.minimum(one, other), np.maximum(one, other)], axis=1)
    drawn = drawn[(one != other) & ~np.isin(drawn[:, 0] * n + drawn[:, 1], keys)]  # no neighbours: copies would be some
    ordinary = float(np.quantile(_cosines(X, mean, drawn), 0.999)) if len(drawn) else 1.0
    reach = min(max(_EQUAL, min(1 - SURE, 0.25 * usual)), 0.5 * (1 - ordinary))
    if len(lengths) < 2 or (lengths**2).sum() ** 2 / (lengths**4).sum() < _DIRECTIONS:
        reach = 0.0
    order = np.argsort(-cosine, kind="stable")
    far = 1 - cosine[order]
    alike = (far <= 0.5 * usual) & (usual > 0)  # where all are equal there is nothing to tell them by
    return CandidatePairs(pairs[order], cosine[order], among[order], alike, (far <= reach) & (reach > 0))


def _principal_axes(
    X: NDArray[np.float32], rng: np.random.Generator, seed: int
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """Mean (d,), axes (r, d) and standard deviations (r,) of a sample of the rows."""
    rows = X if len(X) <= _SAMPLE else X[np.sort(rng.choice(len(X), _SAMPLE, replace=False))]
    mean = rows.mean(axis=0, dtype=np.float64).astype(np.float32)  # of a constant feature exactly what it is
    rank = max(1, min(_RANK, len(rows) // 4, X.shape[1]))
    _, spread, axes = truncated_svd(np.asarray(rows - mean, dtype=np.float32), rank, iterations=2, seed=seed)
    alive = spread > 1e-4 * max(float(spread[0]) if len(spread) else 0.0, 1e-30)
    return mean, axes[alive], np.asarray(spread[alive] / np.sqrt(len(rows)), dtype=np.float32)


def _nearest_rows(
    unit: NDArray[np.float32], k: int, rng: np.random.Generator, told: Callable[[float], None]
) -> NDArray[np.int64]:
    """The k nearest other rows of each row by cosine, shape (n, k); -1 where an inverted index has fewer."""
    n = len(unit)
    if n <= _EXACT:
        out = np.empty((n, k), dtype=np.int64)
        for at in range(0, n, _BLOCK):
            own = np.arange(at, min(at + _BLOCK, n))
            out[own] = _top(unit[own] @ unit.T, own, np.arange(n), k)
            told(float(own[-1] + 1) / n)
        return out
    centres = unit[np.sort(rng.choice(n, round(np.sqrt(n)), replace=False))]
    cells = np.empty((n, _CELLS), dtype=np.int64)
    for at in range(0, n, _BLOCK):
        seen = unit[at : at + _BLOCK] @ centres.T
        nearest = np.argpartition(-seen, _CELLS, axis=1)[:, :_CELLS]
        order = np.argsort(-np.take_along_axis(seen, nearest, axis=1), axis=1, kind="stable")
        cells[at : at + _BLOCK] = np.take_along_axis(nearest, order, axis=1)
    by_cell = np.argsort(cells[:, 0], kind="stable")
    starts = np.searchsorted(cells[by_cell, 0], np.arange(len(centres) + 1))
    out = np.full((n, k), -1, dtype=np.int64)
    best = np.full((n, k), -np.inf, dtype=np.float32)
    for cell in range(len(centres)):
        held = by_cell[starts[cell] : starts[cell + 1]]
        asking = np.flatnonzero((cells == cell).any(axis=1)) if len(held) else held
        for at in range(0, len(asking), _BLOCK):
            own = asking[at : at + _BLOCK]
            seen = unit[own] @ unit[held].T
            rows = _top(seen, own, held, min(k, len(held)))
            values = np.where(rows >= 0, np.einsum("id,ijd->ij", unit[own], unit[rows]), -np.inf)
            both, names = np.concatenate([best[own], values], axis=1), np.concatenate([out[own], rows], axis=1)
            order = np.argsort(-both, axis=1, kind="stable")[:, :k]
            best[own], out[own] = np.take_along_axis(both, order, axis=1), np.take_along_axis(names, order, axis=1)
        told((cell + 1) / len(centres))
    return out


def _top(cosines: NDArray[np.float32], own: NDArray[np.int64], held: NDArray[np.int64], k: int) -> NDArray[np.int64]:
    """The k of `held` with the largest cosine for each of `own`, best first, without itself (-1 where none is left)."""
    cosines = np.where(own[:, None] == held[None, :], -np.inf, cosines)
    nearest = np.argpartition(-cosines, min(k, cosines.shape[1] - 1), axis=1)[:, :k]
    seen = np.take_along_axis(cosines, nearest, axis=1)
    order = np.argsort(-seen, axis=1, kind="stable")
    rows = held[np.take_along_axis(nearest, order, axis=1)]
    return np.where(np.isfinite(np.take_along_axis(seen, order, axis=1)), rows, -1)


def _cosines(X: NDArray[np.float32], mean: NDArray[np.float32], pairs: NDArray[np.int64]) -> NDArray[np.float32]:
    out = np.empty(len(pairs), dtype=np.float32)
    for at in range(0, len(pairs), _FEW):
        a, b = (_unit(X[pairs[at : at + _FEW, side]] - mean) for side in (0, 1))
        out[at : at + _FEW] = np.einsum("ij,ij->i", a, b)
    out[out > 1 - _ROUNDING] = 1
    return out


def _unit(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Rows of length 1, however short they are; those of length 0 stay 0."""
    length = np.sqrt(np.einsum("ij,ij->i", rows, rows))
    if (length < _SHORT).any():
        short = length < _SHORT
        rows = rows.copy()
        rows[short] /= np.maximum(np.abs(rows[short]).max(axis=1, initial=0, keepdims=True), np.finfo(np.float32).tiny)
        length[short] = np.sqrt(np.einsum("ij,ij->i", rows[short], rows[short]))
    return np.asarray(rows / np.where(length > 0, length, 1)[:, None], dtype=np.float32)


def _usual_distance(n: int, pairs: NDArray[np.int64], cosine: NDArray[np.float32]) -> float:
    """Median of one minus the cosine of an image and the nearest that is not its equal; 0 where all are equal."""
    nearest, differ = np.full(n, -np.inf, dtype=np.float32), cosine < 1
    for side in (0, 1):
        np.maximum.at(nearest, pairs[differ, side], cosine[differ])
    known = nearest[np.isfinite(nearest)]
    return float(1 - np.median(known)) if len(known) else 0.0
