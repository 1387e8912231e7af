"""counsel: read what a store holds of one network, gather the evidence, reach the advice."""

from __future__ import annotations

import dataclasses
import os
import shlex
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from classifiers.leakage.duplicate_groups import find_sources
from classifiers.leakage.leaks import find_leaks
from classifiers.report.report_data import filled
from classifiers.training.regimes import REGIMES, settings_for
from classifiers.transfer.decision import Advice, judge, revise
from classifiers.transfer.evidence import gather
from classifiers.transfer.imagenet_head import ImageNetHead
from classifiers.validation.alignment import require_memory
from classifiers.validation.protocol import lay_out
from classifiers.validation.splits import group_by
from featstore.backbone.backbone import Backbone
from featstore.backbone.landmarks import landmarks, last_stage, network_order
from featstore.backbone.nodes import PENULTIMATE
from featstore.backbone.recipe import recipe_of
from featstore.engines.devices import training_device
from featstore.errors import AmbiguousFeaturesError, FeatstoreError, FeaturesError, StoreNotFoundError
from featstore.extract.job import extract
from featstore.features import FeatureSet
from featstore.store.feature_store import FeatureStore
from featstore.system.machine import usable_cores
from featstore.system.reporting import Progress

ENOUGH_NODES = 2
"""With more nodes than these nothing is said about further ones."""

Place = str | os.PathLike[str] | None


