"""Which classifier somebody means: a bundle of their own, or the ImageNet head of a network."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch
from torch import nn

from classifiers.models.bundle import load_bundle
from classifiers.models.image_classifier import ImageClassifier, open_backbone
from featstore.backbone.backbone import Backbone
from featstore.backbone.catalogue import BACKBONES
from featstore.errors import BundleNotFoundError, NoGradientError, UnknownNameError, WeightsError
from featstore.system.reporting import StageProgress, printable_path

FIRST_CHOICES = ("mobilenet_v3_large", "resnet18", "resnet50", "mobilenet_v2", "vgg16")


def open_classifier(
    bundle: str | os.PathLike[str] | None = None,
    *,
    backbone: str | None = None,
    weights: str | os.PathLike[str] | None = None,
    input_size: int | None = None,
    progress: StageProgress | None = None,
) -> ImageClassifier:
    """Open a bundle, or a network with its ImageNet head.

    Parameters
    ----------
    bundle : path, optional
        From `featstore train`; its own network is used.
    backbone : str, optional
        Without a bundle: one of `featstore backbones`; default: mobilenet_v3_large.
    weights : str or path, optional
        As `featstore.backbone.weights.load_weights` takes it; with a bundle: where its network's weights are now.
    input_size : int, optional
        Without a bundle: side of the input, pixels.
    progress : callable, optional
        Called with the bytes done and the bytes in all while weights are downloaded.

    Raises
    ------
    NoGradientError
        The bundle's head has no gradients; the message names the heads that have.
    BundleError, WeightsError, UnknownNameError, FingerprintMismatchError
    """
    if bundle is not None:
        return ImageClassifier.from_bundle(bundle, weights)
    name = FIRST_CHOICES[0] if backbone is None else backbone
    network = Backbone(name, "auto" if weights is None else weights, input_size=input_size, progress=progress)
    return ImageClassifier.imagenet(network)


def open_for_looking(
    bundle: str | os.PathLike[str] | None = None,
    *,
    backbone: str | None = None,
    weights: str | os.PathLike[str] | None = None,
    input_size: int | None = None,
    must_classify: bool = False,
) -> tuple[Backbone, ImageClassifier | None, str]:
    """Open a network whose feature maps are wanted, and its classifier where it has one with gradients.

    Parameters
    ----------
    bundle, backbone, weights, input_size
        As for `open_classifier`.
    must_classify : bool
        Fail where there is no such classifier.

    Returns
    -------
    backbone : Backbone
    classifier : ImageClassifier or None
        On the same network.
    note : str
        Why there is none; "" where there is one.

    Raises
    ------
    NoGradientError, WeightsError
        With `must_classify`: the head has no gradients, the weights end without one.
    """
    if bundle is None:
        name = FIRST_CHOICES[0] if backbone is None else backbone
        network = Backbone(name, "auto" if weights is None else weights, input_size=input_size)
        if network.weights.kind == "random" and not must_classify:
            return network, None, "the weights are random: no Grad-CAM, and the maps show nothing that was learnt"
        try:
            return network, ImageClassifier.imagenet(network), ""
        except WeightsError as error:
            if must_classify:
                raise
            return network, None, f"no Grad-CAM: {error}"
    opened = load_bundle(bundle)
    try:
        classifier = ImageClassifier.from_bundle(opened, weights)
    except NoGradientError as error:
        if must_classify:
            raise
        return open_backbone(opened, weights), None, f"no Grad-CAM: {error}"
    return classifier.backbone, classifier, ""


def describe(classifier: ImageClassifier) -> str:
    """Network, weights, number of classes, and the bundle's file and head where there is one; for people."""
    backbone, bundle = classifier.backbone, classifier.bundle
    own = ""
    if bundle is not None:
        file = "" if bundle.path is None else f"{printable_path(os.fsencode(bundle.path.name))}: "
        own = f"{file}{bundle.name} on "
    return f"{own}{backbone.name} ({backbone.weights.label}), {len(classifier.classes)} classes"


def identity(classifier: ImageClassifier) -> dict[str, Any]:
    """Whose results they are, as JSON reports state it."""
    bundle, backbone = classifier.bundle, classifier.backbone
    return {
        "description": describe(classifier),
        "bundle": None if bundle is None or bundle.path is None else str(bundle.path),
        "head": "imagenet" if bundle is None else bundle.name,
        "backbone": backbone.name,
        "weights": backbone.weights.label,
        "weights_sha256": backbone.weights.sha256,
    }


def caveats(classifier: ImageClassifier) -> list[str]:
    """What has to be said of its results: that its weights are random."""
    if classifier.backbone.weights.kind != "random":
        return []
    return [f"the weights of {describe(classifier)} are random: what it says shows nothing that was learnt"]


def parse_other(text: str) -> ImageClassifier:
    """A second opinion as it is named on the command line: `resnet18`, `resnet18=FILE`, or a bundle.

    Raises
    ------
    UnknownNameError
        Neither a network nor a file.
    BundleError, WeightsError, NoGradientError
    """
    name, equals, weights = text.partition("=")
    if name in BACKBONES:
        return open_classifier(backbone=name, weights=weights if equals else None)
    try:
        return open_classifier(Path(text))
    except BundleNotFoundError as error:
        raise UnknownNameError(
            "network or bundle", text, BACKBONES, "write BACKBONE, BACKBONE=WEIGHTS or the path of a bundle"
        ) from error


def at_hand(other_than: str) -> str | None:
    """Another network whose default weights are on this machine, None where there is none."""
    order = [*FIRST_CHOICES, *BACKBONES]
    found = (
        name for name in order if name != other_than and BACKBONES[name].default_weights in BACKBONES[name].cached()
    )
    return next(found, None)


def place(network: nn.Module, device: torch.device | str) -> None:
    """Move a network to a device, frozen, in eval mode, its convolutions laid out for speed.

    Channels last, a forward and backward pass takes a half to a third of the time on a CPU.
    """
    # Module.to changes the module in place, so that all who share its layers go with it.
    network.to(device).to(memory_format=torch.channels_last).eval().requires_grad_(False)
