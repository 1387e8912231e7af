"""SharedBuffers: memory for batches of images that worker processes fill and this process reads, without copies."""

from __future__ import annotations

import mmap
import os
import weakref
from collections import deque

import numpy as np
from numpy.typing import NDArray

from featstore.system.interpreter import anonymous_file


class SharedBuffers:
    """Numbered buffers (slots) of one size in an anonymous file.

    A slot is in use from `take` until the last reference to its `array` is gone: an array stays valid as long as
    somebody holds it. There are as many slots as were ever in use at the same time.

    Parameters
    ----------
    size : int
        Bytes a slot.
    """

    def __init__(self, size: int) -> None:
        self.fd = anonymous_file()
        self._maps: list[mmap.mmap] = []
        self._size = self._stride = 0
        self.resize(size)
        self._free: deque[int] = deque()
        self._close = weakref.finalize(self, os.close, self.fd)

    def __len__(self) -> int:
        return len(self._maps)

    def resize(self, size: int) -> None:
        """Give all slots another size.

        Raises
        ------
        ValueError
            Where a slot was taken already.
        """
        if self._maps:
            raise ValueError(f"{len(self)} slots of {self._size} bytes were taken before their size was changed")
        self._size = size
        self._stride = -(-size // mmap.ALLOCATIONGRANULARITY) * mmap.ALLOCATIONGRANULARITY

    def take(self) -> int:
        """Number of a slot that nobody uses."""
        try:
            return self._free.pop()  # the one used last: its pages are warm
        except IndexError:
            slot = len(self._maps)
            os.ftruncate(self.fd, (slot + 1) * self._stride)
            self._maps.append(mmap.mmap(self.fd, self._stride, offset=slot * self._stride))
            return slot

    def offset(self, slot: int) -> int:
        """Where a slot begins in the file, bytes."""
        return slot * self._stride

    def array(self, slot: int) -> NDArray[np.uint8]:
        """The bytes of a slot, ndarray of shape (size,), uint8; the slot is free again when the array is gone."""
        flat = np.frombuffer(self._maps[slot], dtype=np.uint8, count=self._size)
        # Views that are made of it refer to this very object, for its own base is no array.
        weakref.finalize(flat, self._free.append, slot).atexit = False
        return flat

    def close(self) -> None:
        """Close the file; arrays that were handed out stay valid."""
        self._close()
        self._maps.clear()
