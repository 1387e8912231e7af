"""Augmentation: seeded random views of an image that fit the transform which the network will see."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from featstore.decoding.pixels.transform import TransformSpec

ZOOM = 1.25
"""Sources are kept this much larger than the transform's resized image, so that a small crop is not a blur."""

_NUMBERS = 10


@dataclass(frozen=True)
class Augmentation:
    """What is varied. All of it is drawn from one table of random numbers a seed and epoch, a row an image.

    Parameters
    ----------
    smallest : float
        Least share of the source's area that a crop keeps, in (0, 1]; 1 keeps all of it.
    stretch : float
        Largest ratio of a crop's sides, at least 1.
    flip : bool
        Left and right may change places.
    turn : bool
        Any of the eight orientations, for images without an upside: aerial views, microscopy.
    colour : float
        Brightness, contrast and saturation are scaled by up to 1 plus or minus this, in [0, 1).
    mixup : float
        Parameter of the beta distribution that pairs of images are mixed by; 0 mixes none (Zhang et al., "mixup",
        ICLR 2018).

    Raises
    ------
    ValueError
        Where a number is out of range.

    Examples
    --------
    >>> augmentation = Augmentation(smallest=0.5, turn=True)
    >>> numbers = torch.from_numpy(augmentation.draw(2, seed=0, epoch=0))
    >>> augmentation.apply(torch.zeros(2, 3, 40, 40, dtype=torch.uint8), numbers, size=32).shape
    torch.Size([2, 3, 32, 32])
    """

    smallest: float = 0.4
    stretch: float = 4 / 3
    flip: bool = True
    turn: bool = False
    colour: float = 0.2
    mixup: float = 0.0

    def __post_init__(self) -> None:
        if not (0 < self.smallest <= 1 and self.stretch >= 1 and 0 <= self.colour < 1 and self.mixup >= 0):
            raise ValueError(f"{self} is out of range")

    def to_json(self) -> dict[str, Any]:
        """The fields as plain JSON values."""
        return asdict(self)

    def draw(self, count: int, seed: int, epoch: int) -> NDArray[np.float32]:
        """The random numbers of an epoch: they depend on nothing but the seed, the epoch and the image's row.

        Returns
        -------
        ndarray of shape (count, 10), float32 in [0, 1)
        """
        generator = np.random.default_rng([seed, epoch, 0x617567])
        return generator.random((count, _NUMBERS), dtype=np.float32)

    def draw_for(self, digests: NDArray[np.uint8], seed: int, view: int) -> NDArray[np.float32]:
        """The random numbers of a view that is kept: they depend on nothing but the seed, the view and the image.

        Parameters
        ----------
        digests : ndarray of shape (n, 32), uint8

        Returns
        -------
        ndarray of shape (n, 10), float32 in [0, 1)
        """
        words = np.ascontiguousarray(digests).view("<u4")
        rows = [np.random.default_rng([seed, view, *row]).random(_NUMBERS, dtype=np.float32) for row in words.tolist()]
        return np.stack(rows) if rows else np.empty((0, _NUMBERS), dtype=np.float32)

    def apply(self, sources: Tensor, numbers: Tensor, size: int) -> Tensor:
        """One view of each source.

        Parameters
        ----------
        sources : Tensor of shape (b, 3, r, r), uint8
            Images by `source_transform`.
        numbers : Tensor of shape (b, 10), float32
            Their rows of `draw`'s table; on the same device.
        size : int
            Side of the view, pixels.

        Returns
        -------
        Tensor of shape (b, 3, size, size), float32 in [0, 1]
        """
        pixels = sources.to(torch.float32)
        grid = self._grid(numbers, size)
        view = F.grid_sample(pixels, grid, mode="bilinear", padding_mode="reflection", align_corners=False)
        return self._recolour(view / 255, numbers).clamp_(0, 1)

    def _grid(self, numbers: Tensor, size: int) -> Tensor:
        """Sampling positions: a crop of random area, ratio and place, flipped and turned.

        Returns (b, size, size, 2) in [-1, 1].
        """
        area = self.smallest + (1 - self.smallest) * numbers[:, 0]
        ratio = torch.exp((2 * numbers[:, 1] - 1) * math.log(self.stretch))
        width = (area * ratio).sqrt().clamp(max=1.0)
        height = (area / ratio).sqrt().clamp(max=1.0)
        x = (2 * numbers[:, 2] - 1) * (1 - width)  # centre of the crop
        y = (2 * numbers[:, 3] - 1) * (1 - height)
        one = torch.ones_like(width)
        flip = torch.where(numbers[:, 4] < 0.5, -one, one) if self.flip else one
        upside = torch.where(numbers[:, 5] < 0.5, -one, one) if self.turn else one
        theta = torch.zeros(len(numbers), 2, 3, dtype=numbers.dtype, device=numbers.device)
        theta[:, 0, 0], theta[:, 0, 2] = width * flip, x
        theta[:, 1, 1], theta[:, 1, 2] = height * upside, y
        if self.turn:
            swap = numbers[:, 6] < 0.5
            theta[swap] = torch.stack([theta[swap, :, 1], theta[swap, :, 0], theta[swap, :, 2]], dim=2)
        return F.affine_grid(theta, [len(numbers), 3, size, size], align_corners=False)

    def _recolour(self, view: Tensor, numbers: Tensor) -> Tensor:
        """Scale brightness, contrast and saturation."""
        if not self.colour:
            return view
        scale = 1 + (2 * numbers[:, 7:10] - 1) * self.colour
        brightness, contrast, saturation = (scale[:, i].view(-1, 1, 1, 1) for i in range(3))
        view = view * brightness
        mean = view.mean((1, 2, 3), keepdim=True)
        view = mean + (view - mean) * contrast
        grey = view.mean(1, keepdim=True)
        return grey + (view - grey) * saturation


def source_transform(transform: TransformSpec) -> TransformSpec:
    """How training images are kept: the square that the transform crops from, a little larger, not normalised."""
    side = math.ceil(transform.resize * ZOOM)
    return replace(transform, resize=side, crop=side)


def mix(values: Tensor, targets: Tensor, alpha: float, seed: int, step: int) -> tuple[Tensor, Tensor]:
    """Mix every image of a batch, and its target, with another one of the batch.

    Parameters
    ----------
    values : Tensor of shape (b, ...), float
    targets : Tensor of shape (b, k), float
        Probabilities.
    alpha : float
        Parameter of the beta distribution; 0 changes nothing.
    """
    if not alpha:
        return values, targets
    generator = np.random.default_rng([seed, step, 0x6D6978])
    share = float(generator.beta(alpha, alpha))
    order = torch.from_numpy(generator.permutation(len(values))).to(values.device)
    return torch.lerp(values[order], values, share), torch.lerp(targets[order], targets, share)
