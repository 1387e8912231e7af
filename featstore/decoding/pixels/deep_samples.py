"""Samples of 16 bits: the largest one of a file, and samples of N bits that were put into 16.

Pillow keeps grey samples of 16 bits and gives the high byte alone of coloured ones. The low bytes are had by decoding
once more with the byte order turned round.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile, TiffImagePlugin

from featstore.decoding.pixels.plugins import codestream
from featstore.errors import DecodeError

TOP = 65535
DARK = 1 << 14
"""Where no sample reaches a quarter of the range, as 10, 12 or 14 bits in 16 do not, it is worth a remark."""

LARGE = 1 << 24
"""Pixels above which a file is not decoded twice for a remark."""

_TURNED = {"16B": "16L", "16L": "16B", "16N": "16B"}  # a "native" one is little-endian on all that featstore runs on


class DeepSamples:
    """The samples of a file that holds 16 unsigned bits each; made from the image before it is loaded.

    Parameters
    ----------
    name : str
        The format.
    data : bytes
        The whole file.
    image : ImageFile
        Opened and not loaded.
    reopen : callable
        Opens the file once more.

    Attributes
    ----------
    present : bool
        Whether the file holds such samples.
    """

    def __init__(
        self, name: str, data: bytes, image: ImageFile.ImageFile, reopen: Callable[[], ImageFile.ImageFile]
    ) -> None:
        self._name, self._data, self._reopen = name, data, reopen
        self._offset = int(image.tile[0][2]) if image.tile else 0
        self._raw = _raw_mode(image)
        # libtiff gives planes to Pillow in a way of its own
        self._separate = (
            getattr(image, "tag_v2", {}).get(TiffImagePlugin.PLANAR_CONFIGURATION) == 2
            and image.tile[0][0] == "libtiff"
            if image.tile
            else False
        )
        self._colour = image.mode not in ("I", "I;16", "I;16B", "I;16L")
        self.present = self._is_present(image)

    def _is_present(self, image: ImageFile.ImageFile) -> bool:
        if not image.tile:
            return False
        if self._name == "PNG":
            return self._raw.endswith("16B")
        if self._name == "TIFF":
            bits = getattr(image, "tag_v2", {}).get(TiffImagePlugin.BITSPERSAMPLE, (1,))
            signed = getattr(image, "tag_v2", {}).get(TiffImagePlugin.SAMPLEFORMAT, (1,))
            return set(bits) == {16} and set(signed) == {1}
        if self._name == "PPM":
            maximum = self._data[: self._offset].split()[-1:]
            return self._data[:2] in (b"P2", b"P3", b"P5", b"P6") and maximum == [str(TOP).encode()]
        if self._name == "JPEG 2000":
            return self._data[codestream(self._data) + 42] == 15  # the first component's bits less one, unsigned
        return False

    def largest(self, image: Image.Image) -> int:
        """The largest sample, transparency left aside, or up to 255 more: coloured samples are decoded once more for
        the exact value only where they are dark and the picture is not large.

        Parameters
        ----------
        image : Image
            Loaded.
        """
        if not self._colour:
            return int(np.asarray(image).max())
        ranges: Any = image.getextrema()
        bands = ranges if isinstance(ranges[0], tuple) else (ranges,)
        high = max(int(top) for _, top in bands[:3])
        most = min(TOP, high * 256 + 255)
        if most >= DARK or image.width * image.height > LARGE:
            return most
        try:
            return max(int(self._band(image, band).max()) for band in range(min(3, len(bands))))
        except DecodeError:
            return most

    def as_bits(self, image: Image.Image, depth: int) -> Image.Image:
        """The image with its samples taken as `depth` bits, 8 of which are kept; larger ones become 255.

        Parameters
        ----------
        image : Image
            Loaded.
        depth : int
            9 to 16.

        Returns
        -------
        Image
            Of mode L, RGB or RGBA.

        Raises
        ------
        DecodeError
            Where the low bytes cannot be had.
        """
        if not self._colour:
            return Image.fromarray(_scaled(np.asarray(image), depth))
        count = len(image.getbands())
        mode = "RGBA" if count == 4 else "RGB"
        return Image.merge(
            mode, [Image.fromarray(_scaled(self._band(image, band), depth)) for band in range(len(mode))]
        )

    def _band(self, image: Image.Image, band: int) -> NDArray[np.uint16]:
        """One band with all its 16 bits."""
        if self._name == "PPM" and self._data[:2] == b"P6":
            width, height = image.size
            flat = np.frombuffer(self._data, ">u2", width * height * 3, self._offset)
            return flat.reshape(height, width, 3)[..., band]
        if self._name == "PNG" and self._raw == "LA;16B":  # four bytes a pixel, as they are
            four = self._loaded("RGBA")
            first = 2 if band == 3 else 0
            return _joined(four.getchannel(first), four.getchannel(first + 1))
        kind, _, order = self._raw.rpartition(";")
        if self._separate or order not in _TURNED or kind not in ("RGB", "RGBA", "RGBX", "R"):
            raise DecodeError(
                f"{self._name}: 16-bit samples of several bands cannot be taken as fewer bits where they are stored in "
                "this way; save the picture as a PNG or an uncompressed RGB TIFF"
            )
        turned = self._loaded("")
        return _joined(image.getchannel(band), turned.getchannel(band))

    def _loaded(self, raw: str) -> Image.Image:
        """The file decoded once more: as `raw` says, or with the bytes of each sample turned round."""
        image = self._reopen()
        if raw == "RGBA":
            image._mode = "RGBA"
        image.tile = [tile._replace(args=_with_raw_mode(tile.args, raw)) for tile in image.tile]
        image.load()
        return image


def _raw_mode(image: ImageFile.ImageFile) -> str:
    """How the samples lie in the file, in Pillow's words; "" where it does not say."""
    if not image.tile:
        return ""
    args = image.tile[0][3]
    first = args[0] if isinstance(args, tuple) and args else args
    return first if isinstance(first, str) else ""


def _with_raw_mode(args: Any, raw: str) -> Any:
    """The arguments of a tile with another raw mode; without one, with its own for the other byte order."""
    first = args if isinstance(args, str) else args[0]
    kind, _, order = first.rpartition(";")
    wanted = raw or f"{kind};{_TURNED[order]}"
    return wanted if isinstance(args, str) else (wanted, *args[1:])


def _joined(high: Image.Image, low: Image.Image) -> NDArray[np.uint16]:
    whole: NDArray[np.uint16] = np.asarray(high).astype(np.uint16) << 8 | np.asarray(low)
    return whole


def _scaled(values: NDArray[Any], depth: int) -> NDArray[np.uint8]:
    kept: NDArray[np.uint8] = np.minimum(values >> (depth - 8), 255).astype(np.uint8)
    return kept
