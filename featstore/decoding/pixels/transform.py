"""RGB image -> network input, as torchvision's weights prescribe it: resize the short side, crop the centre."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from featstore.decoding.pixels.resample import FILTERS, as_image, resized

MAX_RESIZED_PIXELS = 1 << 26
"""Above this the resized image is never made whole (256 MiB in Pillow): only its crop is, see `TransformSpec.apply`."""

DECODE_RULES = ("jpeg_scaling", "nvjpeg", "bit_depth", "allow_truncated")
"""Fields that change how files are decoded; part of a key only where they are on."""


@dataclass(frozen=True)
class TransformSpec:
    """How an image becomes the input of a network.

    Parameters
    ----------
    resize : int
        Length of the short side after resizing, pixels; the aspect ratio is kept.
    crop : int
        Side of the square cut from the centre, pixels; where the resized image is smaller it is padded with black.
    interpolation : {"nearest", "box", "bilinear", "hamming", "bicubic", "lanczos"}
    antialias : bool
        Always True: the filter's support grows with the reduction, as Pillow does it.
    mean, std : tuple of 3 float
        Normalisation of RGB in [0, 1]. Applied by the engine, not here.
    jpeg_scaling : bool
        Decode JPEG files at 1/2, 1/4 or 1/8 of their size where that leaves at least twice `resize`.
    nvjpeg : bool
        JPEG files without peculiarities are decoded and resized on a CUDA device, see
        `featstore.decoding.nvjpeg_pool`; what is done here is for the others.
    bit_depth : int, optional
        9 to 16: files with 16 bits a sample hold so many in truth, see `featstore.decoding.pixels.decode.decode`.
    allow_truncated : bool
        Files that are cut short or damaged are decoded as far as they go.

    Raises
    ------
    ValueError
        Where a field is out of range.

    Examples
    --------
    >>> spec = TransformSpec(resize=256, crop=224)
    >>> spec.apply(np.zeros((300, 400, 3), np.uint8)).shape
    (224, 224, 3)
    >>> spec.resized(112).resize
    128
    """

    resize: int
    crop: int
    interpolation: str = "bilinear"
    antialias: bool = True
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)
    jpeg_scaling: bool = False
    nvjpeg: bool = False
    bit_depth: int | None = None
    allow_truncated: bool = False

    def __post_init__(self) -> None:
        if self.resize < 1 or self.crop < 1:
            raise ValueError(f"resize {self.resize} and crop {self.crop} must be at least 1 pixel")
        if self.interpolation not in FILTERS:
            raise ValueError(f"interpolation {self.interpolation!r} is not known; use one of {', '.join(FILTERS)}")
        if not self.antialias:
            raise ValueError("antialias=False is not supported: images are resized by Pillow, which always antialiases")
        if len(self.mean) != 3 or len(self.std) != 3 or min(self.std) <= 0:
            raise ValueError(f"mean {self.mean} and std {self.std} must be 3 numbers each, std above 0")
        for name in ("jpeg_scaling", "nvjpeg", "allow_truncated"):
            if not isinstance(getattr(self, name), bool):
                raise ValueError(f"{name} is {getattr(self, name)!r}, neither true nor false")
        depth = self.bit_depth
        if depth is not None and (type(depth) is not int or not 9 <= depth <= 16):
            raise ValueError(f"bit_depth is {depth!r}; expected a whole number from 9 to 16, or None")
        if self.nvjpeg and self.jpeg_scaling:
            raise ValueError("nvjpeg decodes JPEG files whole, so it does not go with jpeg_scaling")
        if self.nvjpeg and self.interpolation not in ("bilinear", "bicubic"):
            raise ValueError(f"nvjpeg resizes bilinear or bicubic, not {self.interpolation}")
        object.__setattr__(self, "mean", tuple(float(value) for value in self.mean))
        object.__setattr__(self, "std", tuple(float(value) for value in self.std))

    @property
    def decode_options(self) -> dict[str, Any]:
        """What `featstore.decoding.pixels.decode.decode` is to be given beside the bytes."""
        return {"min_side": self.min_side, "bit_depth": self.bit_depth, "allow_truncated": self.allow_truncated}

    @property
    def min_side(self) -> int | None:
        """Pixels that each side of a decoded JPEG has to keep; None where it is decoded whole."""
        return 2 * self.resize if self.jpeg_scaling else None

    def to_json(self) -> dict[str, Any]:
        """The fields as plain JSON values; the decode rules only where they are on, as keys were made before there were
        any."""
        fields = asdict(self) | {"mean": list(self.mean), "std": list(self.std)}
        return {name: value for name, value in fields.items() if value or name not in DECODE_RULES}

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> Self:
        """The inverse of `to_json`.

        Raises
        ------
        ValueError, TypeError
            Where a field is out of range, missing or unknown.
        """
        return cls(**{**fields, "mean": tuple(fields["mean"]), "std": tuple(fields["std"])})

    def resized(self, input_size: int) -> Self:
        """The same transform for another input size; the ratio of `resize` to `crop` is kept, rounded to pixels."""
        resize = max(1, round(self.resize * input_size / self.crop))
        return replace(self, resize=resize, crop=input_size)

    def apply(self, rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Resize and crop an array; the same bits as `apply_to_image`.

        Parameters
        ----------
        rgb : ndarray of shape (h, w, 3), uint8

        Returns
        -------
        ndarray of shape (crop, crop, 3), uint8

        Raises
        ------
        ValueError
            Where `rgb` is of another shape or dtype, or empty.
        """
        if rgb.dtype != np.uint8 or rgb.ndim != 3 or rgb.shape[2] != 3 or not rgb.size:
            raise ValueError(f"an image is a uint8 array of shape (h, w, 3), not {rgb.dtype} {rgb.shape}")
        return self._applied(rgb, rgb.shape[1], rgb.shape[0])

    def apply_to_image(self, image: Image.Image) -> NDArray[np.uint8]:
        """Resize and crop a Pillow image of mode RGB.

        Bit for bit torchvision's `Resize(resize, interpolation, antialias=True)` and `CenterCrop(crop)` on a Pillow
        image. The one exception are images so long and thin that the resized image would exceed `MAX_RESIZED_PIXELS`
        (at resize 256: an aspect ratio above 1024): there the crop is resized straight from its box in the source,
        within one grey level of the same picture, in bounded memory.

        Returns
        -------
        ndarray of shape (crop, crop, 3), uint8
        """
        return self._applied(image, *image.size)

    def _applied(self, picture: Image.Image | NDArray[np.uint8], width: int, height: int) -> NDArray[np.uint8]:
        (new_width, new_height), (left, top) = self.placed(width, height)
        inside = (max(left, 0), max(top, 0), min(left + self.crop, new_width), min(top + self.crop, new_height))
        if new_width * new_height <= MAX_RESIZED_PIXELS:
            part = resized(picture, (new_width, new_height), inside, self.interpolation)
        else:
            scale_x, scale_y = width / new_width, height / new_height
            source = (
                inside[0] * scale_x,
                inside[1] * scale_y,
                min(inside[2] * scale_x, width),
                min(inside[3] * scale_y, height),
            )
            size = (inside[2] - inside[0], inside[3] - inside[1])
            part = np.asarray(as_image(picture).resize(size, FILTERS[self.interpolation], box=source))
        if part.shape[:2] == (self.crop, self.crop):
            return part
        padded = np.zeros((self.crop, self.crop, 3), np.uint8)
        y, x = inside[1] - top, inside[0] - left
        padded[y : y + part.shape[0], x : x + part.shape[1]] = part
        return padded

    def placed(self, width: int, height: int) -> tuple[tuple[int, int], tuple[int, int]]:
        """Where the crop lies once the short side of an image is `resize`; the long side is cut to whole pixels.

        Returns
        -------
        size : tuple of 2 int
            Width and height of the resized image.
        corner : tuple of 2 int
            Left and top of the crop in it; negative where the resized image is smaller and black is put around it.
        """
        new_width = self.resize if width <= height else int(self.resize * width / height)
        new_height = int(self.resize * height / width) if width <= height else self.resize
        pad_x, pad_y = max(0, self.crop - new_width), max(0, self.crop - new_height)
        left = round((new_width + pad_x - self.crop) / 2)  # Python's round, half to even, as torchvision
        top = round((new_height + pad_y - self.crop) / 2)
        return (new_width, new_height), (left - pad_x // 2, top - pad_y // 2)
