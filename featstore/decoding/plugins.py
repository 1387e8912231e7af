"""Pillow's plugins, called directly, one format each: no other plugin ever sees the bytes, and sizes are checked first.

What a plugin allocates on opening is allowed only after the size in the header has been looked at. Where a file's
pixels are good and something beside them is not (a text that is too large, a colour profile, a broken checksum of
either), `bare` gives the same file without it.
"""

from __future__ import annotations

import io
import re
import threading
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from PIL import (
    BmpImagePlugin,
    GifImagePlugin,
    ImageFile,
    Jpeg2KImagePlugin,
    JpegImagePlugin,
    PngImagePlugin,
    PpmImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
    features,
)

from featstore.errors import DecodeError

PLUGINS: dict[str, type[ImageFile.ImageFile]] = {
    "JPEG": JpegImagePlugin.JpegImageFile,  # the first picture of an MPO is a plain JPEG
    "PNG": PngImagePlugin.PngImageFile,
    "WebP": WebPImagePlugin.WebPImageFile,
    "BMP": BmpImagePlugin.BmpImageFile,
    "GIF": GifImagePlugin.GifImageFile,
    "TIFF": TiffImagePlugin.TiffImageFile,
    "PPM": PpmImagePlugin.PpmImageFile,
}


def _avif() -> type[ImageFile.ImageFile] | None:
    try:
        from PIL import AvifImagePlugin
    except ImportError:  # a Pillow before 11.3
        return None
    return AvifImagePlugin.AvifImageFile if features.check("avif") else None


def _jpeg_2000() -> type[ImageFile.ImageFile] | None:
    return Jpeg2KImagePlugin.Jpeg2KImageFile if features.check("jpg_2000") else None


def _heic() -> type[ImageFile.ImageFile] | None:
    try:
        from pillow_heif import HeifImageFile
    except ImportError:
        return None
    plugin: type[ImageFile.ImageFile] = HeifImageFile
    return plugin


_LATER = {"AVIF": _avif, "JPEG 2000": _jpeg_2000, "HEIC": _heic}
"""Formats whose decoder may be missing."""

_OPTIONS = {
    "AVIF": {"DEFAULT_MAX_THREADS": 1},
    "HEIC": {"DECODE_THREADS": 1, "THUMBNAILS": False, "DEPTH_IMAGES": False, "AUX_IMAGES": False},
}
"""Module-wide options of decoders that are read when a file is opened."""

_opening = threading.Lock()

_PIXEL_CHUNKS = frozenset((b"IHDR", b"PLTE", b"IDAT", b"IEND", b"tRNS", b"eXIf"))
_WEBP_CHUNKS = frozenset((b"VP8X", b"VP8 ", b"VP8L", b"ALPH", b"ANIM", b"ANMF"))
_ORIENTED_TEXT = (b"Raw profile type exif\0", b"XML:com.adobe.xmp\0")
"""Keywords of texts in which Pillow looks for the orientation."""

MAX_FRAMES = 10_000
"""No more are counted."""

SMALL_TEXT = 1 << 20
"""Bytes of such a text, unpacked, that is kept."""


def available(name: str) -> bool:
    """Whether a format can be decoded by what is installed here.

    Parameters
    ----------
    name : str
        One of `featstore.images.formats.FORMATS`.

    Examples
    --------
    >>> available("JPEG")
    True
    """
    return name in PLUGINS or _LATER[name]() is not None


def lacking(name: str) -> str:
    """What to say of a format that `available` denies."""
    if name == "HEIC":
        return "HEIC needs the package pillow-heif, which is not installed: pip install featstore[heic]"
    return f"{name} needs a Pillow that is built with it, and the one installed is not: pip install -U Pillow"


def open_image(name: str, data: bytes, max_pixels: int) -> ImageFile.ImageFile:
    """Open a file with the plugin of its format; its pixels are not decoded yet.

    Parameters
    ----------
    name : str
        One of `featstore.images.formats.FORMATS`.
    data : bytes
        The whole file.
    max_pixels : int

    Raises
    ------
    DecodeError
        Where the header announces no pixels or too many, or the decoder is not installed.
    Exception
        Whatever the plugin raises.
    """
    plugin = PLUGINS.get(name) or _LATER[name]()
    if plugin is None:
        raise DecodeError(lacking(name))
    if name == "WebP":
        check_size(name, *_webp_canvas(data), max_pixels)  # Pillow allocates the canvas on opening
    if name in ("AVIF", "HEIC"):
        for extent in re.finditer(rb"ispe\x00{4}(.{4})(.{4})", data, re.DOTALL):  # of each picture and tile in it
            check_size(name, int.from_bytes(extent[1], "big"), int.from_bytes(extent[2], "big"), max_pixels)
    if name == "JPEG 2000":
        check_size(name, *_codestream_size(data), max_pixels)  # Pillow looks at the box around it alone
    with _one_thread(name):
        image = plugin(io.BytesIO(data))
    width, height = image.size
    check_size(name, width, height, max_pixels)
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        _mend_planes(image)
    return image


