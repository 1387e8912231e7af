"""The two images that every network and engine is checked and measured with."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def check_images(side: int) -> NDArray[np.uint8]:
    """Noise, and a coloured gradient.

    Returns
    -------
    ndarray of shape (2, side, side, 3), uint8
    """
    noise = np.random.default_rng(0).integers(0, 256, (side, side, 3), dtype=np.uint8)
    ramp = np.linspace(0, 255, side)
    gradient = np.stack(np.broadcast_arrays(ramp[:, None], ramp[None, :], 255 - ramp[:, None]), axis=2)
    return np.stack([noise, gradient.astype(np.uint8)])
