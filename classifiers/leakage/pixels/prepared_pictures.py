"""PreparedPictures: small grey pictures made ready for comparing: what they show at two sizes of detail."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from classifiers.threads import one_each

VISIBLE = 1.0
"""Standard deviation in grey levels from which there is structure."""

_FEW = 128  # pictures whose layers are made at a time
_HELD = 10_000  # pictures whose layers are held at once (420 MB); of more, those of a block of pairs
_FILL_STEP, _FILL_RUN, _FILL_MOST = 2, 4, 0.55


@dataclass(frozen=True, eq=False)
class Layers:
    """Pictures without their local mean, at two sizes of detail.

    Attributes
    ----------
    fine : Tensor of shape (n, 64, 64), float32
        Grey levels; 0 where nothing is shown.
    shown : Tensor of shape (n, 64, 64), float32
        1 where the picture shows something, 0 where turning or shifting filled it.
    coarse, shown_coarse : Tensor of shape (n, 32, 32), float32
        The same at half the size.
    blank : ndarray of shape (n,), bool
        Too little is to be seen to tell anything.
    """

    fine: torch.Tensor
    shown: torch.Tensor
    coarse: torch.Tensor
    shown_coarse: torch.Tensor
    blank: NDArray[np.bool_]


class PreparedPictures:
    """Small pictures whose layers are made once, however often they are compared.

    Parameters
    ----------
    grey : ndarray of shape (n, 64, 64), uint8
        Of more than 10,000 pictures the layers are made where they are asked for, or they would take too much memory.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> pictures = PreparedPictures(rng.integers(0, 256, (3, 64, 64)).astype(np.uint8))
    >>> layers, pairs = pictures.layers_of(np.array([[0, 2]]))
    >>> layers.fine[pairs[0, 1]].shape, layers.blank.any()
    (torch.Size([64, 64]), np.False_)
    """

    def __init__(self, grey: NDArray[np.uint8]) -> None:
        self._grey = grey
        self._layers: Layers | None = None
        if len(grey) <= _HELD:
            with one_each() as pool:
                self._layers = _layers(grey, pool)

    def __len__(self) -> int:
        """How many pictures there are."""
        return len(self._grey)

    def layers_of(self, pairs: NDArray[np.int64]) -> tuple[Layers, NDArray[np.int64]]:
        """Layers that hold the pictures of some pairs, and the pairs as numbers into them, shape (m, 2)."""
        if self._layers is not None:
            return self._layers, pairs
        used, inverse = np.unique(pairs, return_inverse=True)
        return _layers(np.asarray(self._grey[used])), inverse.reshape(-1, 2).astype(np.int64)


def _layers(grey: NDArray[np.uint8], pool: ThreadPoolExecutor | None = None) -> Layers:
    cut = [grey[at : at + _FEW] for at in range(0, max(1, len(grey)), _FEW)]
    parts = list((map if pool is None else pool.map)(_few_layers, cut))
    fine, shown, coarse, shown_coarse = (torch.cat(layer) for layer in zip(*parts, strict=True))
    return Layers(fine, shown, coarse, shown_coarse, fine.square().mean(dim=(1, 2)).sqrt().numpy() < VISIBLE)


def _few_layers(grey: NDArray[np.uint8]) -> tuple[torch.Tensor, ...]:
    values = torch.from_numpy(grey.astype(np.float32))
    shown = torch.from_numpy(_shown(grey).astype(np.float32))
    halved = functional.avg_pool2d(torch.stack([values, shown], dim=1), 2)
    shown_coarse = (halved[:, 1] > 0.99).float()
    return _band(values, shown, 1.0, 4.0), shown, _band(halved[:, 0], shown_coarse, 0.7, 4.0), shown_coarse


def _band(values: torch.Tensor, shown: torch.Tensor, fine: float, broad: float) -> torch.Tensor:
    """Structure between two sizes, in pixels; 0 where nothing is shown. What lies beside the fill is not its edge."""
    parts = []
    for sigma in (fine, broad):
        kernel = _blur(values.shape[-1], sigma)
        part = kernel @ (values * shown) @ kernel.T
        filled = (~shown.bool()).flatten(1).any(dim=1)
        part[filled] /= (kernel @ shown[filled] @ kernel.T).clamp(min=1e-3)
        parts.append(part)
    return (parts[0] - parts[1]) * shown


def _blur(side: int, sigma: float) -> torch.Tensor:
    """A Gaussian as a matrix (side, side) whose rows sum to 1, cut off at the picture's edge."""
    at = torch.arange(side)
    kernel = torch.exp(-0.5 * ((at[:, None] - at) / sigma) ** 2)
    return kernel / kernel.sum(dim=1, keepdim=True)


def _shown(grey: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Where pictures show something: not what turning and shifting filled in, seen by runs without change to the edge.

    A picture that is mostly such (an object on white) has a background, not a fill, and is left whole.
    """
    n, side, _ = grey.shape
    fill = np.zeros(grey.shape, dtype=bool)
    for axis in (1, 2):
        values = grey.astype(np.int16)
        for reverse in (False, True):
            line = np.flip(values, axis) if reverse else values
            # Against the pixel at the edge, not the one before: a sky that grows slowly darker is no fill.
            still = np.abs(line - np.take(line, [0], axis)) <= _FILL_STEP
            run = np.logical_and.accumulate(still, axis=axis)
            long = run.sum(axis=axis, keepdims=True) >= _FILL_RUN
            ends = run & long
            fill |= np.flip(ends, axis) if reverse else ends
    for axis in (1, 2):  # the picture's own edge against the fill is spread over a few pixels
        wide = fill.copy()
        for step in (1, 2):
            head, tail = [slice(None)] * 3, [slice(None)] * 3
            head[axis], tail[axis] = slice(step, None), slice(None, -step)
            wide[tuple(head)] |= fill[tuple(tail)]
            wide[tuple(tail)] |= fill[tuple(head)]
        fill = wide
    fill[fill.mean(axis=(1, 2)) > _FILL_MOST] = False
    return ~fill
