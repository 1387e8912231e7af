"""ImageClassifier: pixels -> logits as one differentiable module; shared by fine-tuning, attacks and ideal images."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor, nn
from torchvision.models import get_model_weights

from classifiers.models.bundle import Bundle, load_bundle
from featstore.backbone.backbone import Backbone
from featstore.backbone.recipe import gone
from featstore.decoding.pixels.decode import decode
from featstore.decoding.pixels.transform import TransformSpec
from featstore.errors import (
    DecodeError,
    FingerprintMismatchError,
    ImagesNotFoundError,
    NoGradientError,
    UnknownNameError,
    WeightsError,
    WeightsNotFoundError,
)
from featstore.sources.addresses import addresses
from featstore.sources.reading import FILE_BYTES, read
from featstore.system.reporting import printable_path


class ImageClassifier(nn.Module):
    """A backbone and a differentiable head as one module; normalisation is inside.

    Parameters
    ----------
    backbone : Backbone
        Its first node feeds the head.
    head : nn.Module
        (b, d) float32 features -> (b, k) logits, for instance a fitted head's `to_torch()`.
    classes : sequence of k str

    Attributes
    ----------
    trunk : nn.Module
        (b, 3, s, s) normalised float32 -> tuple of (b, d).
    head : nn.Module
    classes : tuple of str
    transform : TransformSpec
        How an image file becomes the input; `open` applies it.
    backbone : Backbone
    bundle : Bundle or None
        Where it comes from, if from one.

    Examples
    --------
    >>> import torch
    >>> from featstore.backbone import Backbone
    >>> backbone = Backbone("mobilenet_v3_small", "none", nodes=("features.0",), input_size=32)
    >>> classifier = ImageClassifier(backbone, torch.nn.Linear(16, 2), ("ants", "bees"))
    >>> classifier(torch.zeros(3, 3, 32, 32)).shape
    torch.Size([3, 2])
    """

    mean: Tensor
    std: Tensor

    def __init__(self, backbone: Backbone, head: nn.Module, classes: Sequence[str]) -> None:
        super().__init__()
        self.backbone = backbone
        self.bundle: Bundle | None = None
        self.trunk: nn.Module = backbone.trunk
        self.head = head
        self.classes = tuple(classes)
        self.transform: TransformSpec = backbone.transform
        self.register_buffer("mean", torch.tensor(self.transform.mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(self.transform.std).view(1, 3, 1, 1), persistent=False)
        self.eval()

    @classmethod
    def from_bundle(
        cls, bundle: Bundle | str | os.PathLike[str], weights: str | os.PathLike[str] | None = None
    ) -> Self:
        """The network and the head of a bundle.

        On image files it gives the probabilities that the head gives on cached features, within 1e-5 (fp32).

        Parameters
        ----------
        bundle : Bundle or path
        weights : str or path, optional
            Where the network's weights are now; see `open_backbone`.

        Raises
        ------
        NoGradientError
            The head has no gradients; the message names the heads that do.
        BundleError, WeightsError, FingerprintMismatchError
            See `classifiers.models.bundle.load_bundle` and `open_backbone`.
        """
        if not isinstance(bundle, Bundle):
            bundle = load_bundle(bundle)
        classifier = cls(open_backbone(bundle, weights), differentiable_head(bundle), bundle.classes)
        classifier.bundle = bundle
        return classifier

    @classmethod
    def imagenet(cls, backbone: Backbone) -> Self:
        """The whole network with the 1000-way head that it was trained with.

        Parameters
        ----------
        backbone : Backbone
            Its nodes do not matter.

        Raises
        ------
        WeightsError
            The weights end without 1000 finite logits.
        """
        if not backbone.has_imagenet_head:
            raise WeightsError(
                f"the weights {backbone.weights.label} of {backbone.name} do not end in ImageNet's 1000 classes; take "
                f"torchvision's weights, or a classifier of your own with `bundle`"
            )
        categories = get_model_weights(backbone.name).DEFAULT.meta["categories"]
        whole = cls(backbone, nn.Identity(), categories)
        whole.trunk = _AsTuple(backbone.network)
        return whole

    def forward(self, x: Tensor) -> Tensor:
        """Pixels to logits.

        Parameters
        ----------
        x : Tensor of shape (b, 3, s, s), float32 in [0, 1]

        Returns
        -------
        Tensor of shape (b, k), float32
            softmax gives the probabilities of `classes`.
        """
        (features, *_) = self.trunk((x - self.mean) / self.std)
        logits: Tensor = self.head(features)
        return logits.float()

    def open(self, paths: Sequence[str | bytes | os.PathLike[str]]) -> Tensor:
        """Image files as this network sees them: decoded and transformed exactly as for extraction.

        Parameters
        ----------
        paths : sequence of path

        Returns
        -------
        Tensor of shape (b, 3, crop, crop), float32 in [0, 1]
            On the CPU.

        Raises
        ------
        ImagesNotFoundError
            A path that is no readable file.
        DecodeError
            A file that cannot be decoded; the message names it.
        """
        batch = np.empty((len(paths), self.transform.crop, self.transform.crop, 3), dtype=np.uint8)
        for row, path in enumerate(paths):
            batch[row] = self.transform.apply(_read(os.fsencode(path), self.transform))
        return torch.from_numpy(batch).permute(0, 3, 1, 2).float().div_(255)

    def index(self, name: str) -> int:
        """Position of a class among the logits.

        Raises
        ------
        UnknownNameError
            With close matches.
        """
        if name not in self.classes:
            raise UnknownNameError("class", name, self.classes)
        return self.classes.index(name)

    @property
    def description(self) -> str:
        """Network, weights, number of classes, and the bundle's file and head where there is one; for people."""
        own = ""
        if self.bundle is not None:
            path = self.bundle.path
            file = "" if path is None else f"{printable_path(os.fsencode(path.name))}: "
            own = f"{file}{self.bundle.name} on "
        return f"{own}{self.backbone.name} ({self.backbone.weights.label}), {len(self.classes)} classes"

    def provenance(self) -> dict[str, Any]:
        """Whose results they are, as JSON reports state it."""
        bundle, weights = self.bundle, self.backbone.weights
        return {
            "description": self.description,
            "bundle": None if bundle is None or bundle.path is None else str(bundle.path),
            "head": "imagenet" if bundle is None else bundle.name,
            "backbone": self.backbone.name,
            "weights": weights.label,
            "weights_sha256": weights.sha256,
        }

    def caveats(self) -> list[str]:
        """What has to be said of its results: that its weights are random."""
        if self.backbone.weights.kind != "random":
            return []
        return [f"the weights of {self.description} are random: what it says shows nothing that was learnt"]


