"""Index: the address of every member of a container by its name, kept for the process."""

# Paths are bytes here, which pathlib does not know.

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Protocol

from featstore.errors import ImageSetError
from featstore.sources.container import is_container, members


class Lookup(Protocol):
    """Whatever knows the addresses of a container's members."""

    def address(self, name: bytes) -> bytes | None:
        """The address of a member; None where there is none of the name."""


class Index:
    """Names and places of a container's members; about 120 bytes each beside the names.

    Parameters
    ----------
    path : bytes
        Of the container.

    Examples
    --------
    >>> from featstore.sources.address import FileRange, parse
    >>> index = Index(b"/d/pets.tar")
    >>> index.add(b"cats/1.jpg", FileRange(512, 900, b"").address())
    True
    >>> parse(index.address(b"cats/1.jpg"))
    FileRange(offset=512, size=900, path=b'/d/pets.tar')
    """

    def __init__(self, path: bytes) -> None:
        self._path = path
        self._rows: dict[bytes, int] = {}
        self._records = bytearray()  # all of one length, one after the other
        self._width = 1

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._rows)

    def add(self, name: bytes, record: bytes) -> bool:
        """Note a member by its address without the path; a later one of the same name replaces it.

        Returns
        -------
        bool
            Whether the name is new.
        """
        self._width = len(record)
        new = len(self._rows)
        row = self._rows.setdefault(name, new)
        if row == new:
            self._records += record
            return True
        self._records[row * self._width : (row + 1) * self._width] = record
        return False

    def address(self, name: bytes) -> bytes | None:
        """The address of a member; None where there is none of the name."""
        row = self._rows.get(name)
        if row is None:
            return None
        return bytes(self._records[row * self._width : (row + 1) * self._width]) + self._path


_kept: dict[bytes, tuple[tuple[int, int] | None, Lookup]] = {}


def keep(path: bytes, index: Lookup, status: os.stat_result | None) -> None:
    """Keep an index as long as the container has this size and time; without a status until it is forgotten."""
    _kept[path] = (None if status is None else (status.st_size, status.st_mtime_ns), index)


def forget(path: bytes) -> None:
    """Keep the index of a container no longer."""
    _kept.pop(path, None)


def is_kept(path: bytes) -> bool:
    """Whether the index of something that may be no file on disk is kept."""
    return path in _kept and _kept[path][0] is None


def index_of(path: bytes) -> Lookup | None:
    """The index of a container, listed where it is not kept; None where it is none or cannot be listed."""
    if is_kept(path):
        return _kept[path][1]
    try:
        status = os.stat(path)
        known = _kept.get(path)
        if known is not None and known[0] == (status.st_size, status.st_mtime_ns):
            return known[1]
        if path.lower().endswith(b".parquet"):
            from featstore.sources.parquet_index import ParquetIndex

            index: Lookup = ParquetIndex(path)
        elif is_container(path):
            index = listed = Index(path)
            for member in members(path):
                if member.record:
                    listed.add(member.name, member.record)
        else:
            return None
    except (OSError, ImageSetError):
        return None
    keep(path, index, status)
    return index
