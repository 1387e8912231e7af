"""TiffDirectory: what one directory of a TIFF file says of its page, read without decoding anything."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

MAX_PAGES = 10_000
"""No more directories of a file are followed."""

_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 6: 1, 8: 2, 9: 4, 13: 4, 16: 8}
"""Bytes a value, by type: those that are read here."""

_SUBFILE, _WIDTH, _HEIGHT, _BITS, _MAKE, _SAMPLES, _SUB_DIRECTORIES, _SAMPLE_FORMAT, _DNG = (
    254, 256, 257, 258, 271, 277, 330, 339, 50706,
)  # fmt: skip
_RAW_MAKERS = {"NIKON": "NEF", "SONY": "ARW", "PENTAX": "PEF", "SAMSUNG": "SRW", "CANON": "CR2"}


@dataclass(frozen=True)
class TiffDirectory:
    """One directory. What a value lies outside of the bytes at hand, or is none, is left out.

    Attributes
    ----------
    width, height : int or None
        Pixels.
    bits : tuple of int
        Of each sample.
    samples : int or None
        A pixel.
    sample_format : int
        1 unsigned, 2 signed, 3 floating-point.
    reduced : bool
        The page is a smaller version of another one in the same file.
    beside : bool
        It is that, or a mask of another one.
    camera : str
        "a DNG raw file" and the like where it is a camera's; else "".

    Examples
    --------
    >>> entries = struct.pack("<HHII", 256, 4, 1, 640) + struct.pack("<HHII", 254, 4, 1, 1)
    >>> found = TiffDirectory.first(b"II*\\0" + struct.pack("<IH", 8, 2) + entries + bytes(4))
    >>> found.width, found.reduced
    (640, True)
    """

    width: int | None
    height: int | None
    bits: tuple[int, ...]
    samples: int | None
    sample_format: int
    reduced: bool
    beside: bool
    camera: str

    @classmethod
    def first(cls, data: bytes) -> Self | None:
        """The first directory, None where it lies outside of the bytes or is broken.

        Parameters
        ----------
        data : bytes
            The file, or as much of it as is at hand.
        """
        for offset in _offsets(data):
            return cls.at(data, offset)
        return None

    @classmethod
    def at(cls, data: bytes, offset: int) -> Self | None:
        """The directory that begins at `offset`, None where it is broken."""
        order, big = _order(data)
        tags: dict[int, tuple[int, ...]] = {}
        text: dict[int, bytes] = {}
        head, size = (8, 20) if big else (2, 12)
        try:
            (count,) = struct.unpack_from(order + ("Q" if big else "H"), data, offset)
            for i in range(min(count, 4096)):
                at = offset + head + size * i
                tag, type_, number = struct.unpack_from(order + ("HHQ" if big else "HHI"), data, at)
                if type_ not in _SIZES or number > 64:
                    tags.setdefault(tag, ())
                    continue
                room, start = size - (12 if big else 8), at + (12 if big else 8)
                if _SIZES[type_] * number > room:
                    (start,) = struct.unpack_from(order + ("Q" if big else "I"), data, start)
                piece = data[start : start + _SIZES[type_] * number]
                code = {1: "B", 2: "B", 3: "H", 4: "I", 6: "b", 8: "h", 9: "i", 13: "I", 16: "Q"}[type_]
                whole = len(piece) == _SIZES[type_] * number
                tags[tag] = struct.unpack(f"{order}{number}{code}", piece) if whole else ()
                if type_ == 2:
                    text[tag] = piece
        except struct.error:
            if not tags:
                return None

        def one(tag: int) -> int | None:
            return next(iter(tags.get(tag, ())), None)

        maker = text.get(_MAKE, b"").decode("latin-1").upper()
        camera = ""
        if _DNG in tags:
            camera = "a DNG raw camera file"
        elif data[8:10] == b"CR" and not big:
            camera = "a CR2 raw camera file"
        elif _SUB_DIRECTORIES in tags and (one(_SUBFILE) or 0) & 1:
            ending = next((raw for name, raw in _RAW_MAKERS.items() if maker.startswith(name)), "")
            camera = f"a raw camera file, by its maker {ending}" if ending else ""
        return cls(
            width=one(_WIDTH),
            height=one(_HEIGHT),
            bits=tags.get(_BITS, ()),
            samples=one(_SAMPLES),
            sample_format=one(_SAMPLE_FORMAT) or 1,
            reduced=bool((one(_SUBFILE) or 0) & 1),
            beside=bool((one(_SUBFILE) or 0) & 5),
            camera=camera,
        )

    @property
    def unusual(self) -> str:
        """What decoders may not be up to, with the way out; "" where nothing."""
        samples = self.samples or len(self.bits) or 1
        if self.camera:
            return f"{self.camera}, develop it to JPEG or TIFF first"
        if samples > 4:
            return f"{samples:,} samples a pixel, expected 1 to 4; save three of them as an RGB picture"
        if self.bits and (max(self.bits) > 32 or (samples > 1 and max(self.bits) > 16)):
            kind = "floating-point" if self.sample_format == 3 else "integer"
            many = "sample" if samples == 1 else "samples"
            return f"{samples} {kind} {many} of {self.bits[0]} bits a pixel; save it with 8 or 16 bits"
        return ""


def count_pages(data: bytes) -> int:
    """How many pages a TIFF file holds, smaller versions and masks of others left aside.

    At most `MAX_PAGES` directories are followed; 0 where not even the first can be read.

    Parameters
    ----------
    data : bytes
        The whole file.

    Examples
    --------
    >>> count_pages(b"II*\\0" + struct.pack("<IHI", 8, 0, 14) + struct.pack("<HI", 0, 0))
    2
    """
    pages = (TiffDirectory.at(data, offset) for offset in _offsets(data))
    return sum(1 for page in pages if page is None or not page.beside)


def _order(data: bytes) -> tuple[str, bool]:
    """Byte order for `struct`, and whether it is a BigTIFF."""
    order = "<" if data[:2] == b"II" else ">"
    return order, 0x2B in data[2:4]


def _offsets(data: bytes) -> Iterator[int]:
    """Where each directory begins; one that comes twice ends the chain."""
    order, big = _order(data)
    size, entry, pointer = (8, 20, "Q") if big else (2, 12, "I")
    seen: set[int] = set()
    try:
        (offset,) = struct.unpack_from(order + pointer, data, 8 if big else 4)
        while offset and offset not in seen and len(seen) < MAX_PAGES:
            (count,) = struct.unpack_from(order + ("Q" if big else "H"), data, offset)
            seen.add(offset)
            yield offset
            (offset,) = struct.unpack_from(order + pointer, data, offset + size + entry * count)
    except (struct.error, OverflowError):
        return
