"""Are the numbers those of the network? Every engine is compared with torchvision's own arithmetic before its use."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from featstore.engines.runner import Runner, run_with_halving
from featstore.errors import DeviceError

if TYPE_CHECKING:
    from featstore.backbone.backbone import Backbone


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


TOLERANCE = {"fp32": (1e-4, 0.99999), "bf16": (0.1, 0.999), "fp16": (0.05, 0.999)}
"""By precision: max|d| / max|f| and cosine that an engine must keep to torchvision's eager float32 network."""


def check(runner: Runner, backbone: Backbone, precision: str) -> None:
    """Compare a runner with torchvision's own arithmetic on two images, before its numbers are trusted.

    Raises
    ------
    DeviceError
        They differ by more than `TOLERANCE`.
    """
    import torch

    from featstore.backbone.trunk import PixelTrunk

    images = check_images(backbone.transform.crop)
    reference = PixelTrunk.of(backbone.trunk, backbone.transform)
    with torch.inference_mode():
        expected = [output.numpy() for output in reference(torch.from_numpy(images))]
    found = run_with_halving(runner, images)
    most, least = TOLERANCE[precision]
    for i, node in enumerate(backbone.nodes):
        f, g = expected[i].astype(np.float64), found[i].astype(np.float64)
        difference = float(np.abs(g - f).max() / max(np.abs(f).max(), 1e-30))
        norms = np.linalg.norm(f, axis=1) * np.linalg.norm(g, axis=1)
        cosine = float(((f * g).sum(axis=1) / np.maximum(norms, 1e-30)).min()) if (norms > 0).all() else 1.0
        if not (difference <= most and cosine >= least):
            coarse = f'{precision} is too coarse for this network with these weights; use `precision="fp32"`'
            remedy = 'use `engine="eager"`' if precision == "fp32" else coarse
            raise DeviceError(
                f"the engine {runner.name} in {precision} gives other features than torchvision's network at node "
                f"{node} (largest difference {difference:.2g}, {most:.2g} is allowed; cosine {cosine:.6f}, at least "
                f"{least:g} is); {remedy}"
            )
