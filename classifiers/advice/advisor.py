"""advise: read what a store holds of one network, gather the evidence, reach the advice."""

from __future__ import annotations

import dataclasses
import itertools
import os
import shlex
import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from classifiers.advice.cached_network import SUFFIX, extract_as_before
from classifiers.advice.cached_nodes import backbone_of, cached_nodes, missing_landmarks
from classifiers.advice.cost import cost_of_advice
from classifiers.advice.decision import Advice, judge, revise
from classifiers.advice.domain_distance import statistics_distance
from classifiers.advice.evidence import gather
from classifiers.advice.imagenet_head import ImageNetHead
from classifiers.advice.pilot import run_pilot
from classifiers.comparison.parts import needed_options
from classifiers.formatting import count, listing
from classifiers.leakage.data_groups import data_groups, group_text, joined
from classifiers.leakage.duplicate_groups import find_duplicate_groups
from classifiers.leakage.leaks import find_leaks
from classifiers.training.regimes import reopening_regime
from classifiers.validation.protocol import make_protocol
from classifiers.validation.splits import group_by
from featstore.backbone.backbone import Backbone
from featstore.backbone.landmarks import last_stage
from featstore.errors import FeatstoreError, FeaturesError
from featstore.features import FeatureSet
from featstore.store.feature_store import FeatureStore
from featstore.system.reporting import Progress, argument

Place = str | os.PathLike[str] | None


