"""Loaders: where a step gets its input, pixels or cached activations; both are seeded and random-access."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from classifiers.training.augment import Augmentation
from classifiers.training.unfreezing import UnfrozenNetwork

Index = NDArray[np.intp]


class Loader(Protocol):
    """Values at the cut for rows of the training and the validation part."""

    def training(self, rows: Index, epoch: int) -> Tensor:
        """Varied values of training rows (row numbers within the part); the same for the same seed, epoch and row."""

    def validation(self, rows: Index) -> Tensor:
        """Values of validation rows, without variation."""


class PixelLoader:
    """Augments decoded images and runs the frozen bottom on them.

    Parameters
    ----------
    unfrozen : UnfrozenNetwork
    sources : ndarray of shape (n, r, r, 3), uint8
        Training images by `augment.source_transform`.
    valid : ndarray of shape (m, s, s, 3), uint8
        Validation images by the network's own transform.
    augmentation : Augmentation or None
        None takes the central square as it is.
    size : int
        Side of the network's input, pixels.
    """

    def __init__(
        self,
        unfrozen: UnfrozenNetwork,
        sources: NDArray[np.uint8],
        valid: NDArray[np.uint8],
        augmentation: Augmentation | None,
        size: int,
        *,
        seed: int,
        device: torch.device,
    ) -> None:
        self._unfrozen = unfrozen
        self._sources, self._valid = sources, valid
        self._augmentation, self._size, self._seed, self._device = augmentation, size, seed, device
        self._numbers: tuple[int, Tensor] | None = None

    def training(self, rows: Index, epoch: int) -> Tensor:
        """See `Loader`."""
        images = channels_first(self._sources[rows], self._device)
        if self._augmentation is None:
            return self._unfrozen.lower(images.float() / 255)
        numbers = self._drawn(epoch)[torch.from_numpy(rows)].to(self._device)
        return self._unfrozen.lower(laid_out(self._augmentation.apply(images, numbers, self._size)))

    def validation(self, rows: Index) -> Tensor:
        """See `Loader`."""
        return self._unfrozen.lower(channels_first(self._valid[rows], self._device).float() / 255)

    def _drawn(self, epoch: int) -> Tensor:
        if self._numbers is None or self._numbers[0] != epoch:
            assert self._augmentation is not None
            table = self._augmentation.draw(len(self._sources), self._seed, epoch)
            self._numbers = (epoch, torch.from_numpy(table))
        return self._numbers[1]


class ActivationLoader:
    """Takes cached activations; each epoch looks at one view of each image, drawn by seed.

    Parameters
    ----------
    views : sequence of ndarray of shape (n, ...), float16
        Of the training rows.
    valid : ndarray of shape (m, ...), float16
        Of the validation rows, without augmentation.
    """

    def __init__(
        self,
        views: list[NDArray[np.float16]],
        valid: NDArray[np.float16],
        *,
        seed: int,
        device: torch.device,
    ) -> None:
        self._views, self._valid, self._seed, self._device = views, valid, seed, device

    def training(self, rows: Index, epoch: int) -> Tensor:
        """See `Loader`."""
        generator = np.random.default_rng([self._seed, epoch, 0x766965])
        chosen = generator.integers(len(self._views), size=len(self._views[0]))[rows]
        values = np.stack([self._views[view][row] for view, row in zip(chosen, rows, strict=True)])
        return self._ready(values)

    def validation(self, rows: Index) -> Tensor:
        """See `Loader`."""
        return self._ready(self._valid[rows])

    def _ready(self, values: NDArray[np.float16]) -> Tensor:
        return laid_out(torch.from_numpy(values).to(self._device).float())


def channels_first(images: NDArray[np.uint8], device: torch.device) -> Tensor:
    """(b, s, s, 3) uint8 -> (b, 3, s, s) with the channels innermost in memory, which convolutions like best."""
    return torch.from_numpy(images).to(device).permute(0, 3, 1, 2)


def laid_out(values: Tensor) -> Tensor:
    """Channels innermost in memory where there are channels."""
    return values.contiguous(memory_format=torch.channels_last) if values.dim() == 4 else values
