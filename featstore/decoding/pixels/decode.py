"""Bytes of an image file -> RGB. Every rule about format, orientation, colour, depth and size lives here.

Pillow decodes, with its module-wide switches (pixel limit, acceptance of truncated files, warnings) held at known
values meanwhile: the result depends on the bytes alone, not on the process.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile, TiffImagePlugin

from featstore.decoding.pixels.deep_samples import DARK, TOP, DeepSamples
from featstore.decoding.pixels.plugins import (
    MAX_PIXELS,
    SWITCHES,
    available,
    check_size,
    gif_frames,
    lacking,
    open_image,
)
from featstore.errors import DecodeError
from featstore.images import formats
from featstore.images.bare_file import bare_files
from featstore.images.tiff_directory import TiffDirectory, count_pages

RULES: dict[str, Any] = {
    "version": 1,
    "decoder": "Pillow",
    "formats": ["JPEG", "PNG", "WebP", "BMP", "GIF", "TIFF", "PPM"],  # by magic bytes; see `LATER_FORMATS`
    "orientation": "EXIF or TIFF tag 274; upright where there is none or it cannot be read",
    "background": [255, 255, 255],  # below alpha, palette and colour-key transparency
    "depth": "16 bits: the high byte; 32-bit integers and floats: the image's own minimum to maximum",
    "cmyk": "without colour profile; Adobe JPEG inverted",
    "icc": "ignored",
    "frame": "first",
    "truncated": "error",
    "max_pixels": MAX_PIXELS,
}
"""What decides the pixels, as recorded in every fingerprint. A change of any rule is a new version.