def freeze_on(network: nn.Module, device: torch.device | str) -> None:
    """Move a network to a device, frozen, in eval mode, its convolutions laid out for speed.

    Channels last, a forward and backward pass takes a half to a third of the time on a CPU.
    """
    # Module.to changes the module in place, so that all who share its layers go with it.
    network.to(device).to(memory_format=torch.channels_last).eval().requires_grad_(False)


def open_backbone(bundle: Bundle, weights: str | os.PathLike[str] | None = None) -> Backbone:
    """Build the network that a bundle's features come from.

    Weights that were saved with the bundle are found beside it, also after both have been moved.

    Parameters
    ----------
    weights : str or path, optional
        Where the weights are now, or "auto"; the tensors must be the same.

    Raises
    ------
    WeightsNotFoundError
        They are not where they were; give their place.
    FingerprintMismatchError
        The tensors are others, or the network does not make the features that the bundle was trained on.
    """
    if weights is None:
        weights = _known_place(bundle)
    backbone = Backbone.from_recipe(bundle.recipe, weights)
    store_dtype = bundle.fingerprint.store_dtype
    made = [f.stored_as(store_dtype).key for f in backbone.fingerprints(bundle.fingerprint.precision).values()]
    if made != [bundle.fingerprint.key]:
        raise FingerprintMismatchError(
            f"the recipe in the bundle makes the features {', '.join(made)}, but the head was trained on "
            f"{bundle.fingerprint.key} ({bundle.fingerprint.backbone} at {bundle.fingerprint.node}); the decode rules "
            f"or the network differ: extract the features and train again"
        )
    return backbone


def differentiable_head(bundle: Bundle) -> nn.Module:
    """The bundle's head as a module: (b, d) float32 -> (b, k) logits.

    Raises
    ------
    NoGradientError
        Naming the heads that have gradients.
    """
    from classifiers.heads.registry import HEADS, differentiable

    info = HEADS.get(bundle.name)
    if info is None or not info.differentiable:
        able = differentiable()
        raise NoGradientError(
            f"the head {bundle.name!r} has no gradients; heads that have: {', '.join(able)}. Train one of them with "
            f"`featstore train STORE --head {able[0]} -o BUNDLE`"
        )
    module: nn.Module = bundle.head.to_torch()
    return module.float().eval().requires_grad_(False)


class _AsTuple(nn.Module):
    """A module's only output, in the form of a trunk's."""

    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body = body

    def forward(self, x: Tensor) -> tuple[Tensor]:
        return (self.body(x),)


def _known_place(bundle: Bundle) -> Path | None:
    """The weights file beside a bundle, under the name that its recipe gives; None where the recipe decides."""
    weights = bundle.recipe.get("weights")
    if not isinstance(weights, dict) or weights.get("kind") != "file":
        return None
    file = weights.get("path")
    if not isinstance(file, str) or not file:
        raise WeightsNotFoundError(
            f"the bundle needs the weights {bundle.fingerprint.weights} of {bundle.fingerprint.backbone} (SHA-256 "
            f"{bundle.fingerprint.weights_sha256[:12]}...) and does not know where they are; give the file with "
            '`weights="FILE"`'
        )
    if bundle.path is None:
        return None
    candidate = bundle.path.resolve().with_name(Path(file).name)
    if candidate.is_file():
        return candidate
    if said := gone(bundle.recipe, "the bundle"):
        raise WeightsNotFoundError(said)
    return None


def _read(path: bytes, spec: TransformSpec) -> Any:
    shown = os.fsdecode(path).encode("utf-8", "backslashreplace").decode()
    try:
        (address,) = addresses([os.path.abspath(os.fsencode(path))])  # noqa: PTH100 - bytes
        data = read(address, FILE_BYTES)
    except OSError as error:
        raise ImagesNotFoundError(f"{shown} cannot be read: {error.strerror or error}; check the path") from error
    try:
        return decode(data, **spec.decode_options)
    except DecodeError as error:
        raise DecodeError(f"{shown} cannot be decoded: {error}") from error
