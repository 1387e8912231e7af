"""DomainDistance: how far images are from ImageNet, by what a network's layers show."""

from __future__ import annotations

import contextlib
import dataclasses
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import nn

from classifiers.formatting import percent
from classifiers.training.data import decode_rows
from featstore.backbone.backbone import Backbone
from featstore.errors import ImageSetError
from featstore.features import FeatureSet

SAMPLE = 64
"""Images that are looked at: their mean is then known to about an eighth of the spread between images, and the square
of that is taken off again."""
EARLY = 0.5
"""Share of the batch norms that speak of the domain. Deeper ones tell classes apart, so that a set of few classes
differs there however alike its pictures are. The first one sees colours only, and is left out."""
LINE = {"running statistics": 0.215, "photographs": 0.25}
"""Shift that counts as distance 0.5, by reference, between two groups of image kinds. MobileNetV2 at 128 pixels, 48
images a kind, against the pooled statistics of other photographs (in the place of ImageNet's): insects, pets,
landscapes and people, also of one class, 0.08 to 0.14, in grey 0.16 to 0.20; aerial views 0.18; brain MRI 0.24 to
0.26, tissue 0.25, textures 0.26, blood cells 0.30, charts and print 0.41 to 0.50. Against scikit-learn's two
photographs: 0.14 to 0.20, 0.24 to 0.25, 0.22, 0.28 to 0.34, 0.31, 0.31, 0.30, charts 0.35. The statistic and the line
were chosen on these kinds. With true running statistics it is not measured."""
NEAREST = 0.4
"""Share of `LINE` that counts as distance 0, where the sets nearest to the reference lie; 1 lies as far beyond."""
UNCERTAIN = 0.1
"""Distances closer to 0.5 than this are called close. Samples of 24 of the same images differed by 0.003 to 0.08 (one
standard deviation, by kind of image)."""
CROPS = 20
"""Squares that are cut from each reference photograph."""

Moments = dict[str, tuple[NDArray[np.float64], NDArray[np.float64]]]


class _AllSeen(Exception):  # noqa: N818 - it ends a forward pass, it is no error
    """Every batch norm that is looked at has seen the batch: the rest of the network need not."""


@dataclasses.dataclass(frozen=True)
class StatisticsDistance:
    """How far the channels of a network's first half are from where ImageNet puts them.

    Attributes
    ----------
    shift : float or None
        Mean over layers and channels of the root of the Kullback-Leibler divergence between two normal distributions:
        that of the images, and that of the reference. What a sample of this size moves the mean by chance is taken off.
    layers : tuple of (name, shift)
        By batch norm, in the order of the network.
    images : int
        How many were looked at.
    reference : str
        "running statistics", or "photographs" where the weights keep none.
    reason : str
        Why there is none; "" where there is.
    """

    shift: float | None
    layers: tuple[tuple[str, float], ...] = ()
    images: int = 0
    reference: str = ""
    reason: str = ""


@dataclasses.dataclass(frozen=True)
class DomainDistance:
    """Distance from ImageNet.

    Attributes
    ----------
    distance : float in [0, 1] or None
        From 0.5 on the images count as different from ImageNet's.
    by : dict
        Each sign that was read, with its numbers.
    reason : str
        Why there is no distance; "" where there is.
    text : str
        What was seen, in a sentence.
    """

    distance: float | None
    by: dict[str, Any]
    reason: str
    text: str

    @property
    def close(self) -> bool:
        """Whether another sample could have come out on the other side of 0.5."""
        return self.distance is not None and abs(self.distance - 0.5) < UNCERTAIN

    def to_json(self) -> dict[str, Any]:
        """Plain JSON."""
        return {**dataclasses.asdict(self), "close": self.close}


