"""counsel: read what a store holds of one network, gather the evidence, reach the advice."""

from __future__ import annotations

import dataclasses
import os
import shlex
from collections.abc import Callable, Sequence

import numpy as np

from classifiers.advise import Advice, judge
from classifiers.evidence import gather, network_order
from classifiers.recipe import recipe_of
from classifiers.splits import group_by
from featstore.errors import AmbiguousFeaturesError, FeatstoreError, StoreNotFoundError
from featstore.features import FeatureSet
from featstore.store import FeatureStore

Progress = Callable[[str, int, int, str], None]

LAST_NODES = ("avgpool",)


def counsel(
    store: FeatureStore,
    *,
    dataset: str | None = None,
    nodes: Sequence[str] = (),
    groups: str | None = None,
    seed: int = 0,
    progress: Progress | None = None,
    **selectors: str,
) -> tuple[Advice, list[str]]:
    """Advice on one data set and one network, from every node of it that is cached.

    Parameters
    ----------
    store : FeatureStore
    dataset : str, optional
        Default: the only one.
    nodes : sequence of str
        Only these nodes.
    groups : str, optional
        Regular expression on image paths, see `splits.group_by`.
    **selectors
        backbone, pool, weights, precision, key: which network, where the store has several.

    Returns
    -------
    advice : Advice
    notes : list of str
        What could not be looked at, and how it could.

    Raises
    ------
    StoreNotFoundError, AmbiguousFeaturesError, FeaturesError
    """
    sets = _cached(store, dataset, nodes, selectors)
    first = sets[0]
    members = None
    if groups is not None:
        members = group_by(first.ids, groups)[first.training()]
    notes = []
    confidence, why = _original_confidence(sets)
    if why:
        notes.append(why)
    if len(sets) == 1:
        f = first.fingerprint
        notes.append(f"Extract earlier nodes too for a layer curve: featstore nodes {f.backbone} lists them.")
    evidence = gather(
        sets, groups=members, groups_text=groups, head_confidence=confidence, seed=seed, progress=progress
    )
    advice = judge(evidence)
    return dataclasses.replace(advice, next=_next(store, advice, first)), notes


def _cached(
    store: FeatureStore, dataset: str | None, nodes: Sequence[str], selectors: dict[str, str]
) -> list[FeatureSet]:
    name = store.imageset(dataset).name
    fitting = [
        info
        for info in store.features()
        if all(info.fits(option, value) for option, value in selectors.items())
        and (not nodes or info.fingerprint.node in nodes)
    ]
    sets = []
    for info in fitting:
        try:
            sets.append(store.read(name, key=info.key))
        except StoreNotFoundError:
            continue  # of another data set
    if not sets:
        raise StoreNotFoundError(
            f"no feature set of {name!r} in {store.path} fits; `featstore info {store.path}` lists what is there"
        )
    networks = {
        (f.backbone, f.weights_sha256, f.precision, str(f.transform), f.pool if f.node not in LAST_NODES else "avg")
        for f in (s.fingerprint for s in sets)
    }
    if len(networks) > 1:
        found = sorted({f"{f.backbone} (weights {f.weights}, {f.precision})" for f in (s.fingerprint for s in sets)})
        raise AmbiguousFeaturesError(
            f"{store.path} holds features of several networks or poolings: {', '.join(found)}; advice is about one, "
            f"choose with --backbone, --weights, --pool or --precision"
        )
    return sorted(sets, key=lambda s: network_order(s.fingerprint.node))


def _original_confidence(sets: Sequence[FeatureSet]) -> tuple[float | None, str]:
    """Mean probability of the winner by the network's own ImageNet head on the cached penultimate features."""
    import torch

    from featstore.backbone import Backbone

    last = next((s for s in sets if s.fingerprint.node == "avgpool"), None)
    if last is None or last.fingerprint.backbone.startswith("vgg"):
        return None, "The ImageNet head was not asked: it needs the node avgpool of a ResNet or MobileNet."
    try:
        backbone = Backbone.from_recipe(recipe_of(last.fingerprint))
    except FeatstoreError as error:
        return None, f"The ImageNet head was not asked: {error}"
    if not backbone.has_imagenet_head or last.fingerprint.weights.startswith("random"):
        return None, "The ImageNet head was not asked: these weights have none that was trained."
    head = backbone.network.get_submodule("fc" if hasattr(backbone.network, "fc") else "classifier")
    rows = last.X[last.training()]
    with torch.inference_mode():
        proba = torch.softmax(head(torch.from_numpy(np.ascontiguousarray(rows))), dim=1)
    return float(proba.max(dim=1).values.mean()), ""


def _next(store: FeatureStore, advice: Advice, features: FeatureSet) -> str:
    best = advice.evidence.nodes[advice.evidence.best]
    place, name, root = str(store.path), features.dataset, os.fsdecode(features.root)
    command = {
        "earlier-node": ["compare", place, "-o", "report", "--dataset", name, "--node", best.node],
        "more-data": ["compare", place, "-o", "report", "--dataset", name],
        "cache-is-enough": ["compare", place, "-o", "report", "--dataset", name],
    }.get(advice.verdict, ["finetune", place, root, "-o", f"{name}.bundle", "--regime", str(advice.regime)])
    return shlex.join(["featstore", *command])
