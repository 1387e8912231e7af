"""Which rows make a chunk: in the order of rows, in the order on disk, or shuffled."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from featstore.features import require_chunks
from featstore.store.format.checksum import BLOCK


def chunk_order(
    positions: NDArray[np.int64], starts: NDArray[np.int64], rows: int, *, order: str, seed: int, row_bytes: int
) -> Iterator[NDArray[np.int64]]:
    """The row numbers of one chunk after the other.

    Parameters
    ----------
    positions : ndarray of shape (n,), int64
        Where each row lies, counted through the shards.
    starts : ndarray of shape (number of shards + 1,), int64
        Position of each shard's first row, and the number of all rows.
    rows : int
        Rows a chunk at most.
    order : {"rows", "stored", "shuffled"}
        "stored": as they lie on disk; a chunk ends with a shard where that is possible, so that none is read twice.
        "shuffled": rows of one block of 128 KiB stay together, blocks from everywhere make a chunk, and its rows are
        mixed.
    seed : int
        Of the shuffle.
    row_bytes : int
        Of a row as it is stored.

    Yields
    ------
    ndarray of shape (m,), int64
        At least one row.

    Raises
    ------
    FeaturesError
        Where `rows` or `order` is none.

    Examples
    --------
    >>> positions, starts = np.array([5, 4, 1, 0, 2]), np.array([0, 3, 6])
    >>> [chunk.tolist() for chunk in chunk_order(positions, starts, 2, order="rows", seed=0, row_bytes=16)]
    [[0, 1], [2, 3], [4]]
    >>> [chunk.tolist() for chunk in chunk_order(positions, starts, 4, order="stored", seed=0, row_bytes=16)]
    [[3, 2, 4], [1, 0]]
    """
    require_chunks(rows, order)
    n = len(positions)
    if order == "rows":
        return (np.arange(first, min(first + rows, n)) for first in range(0, n, rows))
    stored = np.argsort(positions, kind="stable")
    if order == "stored":
        return _whole_shards(stored, np.searchsorted(positions[stored], starts[1:]), rows)
    return _shuffled(stored, positions[stored], starts, rows, seed, row_bytes)


def _whole_shards(stored: NDArray[np.int64], ends: NDArray[np.int64], rows: int) -> Iterator[NDArray[np.int64]]:
    """Cut after a shard where the next one would not fit; within a shard only where it is larger than a chunk."""
    first = last = 0  # of the chunk: its first row, the end of its last whole shard
    for end in ends.tolist():
        if end - first > rows and last > first:
            yield stored[first:last]
            first = last
        while end - first > rows:
            yield stored[first : first + rows]
            first += rows
        last = end
    if last > first:
        yield stored[first:last]


def _shuffled(
    stored: NDArray[np.int64],
    positions: NDArray[np.int64],
    starts: NDArray[np.int64],
    rows: int,
    seed: int,
    row_bytes: int,
) -> Iterator[NDArray[np.int64]]:
    rng = np.random.default_rng(seed)
    shards = np.searchsorted(starts, positions, side="right") - 1
    together = max(1, BLOCK // row_bytes)
    unit = (positions - starts[shards]) // together
    new = np.flatnonzero((np.diff(shards) != 0) | (np.diff(unit) != 0)) + 1
    cuts = np.concatenate([[0], new, [len(stored)]]) if len(stored) else np.zeros(1, np.int64)
    lengths = np.diff(cuts)
    units = rng.permutation(len(lengths))
    # The rows of the units in their new order: each unit's first row, and how far along in it.
    ends = np.cumsum(lengths[units])
    within = np.arange(len(stored)) - np.repeat(ends - lengths[units], lengths[units])
    mixed = stored[np.repeat(cuts[units], lengths[units]) + within]
    for first in range(0, len(mixed), rows):
        yield rng.permutation(mixed[first : first + rows])
