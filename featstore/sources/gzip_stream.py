"""GzipStream: what a gzip file unpacks to, as a file that is read forwards; going back has a bounded cost.

Copies of the unpacker's state are kept at a bounded number of places, so that a step back begins at the last of them.
Nothing is unpacked to disk.
"""

from __future__ import annotations

import io
import os
import zlib
from collections.abc import Callable
from typing import Any

from featstore.system.fsread import open_regular

INPUT = 1 << 16
"""Packed bytes that are read at a time."""

PIECE = 1 << 20
"""Unpacked bytes that are held at a time."""

CHECKPOINTS = 64
"""Kept at most; each takes about 50 kB."""

SPACING = 16 << 20
"""Unpacked bytes between two checkpoints at first; doubled whenever there are too many of them."""

RATIO, GRACE = 200, 1 << 30
"""A file that unpacks to more than RATIO times its size and GRACE bytes is a bomb."""

_GZIP = 31  # zlib's number for: a gzip header, a window of any size


class BombError(OSError):
    """A file that unpacks to far more than any data set would."""


class GzipStream(io.RawIOBase):
    """The unpacked bytes of a gzip file.

    Parameters
    ----------
    path : bytes
    alive : callable, optional
        Called now and then while bytes are passed over, so that nobody takes the process for stuck.

    Attributes
    ----------
    status : os.stat_result
        Of the file as it was opened.

    Raises
    ------
    OSError
        Where it cannot be opened; from `read` and `seek` also where it is damaged, truncated or a bomb.
    """

    def __init__(self, path: bytes, alive: Callable[[], None] | None = None) -> None:
        super().__init__()
        descriptor, self.status = open_regular(path)
        self._file = os.fdopen(descriptor, "rb", buffering=0)
        self.alive = alive
        self._allowed = RATIO * self.status.st_size + GRACE
        self._spacing = SPACING
        self._at = 0  # unpacked bytes that were given out or passed over
        self._fresh = zlib.decompressobj(_GZIP)
        self._unpacker: Any = self._fresh.copy()
        self._packed = b""  # read and not unpacked yet
        self._position = 0  # in the file, after `_packed`
        self._checkpoints: dict[int, tuple[int, Any]] = {0: (0, self._fresh)}
        self._ended = False

    def close(self) -> None:
        """Close the file."""
        self._file.close()
        self._checkpoints.clear()
        super().close()

    def readable(self) -> bool:
        """True."""
        return True

    def seekable(self) -> bool:
        """True; a step back costs the bytes from the last checkpoint."""
        return True

    def tell(self) -> int:
        """Unpacked bytes before the next `read`."""
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go to a place counted from the beginning; beyond the end is the end, as of any file that is read."""
        if whence != os.SEEK_SET:
            raise OSError(0, "the end of a packed stream is not known")
        if offset < self._at:
            start = max(place for place in self._checkpoints if place <= offset)
            position, state = self._checkpoints[start]
            self._unpacker, self._at, self._packed, self._ended = state.copy(), start, b"", False
            self._position = position
            self._file.seek(position)
        while self._at < offset and self._some(min(PIECE, offset - self._at)):
            if self.alive is not None:
                self.alive()
        return self._at

    def read(self, size: int = -1) -> bytes:
        """At most `size` bytes, all for -1; fewer at the end only."""
        pieces = []
        size = size if size >= 0 else 1 << 62
        while size and (piece := self._some(min(PIECE, size))):
            pieces.append(piece)
            size -= len(piece)
        return b"".join(pieces)

    def _some(self, most: int) -> bytes:
        """At least one byte and at most `most`; none at the end."""
        try:
            while not self._ended:
                if not self._packed:
                    self._packed = self._file.read(INPUT)
                    self._position += len(self._packed)
                    if not self._packed:
                        raise OSError(0, f"the gzip file ends too early, after {self._at:,} unpacked bytes")
                piece: bytes = self._unpacker.decompress(self._packed, most)
                self._packed = self._unpacker.unconsumed_tail
                if self._unpacker.eof:
                    self._next_member()
                if piece:
                    self._at += len(piece)
                    self._note()
                    return piece
        except zlib.error as error:
            raise OSError(0, f"the gzip file is damaged after {self._at:,} unpacked bytes ({error})") from error
        return b""

    def _next_member(self) -> None:
        """One gzip file may follow another; zero bytes at the end are padding."""
        rest = self._unpacker.unused_data
        while not rest.strip(b"\0") and (more := self._file.read(INPUT)):
            rest = more
            self._position += len(more)
        rest = rest.lstrip(b"\0")
        if rest[:1] == b"\x1f":
            self._unpacker, self._packed = self._fresh.copy(), rest
        else:
            self._ended, self._packed = True, b""

    def _note(self) -> None:
        """Count what was unpacked, and keep the state now and then."""
        if self._at > self._allowed:
            raise BombError(
                0, f"it unpacks to more than {self._allowed:,} bytes, over {RATIO} times its size: a bomb is not read"
            )
        if self._ended or self._at < max(self._checkpoints) + self._spacing:
            return
        self._checkpoints[self._at] = (self._position - len(self._packed), self._unpacker.copy())
        if len(self._checkpoints) > CHECKPOINTS:
            self._spacing *= 2
            kept = sorted(self._checkpoints)[::2]  # 0 among them
            self._checkpoints = {place: self._checkpoints[place] for place in kept}
