"""What gradient ascent changes, the spectrum of a picture or its pixels, and the moved views that a network sees of it.

Gradients on pixels favour high frequencies. Changing Fourier coefficients, weighted by one over their frequency, gives
each scale of the picture an equal say; mixing the colour channels as they are mixed in photographs does the same for
colour. Random views let nothing last that depends on its exact place.

Sources: C. Olah, A. Mordvintsev, L. Schubert, "Feature Visualization", Distill 2017, doi:10.23915/distill.00007 (all
three ideas); A. Mordvintsev, N. Pezzotti, L. Schubert, C. Olah, "Differentiable Image Parameterizations", Distill 2018,
doi:10.23915/distill.00012.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

# Square root of the covariance of red, green and blue in natural pictures, as round numbers (columns: lightness,
# blue-yellow, green-magenta); only its directions and proportions matter.
_COLOUR = ((0.26, 0.09, 0.02), (0.27, 0.00, -0.05), (0.27, -0.09, 0.03))
# A picture's pixels are kept this far from 0 and 1 when it is turned into a spectrum: the logit of either is infinite.
_MARGIN = 0.02


class FourierPicture(nn.Module):
    """A trainable picture in [0, 1], stored as the spectrum of its logits.

    Parameters
    ----------
    side : int
        Height and width in pixels.
    generator : torch.Generator
        Source of the noise it starts from.
    start : Tensor of shape (1, 3, side, side), float32 in [0, 1], optional
        A picture to start from instead of noise.
    decorrelated : bool
        Store colour in decorrelated channels.
    contrast : float
        Standard deviation of the noise's coefficients.
    falloff : float
        Coefficients weigh one over their frequency to this power: above 1, large shapes come before fine ones.
    """

    def __init__(
        self,
        side: int,
        generator: torch.Generator,
        *,
        start: Tensor | None = None,
        decorrelated: bool = True,
        contrast: float = 0.01,
        falloff: float = 1.0,
    ) -> None:
        super().__init__()
        self.side = side
        rows = torch.fft.fftfreq(side)[:, None]
        columns = torch.fft.rfftfreq(side)[None, :]
        frequency = torch.sqrt(rows**2 + columns**2).clamp(min=1 / side)
        self.scale: Tensor
        self.colour: Tensor
        # with falloff 1: 1 at the lowest frequency, 2 / side at the highest
        self.register_buffer("scale", (frequency * side).pow(-falloff))
        colour = torch.tensor(_COLOUR) if decorrelated else torch.eye(3)
        self.register_buffer("colour", colour / colour.norm(dim=0).max())
        if start is None:
            noise = torch.randn(3, side, columns.shape[1], 2, generator=generator)
            self.spectrum = nn.Parameter(contrast * noise)
        else:
            self.spectrum = nn.Parameter(self._spectrum_of(start))

    def forward(self) -> Tensor:
        """The picture, of shape (1, 3, side, side), float32 in (0, 1)."""
        coefficients = torch.view_as_complex(self.spectrum) * self.scale
        channels = torch.fft.irfft2(coefficients, s=(self.side, self.side), norm="forward")
        return torch.sigmoid(torch.einsum("rc,chw->rhw", self.colour, channels))[None]

    def _spectrum_of(self, picture: Tensor) -> Tensor:
        logits = torch.logit(picture[0].float(), eps=_MARGIN)
        channels = torch.einsum("cr,rhw->chw", torch.linalg.inv(self.colour), logits)
        return torch.view_as_real(torch.fft.rfft2(channels, norm="forward") / self.scale).contiguous()


class PixelPicture(nn.Module):
    """A trainable picture in [0, 1], stored as the logits of its pixels: the lesson's way, for comparison.

    Parameters
    ----------
    side : int
        Height and width in pixels.
    generator : torch.Generator
        Source of the noise it starts from.
    start : Tensor of shape (1, 3, side, side), float32 in [0, 1], optional
        A picture to start from instead of noise.
    """

    def __init__(self, side: int, generator: torch.Generator, *, start: Tensor | None = None) -> None:
        super().__init__()
        picture = torch.rand(1, 3, side, side, generator=generator) if start is None else start.float()
        self.logits = nn.Parameter(torch.logit(picture, eps=_MARGIN))

    def forward(self) -> Tensor:
        """The picture, of shape (1, 3, side, side), float32 in (0, 1)."""
        return torch.sigmoid(self.logits)


@dataclass(frozen=True)
class RandomViews:
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
