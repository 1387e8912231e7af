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
from featstore.store.format.half import widen
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
        width, itemsize = X.shape[1], np.dtype(block.dtype).itemsize
        order = np.argsort(rows, kind="stable")
        rows, places = rows[order], places[order]
        whole = Checksum() if self._sums is None else None
        spans = [(0, block.nbytes)] if whole else _blocks(rows, width * itemsize, block.nbytes)
        kept = []
        places_in_file = [(block.offset + start, length) for start, length in spans]
        for offset, piece in fsread.read_pieces(self.path, self.entry.size, places_in_file, PIECE):
            between()
            start = offset - block.offset
            if whole is not None:
                kept.append(whole.update(piece))
            else:
                self._check(start, piece)
            _copy(np.frombuffer(piece, dtype=block.dtype), start // itemsize, rows, X, places)
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


def _blocks(rows: NDArray[np.int64], row_bytes: int, nbytes: int) -> list[tuple[int, int]]:
    """The blocks that rows, ascending, lie in, as (offset, length) in bytes; those side by side put together."""
    low = rows * row_bytes // BLOCK
    high = -(-(rows + 1) * row_bytes // BLOCK)
    cuts = np.flatnonzero(low[1:] > high[:-1]) + 1  # as the rows ascend, so do both ends of what they need
    firsts = low[np.concatenate([[0], cuts])] * BLOCK
    ends = np.minimum(high[np.concatenate([cuts - 1, [len(rows) - 1]])] * BLOCK, nbytes)
    return list(zip(firsts.tolist(), (ends - firsts).tolist(), strict=True))


def _copy(
    numbers: NDArray[Any], low: int, rows: NDArray[np.int64], X: NDArray[np.float32], places: NDArray[np.intp]
) -> None:
    """Copy what a piece of the features, from number `low` on, has of some rows, ascending."""
    width = X.shape[1]
    high = low + len(numbers)
    first, last = -(-low // width), high // width  # the rows that lie in the piece as a whole
    if last > first:
        some = slice(*np.searchsorted(rows, [first, last]).tolist())
        _copy_rows(numbers[first * width - low : last * width - low], rows[some] - first, X, places[some])
    for row in {low // width, high // width}:  # and those that it cuts
        begin, end = max(row * width, low), min((row + 1) * width, high)
        if first <= row < last or begin >= end:
            continue
        some = slice(np.searchsorted(rows, row), np.searchsorted(rows, row, side="right"))
        for place in places[some].tolist():
            widen(numbers[begin - low : end - low], X[place, begin - row * width : end - row * width])


def _copy_rows(
    numbers: NDArray[Any], rows: NDArray[np.int64], X: NDArray[np.float32], places: NDArray[np.intp]
) -> None:
    """Copy rows of a piece that begins and ends with a row."""
    if not len(rows):
        return
    width = X.shape[1]
    # The usual case: they lie side by side there and here.
    if (np.diff(rows) == 1).all() and (np.diff(places) == 1).all():
        here = slice(int(places[0]), int(places[-1]) + 1)
        widen(numbers[int(rows[0]) * width : (int(rows[-1]) + 1) * width], X[here].reshape(-1))
        return
    used = numbers[int(rows[0]) * width : (int(rows[-1]) + 1) * width]
    if used.dtype != X.dtype:
        narrow, used = used, np.empty(used.shape, dtype=X.dtype)
        widen(narrow, used)
    X[places] = used.reshape(-1, width)[rows - rows[0]]
