"""The places where a network can be cut: names, shapes and order. They are known without building the network.

What the tables below say of torchvision's networks is compared with the networks themselves by a test.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from featstore.backbone.catalogue import PENULTIMATE, BackboneInfo, aliases, lookup

if TYPE_CHECKING:
    from torch import nn

POOLS = ("avg", "max", "gem", "flatten")

VGG_CONVOLUTIONS = {
    "vgg11": (1, 1, 2, 2, 2),
    "vgg13": (2, 2, 2, 2, 2),
    "vgg16": (2, 2, 3, 3, 3),
    "vgg19": (2, 2, 4, 4, 4),
}
"""How many each of the five stages has; their widths are the same in all of them."""

RESNET_BLOCKS = {
    **dict.fromkeys(("resnet34", "resnet50", "resnext50_32x4d", "wide_resnet50_2"), (3, 4, 6, 3)),
    **dict.fromkeys(("resnet101", "resnext101_32x8d", "resnext101_64x4d", "wide_resnet101_2"), (3, 4, 23, 3)),
    "resnet18": (2, 2, 2, 2),
    "resnet152": (3, 8, 36, 3),
}
"""How many blocks each of the four layers has."""

MOBILENET_BLOCKS = {
    "mobilenet_v2": ((16, 1, 1), (24, 2, 2), (32, 2, 3), (64, 2, 4), (96, 1, 3), (160, 2, 3), (320, 1, 1)),
    "mobilenet_v3_small": ((16, 2, 1), (24, 2, 2), (40, 2, 3), (48, 1, 2), (96, 2, 3)),
    "mobilenet_v3_large": ((16, 1, 1), (24, 2, 2), (40, 2, 3), (80, 2, 4), (112, 1, 2), (160, 2, 3)),
}
"""Width, stride and number of inverted residual blocks between the first and the last convolution."""

_Place = tuple[str, tuple[int, ...], str]  # module path, shape of one image's value, what is there


@dataclass(frozen=True)
class NodeInfo:
    """One place to cut.

    Attributes
    ----------
    node : str
        Name to ask for.
    shape : tuple of int
        Of one image's value: (channels, height, width), or (width,) for a vector.
    pooled_width : int
        Numbers an image after avg, max or gem pooling.
    note : str
        For people.

    Examples
    --------
    >>> NodeInfo("layer4", (512, 7, 7), 512, "Sequential").flat_width
    25088
    """

    node: str
    shape: tuple[int, ...]
    pooled_width: int
    note: str

    @property
    def flat_width(self) -> int:
        """Numbers an image with pool "flatten"."""
        return math.prod(self.shape)


def node_table(name: str, *, input_size: int | None = None, every: bool = False) -> list[NodeInfo]:
    """The places where a network can be cut, in the order of computing, aliases first. Nothing is computed.

    Parameters
    ----------
    name : str
        One of `catalogue.BACKBONES`.
    input_size : int, optional
        Side of the input, pixels; default: as the weights prescribe.
    every : bool
        Every module and operation, not only the outer two levels.

    Raises
    ------
    UnknownNameError
        No such backbone.

    Examples
    --------
    >>> [(node.node, node.shape) for node in node_table("resnet18", input_size=64)][:2]
    [('avgpool', (512,)), ('conv1', (64, 32, 32))]
    """
    info = lookup(name)
    side = input_size or info.input_size
    places = _every_place(info, side) if every else list(_FAMILIES[info.family](info, side))
    shapes = {path: shape for path, shape, _ in places}
    table = []
    for node, (path, note) in aliases(info).items():
        shape = shapes[path][:1] if node == PENULTIMATE else shapes[path]
        table.append(NodeInfo(node, shape, shape[0], note))
    table += [NodeInfo(path, shape, shape[0], what) for path, shape, what in places if path not in aliases(info)]
    return table


def _vgg(info: BackboneInfo, side: int) -> Iterator[_Place]:
    name, _, norm = info.name.partition("_")
    layers = ("Conv2d", "BatchNorm2d", "ReLU") if norm else ("Conv2d", "ReLU")
    at = 0
    for width, convolutions in zip((64, 128, 256, 512, 512), VGG_CONVOLUTIONS[name], strict=True):
        for what in (*layers * convolutions, "MaxPool2d"):
            if what == "MaxPool2d":
                side //= 2
            yield f"features.{at}", (width, side, side), what
            at += 1
    yield "features", (info.width, side, side), "Sequential"
    yield from _classifier([4096] * 6 + [1000], [*("Linear", "ReLU", "Dropout") * 2, "Linear"])


def _resnet(info: BackboneInfo, side: int) -> Iterator[_Place]:
    side = _halved(side)
    for path, what in (("conv1", "Conv2d"), ("bn1", "BatchNorm2d"), ("relu", "ReLU")):
        yield path, (64, side, side), what
    side = _halved(side)
    yield "maxpool", (64, side, side), "MaxPool2d"
    for i, blocks in enumerate(RESNET_BLOCKS[info.name]):
        side = side if i == 0 else _halved(side)
        shape = (info.width >> (3 - i), side, side)
        for block in range(blocks):
            yield f"layer{i + 1}.{block}", shape, "BasicBlock" if info.width == 512 else "Bottleneck"
        yield f"layer{i + 1}", shape, "Sequential"
    yield "fc", (1000,), "Linear"


def _mobilenet(info: BackboneInfo, side: int) -> Iterator[_Place]:
    first = (32 if info.name == "mobilenet_v2" else 16, 2, 1)
    rows = [first, *MOBILENET_BLOCKS[info.name], (info.width, 1, 1)]
    at = 0
    for i, (width, stride, blocks) in enumerate(rows):
        side = _halved(side) if stride == 2 else side
        for _ in range(blocks):
            what = "InvertedResidual" if 0 < i < len(rows) - 1 else "Conv2dNormActivation"
            yield f"features.{at}", (width, side, side), what
            at += 1
    yield "features", (info.width, side, side), "Sequential"
    if info.name == "mobilenet_v2":
        yield from _classifier([info.width, 1000], ["Dropout", "Linear"])
    else:
        hidden = 1024 if info.name == "mobilenet_v3_small" else 1280
        yield from _classifier([hidden] * 3 + [1000], ["Linear", "Hardswish", "Dropout", "Linear"])


def _classifier(widths: list[int], layers: list[str]) -> Iterator[_Place]:
    for i, (width, what) in enumerate(zip(widths, layers, strict=True)):
        yield f"classifier.{i}", (width,), what
    yield "classifier", (widths[-1],), "Sequential"


def _halved(side: int) -> int:
    """Side of a map after a padded layer of stride 2."""
    return (side + 1) // 2


_FAMILIES = {"vgg": _vgg, "resnet": _resnet, "mobilenet": _mobilenet}


def _every_place(info: BackboneInfo, side: int) -> list[_Place]:
    from featstore.backbone.architecture import build_network
    from featstore.backbone.trunk import NetworkGraph

    network = build_network(info.name)
    return [(path, shape, _kind(network, path)) for path, shape in NetworkGraph(network).shapes(network, side).items()]


def _kind(network: nn.Module, path: str) -> str:
    try:
        return type(network.get_submodule(path)).__name__
    except AttributeError:
        return "operation" if not path.rpartition("_")[2].isdigit() else "called again"
