"""The image that a class would most like to see: gradient ascent on a picture, with the network held fixed.

Sources: K. Simonyan, A. Vedaldi, A. Zisserman, "Deep Inside Convolutional Networks", 2013, arXiv:1312.6034 (ascent,
L2); A. Mahendran, A. Vedaldi, "Understanding Deep Image Representations by Inverting Them", CVPR 2015, arXiv:1412.0035
(total variation); C. Olah, A. Mordvintsev, L. Schubert, "Feature Visualization", Distill 2017 (spectrum, moving views).
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field
from typing import Self

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from classifiers.inspection.lossless_crop import to_bytes, to_tensor
from classifiers.inspection.parametrisation import FourierPicture, PixelPicture, RandomViews
from featstore.errors import TrainingError
from featstore.system.reporting import Progress, silent


@dataclass(frozen=True)
class IdealSettings:
    """How an ideal image is searched.

    The loss is `class_weight` * cross-entropy + `variation_weight` * total variation + `l2` * sum of squared pixel
    logits; the two sums are scaled to 224x224 pixels, so that the weights mean the same at every size.

    Parameters
    ----------
    steps : int
    views : int
        Random views of the picture a step.
    coarse : float
        Share of the steps, the first ones, in which the network sees the views at 4/7 of its input size, at least 32
        pixels: they settle where things are, for a third of the time.
    rate : float
        Adam's learning rate in the first half; it then falls to nothing.
    class_weight, variation_weight : float
        The lesson takes 10 and 0.005, on pixels and without `softness`.
    l2 : float
        Keeps contrast in bounds.
    softness : float
        The cross-entropy is that of the logits divided by this, times this: above 1, it still asks for more when the
        class is nearly certain, where the variation term would otherwise flatten the picture.
    falloff : float
        With "fourier": how much more large shapes weigh than fine ones; see `classifiers.inspection.parametrisation`.
    jitter : int
        Largest shift of a view in pixels.
    zoom, degrees : float
        Largest relative change of scale, and largest rotation, of a view.
    parameters : {"fourier", "pixels"}
        What is changed: the spectrum of the picture, or its pixels.
    decorrelated : bool
        With "fourier": colour in decorrelated channels.
    """

    steps: int = 160
    views: int = 6
    coarse: float = 0.4
    rate: float = 0.05
    class_weight: float = 10.0
    variation_weight: float = 0.02
    l2: float = 2e-4
    softness: float = 4.0
    jitter: int = 16
    zoom: float = 0.4
    degrees: float = 15.0
    falloff: float = 1.2
    parameters: str = "fourier"
    decorrelated: bool = True

    @classmethod
    def usual(cls, classes: int) -> Self:
        """The settings that suit a head of so many classes; the defaults are those for ImageNet's thousand.

        Among few classes one is certain early, and the variation term would then wipe the picture away: its weight
        falls, and the softness grows, with the 2/3rd power of the logarithm of the number of classes.
        """
        ease = (math.log(1000) / math.log(max(2, min(classes, 1000)))) ** (2 / 3)
        return cls(variation_weight=cls.variation_weight / ease, softness=cls.softness * ease)


@dataclass(frozen=True, eq=False)
class Ideal:
    """A found picture and how it was found.

    Attributes
    ----------
    picture : ndarray of shape (side, side, 3), uint8
    probability : float
        Of the class, on the centre of the 8-bit picture.
    total_variation : float
        Of the 8-bit picture: sum of absolute differences between neighbours, pixels in [0, 1].
    losses : dict of str to list of float
        One number a step: "loss" and its parts "cross-entropy", "variation" and "l2", each with its weight.
    strip : list of (int, ndarray of shape (side, side, 3), float)
        Step, picture and probability of the class, from the start to the end.
    seconds : float
    """

    picture: NDArray[np.uint8]
    probability: float
    total_variation: float
    losses: dict[str, list[float]]
    strip: list[tuple[int, NDArray[np.uint8], float]] = field(repr=False)
    seconds: float


def total_variation(pictures: Tensor) -> Tensor:
    """Sum of the absolute differences between horizontal and vertical neighbours.

    Parameters
    ----------
    pictures : Tensor of shape (b, c, h, w)

    Returns
    -------
    Tensor of shape ()
    """
    across = (pictures[..., :, 1:] - pictures[..., :, :-1]).abs().sum()
    return across + (pictures[..., 1:, :] - pictures[..., :-1, :]).abs().sum()


def search_ideal(
    classifier: nn.Module,
    target: int,
    *,
    side: int,
    size: int,
    settings: IdealSettings | None = None,
    start: NDArray[np.uint8] | None = None,
    seed: int = 0,
    device: torch.device | str = "cpu",
    stage: str = "ideal",
    progress: Progress | None = None,
) -> Ideal:
    """Search the picture that a classifier is surest of.

    Parameters
    ----------
    classifier : nn.Module
        (b, 3, size, size) float32 in [0, 1] -> (b, k) logits, in eval mode, on `device`; smaller inputs too where
        some of the steps are coarse.
    target : int
        Index of the class.
    side : int
        Of the picture in pixels; at least `size`.
    size : int
        Of the classifier's input in pixels; it is asked about the centre in the end.
    settings : IdealSettings, optional
    start : ndarray of shape (side, side, 3), uint8, optional
        In place of noise.
    seed : int
        Of the noise and the views. The same seed gives the same picture on the same machine.
    stage : str
        What `progress` is told.
    progress : callable, optional

    Raises
    ------
    TrainingError
        The loss became NaN or infinite.

    Examples
    --------
    >>> network = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 2))
    >>> found = search_ideal(network, 0, side=40, size=32, settings=IdealSettings(steps=4, views=2))
    >>> found.picture.shape, found.picture.dtype, len(found.losses["loss"])
    ((40, 40, 3), dtype('uint8'), 4)
    """
    settings = settings or IdealSettings()
    report = progress or silent
    generator = torch.Generator().manual_seed(seed)
    model = _picture(settings, side, generator, start).to(device)
    views = RandomViews(size, settings.jitter, settings.zoom, settings.degrees)
    wanted = torch.full((settings.views,), target, device=device)
    optimiser = torch.optim.Adam(model.parameters(), lr=settings.rate)
    scale = 224**2 / side**2
    small = max(min(32, size), round(size * 4 / 7))
    kept = {round(settings.steps * share) for share in (0, 1 / 32, 1 / 16, 1 / 8, 1 / 4, 1 / 2)}
    losses: dict[str, list[float]] = {"loss": [], "cross-entropy": [], "variation": [], "l2": []}
    strip: list[tuple[int, NDArray[np.uint8], float]] = []
    began = time.perf_counter()

    for step in range(settings.steps):
        if step in kept:
            strip.append((step, *_now(classifier, model, views, target, device)))
        remaining = 1 - step / settings.steps
        optimiser.param_groups[0]["lr"] = settings.rate * min(1.0, 2 * remaining)
        picture = model()
        drawn = views.draw(picture, settings.views, generator)
        if step < settings.steps * settings.coarse:
            drawn = F.interpolate(drawn, size=small, mode="bilinear", antialias=True, align_corners=False)
        logits = classifier(drawn)
        parts = {
            "cross-entropy": settings.class_weight * _soft_cross_entropy(logits, wanted, settings.softness),
            "variation": settings.variation_weight * scale * total_variation(picture),
            "l2": settings.l2 * scale * torch.logit(picture, eps=1e-6).square().sum(),
        }
        loss = torch.stack(list(parts.values())).sum()
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]  # of torch
        optimiser.step()
        for name, value in (("loss", loss), *parts.items()):
            losses[name].append(value.item())
        if not np.isfinite(losses["loss"][-1]):
            raise TrainingError(
                f"the loss became {losses['loss'][-1]} at step {step + 1}; the network's logits are not finite on such "
                f"pictures: check its weights, or lower `rate` from {settings.rate}"
            )
        report(stage, step + 1, settings.steps, f"loss {losses['loss'][-1]:.3g}")

    found, probability = _now(classifier, model, views, target, device)
    strip.append((settings.steps, found, probability))
    variation = float(total_variation(to_tensor(found[None]).double()))
    return Ideal(found, probability, variation, losses, strip, time.perf_counter() - began)


def _soft_cross_entropy(logits: Tensor, wanted: Tensor, softness: float) -> Tensor:
    """Cross-entropy of the logits divided by `softness`, times `softness`: its gradient is as large as without."""
    return softness * F.cross_entropy(logits / softness, wanted)


def _picture(
    settings: IdealSettings, side: int, generator: torch.Generator, start: NDArray[np.uint8] | None
) -> FourierPicture | PixelPicture:
    begin = None if start is None else to_tensor(start[None])
    if settings.parameters == "pixels":
        return PixelPicture(side, generator, start=begin)
    return FourierPicture(side, generator, start=begin, decorrelated=settings.decorrelated, falloff=settings.falloff)


@torch.no_grad()
def _now(
    classifier: nn.Module, model: nn.Module, views: RandomViews, target: int, device: torch.device | str
) -> tuple[NDArray[np.uint8], float]:
    """The picture as it would be saved now, and the probability of the class on it."""
    picture = to_bytes(model())
    logits = classifier(views.plain(to_tensor(picture).to(device)))
    return picture[0], float(logits.softmax(dim=1)[0, target])
