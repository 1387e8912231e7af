"""Landmarks of a network: the few nodes worth caching for a layer curve, and where its last stage begins."""

from __future__ import annotations

import re
from functools import cache
from typing import Any

from featstore.backbone.catalogue import PENULTIMATE, lookup
from featstore.backbone.nodes import NodeInfo, node_table

MAX_NODES = 4
_WITHOUT_PARAMETERS = ("ReLU", "MaxPool2d")


def landmarks(backbone: str) -> tuple[str, ...]:
    """Nodes for a layer curve: the last block of each width or resolution, the deepest four, then the pooled last map.

    Parameters
    ----------
    backbone : str
        One of `featstore.backbone.catalogue.BACKBONES`.

    Returns
    -------
    tuple of str
        In the order of the network; the last one is "avgpool".

    Raises
    ------
    UnknownNameError
    """
    blocks = _blocks(backbone)
    # A VGG's stages end with a pooling layer; elsewhere a stage ends where the next block is wider or coarser.
    pooled = [block.node for block in blocks if block.note == "MaxPool2d" and block.node.startswith("features")]
    ends = [here.node for here, after in zip(blocks, blocks[1:], strict=False) if here.shape != after.shape]
    chosen = pooled[:-1] if pooled else [node for node in ends if node.startswith(("features.", "layer"))]
    return (*chosen[-MAX_NODES:], PENULTIMATE)


@cache
def last_stage(backbone: str) -> str:
    """The node from which on a network works at its last resolution: what "the top" means where it is reopened.

    Raises
    ------
    UnknownNameError
    """
    blocks = [block for block in _blocks(backbone) if block.note not in _WITHOUT_PARAMETERS]
    side = blocks[-1].shape[1]
    return next(block.node for block in blocks if block.shape[1] == side)


@cache
def _blocks(backbone: str) -> tuple[NodeInfo, ...]:
    """Outer modules that return a map, in the order of the network."""
    family = lookup(backbone).family
    depth = 0 if family == "resnet" else 1
    return tuple(
        node
        for node in node_table(backbone)
        if len(node.shape) == 3 and node.node.count(".") == depth and node.node.split(".")[0] not in ("avgpool",)
        and (depth or node.node.startswith("layer"))
    )  # fmt: skip


def network_order(node: str) -> tuple[int, list[Any]]:
    """A sort key that puts nodes in the order of the forward pass: stem, blocks by number, avgpool, classifier."""
    rank = {"conv1": 0, "bn1": 0, "relu": 0, "maxpool": 1, "avgpool": 3, "fc6": 4, "fc7": 5}
    first = node.split(".")[0]
    late = 4 if first in ("classifier", "fc") else 2
    parts = [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", node)]
    return rank.get(node, late), parts
