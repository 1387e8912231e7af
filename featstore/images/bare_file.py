"""A picture's file without what stands beside its pixels: texts, colour profiles, comments, what came after.

Where such a thing is too large or broken a decoder may refuse the whole file, although its pixels are good.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator

_PIXEL_CHUNKS = frozenset((b"IHDR", b"PLTE", b"IDAT", b"IEND", b"tRNS", b"eXIf"))
_WEBP_CHUNKS = frozenset((b"VP8X", b"VP8 ", b"VP8L", b"ALPH", b"ANIM", b"ANMF"))
_ORIENTED_TEXT = (b"Raw profile type exif\0", b"XML:com.adobe.xmp\0")
"""Keywords of texts in which Pillow looks for the orientation."""

SMALL_TEXT = 1 << 20
"""Bytes of such a text, unpacked, that is kept."""


def bare_files(name: str, data: bytes) -> Iterator[bytes]:
    """The same file without what stands beside its pixels; nothing where that cannot be told apart.

    Parameters
    ----------
    name : str
        The format; PNG, JPEG and WebP are taken apart.
    data : bytes

    Yields
    ------
    bytes
        With what tells the orientation; then, but for a PNG, without.

    Examples
    --------
    >>> profile, pixels = b"\\xff\\xe2\\0\\6ICC_", b"\\xff\\xda\\0\\2..."
    >>> next(bare_files("JPEG", b"\\xff\\xd8" + profile + pixels)) == b"\\xff\\xd8" + pixels
    True
    """
    parts = {"PNG": _bare_png, "JPEG": _bare_jpeg, "WebP": _bare_webp}.get(name)
    found = parts(data, True) if parts else None
    if found is not None and found != data:
        yield found
    if name != "PNG" and parts and found is not None:
        without = parts(data, False)
        if without is not None and without != found:
            yield without


def _bare_png(data: bytes, oriented: bool) -> bytes | None:
    kept, at = [data[:8]], 8
    while at + 8 <= len(data):
        length, kind = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8]
        end = at + 12 + length
        body = data[at + 8 : at + 8 + length]
        wanted = kind in _PIXEL_CHUNKS or not kind[0] & 32  # what a decoder must know begins with a capital
        if wanted or (oriented and kind in (b"zTXt", b"iTXt", b"tEXt") and _oriented(kind, body)):
            intact = end <= len(data) and zlib.crc32(kind + body) == int.from_bytes(data[end - 4 : end], "big")
            if wanted and kind != b"eXIf" or intact:
                kept.append(data[at:end])
        at = end
        if kind == b"IEND":
            break
    return b"".join(kept)


def _oriented(kind: bytes, body: bytes) -> bool:
    """Whether a text may tell the orientation and is small enough to be read."""
    keyword = next((word for word in _ORIENTED_TEXT if body.startswith(word)), None)
    if keyword is None or len(body) > SMALL_TEXT:
        return False
    rest = body[len(keyword) :]
    packed = rest[1:] if kind == b"zTXt" else b""
    if kind == b"iTXt" and rest[:1] == b"\1":
        packed = rest[2:].split(b"\0", 2)[-1]
    if not packed:
        return True
    try:
        stream = zlib.decompressobj()
        stream.decompress(packed, SMALL_TEXT)
    except zlib.error:
        return False
    return not stream.unconsumed_tail


def _bare_jpeg(data: bytes, oriented: bool) -> bytes | None:
    kept, at = [data[:2]], 2
    while at + 4 <= len(data) and data[at] == 0xFF:
        kind = data[at + 1]
        if kind == 0xFF:  # a fill byte
            at += 1
            continue
        if kind == 0xDA:  # from here on pixels
            return b"".join([*kept, data[at:]])
        if 0xD0 <= kind <= 0xD9 or kind == 1:
            return None
        end = at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        segment = data[at:end]
        # Adobe's tells the colour space; comments and all other applications' data say nothing of pixels
        beside = 0xE0 <= kind <= 0xEF or kind == 0xFE
        telling = (kind == 0xEE and segment[4:9] == b"Adobe" and len(segment) >= 16) or (
            kind == 0xE0 and segment[4:8] == b"JFIF" and len(segment) >= 18
        )
        if not beside or telling or (oriented and kind == 0xE1 and segment[4:10] == b"Exif\0\0"):
            kept.append(segment)
        at = end
    return None


def _bare_webp(data: bytes, oriented: bool) -> bytes | None:
    kept, at, found = [], 12, 0
    while at + 8 <= len(data):
        kind, length = data[at : at + 4], int.from_bytes(data[at + 4 : at + 8], "little")
        end = at + 8 + length + length % 2
        whole = at + 8 + length <= len(data)
        if kind in _WEBP_CHUNKS or (kind == b"EXIF" and oriented and whole):
            kept.append(data[at:end])
            found |= 8 if kind == b"EXIF" else 0
        at = end
    if not kept:
        return None
    if kept[0][:4] == b"VP8X" and len(kept[0]) >= 9:  # its flags say what else there is
        kept[0] = kept[0][:8] + bytes([kept[0][8] & ~0x2C | found]) + kept[0][9:]
    body = b"WEBP" + b"".join(kept)
    return b"RIFF" + len(body).to_bytes(4, "little") + body
