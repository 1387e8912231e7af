"""RelayedItems: pictures that are reached only by passing over others, read once in this process for all workers.

Each worker would otherwise unpack a whole .tar.gz archive, or every row group of a Parquet file, for its share of the
pictures. Their bytes are put into anonymous memory files, one a batch, where workers read them like members of a tar.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Sequence
from io import FileIO
from pathlib import Path
from typing import overload

from featstore.sources.address import FileRange, is_sequential
from featstore.sources.reading import read
from featstore.system.interpreter import anonymous_file

HELD_BYTES = 256 << 20
"""Of pictures that are held for workers; beyond that these read by themselves."""

Item = tuple[bytes, bytes]


class RelayedItems(Sequence[Item]):
    """Items of a `DecodePool`; a slice of them has its bytes in memory until it is released.

    Parameters
    ----------
    items : sequence of (address, digest)
        Best in the order in which they lie in their containers.
    limit : int
        Larger pictures are left to the workers, which say so.

    Examples
    --------
    >>> relayed = RelayedItems([(b"/d/1.jpg", bytes(32))], limit=100)
    >>> relayed[0:1] == [relayed[0]]
    True
    """

    def __init__(self, items: Sequence[Item], limit: int) -> None:
        self._items = items
        self._limit = limit
        self._files: deque[tuple[int, int, FileIO]] = deque()  # first item after the slice, bytes, memory file
        self._held = 0

    def __len__(self) -> int:
        return len(self._items)

    @overload
    def __getitem__(self, index: int) -> Item: ...

    @overload
    def __getitem__(self, index: slice) -> list[Item]: ...

    def __getitem__(self, index: int | slice) -> Item | list[Item]:
        if isinstance(index, int):
            return self._items[index]
        items = list(self._items[index])
        if any(is_sequential(address) for address, _ in items):
            self._relay(items, index.stop)
        return items

    def release(self, end: int) -> None:
        """Let go of the bytes of slices that end at or before an item."""
        while self._files and self._files[0][0] <= end:
            _, size, file = self._files.popleft()
            file.close()
            self._held -= size

    def _relay(self, items: list[Item], end: int) -> None:
        file = FileIO(anonymous_file(), "r+b")
        place = os.fsencode(f"/proc/{os.getpid()}/fd/{file.fileno()}")
        at = 0
        for number, (address, digest) in enumerate(items):
            if not is_sequential(address) or self._held + at > HELD_BYTES:
                continue
            try:
                data = read(address, self._limit)
                offset, view = at, memoryview(data)
                while view:
                    written = file.write(view)
                    view, at = view[written:], at + written
            except (OSError, MemoryError):
                file.seek(at)
                continue  # the worker says what is wrong with it
            items[number] = FileRange(offset, len(data), place).address(), digest
        self._held += at
        self._files.append((end, at, file))


def relayed(items: Sequence[Item], limit: int) -> Sequence[Item]:
    """The items as workers read them best."""
    if not Path("/proc/self/fd").exists() or not any(is_sequential(address) for address, _ in items):
        return items
    return RelayedItems(items, limit)
