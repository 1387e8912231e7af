"""Grad-CAM: where in an image the evidence for a class lies.

Source: R. Selvaraju, M. Cogswell, A. Das, R. Vedantam, D. Parikh, D. Batra, "Grad-CAM: Visual Explanations from Deep
Networks via Gradient-based Localization", ICCV 2017, arXiv:1610.02391.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from classifiers.models.image_classifier import ImageClassifier
from featstore.backbone.catalogue import PENULTIMATE, lookup
from featstore.backbone.trunk import NetworkGraph, Pool, Trunk
from featstore.errors import UnknownNameError


@dataclass(frozen=True, eq=False)
class HeatMap:
    """Evidence for a class.

    Attributes
    ----------
    heat : ndarray of shape (h, w), float32 in [0, 1]
        One number a place of the node's map; all 0 where nothing speaks for the class.
    probability : float
        Of the class.
    """

    heat: NDArray[np.float32]
    probability: float


class GradCam:
    """Heat maps of a classifier at one of its nodes.

    Parameters
    ----------
    classifier : ImageClassifier
        A bundle's, or a whole network with its ImageNet head.
    node : str, optional
        A node with a spatial map, before the head's. Default: the last feature map; for a bundle on an earlier node,
        that node.

    Raises
    ------
    UnknownNameError
        No such node, one without a map, or one that the class does not depend on.

    Examples
    --------
    >>> from featstore.backbone.backbone import Backbone
    >>> backbone = Backbone("resnet18", "none", input_size=32)
    >>> classifier = ImageClassifier(backbone, torch.nn.Linear(512, 2), ("cat", "dog"))
    >>> GradCam(classifier, "layer2")(torch.rand(1, 3, 32, 32), target=1).heat.shape
    (4, 4)
    """

    def __init__(self, classifier: ImageClassifier, node: str | None = None) -> None:
        backbone = classifier.backbone
        info = lookup(backbone.name)
        graph = NetworkGraph(backbone.network)
        order = list(graph.nodes)
        whole = not isinstance(classifier.trunk, Trunk)  # the network's own head: the class is its last value
        last = order[-1] if whole else graph.find(backbone.nodes[0], info)
        usual = graph.find(PENULTIMATE, info)
        if node is None and order.index(usual) > order.index(last):
            usual = last
        path = usual if node is None else graph.find(node, info)
        if order.index(path) > order.index(last):
            raise UnknownNameError(
                f"node before the head, which is at {backbone.nodes[0]}:", str(node), order[: order.index(last) + 1]
            )
        self.classifier, self.node = classifier, path if node is None else node
        self.body = graph.cut(backbone.network, [path, last])
        self.pool = Pool("none" if whole else backbone.pools[backbone.nodes[0]])

    def __call__(self, image: Tensor, target: int) -> HeatMap:
        """The heat map of a class.

        Parameters
        ----------
        image : Tensor of shape (1, 3, s, s), float32 in [0, 1]
        target : int
            Index of the class.
        """
        with torch.enable_grad():
            pixels = image.detach().requires_grad_(True)  # parameters are frozen; the graph has to begin somewhere
            maps, value = self.body((pixels - self.classifier.mean) / self.classifier.std)
            if maps.dim() != 4:
                raise UnknownNameError("node with a map:", str(self.node), [], "it is a vector; name an earlier node")
            logits = self.classifier.head(self.pool(value))
            (gradient,) = torch.autograd.grad(logits[0, target], maps)
        weights = gradient.mean((2, 3), keepdim=True)
        heat = (weights * maps).sum(1)[0].clamp(min=0).detach()
        heat = heat / heat.max().clamp(min=1e-12)
        probability = float(logits.detach().softmax(1)[0, target])
        return HeatMap(heat.float().cpu().numpy(), probability)
