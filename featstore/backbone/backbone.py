"""Backbone: a frozen torchvision network with its weights and transform, cut at one or more nodes."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping, Sequence
from typing import Any, Self

import torch
from torchvision.models import get_model_weights

from featstore.backbone.architecture import build_network
from featstore.backbone.catalogue import PENULTIMATE, BackboneInfo, lookup
from featstore.backbone.nodes import POOLS
from featstore.backbone.recipe import FORMAT, gone, read_recipe
from featstore.backbone.trunk import NetworkGraph, Trunk
from featstore.backbone.weights import Weights, load_weights, state_dict_sha256
from featstore.decoding.pixels import decode
from featstore.decoding.pixels.transform import TransformSpec
from featstore.errors import (
    FeaturesError,
    FingerprintMismatchError,
    UnknownNameError,
    WeightsError,
    WeightsNotFoundError,
)
from featstore.fingerprint import Fingerprint
from featstore.system.reporting import StageProgress

SMALLEST_INPUT = 32
"""Pixels; below this the five halvings of every family leave nothing."""


class Backbone:
    """A frozen network that turns images into features at its nodes.

    Parameters
    ----------
    name : str
        One of `BACKBONES`.
    weights : str or path
        As `featstore.backbone.weights.load_weights` takes it: "auto", "none", a torchvision name, or a file.
    nodes : sequence of str
        Where to cut: "avgpool" (the last feature map, pooled), "fc6" and "fc7" for VGG, or any of `node_table(name)`.
        All are computed in one forward pass, which ends at the deepest.
    pool : {"avg", "max", "gem", "flatten"}
        How a spatial map becomes a vector. Vectors stay as they are; "avgpool" is averaged under "flatten".
    input_size : int, optional
        Side of the input, pixels; default: as the weights prescribe. The ratio of resize to crop is kept.
    seed : int
        Of random weights.
    transform : TransformSpec, optional
        In place of the one that the weights prescribe (a file prescribes none: resize 256, crop 224).
    jpeg_scaling : bool
        Decode large JPEG files at a fraction of their size, see `TransformSpec`: other numbers, under another key.
    nvjpeg : bool
        Decode JPEG files on the CUDA device, see `featstore.decoding.nvjpeg_pool`: likewise. Not together with
        `jpeg_scaling`.
    bit_depth : int, optional
        9 to 16: take 16-bit files as so many bits, see `TransformSpec`: likewise.
    allow_truncated : bool
        Decode files that are cut short or damaged as far as they go: likewise.
    timeout : float
        Seconds that a download server may stay silent.
    progress : callable, optional
        Called with the bytes done and the bytes in all while weights are downloaded.

    Attributes
    ----------
    name, nodes, pool
        As given; `nodes` is a tuple without repeats.
    pools : dict of str to str
        By node, the pooling that its numbers went through: one of `pool`'s values, or "none" for a vector.
    widths : dict of str to int
        Numbers an image, by node.
    weights : Weights
        Without its tensors.
    transform : TransformSpec
    network : nn.Module
        The whole network: eval mode, no in-place modules, gradients off.
    trunk : Trunk
        (b, 3, s, s) normalised float32 -> tuple of (b, d_i) float32, one for each of `nodes`. Shares its parameters
        with `network`. Without Python control flow on values, so it can be traced, compiled and converted.
    has_imagenet_head : bool
        The network ends in 1000 finite logits.

    Raises
    ------
    UnknownNameError
        No such backbone, node, pool or weights; with close matches.
    WeightsError, WeightsNotFoundError
        See `featstore.backbone.weights.load_weights`; also for weights that are not finite where a node needs them.
    FeaturesError
        An input size that is too small.

    Examples
    --------
    >>> backbone = Backbone("resnet18", "none", nodes=("layer3", "avgpool"), input_size=32)
    >>> backbone.widths
    {'layer3': 256, 'avgpool': 512}
    >>> [tuple(output.shape) for output in backbone.trunk(torch.zeros(1, 3, 32, 32))]
    [(1, 256), (1, 512)]
    """

    def __init__(
        self,
        name: str,
        weights: str | os.PathLike[str] = "auto",
        *,
        nodes: Sequence[str] = (PENULTIMATE,),
        pool: str = "avg",
        input_size: int | None = None,
        seed: int = 0,
        transform: TransformSpec | None = None,
        jpeg_scaling: bool = False,
        nvjpeg: bool = False,
        bit_depth: int | None = None,
        allow_truncated: bool = False,
        timeout: float = 10.0,
        progress: StageProgress | None = None,
    ) -> None:
        info = lookup(name)
        if pool not in POOLS:
            raise UnknownNameError("pool", pool, POOLS)
        if input_size is not None and input_size < SMALLEST_INPUT:
            raise FeaturesError(
                f"the input size {input_size} is too small; {name} needs {SMALLEST_INPUT} pixels or more"
            )
        chosen = tuple(dict.fromkeys([nodes] if isinstance(nodes, str) else nodes))
        if not chosen:
            raise FeaturesError(f"no node was named; `featstore nodes {name}` lists those of {name}")
        _check_nodes(info, chosen)

        found = load_weights(name, weights, seed=seed, timeout=timeout, progress=progress)
        spec = transform or _prescribed(name, found)
        self.name, self.nodes, self.pool = name, chosen, pool
        spec = spec if input_size is None else spec.resized(input_size)
        self.transform = dataclasses.replace(
            spec,
            jpeg_scaling=spec.jpeg_scaling or jpeg_scaling,
            nvjpeg=spec.nvjpeg or nvjpeg,
            bit_depth=spec.bit_depth if bit_depth is None else bit_depth,
            allow_truncated=spec.allow_truncated or allow_truncated,
        )

        self.network = build_network(name, found.head)
        graph = NetworkGraph(self.network)
        paths = [graph.find(node, info) for node in chosen]
        shapes = graph.shapes(self.network, self.transform.crop)
        self.network.load_state_dict(found.state, assign=True)

        self.pools = {n: _effective(n, pool, len(shapes[p])) for n, p in zip(chosen, paths, strict=True)}
        self.widths = {
            n: int(torch.Size(shapes[p]).numel()) if self.pools[n] == "flatten" else shapes[p][0]
            for n, p in zip(chosen, paths, strict=True)
        }
        self.trunk = Trunk(graph.cut(self.network, paths), list(self.pools.values())).eval()
        self.weights: Weights = dataclasses.replace(found, state={})
        damaged = {key for key, value in found.state.items() if not _finite(value)}
        used = [key.removeprefix("body.") for key in self.trunk.state_dict()]
        if bad := [key for key in used if key in damaged]:
            raise WeightsError(
                f"{bad[0]} of the weights {found.label} holds NaN or infinity, so {name} cannot be computed up to "
                f"{', '.join(chosen)}; take an earlier node or other weights"
            )
        self.has_imagenet_head = found.head.classes == 1000 and not damaged

    def __repr__(self) -> str:
        return f"Backbone({self.name!r}, {self.weights.label}, nodes={self.nodes}, pool={self.pool!r})"

    def fingerprints(self, precision: str = "fp32") -> dict[str, Fingerprint]:
        """What the features at each node are, by node.

        Parameters
        ----------
        precision : {"fp32", "bf16", "fp16"}
        """
        return {
            node: Fingerprint(
                backbone=self.name,
                weights_sha256=self.weights.sha256,
                node=node,
                pool=self.pools[node],
                transform=self.transform.to_json(),
                decode=decode.RULES,
                precision=precision,
                weights=self.weights.label,
            )
            for node in self.nodes
        }

    def state_sha256(self) -> str:
        """SHA-256 of the network's tensors as they are now, see `featstore.backbone.weights.state_dict_sha256`."""
        return state_dict_sha256(self.network.state_dict())

    def recipe(self) -> dict[str, Any]:
        """What is needed to build the same network again; JSON-able."""
        weights = self.weights
        return {
            "format": FORMAT,
            "backbone": self.name,
            "weights": {
                "kind": weights.kind,
                "label": weights.label,
                "sha256": weights.sha256,
                "name": weights.name,
                "seed": weights.seed,
                "path": str(weights.path.resolve()) if weights.kind == "file" and weights.path else "",
                **({"url": weights.url} if weights.url else {}),
            },
            "nodes": list(self.nodes),
            "pool": self.pool,
            "transform": self.transform.to_json(),
        }

    @classmethod
    def from_recipe(cls, recipe: Mapping[str, Any], weights: str | os.PathLike[str] | None = None) -> Self:
        """Build the network of a recipe, and make sure that it is the same.

        Parameters
        ----------
        weights : str or path, optional
            Where the weights are now, if not where they were; the tensors must be the same.

        Raises
        ------
        WeightsNotFoundError
            The file named in the recipe is gone.
        FingerprintMismatchError
            The recipe is malformed or of a newer format, or the tensors differ.
        """
        settings, expected, label = read_recipe(recipe)
        if weights is not None:
            settings["weights"] = weights
        elif said := gone(recipe, "its recipe"):
            raise WeightsNotFoundError(said)
        backbone = cls(**settings)
        if backbone.weights.sha256 != expected:
            raise FingerprintMismatchError(
                f"the weights {backbone.weights.label} of {backbone.name} hold tensors with the SHA-256 "
                f"{backbone.weights.sha256[:12]}..., but {expected[:12]}... ({label}) were used; give the "
                'file that was used with `weights="FILE"`'
            )
        return backbone


def _check_nodes(info: BackboneInfo, nodes: Sequence[str]) -> None:
    """Refuse an unknown node before any weights are downloaded."""
    graph = NetworkGraph(build_network(info.name))
    for node in nodes:
        graph.find(node, info)


def _finite(value: torch.Tensor) -> bool:
    """The sum shows in one pass that all is well; only a sum that is not finite needs a closer look."""
    return bool(torch.isfinite(value.sum())) or bool(torch.isfinite(value).all())


def _effective(node: str, pool: str, dimensions: int) -> str:
    """The pooling that a value of one image with so many dimensions goes through."""
    if dimensions == 1:
        return "none"
    return "avg" if node == PENULTIMATE and pool == "flatten" else pool


def _prescribed(name: str, weights: Weights) -> TransformSpec:
    """The transform that the weights were trained for; for files and random weights the first ImageNet recipe's."""
    if weights.kind != "name":
        return TransformSpec(resize=256, crop=224)
    preset = get_model_weights(name)[weights.name].transforms()
    return TransformSpec(
        resize=preset.resize_size[0],
        crop=preset.crop_size[0],
        interpolation=preset.interpolation.value,
        antialias=bool(preset.antialias),
        mean=tuple(preset.mean),
        std=tuple(preset.std),
    )
