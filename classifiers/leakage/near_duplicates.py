"""NearDuplicates: pairs of images that may be copies of one picture, found by their features."""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from classifiers.linalg import truncated_svd

MOST_IMAGES = 40_000
"""Above this many images the search looks at a seeded sample of so many."""

SURE = 0.95
"""Cosine of centred features from which two images are the same picture, re-encoded or resized, whatever the rest."""

FALSE_SHARE = 0.03
"""Share of wrong pairs that is accepted."""

_STRICT = 0.01  # the same for the first pass, which only has to show how copies differ
_DECOYS = 2_000_000  # pairs of images of different classes that are looked at
_BLOCK = 2048  # rows of the cosine matrix held at a time
_ENOUGH = 20  # pairs of the first pass from which the second can learn


@dataclasses.dataclass(frozen=True, eq=False)
class NearDuplicates:
    """Pairs of rows of one class that look like copies of one picture.

    Attributes
    ----------
    a, b : ndarray of shape (m,), int64
        Row numbers, a < b; the most alike first.
    cosine : ndarray of shape (m,), float32
        Of the whitened features.
    threshold : float
        Where the cosine begins to count; 1 where nothing does.
    sure : ndarray of shape (m,), bool
        The same picture for certain: cosine of the centred features at least 0.95, twice as near as any two images of
        different classes and four times as near as neighbours usually are.
    looked_at : int
        Images that were compared.
    transitivity : float
        How often two images that look like a third look alike themselves. Copies of one picture do; images of a loose
        cluster, such as cats of one colour, form chains.
    """

    a: NDArray[np.int64]
    b: NDArray[np.int64]
    cosine: NDArray[np.float32]
    threshold: float
    sure: NDArray[np.bool_]
    looked_at: int
    transitivity: float


def find_near_duplicates(X: NDArray[np.float32], y: NDArray[np.int64], *, seed: int = 0) -> NearDuplicates:
    """Find pairs of the same class that look more alike than different pictures do.

    Augmented copies (turned, flipped, shifted) are not found by their plain cosine: all pictures of a narrow domain are
    alike. So the features are centred by class and whitened, which leaves what is special about an image. How alike
    different pictures can be is read off pairs of different classes, which cannot be copies: the threshold is where the
    expected share of wrong pairs is 3 % (target against decoy, as in proteomics). In a second pass the directions in
    which the pairs of the first differ, which is what augmentation does to features, count less.

    Parameters
    ----------
    X : ndarray of shape (n, d), float32
        Finite.
    y : ndarray of shape (n,), int64
        Classes.
    seed : int
        Seed of the sampling and of the randomised SVD.

    Returns
    -------
    NearDuplicates

    References
    ----------
    Elias, J., Gygi, S. (2007). Target-decoy search strategy. Nature Methods 4.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(30, 20)).astype(np.float32)
    >>> X[4] = X[0] + 0.01  # nearly the same picture
    >>> found = find_near_duplicates(X, np.arange(30) % 2)
    >>> found.a[found.sure], found.b[found.sure]
    (array([0]), array([4]))
    """
    rng = np.random.default_rng(seed)
    rows = np.arange(len(X))
    if len(X) > MOST_IMAGES:
        rows = np.sort(rng.choice(len(X), MOST_IMAGES, replace=False))
    x, classes = X[rows], np.unique(y[rows], return_inverse=True)[1]
    centred = x - x.mean(axis=0)
    unit = _unit(centred)
    decoys, _ = _decoys(unit, classes, rng)
    # In a poor feature space different pictures come near, too: copies have to be twice as near as any two of different
    # classes, and four times as near as neighbours usually are.
    reach = min(1 - SURE, 0.5 * (1 - float(decoys.max(initial=-1.0))), 0.25 * _usual_distance(unit, rng))
    copies = _pairs_above(unit, classes, 1 - reach)
    white = _whitened(centred, classes, seed)
    found, threshold = _none(), 1.0
    if white is not None:
        found, threshold = _above_decoys(_unit(white), classes, _STRICT, rng)
        if len(found[0]) >= _ENOUGH:
            white = _less_what_copies_change(white, found[0], found[1])
        found, threshold = _above_decoys(_unit(white), classes, FALSE_SHARE, rng)
    n = len(rows)
    keys = np.concatenate([copies[0] * n + copies[1], found[0] * n + found[1]])
    cosine = np.concatenate([np.ones(len(copies[0]), np.float32), found[2]])
    unique, first = np.unique(keys, return_index=True)
    sure = np.isin(unique, copies[0] * n + copies[1])
    order = np.argsort(-cosine[first], kind="stable")
    a, b = rows[unique // n][order].astype(np.int64), rows[unique % n][order].astype(np.int64)
    return NearDuplicates(a, b, cosine[first][order], threshold, sure[order], n, _transitivity(len(X), a, b))


def connected_groups(n: int, a: NDArray[np.int64], b: NDArray[np.int64]) -> NDArray[np.int64]:
    """Number of the group of each of n rows, when the pairs (a, b) belong together, shape (n,).

    Examples
    --------
    >>> connected_groups(4, np.array([0, 1]), np.array([1, 3])).tolist()
    [0, 0, 1, 0]
    """
    graph = coo_matrix((np.ones(len(a), dtype=np.int8), (a, b)), shape=(n, n))
    return np.asarray(connected_components(graph, directed=False)[1], dtype=np.int64)


def _usual_distance(unit: NDArray[np.float32], rng: np.random.Generator) -> float:
    """Median of one minus the cosine of an image and its nearest neighbour."""
    drawn = rng.permutation(len(unit))[:500]
    cosines = unit[drawn] @ unit.T
    cosines[np.arange(len(drawn)), drawn] = -1.0
    return float(1 - np.median(cosines.max(axis=1)))


def _transitivity(n: int, a: NDArray[np.int64], b: NDArray[np.int64]) -> float:
    """Share of paths of two pairs whose ends are a pair too; 0 without such paths."""
    graph = coo_matrix((np.ones(len(a)), (a, b)), shape=(n, n)).tocsr()
    graph = graph + graph.T
    paths = graph @ graph
    total = paths.sum() - paths.diagonal().sum()
    return float(paths.multiply(graph).sum() / total) if total else 0.0


_Pairs = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]


