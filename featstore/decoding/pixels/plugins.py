"""Pillow's plugins, called directly, one format each: no other plugin ever sees the bytes, and sizes are checked first.

What a plugin allocates on opening is allowed only after the size in the header has been looked at. Pillow's switches
for all plugins are held while they work.
"""

from __future__ import annotations

import io
import re
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from PIL import (
    BmpImagePlugin,
    GifImagePlugin,
    Image,
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

MAX_PIXELS = 100_000_000
"""Of a picture that is decoded."""

MAX_FRAMES = 10_000
"""No more are counted."""


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


def open_image(name: str, data: bytes) -> ImageFile.ImageFile:
    """Open a file with the plugin of its format; its pixels are not decoded yet.

    Parameters
    ----------
    name : str
        One of `featstore.images.formats.FORMATS`.
    data : bytes
        The whole file.

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
        check_size(name, *_webp_canvas(data))  # Pillow allocates the canvas on opening
    if name in ("AVIF", "HEIC"):
        for extent in re.finditer(rb"ispe\x00{4}(.{4})(.{4})", data, re.DOTALL):  # of each picture and tile in it
            check_size(name, int.from_bytes(extent[1], "big"), int.from_bytes(extent[2], "big"))
    if name == "JPEG 2000":
        check_size(name, *_codestream_size(data))  # Pillow looks at the box around it alone
    with _one_thread(name):
        image = plugin(io.BytesIO(data))
    width, height = image.size
    check_size(name, width, height)
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        _mend_planes(image)
    return image


def check_size(name: str, width: int, height: int) -> None:
    """Refuse a picture without pixels, or with too many.

    Raises
    ------
    DecodeError
    """
    if width < 1 or height < 1:
        raise DecodeError(f"{name}: {width} x {height} pixels")
    if width * height > MAX_PIXELS:
        raise DecodeError(f"{name}: {width} x {height} pixels, more than the {MAX_PIXELS:,} that are decoded")


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


@contextmanager
def _one_thread(name: str) -> Iterator[None]:
    """Hold the module-wide options of a decoder while a file is opened; afterwards they are as before."""
    if name not in _OPTIONS:
        yield
        return
    if name == "AVIF":
        from PIL import AvifImagePlugin

        module: Any = AvifImagePlugin
    else:
        import pillow_heif

        module = pillow_heif.options
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


class Switches:
    """Holds Pillow's module-wide switches at known values while any thread decodes; afterwards they are as before.

    Threads that want other values wait for each other.

    Examples
    --------
    >>> with SWITCHES.held(truncated=True):
    ...     ImageFile.LOAD_TRUNCATED_IMAGES
    True
    """

    def __init__(self) -> None:
        self._free = threading.Condition()
        self._users = 0
        self._truncated = False
        self._before: tuple[int | None, bool] = (None, False)
        self._warnings = warnings.catch_warnings()

    @contextmanager
    def held(self, truncated: bool) -> Iterator[None]:
        """Hold the switches. `truncated`: Pillow is to accept files that are cut short."""
        self._enter(truncated)
        try:
            yield
        finally:
            self._leave()

    def _enter(self, truncated: bool) -> None:
        with self._free:
            self._free.wait_for(lambda: not self._users or self._truncated == truncated)
            if self._users == 0:
                self._truncated = truncated
                self._before = Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES
                Image.MAX_IMAGE_PIXELS = MAX_PIXELS
                ImageFile.LOAD_TRUNCATED_IMAGES = truncated
                self._warnings = warnings.catch_warnings()
                self._warnings.__enter__()
                warnings.filterwarnings("ignore", module=r"(PIL|featstore|pillow_heif)(\.|$)")
            self._users += 1

    def _leave(self) -> None:
        with self._free:
            self._users -= 1
            if self._users == 0:
                self._warnings.__exit__(None, None, None)
                Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES = self._before
                self._free.notify_all()


SWITCHES = Switches()
"""Those of this process."""
