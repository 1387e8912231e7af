"""Random views of a picture: what keeps gradient ascent from drawing patterns that only one alignment of pixels sees.

Source: C. Olah, A. Mordvintsev, L. Schubert, "Feature Visualization", Distill 2017, doi:10.23915/distill.00007.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True)
class Views:
    """How a picture is moved before the network sees it.

    Parameters
    ----------
    size : int
        Side of a view in pixels: the network's input.
    jitter : int
        Largest shift in pixels, each way, each axis.
    zoom : float
        Largest relative change of scale: 0.1 gives 0.9 to 1.1.
    degrees : float
        Largest rotation, each way.
    """

    size: int
    jitter: int = 16
    zoom: float = 0.1
    degrees: float = 10.0

    def plain(self, picture: Tensor) -> Tensor:
        """The centre of the picture, as the classifier's own transform crops it; (1, 3, size, size)."""
        offset = round((picture.shape[-1] - self.size) / 2)  # half to even, as torchvision's center_crop
        return picture[..., offset : offset + self.size, offset : offset + self.size]

    def draw(self, picture: Tensor, count: int, generator: torch.Generator) -> Tensor:
        """`count` random views; the same ones for the same state of the generator, on any device.

        Parameters
        ----------
        picture : Tensor of shape (1, 3, side, side)
        count : int
        generator : torch.Generator
            On the CPU.

        Returns
        -------
        Tensor of shape (count, 3, size, size)
        """
        side = picture.shape[-1]
        u = torch.rand(count, 4, generator=generator) * 2 - 1
        angle = torch.deg2rad(u[:, 0] * self.degrees)
        zoom = 1 + u[:, 1] * self.zoom
        shift = u[:, 2:] * self.jitter * 2 / side
        # An affine grid maps the view's corners (-1..1) to the picture's; a view is size / side of the picture across.
        reach = self.size / side / zoom
        theta = torch.stack(
            [
                torch.stack([reach * angle.cos(), -reach * angle.sin(), shift[:, 0]], dim=1),
                torch.stack([reach * angle.sin(), reach * angle.cos(), shift[:, 1]], dim=1),
            ],
            dim=1,
        ).to(picture.device)
        grid = F.affine_grid(theta, [count, 3, self.size, self.size], align_corners=False)
        views = picture.expand(count, -1, -1, -1)
        return F.grid_sample(views, grid, mode="bilinear", padding_mode="reflection", align_corners=False)
