"""Addresses: where the bytes of one picture are, as one bytes value that fits wherever a path does.

A plain path is its own address. A place in a container is encoded behind a zero byte, which no path can hold: the kind,
numbers of a fixed length, the container's path. So whoever is given an address needs no index of the container.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import NamedTuple

RANGE = struct.Struct(">ccQQ")
"""Before the path of a range: zero, kind, offset, size."""

MEMBER = struct.Struct(">ccQQQHI")
"""Before the path of a zip member: zero, kind, offset, packed size, size, method, CRC-32."""

CELL = struct.Struct(">ccIQH")
"""Before the column and path of a Parquet cell: zero, kind, row group, row, length of the column's name."""


class FileRange(NamedTuple):
    """Bytes `offset` to `offset + size` of a file, such as a member of a tar archive.

    Examples
    --------
    >>> parse(FileRange(512, 900, b"/d/pets.tar").address())
    FileRange(offset=512, size=900, path=b'/d/pets.tar')
    """

    offset: int
    size: int
    path: bytes

    def address(self) -> bytes:
        """As one bytes value."""
        return RANGE.pack(b"\0", b"R", self.offset, self.size) + self.path


class StreamRange(NamedTuple):
    """Bytes `offset` to `offset + size` of what a gzip file unpacks to, such as a member of a .tar.gz archive."""

    offset: int
    size: int
    path: bytes

    def address(self) -> bytes:
        """As one bytes value."""
        return RANGE.pack(b"\0", b"S", self.offset, self.size) + self.path


class ZipMember(NamedTuple):
    """A member of a zip archive: where its header is, bytes as packed and unpacked, how it is packed, its CRC-32."""

    offset: int
    packed: int
    size: int
    method: int
    crc: int
    path: bytes

    def address(self) -> bytes:
        """As one bytes value."""
        return MEMBER.pack(b"\0", b"Z", *self[:-1]) + self.path


class ParquetCell(NamedTuple):
    """A cell of a Parquet file: row group, row in it, leaf column ("image.bytes")."""

    group: int
    row: int
    column: bytes
    path: bytes

    def address(self) -> bytes:
        """As one bytes value."""
        return CELL.pack(b"\0", b"P", self.group, self.row, len(self.column)) + self.column + self.path


Place = FileRange | StreamRange | ZipMember | ParquetCell

_RECORDS = {b"R": RANGE, b"S": RANGE, b"Z": MEMBER, b"P": CELL}


def parse(address: bytes) -> Place | None:
    """The place that an address means; None where it is a plain path.

    Raises
    ------
    OSError
        Where it begins like a place and is none.

    Examples
    --------
    >>> parse(b"/d/cats/1.jpg") is None
    True
    """
    if address[:1] != b"\0":
        return None
    kind = address[1:2]
    record = _RECORDS.get(kind)
    if record is None or len(address) <= record.size:
        raise OSError(0, "an address of no known kind")
    _, _, *numbers = record.unpack_from(address)
    rest = address[record.size :]
    if kind == b"P":
        group, row, length = numbers
        return ParquetCell(group, row, rest[:length], rest[length:])
    if kind == b"Z":
        return ZipMember._make((*numbers, rest))
    return FileRange._make((*numbers, rest)) if kind == b"R" else StreamRange._make((*numbers, rest))


def file_of(address: bytes) -> bytes:
    """The file that the bytes lie in.

    Examples
    --------
    >>> file_of(b"/d/cats/1.jpg"), file_of(FileRange(512, 900, b"/d/pets.tar").address())
    (b'/d/cats/1.jpg', b'/d/pets.tar')
    """
    place = parse(address)
    return address if place is None else place.path


def is_sequential(address: bytes) -> bool:
    """Whether the bytes are reached only by passing over those before them: read such addresses in their order.

    Examples
    --------
    >>> is_sequential(StreamRange(512, 900, b"/d/pets.tar.gz").address()), is_sequential(b"/d/cats/1.jpg")
    (True, False)
    """
    return address[:2] in (b"\0S", b"\0P")


def reading_order(addresses: Sequence[bytes]) -> list[int] | None:
    """In which order addresses are best read: container after container, from front to back.

    Returns
    -------
    list of n int, or None
        Positions in `addresses`; None where all are plain paths, whose order does not matter.

    Examples
    --------
    >>> late, early = (FileRange(offset, 9, b"/d/pets.tar").address() for offset in (4096, 512))
    >>> reading_order([late, early]), reading_order([b"/d/2.jpg", b"/d/1.jpg"])
    ([1, 0], None)
    """
    if not any(address[:1] == b"\0" for address in addresses):
        return None
    keys = [_order_key(address) for address in addresses]
    return sorted(range(len(keys)), key=keys.__getitem__)


def _order_key(address: bytes) -> tuple[bytes, bytes]:
    """By file, then by place: the numbers are big-endian, so their bytes sort as they do."""
    path = file_of(address)
    return path, address[: len(address) - len(path)] if path != address else b""
