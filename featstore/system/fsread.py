"""Reading files that may be anything: pipes, devices and links in place of files, files of another size.

The files of a store are read with all care: regular files only, of the size that is expected, no symbolic links, and
what is wrong is damage of the store. `open_regular` opens the user's images, which may lie behind links.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from featstore.errors import StoreDamagedError, StoreError


def read_bytes(path: Path, limit: int) -> bytes:
    """The bytes of a regular file of at most `limit` bytes; symbolic links are not followed.

    Raises
    ------
    FileNotFoundError
        Where there is no such file.
    StoreDamagedError
        Where it is no regular file, is too large, or cannot be read.
    """
    with _opened(path) as (descriptor, size):
        if size > limit:
            raise StoreDamagedError(f"{path} has {size} bytes, expected at most {limit}")
        data = bytearray(size)
        _fill(descriptor, path, memoryview(data), 0)
        return bytes(data)


def read_spans(path: Path, size: int, spans: Sequence[tuple[int, int]]) -> list[bytes]:
    """Some parts of a file.

    Parameters
    ----------
    size : int
        Bytes that the file must have.
    spans : sequence of (offset, length)

    Raises
    ------
    FileNotFoundError, StoreDamagedError
        As `read_bytes`, also where the size differs.
    """
    with _opened(path) as (descriptor, found):
        _require_size(path, found, size)
        parts = []
        for offset, length in spans:
            part = bytearray(length)
            _fill(descriptor, path, memoryview(part), offset)
            parts.append(bytes(part))
        return parts


def read_into(
    path: Path, size: int, offset: int, buffer: memoryview, piece: int, consume: Callable[[memoryview], object]
) -> None:
    """Read a part of a file into a buffer, and show each piece while the processor's cache has it.

    Parameters
    ----------
    size : int
        Bytes that the file must have.
    offset : int
        Where the part begins.
    buffer : writable memoryview of bytes
        As long as the part.
    piece : int
        Bytes that `consume` gets at a time; the last time fewer.
    consume : callable

    Raises
    ------
    FileNotFoundError, StoreDamagedError
        As `read_bytes`, also where the size differs.
    """
    with _opened(path) as (descriptor, found):
        _require_size(path, found, size)
        for start in range(0, len(buffer), piece):
            part = buffer[start : start + piece]
            _fill(descriptor, path, part, offset + start)
            consume(part)


def read_pieces(
    path: Path, size: int, spans: Sequence[tuple[int, int]], piece: int
) -> Iterator[tuple[int, memoryview]]:
    """Read some parts of a file piece by piece, each piece into the same buffer.

    Parameters
    ----------
    size : int
        Bytes that the file must have.
    spans : sequence of (offset, length)
    piece : int
        Bytes at a time; at the end of a span fewer.

    Yields
    ------
    offset : int
        Where the piece begins in the file.
    bytes : memoryview
        Valid until the next piece is asked for.

    Raises
    ------
    FileNotFoundError, StoreDamagedError
        As `read_bytes`, also where the size differs.
    """
    scratch = memoryview(bytearray(min(piece, max((length for _, length in spans), default=0))))
    with _opened(path) as (descriptor, found):
        _require_size(path, found, size)
        for offset, length in spans:
            for start in range(offset, offset + length, piece):
                part = scratch[: min(piece, offset + length - start)]
                _fill(descriptor, path, part, start)
                yield start, part


def check_size(path: Path, size: int) -> None:
    """See that a file is there with as many bytes as expected.

    Raises
    ------
    FileNotFoundError, StoreDamagedError
        As `read_bytes`, also where the size differs.
    """
    with _refusals(path):
        status = os.lstat(path)
    _require_regular(path, status)
    _require_size(path, status.st_size, size)


def kind(path: Path) -> str:
    """What there is: "file", "folder", "link", "other" (a pipe, say), or "" for nothing; links are not followed.

    Raises
    ------
    StoreError
        Where that cannot be told, for lack of permission say.
    """
    with _refusals(path):
        try:
            mode = os.lstat(path).st_mode
        except (FileNotFoundError, NotADirectoryError):
            return ""
    names = ((stat.S_ISREG, "file"), (stat.S_ISDIR, "folder"), (stat.S_ISLNK, "link"))
    return next((name for is_one, name in names if is_one(mode)), "other")


def list_files(folder: Path) -> dict[str, os.stat_result]:
    """Regular files of a folder by name, sorted, with their status; empty where there is no folder.

    Raises
    ------
    StoreDamagedError
        Where the folder is a symbolic link or no folder: a store never leads out of itself.
    """
    return {name: status for name, status in _entries(folder).items() if stat.S_ISREG(status.st_mode)}


def list_folders(folder: Path) -> list[str]:
    """Names of the folders in a folder, sorted, as `list_files`."""
    return [name for name, status in _entries(folder).items() if stat.S_ISDIR(status.st_mode)]


def list_names(folder: Path) -> list[str]:
    """Names of all that is in a folder, whatever it is, sorted, as `list_files`."""
    return list(_entries(folder))


def open_regular(path: bytes) -> tuple[int, os.stat_result]:
    """Open a regular file for reading, never waiting for a pipe that took its place.

    Parameters
    ----------
    path : bytes

    Returns
    -------
    descriptor : int
        To be closed by the caller.
    status : os.stat_result
        Of the file that was opened.

    Raises
    ------
    OSError
        Where it cannot be opened, or is no regular file.
    """
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        os.close(descriptor)
        raise OSError(0, "not a regular file")
    return descriptor, status


def _entries(folder: Path) -> dict[str, os.stat_result]:
    found = {}
    try:
        with _refusals(folder):
            if not stat.S_ISDIR(os.lstat(folder).st_mode):
                raise StoreDamagedError(
                    f"{folder} is no folder of its own; a store holds no links, replace it by a folder"
                )
            names = sorted(os.listdir(folder))
    except FileNotFoundError:
        return {}
    for name in names:
        with _refusals(folder), contextlib.suppress(FileNotFoundError):  # gone since the listing
            found[name] = os.lstat(folder / name)
    return found


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[tuple[int, int]]:
    """A descriptor and the size of a regular file. A FIFO does not block, a symbolic link is not followed."""
    with _refusals(path):
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
        try:
            status = os.fstat(descriptor)
            _require_regular(path, status)
            yield descriptor, status.st_size
        finally:
            os.close(descriptor)


def _fill(descriptor: int, path: Path, buffer: memoryview, offset: int) -> None:
    done = 0
    while done < len(buffer):
        count = os.preadv(descriptor, [buffer[done:]], offset + done)
        if not count:
            raise StoreDamagedError(f"{path} ends after {offset + done} bytes, expected {offset + len(buffer)}")
        done += count


def _require_regular(path: Path, status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise StoreDamagedError(f"{path} is no regular file")


def _require_size(path: Path, found: int, expected: int) -> None:
    if found != expected:
        raise StoreDamagedError(f"{path} has {found} bytes, expected {expected}; run `featstore repair`")


@contextlib.contextmanager
def _refusals(path: Path) -> Iterator[None]:
    """What the system refuses, as an error of the store; that there is nothing stays a FileNotFoundError."""
    try:
        yield
    except FileNotFoundError:
        raise
    except OSError as error:
        if error.errno in (errno.EACCES, errno.EPERM):
            raise StoreError(f"{path} cannot be read: there is no permission to; change the permissions") from error
        if error.errno == errno.ELOOP:
            raise StoreDamagedError(f"{path} is a symbolic link; a store holds no links") from error
        raise StoreDamagedError(f"{path} cannot be read: {error.strerror}") from error
