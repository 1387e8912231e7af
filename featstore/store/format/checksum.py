"""Checksum: the fast check of features while they are read.

SHA-256 takes three times as long as reading. It names every shard, and `verify` computes it; a read checks the features
with multilinear sums instead, which cost one product a word and stand, like all hashes, in the sealed manifest. Each
block of 128 KiB gives two sums modulo 2**64, of its 64-bit words and of their upper halves, each word times an odd key
of its own. The checksum is SHA-256(SHA-256(first sums of all blocks) + SHA-256(second sums of all blocks)).

Damage within one word always changes the first sum. Any other damage to a block is missed for at most a share of 2**-32
of all choices of the keys: the word that differs in the lowest bit decides, and where all words agree in their lower
halves the second sum does.

References
----------
J. L. Carter and M. N. Wegman, "Universal classes of hash functions", JCSS 18 (1979); D. Lemire and O. Kaser, "Strongly
universal string hashing is fast", The Computer Journal 57 (2014).
"""

from __future__ import annotations

import hashlib
import sys
import threading
from collections.abc import Callable
from functools import cache

import numpy as np
from numpy.typing import NDArray

BLOCK = 1 << 17
"""Bytes of a block."""

PIECE = 1 << 20
"""Bytes to take at a time: a processor's cache holds them, and few enough steps to let threads work side by side."""

Summing = Callable[[NDArray[np.uint64], NDArray[np.uint64], NDArray[np.uint64]], None]

_thread = threading.local()  # one scratch buffer a thread: fresh memory for every shard would cost more than the sums


class Checksum:
    """The checksum of bytes that come piece by piece."""

    def __init__(self) -> None:
        self._first, self._second = hashlib.sha256(), hashlib.sha256()

    def update(self, piece: memoryview) -> NDArray[np.uint64]:
        """Add `PIECE` bytes; only the last piece may be shorter.

        Returns
        -------
        ndarray of shape (2, blocks), uint64
            The sums of the piece's blocks, see `block_sums`.
        """
        sums = block_sums(piece)
        self._first.update(sums[0].data)
        self._second.update(sums[1].data)
        return sums

    def hexdigest(self) -> str:
        """64 hex digits."""
        return hashlib.sha256(self._first.digest() + self._second.digest()).hexdigest()


def block_sums(piece: memoryview) -> NDArray[np.uint64]:
    """The two sums of every block of a piece of bytes.

    Parameters
    ----------
    piece : memoryview of bytes
        Begins where a block begins; at most `PIECE` bytes. Its last block may be shorter.

    Returns
    -------
    ndarray of shape (2, blocks), uint64
    """
    whole = len(piece) - len(piece) % BLOCK
    sums = np.empty((2, -(-len(piece) // BLOCK)), dtype="<u8")
    if whole:
        _into(sums[:, : whole // BLOCK], np.frombuffer(piece[:whole], dtype="<u8").reshape(-1, BLOCK // 8))
    if whole < len(piece):
        rest = bytes(piece[whole:])
        words = np.frombuffer(rest + b"\0" * (-len(rest) % 8), dtype="<u8").reshape(1, -1)
        _into(sums[:, whole // BLOCK :], words)
    return sums


def _into(out: NDArray[np.uint64], words: NDArray[np.uint64]) -> None:
    """Sums of blocks, shape (n, words a block), into (2, n)."""
    found = np.empty((2, len(words)), dtype="<u8")
    _summing()(found, words, _keys()[: words.shape[1]])
    out[:] = found


def checksum(data: bytes | memoryview) -> str:
    """The checksum of bytes, 64 hex digits."""
    whole, view = Checksum(), memoryview(data)
    for start in range(0, len(view), PIECE):
        whole.update(view[start : start + PIECE])
    return whole.hexdigest()


def compiled() -> bool:
    """Whether the compiled module is there and gives the sums of NumPy."""
    return _summing() is not _by_numpy


@cache
def _summing() -> Summing:
    """The compiled module's function where it gives the sums of NumPy, else NumPy's."""
    if sys.byteorder != "little":
        return _by_numpy
    try:
        from featstore.store.format._sums import sums
    except ImportError:
        return _by_numpy
    sample = np.frombuffer(hashlib.shake_128(b"sample").digest(8 * 3 * 101), dtype="<u8").reshape(3, 101)
    found, expected = np.zeros((2, 3), dtype="<u8"), np.zeros((2, 3), dtype="<u8")
    keys = _keys()[:101]
    sums(found, sample, keys)
    _by_numpy(expected, sample, keys)
    return sums if np.array_equal(found, expected) else _by_numpy


def _by_numpy(out: NDArray[np.uint64], words: NDArray[np.uint64], keys: NDArray[np.uint64]) -> None:
    """Two sums of each row of `words`: of its words times `keys`, and of their upper halves, into `out`, (2, n)."""
    if not hasattr(_thread, "upper"):
        _thread.upper = np.empty(PIECE // 8, dtype="<u8")
    upper = _thread.upper[: words.size].reshape(words.shape)
    np.right_shift(words, np.uint64(32), out=upper)
    # einsum multiplies and adds with the processor's vectors, where dot of integers goes word by word
    np.einsum("ij,j->i", words, keys, out=out[0])
    np.einsum("ij,j->i", upper, keys, out=out[1])


@cache
def _keys() -> NDArray[np.uint64]:
    stream = hashlib.shake_128(b"featstore checksum").digest(BLOCK)
    return np.frombuffer(stream, dtype="<u8") | np.uint64(1)
