"""Which classifier somebody means: a bundle of their own, or the ImageNet head of a network."""

from __future__ import annotations

import os
from pathlib import Path

from classifiers.models.bundle import load_bundle
from classifiers.models.bundle_network import open_backbone
from classifiers.models.image_classifier import ImageClassifier
from featstore.backbone.backbone import Backbone
from featstore.backbone.catalogue import BACKBONES
from featstore.errors import BundleNotFoundError, NoGradientError, UnknownNameError, WeightsError
from featstore.system.reporting import StageProgress

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

    Examples
    --------
    >>> import tempfile, numpy as np
    >>> from classifiers import make_head, save_bundle
    >>> from featstore.backbone import Backbone
    >>> backbone = Backbone("mobilenet_v3_small", "none", nodes=("features.0",), input_size=32)
    >>> ((_, fingerprint),) = backbone.fingerprints().items()
    >>> y = np.repeat([0, 1], 20)
    >>> X = np.random.default_rng(0).normal(size=(40, 16)) + y[:, None]
    >>> head = make_head("logistic", budget="quick", cv=2).fit(X, y)
    >>> path = tempfile.mkdtemp() + "/bees.bundle"
    >>> bundle = save_bundle(path, head, fingerprint, backbone.recipe(), ("ants", "bees"), name="logistic")
    >>> open_classifier(path).classes
    ('ants', 'bees')
    """
    if bundle is not None:
        return ImageClassifier.from_bundle(bundle, weights)
    name = FIRST_CHOICES[0] if backbone is None else backbone
    network = Backbone(name, "auto" if weights is None else weights, input_size=input_size, progress=progress)
    return ImageClassifier.imagenet(network)


def open_for_inspection(
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


def open_named(text: str) -> ImageClassifier:
    """Open a classifier as the command line names one: `resnet18`, `resnet18=FILE`, or the path of a bundle.

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


def cached_backbone(other_than: str) -> str | None:
    """Another network whose default weights are on this machine, None where there is none."""
    order = [*FIRST_CHOICES, *BACKBONES]
    found = (
        name for name in order if name != other_than and BACKBONES[name].default_weights in BACKBONES[name].cached()
    )
    return next(found, None)
