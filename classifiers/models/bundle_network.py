"""The network of a bundle: where its weights are, and what its features are, known without building it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from classifiers.models.bundle import Bundle
from featstore.backbone.catalogue import checkpoint_folder, lookup
from featstore.backbone.fingerprint_cache import find_feature_specs
from featstore.backbone.recipe import gone, read_recipe
from featstore.engines.deferred_backbone import DeferredBackbone, deferred_backbone, feature_specs
from featstore.errors import FingerprintMismatchError, WeightsNotFoundError

if TYPE_CHECKING:
    from featstore.backbone.backbone import Backbone


def bundle_network(bundle: Bundle, weights: str | os.PathLike[str] | None = None) -> DeferredBackbone:
    """The network that a bundle's features come from; built only where its weights were never seen, or have changed.

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
    settings, expected, _ = read_recipe(bundle.recipe)
    place = known_place(bundle) if weights is None else weights
    precision = bundle.fingerprint.precision
    request = {
        "weights": os.fspath(settings["weights"] if place is None else place),
        "nodes": settings["nodes"],
        "pool": settings["pool"],
        "seed": settings["seed"],
        "transform": settings["transform"].to_json(),
    }

    def build() -> Backbone:
        return open_backbone(bundle, weights)

    made = bundle.fingerprint.stored_as("fp32")  # what the network gives, whatever it was rounded to
    told = (settings["name"], expected, settings["nodes"], request["transform"])
    if told == (made.backbone, made.weights_sha256, (made.node,), made.transform) and made.pool == settings["pool"]:
        seen = find_feature_specs(made, _file_of(made.backbone, request["weights"]))
        if seen is not None:  # for instance by the extraction that made the bundle's features
            return DeferredBackbone(seen, build)
    network = deferred_backbone(settings["name"], precision, request, build)
    if [f.key for f in network.specs.fingerprints.values()] != [made.key]:
        network = DeferredBackbone(feature_specs(build(), precision), build)
    return network


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
    from featstore.backbone.backbone import Backbone

    if weights is None:
        weights = known_place(bundle)
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


def _file_of(backbone: str, weights: str) -> Path | None:
    """The file that weights of that name are in; None for random ones."""
    if weights == "none":
        return None
    info = lookup(backbone)
    name = info.default_weights if weights == "auto" else weights
    return checkpoint_folder() / info.files[name] if name in info.files else Path(weights)


def known_place(bundle: Bundle) -> Path | None:
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
