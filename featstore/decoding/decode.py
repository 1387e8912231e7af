"""Bytes of an image file -> RGB. Every rule about format, orientation, colour, depth and size lives here.

Pillow decodes. Its plugins are called directly, one format each, so that no other plugin ever sees the bytes, and with
its module-wide switches (pixel limit, acceptance of truncated files, warnings) held at known values meanwhile: the
result depends on the bytes alone, not on the process.
"""

from __future__ import annotations

import io
import re
import threading
import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import (
    BmpImagePlugin,
    GifImagePlugin,
    Image,
    ImageFile,
    JpegImagePlugin,
    PngImagePlugin,
    PpmImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)

from featstore.errors import DecodeError
from featstore.images import formats

RULES: dict[str, Any] = {
    "version": 1,
    "decoder": "Pillow",
    "formats": list(formats.FORMATS),  # by magic bytes
    "orientation": "EXIF or TIFF tag 274; upright where there is none or it cannot be read",
    "background": [255, 255, 255],  # below alpha, palette and colour-key transparency
    "depth": "16 bits: the high byte; 32-bit integers and floats: the image's own minimum to maximum",
    "cmyk": "without colour profile; Adobe JPEG inverted",
    "icc": "ignored",
    "frame": "first",
    "truncated": "error",
    "max_pixels": 100_000_000,
}
"""What decides the pixels, as recorded in every fingerprint. A change of any rule is a new version."""

_PLUGINS: dict[str, type[ImageFile.ImageFile]] = {
    "JPEG": JpegImagePlugin.JpegImageFile,  # the first picture of an MPO is a plain JPEG
    "PNG": PngImagePlugin.PngImageFile,
    "WebP": WebPImagePlugin.WebPImageFile,
    "BMP": BmpImagePlugin.BmpImageFile,
    "GIF": GifImagePlugin.GifImageFile,
    "TIFF": TiffImagePlugin.TiffImageFile,
    "PPM": PpmImagePlugin.PpmImageFile,
}

_ORIENTATION = 274
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def decode(data: bytes, min_side: int | None = None) -> NDArray[np.uint8]:
    """Decode the bytes of an image file by `RULES`.

    Parameters
    ----------
    data : bytes
        The whole file.
    min_side : int, optional
        A JPEG may come at 1/2, 1/4 or 1/8 of its size, in the cosine transform, as long as both sides keep so many
        pixels: much faster, and other pixels. Default: the whole size.

    Returns
    -------
    ndarray of shape (h, w, 3), uint8
        RGB, upright.

    Raises
    ------
    DecodeError
        Whatever is wrong with the bytes; the message is one short line.
    """
    return np.asarray(decode_image(data, min_side))


def decode_image(data: bytes, min_side: int | None = None) -> Image.Image:
    """As `decode`, but a Pillow image of mode RGB: no copy where the next step is Pillow's resize.

    Raises
    ------
    DecodeError
        Whatever is wrong with the bytes, lack of memory included (then its `__cause__` is the MemoryError).
    """
    head = data[: formats.HEAD_BYTES]
    name = formats.sniff(head)
    if name is None:
        raise DecodeError(f"not a supported image: {formats.describe(head)}")
    try:
        with _SWITCHES:
            return _decode(name, data, min_side)
    except DecodeError:
        raise
    except MemoryError as error:
        raise DecodeError(f"{name}: not enough memory to decode it") from error
    except Exception as error:  # a plugin may raise anything at all on hostile bytes
        raise DecodeError(f"{name}: {_one_line(error)}") from error


def _decode(name: str, data: bytes, min_side: int | None) -> Image.Image:
    if name == "WebP":
        _check_size(name, *_webp_canvas(data))  # Pillow allocates the canvas on opening
    image = _PLUGINS[name](io.BytesIO(data))
    _check_size(name, *image.size)
    if min_side is not None:
        image.draft(None, (min_side, min_side))  # JPEG's alone does anything
    deep = "16" in str(image.tile[0][3]) if image.tile else False
    image.load()
    _check_size(name, *image.size)
    rgb = _flatten(image, deep)
    transpose = _UPRIGHT.get(_orientation(image))
    return rgb if transpose is None else rgb.transpose(transpose)


