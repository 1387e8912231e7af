"""What the layers of a network answer to an image: its feature maps, as arrays and as pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from classifiers.report.figures.raster import coloured, grid
from featstore.backbone.backbone import Backbone
from featstore.backbone.catalogue import PENULTIMATE, aliases, lookup
from featstore.backbone.trunk import NetworkGraph


@dataclass(frozen=True, eq=False)
class Activation:
    """One node's answer to one image.

    Attributes
    ----------
    node : str
        As it was asked for.
    values : ndarray of shape (channels, h, w) or (width,), float32

    Examples
    --------
    >>> values = np.zeros((3, 4, 4), dtype=np.float32)
    >>> values[1] = 0.5
    >>> activation = Activation("layer1", values)
    >>> activation.silent, activation.strongest(2).tolist()
    (2, [1])
    """

    node: str
    values: NDArray[np.float32]

    @property
    def silent(self) -> int:
        """Channels that are 0 everywhere."""
        return int((~self.values.reshape(len(self.values), -1).any(1)).sum())

    def strongest(self, count: int) -> NDArray[np.int64]:
        """Channels in the order of their mean absolute value, the strongest first; silent ones only where all are."""
        strength = np.abs(self.values.reshape(len(self.values), -1)).mean(1)
        speaking = len(strength) - self.silent
        return np.argsort(-strength, kind="stable")[: min(count, speaking or len(strength))]

    def picture(self, image: NDArray[np.uint8], *, maps: int = 63, title: str = "") -> NDArray[np.uint8]:
        """A labelled grid: the image, then the strongest channels, each from its own lowest to its own highest value.

        A vector is drawn as one square of numbers, row by row.

        Parameters
        ----------
        image : ndarray of shape (s, s, 3), uint8
        maps : int
            Channels at most.
        title : str

        Returns
        -------
        ndarray of shape (H, W, 3), uint8
        """
        if self.values.ndim == 1:
            side = int(np.ceil(np.sqrt(len(self.values))))
            square = np.full(side * side, np.nan, dtype=np.float32)
            square[: len(self.values)] = self.values
            span = f"{self.values.min():.3g} to {self.values.max():.3g}"
            labels = ["image", f"{len(self.values)} numbers\n{span}"]
            return grid([image, coloured(square.reshape(side, side))], columns=2, labels=labels, title=title, cell=224)
        chosen = self.strongest(maps)
        tiles = [image, *(coloured(self.values[channel]) for channel in chosen)]
        labels = ["image\nnetwork input"]
        for channel in chosen:
            low, high = float(self.values[channel].min()), float(self.values[channel].max())
            labels.append(f"#{channel}\n{low:.3g} to {high:.3g}")
        columns = min(6, max(2, round(len(tiles) ** 0.5)))
        return grid(tiles, columns=columns, labels=labels, title=title, cell=max(112, self.values.shape[-1]))


class ActivationRecorder:
    """A network that is looked into at several nodes, in one pass that ends at the deepest.

    Parameters
    ----------
    backbone : Backbone
        Its network is used where it is; its nodes and pooling do not matter.
    nodes : sequence of str
        Module paths, `fc6` and `fc7` of VGG, or `avgpool` for the last feature map.

    Raises
    ------
    UnknownNameError
        No such node; with close matches.
    """

    def __init__(self, backbone: Backbone, nodes: Sequence[str]) -> None:
        info = lookup(backbone.name)
        graph = NetworkGraph(backbone.network)
        self.nodes = tuple(dict.fromkeys(nodes))
        self.body = graph.cut(backbone.network, [graph.find(node, info) for node in self.nodes])
        self.mean, self.std = (
            torch.tensor(values).view(1, 3, 1, 1) for values in (backbone.transform.mean, backbone.transform.std)
        )

    @torch.no_grad()
    def __call__(self, image: Tensor) -> list[Activation]:
        """The answers of all nodes.

        Parameters
        ----------
        image : Tensor of shape (1, 3, s, s), float32 in [0, 1]
            On the network's device.
        """
        values = self.body((image - self.mean.to(image.device)) / self.std.to(image.device))
        return [
            Activation(node, np.ascontiguousarray(value[0].float().cpu().numpy()))
            for node, value in zip(self.nodes, values, strict=True)
        ]


def usual_nodes(name: str) -> tuple[str, ...]:
    """Nodes worth looking at when none is named: the first layers, the middle, the last map.

    Raises
    ------
    UnknownNameError
        No such backbone.
    """
    info = lookup(name)
    if info.family == "vgg":
        return ("features.0", "features.2", "features.5", aliases(info)[PENULTIMATE][0])
    if info.family == "resnet":
        return ("conv1", "layer1", "layer2", "layer4")
    return ("features.0", "features.2", "features.4", "features")