Text, colour profiles and other data beside the pixels fail no picture: where they are what stops the decoder, it is
asked again without them.
"""

LATER_FORMATS = {
    "AVIF": "libavif in Pillow; turned by irot and imir alone; 10 and 12 bits to 8 of their own range; first frame",
    "JPEG 2000": "OpenJPEG in Pillow; as stored; more than 8 bits to 8 of their own range",
    "HEIC": "libheif in pillow-heif; turned by irot and imir alone; 10 and 12 bits to 8 of their own range; the main "
    "picture",
}
"""How formats are decoded that were added to `RULES` without a new version: no row of theirs was there before, so they
are additions under the same key. All that `RULES` says of other formats holds for them."""

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

_WAYS_OUT = {
    "DICOM": "convert it to PNG with its window applied, for instance by dcmj2pnm or pydicom",
    "JPEG XL": "convert it to PNG or JPEG, for instance by djxl",
    "SVG": "draw it as a PNG first",
    "PDF": "save its pages as PNG first",
    "Git LFS pointer": "fetch the file itself with `git lfs pull`",
    "NIfTI": "save its slices as PNG",
    "a NumPy array (.npy)": "save it as PNG, or give arrays in Python",
    "NumPy arrays (.npz)": "save them as PNG, or give arrays in Python",
    "MP4 video": "save frames of it as JPEG first",
    "QuickTime video": "save frames of it as JPEG first",
}
"""What to do about bytes that are no picture, where that is known."""

_OUTDATED = re.compile(
    r"not a supported image: (?P<format>AVIF|HEIC|JPEG 2000)$"
    r"|(?P<lacking>AVIF|HEIC|JPEG 2000) needs "
    r"|(?P<beside>PNG: (?:Decompressed data too large|Too much memory used in text|Unknown compression method"
    r"|broken PNG file \(\w+ [\w ]*checksum in b'(?!tRNS)[a-z]|Truncated (?:gAMA|cHRM|sRGB|pHYs)))"
)


_PARTLY = frozenset(("JPEG", "PNG", "GIF", "BMP", "TIFF", "PPM"))
"""Formats whose decoders give what they have of a file that is cut short."""


class Picture(NamedTuple):
    """A decoded image of mode RGB, and what is worth knowing about how it came about, mostly "".

    Examples
    --------
    >>> Picture(Image.new("RGB", (4, 3)), "the first of 12 pages").remark
    'the first of 12 pages'
    """

    image: Image.Image
    remark: str = ""


def decode(
    data: bytes, min_side: int | None = None, *, bit_depth: int | None = None, allow_truncated: bool = False
) -> NDArray[np.uint8]:
    """Decode the bytes of an image file by `RULES`.

    Parameters
    ----------
    data : bytes
        The whole file.
    min_side : int, optional
        A JPEG may come at 1/2, 1/4 or 1/8 of its size, in the cosine transform, as long as both sides keep so many
        pixels: much faster, and other pixels. Default: the whole size.
    bit_depth : int, optional
        9 to 16: samples of 16 bits are taken as so many, of which the upper 8 are kept; larger ones become 255.
        Default: the high byte. Files that say another depth themselves, and floats, are decoded as without.
    allow_truncated : bool
        Where a file is cut short or damaged, take what can be decoded; what is missing is grey or black.

    Returns
    -------
    ndarray of shape (h, w, 3), uint8
        RGB, upright.

    Raises
    ------
    DecodeError
        Whatever is wrong with the bytes; the message is one short line.
    """
    return np.asarray(decode_picture(data, min_side, bit_depth=bit_depth, allow_truncated=allow_truncated).image)


def decode_image(data: bytes, min_side: int | None = None) -> Image.Image:
    """As `decode`, but a Pillow image of mode RGB: no copy where the next step is Pillow's resize.

    Raises
    ------
    DecodeError
        Whatever is wrong with the bytes, lack of memory included (then its `__cause__` is the MemoryError).
    """
    return decode_picture(data, min_side).image


def decode_picture(
    data: bytes, min_side: int | None = None, *, bit_depth: int | None = None, allow_truncated: bool = False
) -> Picture:
    """As `decode_image`, with a remark.

    Raises
    ------
    DecodeError
        As `decode_image`.
    """
    head = data[: formats.HEAD_BYTES]
    name = formats.sniff(head)
    if name is None:
        found = formats.describe(head)
        raise DecodeError(f"not a supported image: {found}" + (f"; {_WAYS_OUT[found]}" if found in _WAYS_OUT else ""))
    if not available(name):
        raise DecodeError(lacking(name))
    try:
        return _attempted(name, data, min_side, bit_depth, False)
    except DecodeError as error:
        if isinstance(error.__cause__, MemoryError):
            raise
        failure = error
    for less in bare_files(name, data):
        try:
            return _attempted(name, less, min_side, bit_depth, False)
        except DecodeError as error:
            failure = error
    for some in (data, *bare_files(name, data)) if allow_truncated and name in _PARTLY else ():
        try:
            picture = _attempted(name, some, min_side, bit_depth, True)
        except DecodeError:
            continue
        if all(low == high for low, high in picture.image.getextrema()):  # type: ignore[misc]  # RGB: a pair a band
            continue  # nothing was there to be decoded
        remark = f"cut short or damaged, decoded as far as it goes ({str(failure).removeprefix(f'{name}: ')})"
        return Picture(picture.image, "; ".join(filter(None, (remark, picture.remark))))
    raise failure


def outdated(reason: str) -> bool:
    """Whether a failure that was recorded earlier would not be one any more, by its reason.

    Parameters
    ----------
    reason : str

    Examples
    --------
    >>> outdated("PNG: Decompressed data too large for PngImagePlugin.MAX_TEXT_CHUNK")
    True
    >>> outdated("JPEG: image file is truncated (3 bytes not processed)")
    False
    """
    found = _OUTDATED.match(reason)
    if found is None:
        return False
    name = found["format"] or found["lacking"]
    return name is None or available(name)


def _attempted(name: str, data: bytes, min_side: int | None, bit_depth: int | None, truncated: bool) -> Picture:
    """One try to decode; whatever goes wrong is a DecodeError."""
    try:
        with SWITCHES.held(truncated):
            return _decode(name, data, min_side, bit_depth)
    except DecodeError as error:
        text = str(error)
        if text.startswith(name):
            raise
        raise DecodeError(f"{name}: {text}") from error
    except MemoryError as error:
        raise DecodeError(f"{name}: not enough memory to decode it") from error
    except Exception as error:  # a plugin may raise anything at all on hostile bytes
        if "out of memory" in str(error):
            raise DecodeError(f"{name}: not enough memory to decode it") from MemoryError()
        raise DecodeError(f"{name}: {_unusual(data) if name == 'TIFF' else ''}{_one_line(error)}") from error


def _decode(name: str, data: bytes, min_side: int | None, bit_depth: int | None) -> Picture:
    image = open_image(name, data)
    if min_side is not None and name == "JPEG":
        image.draft(None, (min_side, min_side))
    deep = "16" in str(image.tile[0][3]) if image.tile else False
    samples = DeepSamples(name, data, image, lambda: open_image(name, data))
    image.load()
    check_size(name, *image.size)
    remarks = [_first_of(name, data, image)]
    transpose = _UPRIGHT.get(_orientation(name, image))
    flat: Image.Image = image
    if samples.present:
        largest = samples.largest(image)
        if bit_depth is not None:
            flat, deep = samples.as_bits(image, bit_depth), False
            if largest >= 1 << bit_depth:
                remarks.append(f"16-bit, values up to {largest} cut off above {(1 << bit_depth) - 1}")
        elif 0 < largest < DARK and image.mode != "CMYK":
            remarks.append(f"16-bit, all values at most {largest} of {TOP}")
    rgb = _flatten(flat, deep)
    if transpose is not None:
        rgb = rgb.transpose(transpose)
    return Picture(rgb, "; ".join(filter(None, remarks)))


def _first_of(name: str, data: bytes, image: ImageFile.ImageFile) -> str:
    """What a file holds beside the picture that is decoded; "" where nothing."""
    if name == "TIFF":
        first = TiffDirectory.first(data)
        if first is not None and (first.camera or first.reduced):
            what = first.camera or "a file whose first page is a smaller version of another one"
            return f"only the preview of {image.width} x {image.height} pixels in {what}"
        pages = count_pages(data)
        return f"the first of {pages:,} pages" if pages > 1 else ""
    if name not in ("GIF", "WebP", "PNG", "AVIF", "HEIC"):
        return ""
    frames = gif_frames(data) if name == "GIF" else int(getattr(image, "n_frames", 1))
    if frames < 2:
        return ""
    return f"the main one of {frames:,} pictures" if name == "HEIC" else f"the first of {frames:,} frames"


def _unusual(data: bytes) -> str:
    """What is unusual about a TIFF that Pillow refuses, to stand before Pillow's own words."""
    page = TiffDirectory.first(data)
    return f"{page.unusual}: " if page is not None and page.unusual else ""


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
        raise DecodeError("a pixel is not a finite number (NaN or infinite); give it a value")
    factor = 255.0 / (high - low) if high > low else 0.0
    result = np.empty(values.shape, dtype=np.uint8)
    for row, line in enumerate(values):  # row by row: in float64 the whole would be eight times as large
        result[row] = np.rint((line.astype(np.float64) - low) * factor)
    return result


def _orientation(name: str, image: Image.Image) -> int:
    """The orientation tag, 1 to 8; 1 where it cannot be read, for the pixels are still good."""
    if name == "HEIC":
        return 1  # libheif has turned it, and EXIF does not count
    if name == "AVIF":
        image.info.pop("xmp", None)  # Pillow made an EXIF tag of irot and imir, and nothing else counts
    try:
        return int(image.getexif().get(_ORIENTATION, 1))
    except Exception:  # noqa: BLE001 - Pillow's parser may raise anything; the rule is "upright"
        return 1


def _one_line(error: Exception) -> str:
    """A message without line breaks and memory addresses, which would differ from run to run."""
    text = " ".join(re.sub(r"<[^>]* at 0x[0-9a-fA-F]+>", "data", str(error)).split())
    text = "".join(c if c.isprintable() else "?" for c in text)
    return text[:160] or type(error).__name__
