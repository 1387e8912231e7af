"""What a store holds of one network: its features of a data set at every cached node."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

from classifiers.validation.alignment import check_memory
from classifiers.validation.labelled import labelled_part
from featstore.backbone.backbone import Backbone
from featstore.backbone.catalogue import PENULTIMATE
from featstore.backbone.landmarks import landmarks, network_order
from featstore.backbone.recipe import recipe_of
from featstore.errors import AmbiguousFeaturesError, StoreNotFoundError
from featstore.features import FeatureSet
from featstore.store.feature_store import FeatureStore
from featstore.store.selection import FeatureSelection

ENOUGH_NODES = 2
"""With more nodes than these nothing is said about further ones."""


def cached_nodes(
    store: FeatureStore, dataset: str | None, nodes: Sequence[str], selectors: Mapping[str, str]
) -> tuple[list[FeatureSet], list[str]]:
    """The features of one network at its cached nodes, from the earliest node to the last.

    Parameters
    ----------
    store : FeatureStore
    dataset : str, optional
        Default: the only one.
    nodes : sequence of str
        Only these; all where it is empty.
    selectors : mapping of option to str
        See `FeatureInfo.fits`. Networks that were made by a fine-tune are left aside unless it names weights or key.

    Returns
    -------
    sets : list of FeatureSet
        Of the images that have a label.
    notes : list of str
        How many have none.

    Raises
    ------
    StoreNotFoundError
        None fits and is complete.
    AmbiguousFeaturesError
        They are of several networks.
    FeaturesError
        Memory does not hold them, or no image has a label.
    """
    name = store.imageset(dataset).name
    selection = FeatureSelection(store, selectors, nodes)
    sets, incomplete = selection.read(name, selection.untuned())
    if not sets and incomplete:
        raise incomplete[-1]
    if not sets:
        raise StoreNotFoundError(
            f"no feature set of {name!r} in {store.path} fits; `featstore info {store.path}` lists what is there"
        )
    labelled = [labelled_part(one) for one in sets]
    sets, notes = [part for part, _ in labelled], labelled[0][1]
    check_memory(sets, "advising on")
    networks = {
        (f.backbone, f.weights_sha256, f.numbers, str(f.transform), f.pool if f.node != PENULTIMATE else "avg")
        for f in (s.fingerprint for s in sets)
        if f.pool != "none"
    }
    if len(networks) > 1:
        prints = [one.fingerprint for one in sets]
        found = sorted({f"{f.backbone} (weights {f.weights}, {f.numbers}, {f.input})" for f in prints})
        raise AmbiguousFeaturesError(
            f"{store.path} holds features of several networks or poolings: {', '.join(found)}; advice is about one, "
            f"choose with `backbone`, `weights`, `pool`, `precision`, `store_dtype` or `key`"
        )
    return sorted(sets, key=lambda s: network_order(s.fingerprint.node)), notes


def missing_landmarks(sets: Sequence[FeatureSet]) -> list[str]:
    """Landmarks of the network that are not cached, where there are too few nodes for a layer curve."""
    there = {s.fingerprint.node for s in sets}
    if len(there) > ENOUGH_NODES:
        return []
    return [node for node in landmarks(sets[0].fingerprint.backbone) if node not in there]


def backbone_of(features: FeatureSet, weights: str | os.PathLike[str] | None, nodes: Sequence[str] = ()) -> Backbone:
    """The network that made some features; `nodes`: cut at these in place of their own."""
    recipe = recipe_of(features.fingerprint, weights)
    return Backbone.from_recipe(recipe | {"nodes": list(nodes)} if nodes else recipe, weights)
