"""The bytes of one member of a zip archive, by its range: no index is needed, nothing is trusted."""

from __future__ import annotations

import bz2
import io
import os
import struct
import zlib
from collections.abc import Iterator

from featstore.sources.address import ZipMember
from featstore.system.fsread import open_regular

STORED, DEFLATED, BZIP2 = 0, 8, 12

PIECE = 1 << 18
"""Bytes, packed or unpacked, that are held at a time."""

NAMES = {
    1: "Shrink",
    6: "Implode",
    9: "Deflate64",
    14: "LZMA",
    93: "Zstandard",
    95: "XZ",
    98: "PPMd",
    99: "AES encryption",
}
"""Ways of packing that are known by name only."""

_LOCAL = struct.Struct("<4sHHHHHIIIHH")
_ENCRYPTED = 1


def unpacked(member: ZipMember) -> Iterator[bytes]:
    """Unpack a member, piece by piece.

    Yields
    ------
    bytes
        Never more than `member.size` in all. Where there is less or more, or the CRC differs, OSError is raised.

    Raises
    ------
    OSError
        The archive cannot be read, the member is damaged, encrypted, or packed in a way that is not known.
    """
    descriptor, _ = open_regular(member.path)
    with os.fdopen(descriptor, "rb", buffering=0) as file:
        file.seek(member.offset)
        header = file.read(_LOCAL.size)
        if len(header) < _LOCAL.size or header[:4] != b"PK\x03\x04":
            raise OSError(0, "the zip archive is damaged: there is no member where one was listed")
        _, _, flags, method, *_, name_length, extra_length = _LOCAL.unpack(header)
        if flags & _ENCRYPTED:
            raise OSError(0, "encrypted in the zip archive")
        if method != member.method:
            raise OSError(0, "the zip archive is damaged: a member and the list of members disagree")
        file.seek(member.offset + _LOCAL.size + name_length + extra_length)
        crc = count = 0
        try:
            for piece in _pieces(file, member.packed, method):
                count += len(piece)
                if count > member.size:
                    break
                crc = zlib.crc32(piece, crc)
                yield piece
        except (zlib.error, ValueError, EOFError, OSError) as error:
            if isinstance(error, OSError) and error.strerror:
                raise
            raise OSError(0, f"damaged in the zip archive ({error})") from error
        if count != member.size:
            raise OSError(0, f"damaged in the zip archive: not the {member.size:,} bytes that were listed")
        if crc != member.crc:
            raise OSError(0, "damaged in the zip archive: its CRC-32 differs")


def _pieces(file: io.FileIO, packed: int, method: int) -> Iterator[bytes]:
    """What `packed` bytes unpack to; the caller stops where it is too much."""
    if method == STORED:
        return _packed_pieces(file, packed)
    if method == DEFLATED:
        return _inflated(_packed_pieces(file, packed))
    if method == BZIP2:
        return _unzipped(_packed_pieces(file, packed))
    name = f" ({NAMES[method]})" if method in NAMES else ""
    raise OSError(0, f"packed by method {method}{name} in the zip archive, which is not read; pack it with deflate")


def _packed_pieces(file: io.FileIO, packed: int) -> Iterator[bytes]:
    while packed and (piece := file.read(min(PIECE, packed))):
        packed -= len(piece)
        yield piece


def _inflated(packed: Iterator[bytes]) -> Iterator[bytes]:
    unpacker = zlib.decompressobj(-zlib.MAX_WBITS)
    for data in packed:
        while data and not unpacker.eof:
            yield unpacker.decompress(data, PIECE)
            data = unpacker.unconsumed_tail
        if unpacker.eof:
            return
    while not unpacker.eof and (piece := unpacker.decompress(b"", PIECE)):  # what it held back, one piece being full
        yield piece


def _unzipped(packed: Iterator[bytes]) -> Iterator[bytes]:
    unpacker = bz2.BZ2Decompressor()
    for data in packed:
        while not unpacker.eof and (data or not unpacker.needs_input):
            yield unpacker.decompress(data, PIECE)
            data = b""
        if unpacker.eof:
            return