def advise(
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
        Which images are of one source: "auto" (default) takes the groups that the data name and looks for copies and
        shared stems of names, "none" takes every image for itself, anything else is a regular expression on image
        paths, see `splits.group_by`.
    data : path, optional
        The images, as for `extract`: the network's landmarks that are missing are extracted from them first.
    pilot : float, optional
        Minutes of fine-tuning to spend on finding out.
    weights_file : path, optional
        The network's weights, if they are not where `extract` read them.
    device, workers
        Of the pilot and the extraction.
    **selectors
        backbone, pool, weights, precision, store_dtype, key: which network, where the store has several. Networks that
        were made by a fine-tune are left aside unless `weights` or `key` names one.

    Returns
    -------
    advice : Advice
    notes : list of str
        What could not be looked at, and how it could.

    Raises
    ------
    StoreNotFoundError, AmbiguousFeaturesError, FeaturesError

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from featstore import FeatureStore
    >>> from featstore.extract import extract
    >>> from featstore.images.samples import write_textures
    >>> folder = tempfile.TemporaryDirectory()
    >>> images, store = write_textures(Path(folder.name, "textures"), per_class=4), Path(folder.name, "store")
    >>> network = {"backbone": "mobilenet_v3_small", "weights": "none", "input_size": 32}
    >>> _ = extract(images, store, engine="eager", workers=0, **network)
    >>> advice, notes = advise(FeatureStore(store), device="cpu", workers=0)
    >>> advice.evidence.train, "`data=" in notes[0], advice.next.split()[0]
    (32, True, 'featstore')
    >>> folder.cleanup()
    """
    sets, notes = cached_nodes(store, dataset, nodes, selectors)
    missing = missing_landmarks(sets)
    if missing and data is not None:
        network = backbone_of(sets[-1], weights_file, nodes=missing)
        made = sets[0].fingerprint
        options: dict[str, Any] = {"precision": made.precision, "store_dtype": made.store_dtype, "device": device}
        extract_as_before(
            data, store, backbone=network, dataset=sets[0].dataset, workers=workers, progress=progress, **options
        )
        sets, notes = cached_nodes(store, dataset, (*nodes, *missing) if nodes else (), selectors)
        missing = missing_landmarks(sets)
    elif data is not None:
        notes.append(f"{argument('data', os.fsdecode(data))} was not read: all landmarks of the network are cached.")
    if missing and not nodes:
        notes.append(_offer(missing, sets[0]))

    first, last, training = sets[0], sets[-1], sets[0].training()
    members, leaks = _sources(last, groups, seed)
    if groups in (None, "auto") and (named := data_groups(first)) is not None:
        notes.append(group_text(named))
    backbone, original = _network(sets, training, weights_file, needed=pilot is not None)
    if original.reason:
        notes.append(original.reason)
    statistics = None
    if backbone is not None:
        statistics = statistics_distance(backbone, last, training, seed=seed, workers=workers)
    evidence = gather(
        sets, groups=members, groups_text=groups or "auto", leaks=leaks, original=original, statistics=statistics,
        seed=seed, progress=progress,
    )  # fmt: skip

    advice = judge(evidence)
    if backbone is not None and pilot is not None:
        seen = run_pilot(
            backbone, sets, minutes=pilot, regime=advice.regime, store=store.path,
            groups=members, seed=seed, device=device, workers=workers, progress=progress,
            like=evidence.shift.likeness if evidence.shift is not None and evidence.shift.shifted else None,
        )  # fmt: skip
        advice = revise(advice, seen.to_json())
    if backbone is not None:
        advice = dataclasses.replace(advice, cost=cost_of_advice(advice, backbone, len(training), device))
    own = last.fingerprint
    about = {"dataset": first.dataset, "backbone": own.backbone, "weights": own.weights}
    given = {**selectors, "weights": weights_file or selectors.get("weights"), "groups": groups}
    needed: dict[str, Any] = {}
    if not advice.verdict.startswith("reopen"):
        needed, said = _needed(last, members, groups, leaks, seed)
        notes += said
    command = _next_command(
        store, advice, sets, given, nodes=nodes, data=data, device=device, workers=workers, seed=seed, needed=needed
    )
    return dataclasses.replace(advice, next=command, about=about, classes=first.classes), notes


def _source(features: FeatureSet) -> str:
    """The data as they were named for `extract`; stores of earlier versions know their folder only."""
    return str(features.about.get("source") or os.fsdecode(features.root))


def _offer(missing: Sequence[str], features: FeatureSet) -> str:
    """How the landmarks that are not cached could be."""
    named = ", ".join(f'"{node}"' for node in missing)
    root = argument("data", _source(features))
    return (
        f"The layer curve lacks {', '.join(missing)}; the same command with {root} caches "
        f"{'it' if len(missing) == 1 else 'them'} first (as `featstore extract` with `nodes=[{named}]` does)."
    )


def _network(
    sets: Sequence[FeatureSet], training: NDArray[np.intp], weights: Place, *, needed: bool
) -> tuple[Backbone | None, ImageNetHead]:
    """The network, and what its ImageNet head says; where it cannot be built and is not needed, why not."""
    backbone: Backbone | None = None
    try:
        backbone = backbone_of(sets[-1], weights)
        return backbone, ImageNetHead.ask(sets, training, backbone)
    except FeatstoreError as error:
        if needed:
            raise
        return backbone, ImageNetHead(None, f"The ImageNet head was not asked, nor a fine-tune timed: {error}")


def _sources(features: FeatureSet, groups: str | None, seed: int) -> tuple[NDArray[np.int64] | None, dict[str, Any]]:
    """The source of every row, None where each image is one of its own; and what leaks between the parts."""
    began = time.perf_counter()
    found = find_duplicate_groups(features, seed=seed)
    members = None
    if groups in (None, "auto"):
        members = joined(found.groups if found.suggestion is not None else None, data_groups(features))
    elif groups != "none":
        members = group_by(features.ids, str(groups))
    try:
        protocol = make_protocol(features, seed=seed, groups=members)
        leaks = find_leaks(features, protocol, found, grouped=groups != "none", seconds=0.0)
    except FeaturesError:
        return members, {}
    document = leaks.to_json() | {"seconds": round(time.perf_counter() - began, 3)}
    grave = any(kind == "leak" for kind, _ in leaks.texts)
    return members, document | {"texts": [text for _, text in leaks.texts], "grave": grave}


def _needed(
    features: FeatureSet,
    members: NDArray[np.int64] | None,
    groups: str | None,
    leaks: Mapping[str, Any],
    seed: int,
) -> tuple[dict[str, Any], list[str]]:
    """Options that a comparison needs beside those given, to refuse nothing and to judge no copies; and why."""
    found: dict[str, Any] = {}
    notes = []
    named = data_groups(features)
    if groups is None and members is not None and (named is None or len(np.unique(named)) > len(np.unique(members))):
        found["groups"] = "auto"
        rows = features.training()
        notes.append(
            f"{count(len(rows), 'training image')} come from about {count(len(np.unique(members[rows])), 'source')}; "
            'those of one source stay on one side of every fold (`groups="auto"`).'
        )
    needed, reason = needed_options(features, members, seed=seed)
    if leaks.get("grave") and needed.get("protocol") != "cv" and len(features.testing()):
        found["drop_leaks"] = True
        needed, reason = needed_options(features, members, apart=members, seed=seed)
    if needed:
        given = listing([f"`{name}={value!r}`".replace("'", '"') for name, value in needed.items()])
        notes.append(f"Without {given} the next command would stop: {reason.partition('; ')[0]}.")
    elif reason:
        notes.append(f"The next command would stop: {reason}.")
    return found | needed, notes


def _next_command(
    store: FeatureStore,
    advice: Advice,
    sets: Sequence[FeatureSet],
    given: Mapping[str, Place],
    *,
    nodes: Sequence[str],
    data: Place,
    device: str,
    workers: int | None,
    seed: int,
    needed: Mapping[str, Any] | None = None,
) -> str:
    """The command that does what was advised, with what was given of the options that it has, too."""
    own, name = sets[-1].fingerprint, sets[-1].dataset
    chosen = {option: os.fsdecode(value) for option, value in given.items() if value is not None}
    several = len({(i.fingerprint.backbone, i.fingerprint.weights_sha256) for i in store.features()}) > 1
    if several and "key" not in chosen:
        chosen = {"backbone": own.backbone, "weights": own.weights_sha256[:12]} | chosen
    reopened = advice.verdict.startswith("reopen")
    if reopened:
        source = _source(sets[-1]) if data is None else os.fsdecode(data)
        command = [
            "finetune",
            str(store.path),
            source,
            "-o",
            f"{_fresh(name, '.bundle', SUFFIX)}.bundle",
            "--dataset",
            name,
        ]
        command += ["--regime", str(reopening_regime(advice.regime))]
        if advice.verdict == "reopen-top":
            command += ["--unfreeze", last_stage(own.backbone)]
        command += ["--node", own.node] if nodes else []
        command += ["--device", device] if device != "auto" else []
        command += ["--workers", str(workers)] if workers is not None else []
    else:
        command = ["compare", str(store.path), "-o", _fresh("report", ""), "--dataset", name]
        best = advice.evidence.nodes[advice.evidence.best].node
        for node in [best] if advice.verdict == "earlier-node" else nodes:
            command += ["--node", node]
        if chosen.get("groups") == "none":  # that is what it does by itself
            del chosen["groups"]
        flags = {name: value for name, value in (needed or {}).items() if value is True}
        command += ["--" + flag.replace("_", "-") for flag in flags]
        chosen |= {name: str(value) for name, value in (needed or {}).items() if name not in flags}
    command += ["--seed", str(seed)] if seed else []
    for option, value in chosen.items():
        command += ["--" + option, value]
    return shlex.join(["featstore", *command])


def _fresh(name: str, *endings: str) -> str:
    """The name, or one with a number where it is taken here with one of the endings: nothing is overwritten."""
    names = itertools.chain([name], (f"{name}-{number}" for number in itertools.count(2)))
    return next(free for free in names if not any(os.path.lexists(free + ending) for ending in endings))
