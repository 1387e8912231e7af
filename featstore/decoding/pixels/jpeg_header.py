"""What the header of a JPEG file says, read without decoding: enough to tell which files a GPU may decode.

Markers as in ITU-T T.81, annex B; the orientation as in Exif 2.32, tag 274.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

_SOI, _EOI = b"\xff\xd8", b"\xff\xd9"
_FRAMES = frozenset({0xC0, 0xC2})  # baseline, progressive; Huffman coded
_OTHER_FRAMES = frozenset({0xC1, 0xC3, 0xC5, 0xC6, 0xC7, 0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF, 0xDE})
_SCAN, _APP1, _APP14 = 0xDA, 0xE1, 0xEE
_ORIENTATION = 274


@dataclass(frozen=True)
class JpegHeader:
    """A JPEG file without peculiarities.

    Attributes
    ----------
    width, height : int
        As stored, pixels.
    orientation : int
        1 to 8, as Exif counts; 1 where the file says nothing.
    """

    width: int
    height: int
    orientation: int = 1


def read_header(data: bytes) -> JpegHeader | None:
    """Read the header of a JPEG file.

    Parameters
    ----------
    data : bytes
        The whole file.

    Returns
    -------
    JpegHeader or None
        None for whatever is out of the ordinary, so that a careful decoder has to look: not baseline or progressive
        Huffman coding in YCbCr with 8 bits a sample, chroma at other than the whole or half resolution, an Exif block
        that cannot be read, an orientation elsewhere than in Exif, no end of the image.
    """
    if not data.startswith(_SOI):
        return None
    frame: tuple[int, int] | None = None
    orientation: int | None = None
    at = 2
    try:
        while True:
            if data[at] != 0xFF:
                return None
            while data[at + 1] == 0xFF:  # fill bytes
                at += 1
            marker = data[at + 1]
            length = int.from_bytes(data[at + 2 : at + 4], "big")
            start, end = at + 4, at + 2 + length
            if length < 2 or end > len(data):
                return None
            if marker == _SCAN:
                break
            if marker in _FRAMES:
                if frame is not None or not _plain(data[start:end]):
                    return None
                frame = struct.unpack_from(">HH", data, start + 1)
            elif marker in _OTHER_FRAMES or not 0xC0 <= marker <= 0xFE or 0xD0 <= marker <= 0xD9:
                return None
            elif marker == _APP1:
                block = data[start:end]
                if block.startswith(b"Exif\0\0"):
                    if orientation is not None:
                        return None
                    orientation = _orientation(block[6:])
                elif b"Orientation" in block:  # XMP, which has a say where Exif has none
                    return None
            elif marker == _APP14 and data[start : start + 5] == b"Adobe" and (length < 14 or data[start + 11] != 1):
                return None  # not YCbCr
            at = end
    except (IndexError, struct.error):
        return None
    if frame is None or 0 in frame or data.rfind(_EOI) < end:
        return None
    return JpegHeader(width=frame[1], height=frame[0], orientation=orientation or 1)


def _plain(frame: bytes) -> bool:
    """Whether a frame header is of three components with 8 bits, luma at one or two times the resolution of chroma."""
    if len(frame) != 15 or frame[0] != 8 or frame[5] != 3:
        return False
    names, sampling = (frame[6], frame[9], frame[12]), (frame[7], frame[10], frame[13])
    return bytes(names) != b"RGB" and sampling in {(luma, 0x11, 0x11) for luma in (0x11, 0x21, 0x22)}


def _orientation(tiff: bytes) -> int:
    """The orientation in an Exif block; IndexError or struct.error where it cannot be read."""
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(tiff[:4])
    if order is None:
        raise IndexError("no TIFF header")
    (at,) = struct.unpack_from(order + "I", tiff, 4)
    (count,) = struct.unpack_from(order + "H", tiff, at)
    found = 0
    for entry in range(at + 2, at + 2 + 12 * count, 12):
        tag, kind, number, value = struct.unpack_from(order + "HHIH", tiff, entry)
        if tag == _ORIENTATION:
            if (kind, number) != (3, 1) or found:
                raise IndexError("an orientation that is no short integer, or is said twice")
            found = value if 1 <= value <= 8 else 1
    return found or 1