def check_size(name: str, width: int, height: int, max_pixels: int) -> None:
    """Refuse a picture without pixels, or with too many.

    Raises
    ------
    DecodeError
    """
    if width < 1 or height < 1:
        raise DecodeError(f"{name}: {width} x {height} pixels")
    if width * height > max_pixels:
        raise DecodeError(f"{name}: {width} x {height} pixels, more than the {max_pixels:,} that are decoded")


def bare(name: str, data: bytes) -> Iterator[bytes]:
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


def _mend_planes(image: TiffImagePlugin.TiffImageFile) -> None:
    """Pillow takes 16-bit samples that lie uncompressed, band after band, for twice as many of 8 bits."""
    tags = image.tag_v2
    planes = tags.get(TiffImagePlugin.PLANAR_CONFIGURATION) == 2
    if planes and set(tags.get(TiffImagePlugin.BITSPERSAMPLE, ())) == {16}:
        order = "B" if tags.prefix == b"MM" else "L"
        image.tile = [
            tile._replace(args=(f"{tile.args[0]};16{order}", *tile.args[1:]))
            if tile.codec_name == "raw" and isinstance(tile.args, tuple) and len(str(tile.args[0])) == 1
            else tile
            for tile in image.tile
        ]


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


@contextmanager
def _one_thread(name: str) -> Iterator[None]:
    """Hold the module-wide options of a decoder while a file is opened; afterwards they are as before."""
    if name not in _OPTIONS:
        yield
        return
    module: Any
    if name == "AVIF":
        from PIL import AvifImagePlugin as module
    else:
        from pillow_heif import options as module
    with _opening:
        before = {option: getattr(module, option) for option in _OPTIONS[name] if hasattr(module, option)}
        try:
            for option in before:
                setattr(module, option, _OPTIONS[name][option])
            yield
        finally:
            for option, value in before.items():
                setattr(module, option, value)


def _webp_canvas(data: bytes) -> tuple[int, int]:
    """(width, height) from the header of a WebP file."""
    kind = data[12:16]
    if kind == b"VP8X" and len(data) >= 30:
        return int.from_bytes(data[24:27], "little") + 1, int.from_bytes(data[27:30], "little") + 1
    if kind == b"VP8L" and len(data) >= 25:
        bits = int.from_bytes(data[21:25], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if kind == b"VP8 " and len(data) >= 30:
        return int.from_bytes(data[26:28], "little") & 0x3FFF, int.from_bytes(data[28:30], "little") & 0x3FFF
    raise DecodeError("WebP: header is broken")


def gif_frames(data: bytes) -> int:
    """How many frames a GIF holds, as far as it can be read; none is decoded, and counting ends at `MAX_FRAMES`.

    Parameters
    ----------
    data : bytes
        The whole file.
    """
    frames = 0
    try:
        at = 13 + _palette_bytes(data[10])
        while frames < MAX_FRAMES:
            if data[at] == 0x2C:
                frames += 1
                at += 11 + _palette_bytes(data[at + 9])
            elif data[at] == 0x21:
                at += 2
            else:  # the end, or what no block begins with
                return frames
            while length := data[at]:
                at += length + 1
            at += 1
    except IndexError:
        return frames
    return frames


def _palette_bytes(flags: int) -> int:
    return 3 * 2 ** (flags % 8 + 1) if flags & 0x80 else 0


def codestream(data: bytes) -> int:
    """Where the codestream of a JPEG 2000 file begins.

    Raises
    ------
    DecodeError
        Where there is none.
    """
    at = 0
    while data[at : at + 4] != b"\xff\x4f\xff\x51":
        length, kind, head = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8], 8
        if length == 1:
            length, head = int.from_bytes(data[at + 8 : at + 16], "big"), 16
        if kind == b"jp2c":
            at += head
            if data[at : at + 4] == b"\xff\x4f\xff\x51":
                break
            length = 0
        if length < head or at + length >= len(data):
            raise DecodeError("JPEG 2000: there is no codestream in it")
        at += length
    return at


def _codestream_size(data: bytes) -> tuple[int, int]:
    """(width, height) that the codestream of a JPEG 2000 file announces."""
    at = codestream(data) + 8
    right, bottom, left, top = (int.from_bytes(data[at + 4 * i : at + 4 * i + 4], "big") for i in range(4))
    return right - left, bottom - top