def counsel(
    store: FeatureStore,
    *,
    dataset: str | None = None,
    nodes: Sequence[str] = (),
    groups: str | None = None,
    data: str | os.PathLike[str] | None = None,
    pilot: float | None = None,
    weights_file: Place = None,
    device: str = "auto",
    workers: int | None = None,
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
        Which images are of one source: "auto" (default) looks for copies and shared stems of names, "none" takes every
        image for itself, anything else is a regular expression on image paths, see `splits.group_by`.
    data : path, optional
        The images, as for `extract`: the network's landmarks that are missing are extracted from them first.
    pilot : float, optional
        Minutes of fine-tuning to spend on finding out.
    weights_file : path, optional
        The network's weights, if they are not where `extract` read them.
    device, workers
        Of the pilot and the extraction.
    **selectors
        backbone, pool, weights, precision, key: which network, where the store has several. Networks that were made by
        a fine-tune are left aside unless `weights` or `key` names one.

    Returns
    -------
    advice : Advice
    notes : list of str
        What could not be looked at, and how it could.

    Raises
    ------
    StoreNotFoundError, AmbiguousFeaturesError, FeaturesError
    """
    sets, notes = _cached(store, dataset, nodes, selectors), []
    missing = _missing(sets)
    if missing and data is not None:
        network = _backbone(sets[-1], weights_file, nodes=missing)
        options: dict[str, Any] = {"precision": sets[0].fingerprint.precision, "device": device}
        extract(data, store, backbone=network, dataset=sets[0].dataset, workers=workers, progress=progress, **options)
        sets = _cached(store, dataset, (*nodes, *missing) if nodes else (), selectors)
        missing = _missing(sets)
    if missing and not nodes:
        named = ", ".join(f'"{node}"' for node in missing)
        root = os.fsdecode(sets[0].root)
        root = f'"{root}"' if shlex.quote(root) == root else repr(root)
        notes.append(
            f"The layer curve lacks {', '.join(missing)}; the same command with `data={root}` caches "
            f"{'it' if len(missing) == 1 else 'them'} first (as `featstore extract` with `nodes=[{named}]` does)."
        )
    began = time.perf_counter()
    members, leaks = _sources(sets[-1], groups, seed, began)
    first, training = sets[0], sets[0].training()
    together = None if members is None else members[training]
    backbone: Backbone | None = None
    try:
        backbone = _backbone(sets[-1], weights_file)
        original = ImageNetHead.ask(sets, training, backbone)
    except FeatstoreError as error:
        if pilot is not None:
            raise
        original = ImageNetHead(None, f"The ImageNet head was not asked, nor a fine-tune timed: {error}")
    if original.reason:
        notes.append(original.reason)
    evidence = gather(
        sets, groups=together, groups_text=groups or "auto", leaks=leaks, original=original, seed=seed,
        progress=progress,
    )  # fmt: skip
    advice = judge(evidence)
    if backbone is not None and pilot is not None:
        from classifiers.transfer.pilot import run_pilot

        seen = run_pilot(
            backbone, sets[-1], sets[evidence.best], minutes=pilot, regime=advice.regime, store=store.path,
            groups=members, seed=seed, device=device, workers=workers, progress=progress,
        )  # fmt: skip
        advice = revise(advice, seen.to_json())
    if backbone is not None:
        advice = dataclasses.replace(advice, cost=_cost(advice, backbone, len(training), device))
    fingerprint = sets[-1].fingerprint
    about = {"dataset": first.dataset, "backbone": fingerprint.backbone, "weights": fingerprint.weights}
    return dataclasses.replace(advice, next=_next(store, advice, first), about=about, classes=first.classes), notes


def _cached(
    store: FeatureStore, dataset: str | None, nodes: Sequence[str], selectors: Mapping[str, str]
) -> list[FeatureSet]:
    name = store.imageset(dataset).name
    tuned = "weights" in selectors or "key" in selectors
    fitting = [
        info
        for info in store.features()
        if all(info.fits(option, value) for option, value in selectors.items())
        and (not nodes or info.fingerprint.node in nodes)
        and (tuned or not info.fingerprint.tuned)
    ]
    sets = []
    lacking: StoreNotFoundError | None = None
    for info in fitting:
        try:
            sets.append(store.read(name, key=info.key))
        except StoreNotFoundError as error:  # of another data set, or not complete
            lacking = error
    if sets:
        require_memory(sets, "advising on")
    elif lacking is not None:
        raise lacking
    if not sets:
        raise StoreNotFoundError(
            f"no feature set of {name!r} in {store.path} fits; `featstore info {store.path}` lists what is there"
        )
    networks = {
        (f.backbone, f.weights_sha256, f.precision, str(f.transform), f.pool if f.node != PENULTIMATE else "avg")
        for f in (s.fingerprint for s in sets)
        if f.pool != "none"
    }
    if len(networks) > 1:
        prints = [one.fingerprint for one in sets]
        found = sorted({f"{f.backbone} (weights {f.weights}, {f.precision}, {f.input})" for f in prints})
        raise AmbiguousFeaturesError(
            f"{store.path} holds features of several networks or poolings: {', '.join(found)}; advice is about one, "
            f"choose with `backbone`, `weights`, `pool`, `precision` or `key`"
        )
    return sorted(sets, key=lambda s: network_order(s.fingerprint.node))


def _missing(sets: Sequence[FeatureSet]) -> list[str]:
    """Landmarks of the network that are not cached, where there are too few nodes for a layer curve."""
    there = {s.fingerprint.node for s in sets}
    if len(there) > ENOUGH_NODES:
        return []
    return [node for node in landmarks(sets[0].fingerprint.backbone) if node not in there]


def _backbone(features: FeatureSet, weights: Place, nodes: Sequence[str] = ()) -> Backbone:
    recipe = recipe_of(features.fingerprint, weights)
    return Backbone.from_recipe(recipe | {"nodes": list(nodes)} if nodes else recipe, weights)


def _sources(
    features: FeatureSet, groups: str | None, seed: int, began: float
) -> tuple[NDArray[np.int64] | None, dict[str, Any]]:
    """The source of every row, None where each image is one of its own; and what leaks between the parts."""
    found = find_sources(features, seed=seed)
    members = found.groups if groups in (None, "auto") and found.suggestion is not None else None
    if groups not in (None, "auto", "none"):
        members = group_by(features.ids, str(groups))
    try:
        plan = lay_out(features, seed=seed, groups=members)
        leaks = find_leaks(features, plan, found, grouped=groups not in (None, "none"), seconds=0.0)
    except FeaturesError:
        return members, {}
    document = leaks.to_json() | {"seconds": round(time.perf_counter() - began, 3)}
    return members, document | {"texts": [text for _, text in leaks.texts]}


def _cost(advice: Advice, backbone: Backbone, images: int, device: str) -> dict[str, Any]:
    """What the action advised costs; of the others that need no training the time is that of a comparison."""
    from classifiers.transfer.cost import measure

    regime = REGIMES[advice.regime if advice.regime > 2 else advice.regime + 2]
    top = advice.verdict == "reopen-top"
    reopen = last_stage(backbone.name) if top else "all"
    settings = settings_for(regime, images)
    measured = measure(backbone, advice.evidence.classes, reopen, training_device(device))
    reopening = measured.of(images, settings.epochs, settings.views if top else 0)
    done = advice.verdict.startswith("reopen")
    text = {
        "cache-is-enough": "nothing; heads on the cache train in seconds",
        "earlier-node": "nothing; the node is cached, heads on it train in seconds",
        "more-data": f"about {images} more labelled images, extracted once",
    }.get(advice.verdict, f"about {_time(reopening['seconds'])} of training on {reopening['device']}")
    if not done:
        text += f" (reopening the network would take about {_time(reopening['seconds'])} on {reopening['device']})"
    if reopening["device"] == "cpu" and os.getloadavg()[0] > 1.5 * usable_cores():
        text += ", measured while other programs kept this machine busy"
    return {"text": text, "seconds": reopening["seconds"] if done else 0.0, "reopening": reopening | {"reopen": reopen}}


def _time(seconds: float) -> str:
    return f"{seconds:.0f} seconds" if seconds < 90 else f"{seconds / 60:.0f} minutes"


def _next(store: FeatureStore, advice: Advice, features: FeatureSet) -> str:
    best = advice.evidence.nodes[advice.evidence.best]
    place, name, root = str(store.path), features.dataset, os.fsdecode(features.root)
    own = features.fingerprint
    several = len({(i.fingerprint.backbone, i.fingerprint.weights_sha256) for i in store.features()}) > 1
    chosen = ["--backbone", own.backbone, "--weights", own.weights_sha256[:12]] if several else []
    if advice.verdict in ("reopen-top", "reopen-all"):
        regime = str(advice.regime if advice.regime > 2 else advice.regime + 2)
        command = ["finetune", place, root, "-o", f"{name}.bundle", "--dataset", name, "--regime", regime]
        if advice.verdict == "reopen-top":
            command += ["--unfreeze", last_stage(own.backbone)]
    else:
        command = ["compare", place, "-o", "report", "--dataset", name]
        if advice.verdict == "earlier-node":
            command += ["--node", best.node]
    return shlex.join(["featstore", *command, *chosen])


def saved_report(folder: Path, advice: Advice, store: str | os.PathLike[str]) -> Advice:
    """Put the advice into the report that `featstore compare` wrote to a folder, as a section of its own.

    Returns
    -------
    Advice
        With the next command that is left where the heads are compared already: to keep the chosen one.

    Raises
    ------
    ReportNotFoundError, ReportError
        There is none, or it cannot be read.
    FeaturesError
        It is of another data set or network.
    """
    from classifiers.report.report import Report

    report = Report.load(folder)
    data, about = report.data, advice.about
    if data["dataset"]["name"] != about["dataset"] or set(data["dataset"]["classes"]) != set(advice.classes):
        raise FeaturesError(
            f"the report in {folder} is of the data set {data['dataset']['name']!r} "
            f"({len(data['dataset']['classes'])} classes), the advice of {about['dataset']!r} ({len(advice.classes)}); "
            f"give the folder of its own report"
        )
    networks = {(run["backbone"], run["weights"]) for run in data["runs"]}
    if (about["backbone"], about["weights"]) not in networks:
        raise FeaturesError(
            f"the report in {folder} has no features of {about['backbone']} with the weights {about['weights']}, which "
            f"the advice is about; it has {', '.join(f'{name} ({weights})' for name, weights in sorted(networks))}"
        )
    full = filled(data)
    chosen, groups = full["runs"][full["best_run"]], full["protocol"].get("groups")
    if advice.verdict == "cache-is-enough" and not chosen["reference"]:
        command = ["featstore", "train", os.fspath(store), "--key", chosen["feature_key"], "--head", chosen["head"]]
        command += ["--groups", groups] if groups else []
        command += ["-o", f"{about['dataset']}.safetensors"]
        advice = dataclasses.replace(advice, next=shlex.join(command))
    Report({**data, "advice": advice.to_json()}).write(folder)
    return advice