def statistics_distance(
    backbone: Backbone,
    features: FeatureSet,
    rows: NDArray[np.intp],
    *,
    seed: int = 0,
    workers: int | None = None,
) -> StatisticsDistance:
    """Compare what the batch norms see of some images with the statistics that the weights bring.

    Batch-norm statistics differ by domain (Li et al., "Revisiting Batch Normalization For Practical Domain Adaptation",
    2016). Weights whose batch norms were folded into the convolutions bring none; there crops of the two photographs
    that come with scikit-learn stand for ImageNet.

    Parameters
    ----------
    backbone : Backbone
        The network that made the features.
    features : FeatureSet
    rows : ndarray of int
        Of the training part; `SAMPLE` of them are drawn.
    seed : int
    workers : int, optional
        Decoding processes.
    """
    norms = {name: m for name, m in backbone.network.named_modules() if isinstance(m, nn.BatchNorm2d)}
    if features.fingerprint.weights.startswith("random"):
        return StatisticsDistance(None, reason="these weights are random, so they know nothing of ImageNet")
    if not backbone.has_imagenet_head:
        return StatisticsDistance(
            None, reason="these weights have no head of 1000 classes, so they may know other images"
        )
    if len(norms) < 4:
        return StatisticsDistance(None, reason="this network has no batch norms to compare")
    drawn = np.random.default_rng(seed).permutation(np.asarray(rows))[:SAMPLE]
    if len(drawn) < 2:
        return StatisticsDistance(None, reason="fewer than two images cannot be compared with ImageNet")
    try:
        with tempfile.TemporaryDirectory() as folder:
            pixels = decode_rows(
                features.subset(np.sort(drawn)), backbone.transform, folder=Path(folder), workers=workers
            )
    except ImageSetError:
        return StatisticsDistance(
            None, reason="the image files are gone or have changed, so their pixels cannot be read"
        )
    looked = dict(list(norms.items())[1 : max(2, round(EARLY * len(norms)))])
    folded = all(not m.running_mean.any() and bool((m.running_var == 1).all()) for m in looked.values())
    if folded:
        seen = _moments(backbone, _photographs(backbone), looked)
        reference = {name: (m.mean(axis=0), s.mean(axis=0) - m.mean(axis=0) ** 2) for name, (m, s) in seen.items()}
    else:
        reference = {
            name: (m.running_mean.double().cpu().numpy(), m.running_var.double().cpu().numpy())
            for name, m in looked.items()
        }
    here = _moments(backbone, pixels, looked)
    layers = tuple((name, _divergence(*here[name], *reference[name])) for name in looked)
    shift = float(np.mean([value for _, value in layers]))
    return StatisticsDistance(shift, layers, len(drawn), "photographs" if folded else "running statistics")


def domain_distance(
    nodes: Sequence[tuple[str, float]],
    chance: float,
    statistics: StatisticsDistance,
    recovered: float | None,
) -> DomainDistance:
    """Weigh the signs: batch statistics where there are any, else overlap of classes, a weak sign; and the layer curve.

    Parameters
    ----------
    nodes : sequence of (node, accuracy)
        Accuracy in [0, 1] of a linear head, in the order of the network.
    chance : float
        Share of the largest class.
    statistics : StatisticsDistance
    recovered : float, optional
        Share of a linear head's knowledge that the network's ImageNet classes tell, in [0, 1].

    Examples
    --------
    >>> far = domain_distance([], 0.5, StatisticsDistance(0.29, images=64, reference="photographs"), 0.95)
    >>> round(far.distance, 2), far.close
    (0.63, False)
    """
    by: dict[str, Any] = {}
    lead = 0.0
    if len(nodes) > 1:
        last = nodes[-1][1]
        best = max(accuracy for _, accuracy in nodes)
        lead = best - last
        by["layers"] = {"lead": lead, "known": last - chance}
    if recovered is not None:
        by["classes"] = {"recovered": recovered}
    if statistics.shift is not None:
        by["statistics"] = {
            "shift": statistics.shift,
            "images": statistics.images,
            "reference": statistics.reference,
            "layers": [list(layer) for layer in statistics.layers],
        }
        line = LINE[statistics.reference]
        distance = 0.5 + 0.5 * (statistics.shift / line - 1) / (1 - NEAREST)
        whose = "ImageNet's" if statistics.reference == "running statistics" else "those of two natural photographs"
        text = (
            f"In the first half of the network the statistics of {statistics.images} images differ from {whose} by "
            f"{statistics.shift:.2f} (photographs of everyday things lie below {line:.2f}, "
            f"medical images, textures and drawings above)"
        )
    elif recovered is not None:
        distance = (0.85 - recovered) / 0.45
        text = (
            f"The images' statistics could not be compared with ImageNet's ({statistics.reason}); that the ImageNet "
            f"classes tell {percent(recovered, 0)} % of what a linear head knows is a weak sign"
        )
    elif len(nodes) > 1:
        distance = 0.0
        text = f"Only the layer curve speaks of the distance from ImageNet ({statistics.reason}), a weak sign"
    else:
        return DomainDistance(
            None, by, statistics.reason, f"How far the images are from ImageNet cannot be told: {statistics.reason}."
        )
    distance = float(np.clip(max(distance, min(0.5 - UNCERTAIN, lead / 0.05)), 0.0, 1.0))
    found = DomainDistance(distance, by, "", f"{text}.")
    if found.close:
        found = dataclasses.replace(found, text=f"{text}; that is close to the line between similar and different.")
    return found