def _none() -> _Pairs:
    return np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.float32)


def _unit(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    length = np.sqrt(np.einsum("ij,ij->i", rows, rows))
    return np.asarray(rows / np.maximum(length, 1e-12)[:, None], dtype=np.float32)


def _whitened(centred: NDArray[np.float32], classes: NDArray[np.intp], seed: int) -> NDArray[np.float32] | None:
    """Scores (n, rank) of the first components within the classes, all of variance 1; None for too few images."""
    n = len(centred)
    rank = min(128, n // 8, centred.shape[1])
    if rank < 8:
        return None
    order = np.argsort(classes, kind="stable")
    found, starts = np.unique(classes[order], return_index=True)
    counts = np.diff(np.append(starts, n))
    means = np.add.reduceat(centred[order], starts, axis=0) / counts[:, None].astype(np.float32)
    within = np.asarray(centred - means[classes], dtype=np.float32)
    U, s, _ = truncated_svd(within, rank, iterations=4, seed=seed)
    alive = s > 1e-4 * max(float(s[0]), 1e-30)
    if alive.sum() < 8:
        return None
    return np.asarray(U[:, alive] * np.sqrt(n), dtype=np.float32)


def _less_what_copies_change(
    white: NDArray[np.float32], a: NDArray[np.int64], b: NDArray[np.int64]
) -> NDArray[np.float32]:
    """Whiten once more, by the differences between copies."""
    difference = (white[a] - white[b]).astype(np.float64)
    spread = difference.T @ difference / (2 * len(a))
    rank = len(spread)
    # A tenth of an equal spread keeps directions that few pairs happened to show from counting without limit.
    spread = 0.9 * spread + 0.1 * np.trace(spread) / rank * np.eye(rank)
    values, vectors = np.linalg.eigh(spread)
    return np.asarray(white @ (vectors / np.sqrt(np.maximum(values, 1e-12))).astype(np.float32), dtype=np.float32)


def _pairs_above(unit: NDArray[np.float32], classes: NDArray[np.intp], floor: float) -> _Pairs:
    """Pairs of one class whose cosine is above the floor."""
    parts = []
    order = np.argsort(classes, kind="stable")
    for own in np.split(order, np.cumsum(np.bincount(classes))[:-1]):
        own = np.sort(own)
        for at in range(0, len(own), _BLOCK):
            block = own[at : at + _BLOCK]
            cosines = unit[block] @ unit[own[at:]].T
            i, j = np.nonzero(cosines > floor)
            later = j > i
            i, j = i[later], j[later]
            parts.append((block[i], own[at + j], cosines[i, j]))
    if not parts:
        return _none()
    a, b, c = (np.concatenate(column) for column in zip(*parts, strict=True))
    return a.astype(np.int64), b.astype(np.int64), c


def _above_decoys(
    unit: NDArray[np.float32], classes: NDArray[np.intp], false_share: float, rng: np.random.Generator
) -> tuple[_Pairs, float]:
    """The pairs of one class among which no more than the given share is expected to be wrong."""
    counts = np.bincount(classes).astype(np.float64)
    same = float((counts * (counts - 1)).sum() / 2)
    # Cosines of unrelated whitened rows have a standard deviation of one over the root of their number.
    floor = max(0.2, 2.8 / np.sqrt(unit.shape[1]))
    a, b, cosine = _pairs_above(unit, classes, floor)
    decoys, drawn = _decoys(unit, classes, rng)
    if not len(a) or not drawn:
        return _none(), 1.0
    order = np.argsort(-cosine, kind="stable")
    above = len(decoys) - np.searchsorted(np.sort(decoys), cosine[order], side="left")
    wrong = above * (same / drawn) / np.arange(1, len(order) + 1)
    good = np.flatnonzero(wrong <= false_share)
    if not good.size:
        return _none(), 1.0
    kept = order[: good[-1] + 1]
    return (a[kept], b[kept], cosine[kept]), float(cosine[kept[-1]])


def _decoys(
    unit: NDArray[np.float32], classes: NDArray[np.intp], rng: np.random.Generator
) -> tuple[NDArray[np.float32], int]:
    """Cosines of pairs of different classes, and how many pairs that are: all where they are few, else drawn."""
    n = len(unit)
    different = (n * n - int((np.bincount(classes).astype(np.int64) ** 2).sum())) // 2
    if different <= _DECOYS:
        parts = []
        for at in range(0, n, _BLOCK):
            cosines = unit[at : at + _BLOCK] @ unit[at:].T
            other = classes[at : at + _BLOCK, None] != classes[None, at:]
            parts.append(cosines[np.triu(other, 1)])
        return np.concatenate(parts), different
    # Every row of one sample against every row of another: matrix products, where single pairs would be gathered.
    size = min(n // 2, int(np.sqrt(2 * _DECOYS)))
    drawn = rng.permutation(n)[: 2 * size]
    one, other = drawn[:size], drawn[size:]
    cosines = unit[one] @ unit[other].T
    out = cosines[classes[one][:, None] != classes[other]]
    return out, len(out)
