"""A picture file that shows a network exactly the pixels that were meant.

A classifier resizes a picture's short side, then crops the centre. A crop that is saved alone would be enlarged when it
is opened again, and its pixels would not reach the network as they are. So the crop is saved inside the frame that it
was cut from: a square whose side is what the transform resizes to, which the transform therefore leaves as it is.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from featstore.decoding.pixels.decode import decode
from featstore.decoding.pixels.transform import TransformSpec
from featstore.errors import DecodeError, ImagesNotFoundError
from featstore.sources.addresses import addresses
from featstore.sources.reading import FILE_BYTES, read
from featstore.system.reporting import printable_path


@dataclass(frozen=True, eq=False)
class FramedCrop:
    """A square picture and the place of the network's input in it.

    Attributes
    ----------
    pixels : ndarray of shape (side, side, 3), uint8
    size : int
        Side of the network's input, pixels.
    """

    pixels: NDArray[np.uint8]
    size: int

    @classmethod
    def of(cls, rgb: NDArray[np.uint8], spec: TransformSpec) -> FramedCrop:
        """The resized picture's centre, as large as a classifier's transform leaves it unchanged.

        Parameters
        ----------
        rgb : ndarray of shape (h, w, 3), uint8
        spec : TransformSpec
        """
        around = cls(replace(spec, crop=frame_side(spec)).apply(rgb), spec.crop)
        return around.holding(spec.apply(rgb))

    @classmethod
    def open(cls, path: str | bytes | os.PathLike[str], spec: TransformSpec) -> FramedCrop:
        """The frame of an image file; its `crop` is what `ImageClassifier.open` reads from the same file.

        Raises
        ------
        ImagesNotFoundError
            No readable file.
        DecodeError
            It cannot be decoded; the message names it.
        """
        name = printable_path(os.fsencode(path))
        try:
            (address,) = addresses([os.path.abspath(os.fsencode(path))])  # noqa: PTH100 - bytes
            data = read(address, FILE_BYTES)
        except OSError as error:
            raise ImagesNotFoundError(f"{name} cannot be read: {error.strerror or error}; check the path") from error
        try:
            return cls.of(decode(data, **spec.decode_options), spec)
        except DecodeError as error:
            raise DecodeError(f"{name} cannot be decoded: {error}") from error

    @property
    def offset(self) -> int:
        """First row and column of the network's input."""
        return round((len(self.pixels) - self.size) / 2)

    @property
    def crop(self) -> NDArray[np.uint8]:
        """What the network sees: of shape (size, size, 3), uint8."""
        inside = slice(self.offset, self.offset + self.size)
        return self.pixels[inside, inside]

    def holding(self, crop: NDArray[np.uint8]) -> FramedCrop:
        """The same frame around other pixels, of shape (size, size, 3), uint8."""
        pixels = self.pixels.copy()
        inside = slice(self.offset, self.offset + self.size)
        pixels[inside, inside] = crop
        return FramedCrop(pixels, self.size)


def frame_side(spec: TransformSpec) -> int:
    """Side of a frame in pixels."""
    return max(spec.resize, spec.crop)


def to_tensor(pictures: NDArray[np.uint8]) -> Tensor:
    """8-bit pictures of shape (b, h, w, 3) as a classifier takes them: (b, 3, h, w), float32 in [0, 1]."""
    return torch.from_numpy(np.ascontiguousarray(pictures)).permute(0, 3, 1, 2).float().div_(255)


def to_bytes(pictures: Tensor) -> NDArray[np.uint8]:
    """Pictures of shape (b, 3, h, w), in [0, 1], rounded to 8 bits: (b, h, w, 3), uint8."""
    levels = pictures.detach().clamp(0, 1).mul(255).round().to(torch.uint8)
    return np.ascontiguousarray(levels.permute(0, 2, 3, 1).cpu().numpy())