def _moments(backbone: Backbone, pixels: NDArray[np.uint8], norms: dict[str, nn.BatchNorm2d]) -> Moments:
    """Mean and mean square of what each batch norm is given, (n, channels) each, by image."""
    parts: dict[str, list[tuple[torch.Tensor, torch.Tensor]]] = {name: [] for name in norms}

    def hook(name: str) -> Any:
        def look(_: nn.Module, given: tuple[torch.Tensor, ...]) -> None:
            value = given[0]
            parts[name].append((value.mean(dim=(2, 3)).double(), value.square().mean(dim=(2, 3)).double()))
            if len({len(seen) for seen in parts.values()}) == 1:
                raise _AllSeen

        return look

    handles = [norm.register_forward_pre_hook(hook(name)) for name, norm in norms.items()]
    mean, std = torch.tensor(backbone.transform.mean), torch.tensor(backbone.transform.std)
    try:
        with torch.inference_mode():
            for start in range(0, len(pixels), 16):
                batch = (torch.from_numpy(pixels[start : start + 16]).float() / 255 - mean) / std
                with contextlib.suppress(_AllSeen):
                    backbone.network(batch.permute(0, 3, 1, 2))
    finally:
        for handle in handles:
            handle.remove()
    return {
        name: (torch.cat([m for m, _ in seen]).cpu().numpy(), torch.cat([s for _, s in seen]).cpu().numpy())
        for name, seen in parts.items()
    }


def _divergence(
    means: NDArray[np.float64], squares: NDArray[np.float64], mean: NDArray[np.float64], variance: NDArray[np.float64]
) -> float:
    """Mean over the channels of the root of the divergence from the reference; channels at rest are left out."""
    alive = variance > 1e-3 * np.median(variance)
    if not alive.any():
        return 0.0
    here = means.mean(axis=0)
    ratio = np.maximum((squares.mean(axis=0) - here**2)[alive] / variance[alive], 1e-9)
    chance = means.var(axis=0, ddof=1) / len(means)
    moved = np.maximum((here - mean) ** 2 - chance, 0.0)[alive] / variance[alive]
    return float(np.sqrt(np.maximum((moved + ratio - 1 - np.log(ratio)) / 2, 0.0)).mean())


def _photographs(backbone: Backbone) -> NDArray[np.uint8]:
    """Squares of several sizes from scikit-learn's photographs, always the same."""
    from sklearn.datasets import load_sample_images

    rng, squares = np.random.default_rng(0), []
    for array in load_sample_images().images:
        photograph = Image.fromarray(array)
        width, height = photograph.size
        for _ in range(CROPS):
            side = int(min(width, height) * np.exp(rng.uniform(np.log(0.3), 0)))
            left, top = int(rng.integers(0, width - side + 1)), int(rng.integers(0, height - side + 1))
            square = photograph.crop((left, top, left + side, top + side))
            squares.append(backbone.transform.apply_to_image(square))
    return np.stack(squares)