def _check_size(name: str, width: int, height: int) -> None:
    if width < 1 or height < 1:
        raise DecodeError(f"{name}: {width} x {height} pixels")
    if width * height > RULES["max_pixels"]:
        raise DecodeError(f"{name}: {width} x {height} pixels, more than the {RULES['max_pixels']:,} that are decoded")


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


def _flatten(image: Image.Image, deep: bool) -> Image.Image:
    """Any mode -> RGB. `deep`: the file holds 16 bits a sample."""
    mode = image.mode
    if mode == "RGB" and "transparency" not in image.info:
        return image
    if mode.startswith("I;16") or (mode == "I" and image.format in ("PNG", "PPM")):
        return _grey(np.asarray(image) >> (_bits(image) - 8))
    if mode in ("I", "F"):
        return _grey(_stretched(np.asarray(image)))
    if mode == "LAB":
        raise DecodeError(f"{image.format}: colours in CIE L*a*b*, which are not supported; convert it to RGB")
    if "transparency" in image.info and deep and mode != "P":
        del image.info["transparency"]  # a 16-bit key says nothing about the 8-bit samples at hand
    if not image.has_transparency_data:
        return image.convert("RGB")
    if mode == "La":
        image = image.convert("LA")
    rgba = image.convert("RGBA")
    flat = Image.new("RGB", rgba.size, tuple(RULES["background"]))
    flat.paste(rgba, mask=rgba.getchannel("A"))
    return flat


def _grey(values: NDArray[Any]) -> Image.Image:
    return Image.fromarray(values.astype(np.uint8, copy=False)).convert("RGB")


def _bits(image: Image.Image) -> int:
    """Bits a sample; 16 but in a TIFF of 12 bits."""
    tags = getattr(image, "tag_v2", {})
    return 12 if tags.get(TiffImagePlugin.BITSPERSAMPLE) == (12,) else 16


def _stretched(values: NDArray[Any]) -> NDArray[np.uint8]:
    """Scale linearly so that minimum and maximum become 0 and 255; a constant image becomes 0."""
    low, high = float(values.min()), float(values.max())
    if not np.isfinite([low, high]).all():
        raise DecodeError("a pixel is not a finite number")
    factor = 255.0 / (high - low) if high > low else 0.0
    result = np.empty(values.shape, dtype=np.uint8)
    for row, line in enumerate(values):  # row by row: in float64 the whole would be eight times as large
        result[row] = np.rint((line.astype(np.float64) - low) * factor)
    return result


def _orientation(image: Image.Image) -> int:
    """The orientation tag, 1 to 8; 1 where it cannot be read, for the pixels are still good."""
    try:
        return int(image.getexif().get(_ORIENTATION, 1))
    except Exception:  # noqa: BLE001 - Pillow's parser may raise anything; the rule is "upright"
        return 1


def _one_line(error: Exception) -> str:
    """A message without line breaks and memory addresses, which would differ from run to run."""
    text = " ".join(re.sub(r"<[^>]* at 0x[0-9a-fA-F]+>", "data", str(error)).split())
    text = "".join(c if c.isprintable() else "?" for c in text)
    return text[:160] or type(error).__name__


class _Switches:
    """Holds Pillow's module-wide switches at known values while any thread decodes; afterwards they are as before."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._users = 0
        self._before: tuple[int | None, bool] = (None, False)
        self._warnings = warnings.catch_warnings()

    def __enter__(self) -> None:
        with self._lock:
            if self._users == 0:
                self._before = Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES
                Image.MAX_IMAGE_PIXELS = RULES["max_pixels"]
                ImageFile.LOAD_TRUNCATED_IMAGES = False
                self._warnings = warnings.catch_warnings()
                self._warnings.__enter__()
                warnings.filterwarnings("ignore", module=r"(PIL|featstore)(\.|$)")
            self._users += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._users -= 1
            if self._users == 0:
                self._warnings.__exit__(None, None, None)
                Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES = self._before


_SWITCHES = _Switches()
