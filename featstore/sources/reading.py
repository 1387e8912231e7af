"""Reading what an address means: files, ranges of files, members of archives, cells of Parquet files.

Decoding processes do this under a limit of memory, so everything goes piece by piece, no index of a container is read,
and pyarrow is loaded for Parquet cells only. Streams and row groups that are read forwards are kept open a while.
"""

# Paths are bytes here, which pathlib does not know.

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator

from featstore.sources.address import FileRange, ParquetCell, StreamRange, ZipMember, parse
from featstore.sources.gzip_stream import GzipStream
from featstore.sources.zip_bytes import unpacked
from featstore.system.fsread import open_regular

PIECE = 1 << 20
"""Bytes that are read at a time; memory stays flat whatever the size."""

FILE_BYTES = 2 << 30
"""The largest file that is read at once where nothing else is said."""

STREAMS = 2
"""Unpackers of .tar.gz archives that a thread keeps."""


class _Kept(threading.local):
    """A stream has one place at a time, so each thread has its own."""

    def __init__(self) -> None:
        self.streams: OrderedDict[bytes, GzipStream] = OrderedDict()


_kept = _Kept()


def read(address: bytes, limit: int, alive: Callable[[], None] | None = None) -> bytes:
    """The bytes of a file or of a place in a container.

    Parameters
    ----------
    address : bytes
        See `featstore.sources.address`.
    limit : int
        No more bytes than this are read.
    alive : callable, optional
        Called now and then while bytes before the place are passed over: that takes time, and nothing is stuck.

    Raises
    ------
    OSError
        There are more than `limit` bytes, no regular file, fewer bytes than there were, or damage.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = pathlib.Path(folder, "a.txt").write_bytes(b"hello")
    ...     read(bytes(pathlib.Path(folder, "a.txt")), limit=100)
    b'hello'
    """
    if address[:1] != b"\0":
        return _whole(address, limit)
    size = size_of(address)
    if size > limit:
        raise _too_large(size, limit)
    data = b"".join(pieces(address, alive))
    if len(data) > limit:  # of a Parquet cell the size is not known before
        raise _too_large(len(data), limit)
    return data


def size_of(address: bytes) -> int:
    """How many bytes an address announces; 0 of a Parquet cell, whose size only its reading tells.

    Raises
    ------
    OSError
        Where there is no such file.
    """
    place = parse(address)
    if place is None:
        return os.stat(address).st_size
    return 0 if isinstance(place, ParquetCell) else place.size


def pieces(address: bytes, alive: Callable[[], None] | None = None) -> Iterator[bytes]:
    """The bytes of a place in a container, piece by piece.

    Raises
    ------
    OSError
        As `read`.
    """
    place = parse(address)
    if isinstance(place, ZipMember):
        return unpacked(place)
    if isinstance(place, StreamRange):
        return _of_stream(place, alive)
    if isinstance(place, ParquetCell):
        from featstore.sources.parquet_cells import cell

        return iter((cell(place),))
    return _of_file(place or FileRange(0, os.stat(address).st_size, address))


def _whole(path: bytes, limit: int) -> bytes:
    descriptor, status = open_regular(path)
    with os.fdopen(descriptor, "rb") as file:
        if status.st_size > limit:
            raise _too_large(status.st_size, limit)
        return file.read()


def _too_large(size: int, limit: int) -> OSError:
    return OSError(0, f"{size:,} bytes, more than the {limit:,} that an image may take")


def _of_file(place: FileRange) -> Iterator[bytes]:
    descriptor, _ = open_regular(place.path)
    with os.fdopen(descriptor, "rb", buffering=0) as file:
        file.seek(place.offset)
        left = place.size
        while left:
            piece = file.read(min(PIECE, left))
            if not piece:
                raise OSError(0, f"the archive ends {left:,} bytes too early")
            left -= len(piece)
            yield piece


def _of_stream(place: StreamRange, alive: Callable[[], None] | None) -> Iterator[bytes]:
    stream = _stream(place.path)
    stream.alive = alive
    try:
        if stream.seek(place.offset) != place.offset:
            raise OSError(0, f"the archive ends before byte {place.offset:,}")
        left = place.size
        while left:
            piece = stream.read(min(PIECE, left))
            if not piece:
                raise OSError(0, f"the archive ends {left:,} bytes too early")
            left -= len(piece)
            yield piece
    except OSError:
        _forget(place.path)  # the next one begins anew
        raise


def _stream(path: bytes) -> GzipStream:
    """The unpacker of a file, kept where the file is still the one that it was."""
    status = os.stat(path)
    streams = _kept.streams
    stream = streams.get(path)
    if stream is not None and _identity(stream.status) != _identity(status):
        _forget(path)
        stream = None
    if stream is None:
        stream = streams[path] = GzipStream(path)
        while len(streams) > STREAMS:
            _forget(next(iter(streams)))
    streams.move_to_end(path)
    return stream


def _forget(path: bytes) -> None:
    if (stream := _kept.streams.pop(path, None)) is not None:
        stream.close()


def _identity(status: os.stat_result) -> tuple[int, int, int, int]:
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns
