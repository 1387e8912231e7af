"""ShardRows: some rows of one shard after the other, each block of them checked whenever it is read.

A manifest holds one checksum of all features of a shard. Whoever reads it whole once can keep the sums of its blocks,
16 bytes for each 128 KiB, and from then on check any block alone: a few rows of a large shard cost a few blocks.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from featstore.errors import StoreDamagedError
from featstore.store.format.checksum import BLOCK, PIECE, Checksum, block_sums
from featstore.store.format.shard import ShardEntry
from featstore.system import fsread


class ShardRows:
    """The features of one shard, read in any parts.

    Parameters
    ----------
    path : Path
        Of the shard.
    entry : ShardEntry
        What a manifest says about it.

    Examples
    --------
    >>> import tempfile
    >>> from featstore.fingerprint import Fingerprint
    >>> from featstore.store.format.rows import Rows
    >>> from featstore.store.format.shard import encode
    >>> made = Fingerprint("resnet50", "0" * 64, "avgpool", "none", {}, {}, "fp32", "IMAGENET1K_V2")
    >>> digests = np.arange(1, 97, dtype=np.uint8).reshape(3, 32)
    >>> X = np.arange(12, dtype=np.float32).reshape(3, 4)
    >>> data, entry = encode(Rows(digests, X, np.zeros(3, np.uint8), ("", "", "")), made, {})
    >>> out = np.zeros((2, 4), np.float32)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = Path(folder, entry.file_name).write_bytes(data)
    ...     ShardRows(Path(folder, entry.file_name), entry).read(np.array([2, 0]), out, np.array([0, 1]))
    >>> out[:, 0]
    array([8., 0.], dtype=float32)
    """

    def __init__(self, path: Path, entry: ShardEntry) -> None:
        self.path = path
        self.entry = entry
        self._sums: NDArray[np.uint64] | None = None

    def read(
        self,
        rows: NDArray[np.int64],
        X: NDArray[np.float32],
        places: NDArray[np.intp],
        between: Callable[[], None] = lambda: None,
    ) -> None:
        """Put rows of the shard into an array.

        What is in `X` may be used only when this has returned.

        Parameters
        ----------
        rows : ndarray of shape (m,), int64
            Row numbers in the shard, in any order, also repeated.
        X : ndarray of shape (n, d), float32, C-contiguous
        places : ndarray of shape (m,), int
            Where in `X` each of them goes.
        between : callable
            Called before each piece of at most 1 MiB is read; may raise.

        Raises
        ------
        FileNotFoundError
            Where the shard is not there (any more).
        StoreDamagedError
            Where features are not those that were committed.
        """
        block = self.entry.layout["features"]
        runs = _runs(rows, places, X.shape[1])
        flat = X.reshape(-1)
        spans = (
            [(0, block.nbytes)] if self._sums is None else _spans(runs, np.dtype(block.dtype).itemsize, block.nbytes)
        )
        whole = Checksum() if self._sums is None else None
        kept = []
        first = 0  # runs before it end before the piece
        places_in_file = [(block.offset + start, length) for start, length in spans]
        for offset, piece in fsread.read_pieces(self.path, self.entry.size, places_in_file, PIECE):
            between()
            start = offset - block.offset
            if whole is not None:
                kept.append(whole.update(piece))
            else:
                self._check(start, piece)
            first = _copy(np.frombuffer(piece, dtype=block.dtype), start, runs, first, flat)
        if whole is not None:
            if whole.hexdigest() != self.entry.features_check:
                raise self._damage()
            self._sums = np.concatenate(kept, axis=1)

    def _check(self, start: int, piece: memoryview) -> None:
        found, at = block_sums(piece), start // BLOCK
        if self._sums is None or not np.array_equal(found, self._sums[:, at : at + found.shape[1]]):
            raise self._damage()

    def _damage(self) -> StoreDamagedError:
        return StoreDamagedError(
            f"{self.path} is damaged: its features are not those that were committed; run `featstore repair`"
        )


_Runs = tuple[list[int], list[int], list[int]]
"""Starts and ends in the shard's features, ascending, and starts in `X`, all counted in numbers."""


def _runs(rows: NDArray[np.int64], places: NDArray[np.intp], width: int) -> _Runs:
    """Rows that lie side by side in the shard and in X, put together."""
    order = np.argsort(rows, kind="stable")
    rows, places = rows[order], places[order]
    cuts = np.flatnonzero((np.diff(rows) != 1) | (np.diff(places) != 1)) + 1
    firsts, ends = np.concatenate([[0], cuts]), np.concatenate([cuts, [len(rows)]])
    starts = rows[firsts] * width
    return starts.tolist(), (starts + (ends - firsts) * width).tolist(), (places[firsts] * width).tolist()


def _spans(runs: _Runs, itemsize: int, nbytes: int) -> list[tuple[int, int]]:
    """The blocks that runs lie in, as (offset, length) in bytes, those side by side put together."""
    spans: list[tuple[int, int]] = []
    for start, end in zip(runs[0], runs[1], strict=True):
        low = start * itemsize // BLOCK * BLOCK
        high = min(-(-end * itemsize // BLOCK) * BLOCK, nbytes)
        if spans and low <= sum(spans[-1]):
            spans[-1] = (spans[-1][0], max(high, sum(spans[-1])) - spans[-1][0])
        else:
            spans.append((low, high - low))
    return spans


def _copy(piece: NDArray[Any], start: int, runs: _Runs, first: int, flat: NDArray[np.float32]) -> int:
    """Copy what a piece that begins at byte `start` has of the runs from number `first` on; the first one left."""
    low = start // piece.itemsize
    high = low + len(piece)
    starts, ends, targets = runs
    for number in range(first, len(starts)):
        begin, end, target = starts[number], ends[number], targets[number]
        if begin >= high:
            break
        a, b = max(begin, low), min(end, high)
        if a < b:
            flat[target + a - begin : target + b - begin] = piece[a - low : b - low]
        if end <= high:
            first = number + 1
    return first
