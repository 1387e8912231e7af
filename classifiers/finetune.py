"""Fine-tune: reopen the backbone, from the cached head and the pretrained weights.

Linear probing first, then fine-tuning (Kumar et al., "Fine-Tuning can Distort Pretrained Features and Underperform
Out-of-Distribution", ICLR 2022): the head that was fitted on cached features starts the classifier, its scaler folded
in, so that the first gradients that reach the network are those of a good classifier.
"""

from __future__ import annotations

import dataclasses
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from classifiers.bundle import save_bundle
from classifiers.checkpoint import CheckpointFolder
from classifiers.finetuning import FineTuning
from classifiers.learner import Learner, NotFiniteError
from classifiers.network import ImageClassifier
from classifiers.recipe import recipe_of
from classifiers.regimechoice import choose_regime
from classifiers.regimes import REGIMES, Regime, Settings, settings_for
from classifiers.reopening import HEAD, Reopening
from classifiers.startingpoint import StartingPoint, check_head, starting_point
from classifiers.supply import Supply
from classifiers.trained import full_proba
from classifiers.trainer import State, Trainer
from classifiers.tunednetwork import free_of_gradients, save_network, weights_path, with_layer
from featstore.backbone import Backbone
from featstore.errors import DeviceError, OutputExistsError, TrainingError
from featstore.extract import extract
from featstore.features import FeatureSet
from featstore.store import FeatureStore

Progress = Callable[[str, int, int, str], None]
Log = Callable[[dict[str, Any]], None]


def finetune(
    data: str | bytes | os.PathLike[Any],
    store: FeatureStore | str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    dataset: str | None = None,
    select: Mapping[str, str] | None = None,
    regime: int | str = "auto",
    head: str = "logistic",
    budget: str = "normal",
    weights: str | os.PathLike[str] | None = None,
    device: str = "auto",
    workers: int | None = None,
    restart: bool = False,
    overwrite: bool = False,
    keep_checkpoints: bool = False,
    progress: Progress | None = None,
    log: Log | None = None,
    **given: Any,
) -> FineTuning:
    """Fine-tune a network on images whose features are cached, and say whether it was worth it.

    An interrupted run goes on where it was when it is called again with the same options; on the CPU it ends with the
    same bits.

    Parameters
    ----------
    data : path
        Image folder or CSV, as for `extract`.
    store : FeatureStore or path
        Holds features of these images; what is missing is computed first.
    out : path
        The bundle to write. The tuned weights go beside it, as `<stem>.weights.safetensors`.
    dataset : str, optional
        Name of the data set in the store; default: the folder's name, or the only one.
    select : mapping, optional
        Which features to start from, where the store has several: backbone, node, pool, weights, precision, key.
    regime : {"auto", 1, 2, 3, 4}
        See `classifiers.regimes.REGIMES`; "auto" judges by the evidence in the cache.
    head : str
        The cached head to start from; where it has no gradients a linear one is taken, and that is said.
    weights : path, optional
        The network's weights file, if it is not where `extract` read it.
    device : {"auto", "cpu", "cuda", "mps"}
    restart : bool
        Throw an interrupted run away.
    keep_checkpoints : bool
        Leave them after a run that is done.
    log : callable, optional
        Gets each epoch's numbers.
    given
        Fields of `Settings` and `Augmentation`, in the place of what the regime suggests.

    Returns
    -------
    FineTuning

    Raises
    ------
    FeaturesError
        No validation part, or a class without training images.
    UnknownNameError
        No such node, head, backbone or data set.
    TrainingError
        The loss became NaN (the best weights before it are kept, the message says where), or the interrupted run was
        asked for something else.
    OutputExistsError, StoreError, WeightsError, DeviceError
    """
    began = time.monotonic()
    out = Path(out)
    _check_output(out, overwrite)
    report = progress or _silent
    cache = store if isinstance(store, FeatureStore) else FeatureStore(store)
    notes: list[str] = []
    features, backbone = _cached(cache, data, dataset, dict(select or {}), weights, device, workers, report)

    given = {name: value for name, value in given.items() if value is not None}
    seed = int(given.get("seed", 0))
    start = starting_point(
        features, fraction=given.get("valid_fraction", Settings.valid_fraction), seed=seed, groups=given.get("groups")
    )
    case = _regime(regime, cache, start, backbone, notes, report)
    settings = settings_for(case, len(start.fit), **given)
    place = _device(device)
    head = check_head(head, notes)
    probe = _Probe(head, seed, budget, settings.class_weight)
    if case.earlier:
        start, backbone = _best_node(cache, start, backbone, probe, notes)
    report("probe", 0, 2, "head on cached features")
    cached = probe.fit(start, start.training)
    report("probe", 1, 2, "")
    first = probe.fit(start, start.fit)
    report("probe", 2, 2, "")

    if settings.from_scratch:
        backbone, layer = _from_scratch(backbone, start, seed)
    else:
        layer = first.to_torch().float()
    classifier = ImageClassifier(backbone, layer, start.classes)
    classifier.to(memory_format=torch.channels_last).to(place)  # type: ignore[call-overload]
    reopening = Reopening(classifier, settings.reopen)

    out.parent.mkdir(parents=True, exist_ok=True)
    supply = Supply(
        reopening, start, settings, store=cache.path, folder=out.parent, device=place, workers=workers, progress=report
    )
    preparing = time.monotonic()
    feed = supply.feed()
    if settings.adapt_statistics and not settings.from_scratch and reopening.batch_norms():
        reopening.recalibrate(supply.calibration(feed))
    preparation = time.monotonic() - preparing
    notes += [*start.notes, *supply.notes]

    y = start.features.y
    learner = Learner(reopening, feed, y[start.fit], settings, place)
    checkpoints = CheckpointFolder(out.with_name(out.stem + ".checkpoints"))
    trainer = Trainer(
        learner,
        y[start.fit],
        y[start.valid],
        settings,
        identity=_identity(start, reopening, supply, head),
        checkpoints=checkpoints,
        progress=report,
        log=log,
    )
    if restart:
        checkpoints.clear()
    if trainer.resume():
        notes.append(f"went on from epoch {trainer.state.epochs} of an interrupted run")
    failure: NotFiniteError | None = None
    try:
        state = trainer.run()
    except NotFiniteError as error:
        failure, state = error, trainer.state
        if state.best == 0:
            raise TrainingError(
                f"{error}, before any epoch was better than the cached head, so nothing was written; try a smaller "
                f"--learning-rate"
            ) from error

    result = _finish(out, cache, data, start, classifier, cached, first, state, settings, head, device, workers, report)
    result = dataclasses.replace(
        result,
        seconds=time.monotonic() - began,
        preparation_seconds=preparation,
        notes=tuple(notes),
        details={
            "dataset": start.features.dataset,
            "train": len(start.fit),
            "validation": len(start.valid),
            "regime": case.number,
            "regime_text": f"{case.title}: {case.text}",
            "reopen": settings.reopen,
            "cut": reopening.cut,
            "views": supply.views,
            "backbone": backbone.name,
            "node": start.features.fingerprint.node,
            "input_size": backbone.transform.crop,
            "weights": "none (from scratch)" if settings.from_scratch else start.features.fingerprint.weights,
            "device": str(place),
            "head": head,
            **result.details,
        },
    )
    if failure is not None:
        raise TrainingError(
            f"{failure}; {out} holds the best weights before it, those of epoch {state.best} (validation accuracy "
            f"{state.history[state.best]['valid_accuracy']:.1%}); try a smaller --learning-rate with --restart"
        ) from failure
    if not keep_checkpoints:
        checkpoints.clear()
    return result


@dataclasses.dataclass(frozen=True)
class _Probe:
    """How the head on cached features is fitted."""

    name: str
    seed: int
    budget: str
    class_weight: str | None

    def fit(self, start: StartingPoint, rows: NDArray[np.intp]) -> Any:
        return start.head(rows, name=self.name, seed=self.seed, budget=self.budget, class_weight=self.class_weight)


def _check_output(out: Path, overwrite: bool) -> None:
    for path in (out, weights_path(out)):
        if not overwrite and (path.exists() or path.is_symlink()):
            raise OutputExistsError(f"{path} exists already; name another place or add --overwrite")


def _cached(
    cache: FeatureStore,
    data: str | bytes | os.PathLike[Any],
    dataset: str | None,
    select: dict[str, str],
    weights: str | os.PathLike[str] | None,
    device: str,
    workers: int | None,
    report: Progress,
) -> tuple[FeatureSet, Backbone]:
    """The features to start from, complete and up to date, and the network that makes them."""
    known = cache.datasets()
    if dataset is None:
        name = Path(os.path.realpath(os.fsdecode(data))).stem
        dataset = name if name in known or len(known) != 1 else known[0]
    nodes = {info.fingerprint.node for info in cache.features()}
    if "node" not in select and "key" not in select and len(nodes) > 1 and "avgpool" in nodes:
        select["node"] = "avgpool"
    info = cache.select(dataset if dataset in known else None, **select)
    backbone = Backbone.from_recipe(recipe_of(info.fingerprint, weights), weights)
    extract(
        data,
        cache,
        backbone=backbone,
        dataset=dataset,
        precision=info.fingerprint.precision,
        device=device,
        workers=workers,
        progress=report,
    )
    return cache.read(dataset, key=info.key), backbone


def _regime(
    regime: int | str, cache: FeatureStore, start: StartingPoint, backbone: Backbone, notes: list[str], report: Progress
) -> Regime:
    if regime != "auto":
        return REGIMES[int(regime)]
    number, why = choose_regime(_siblings(cache, start), start, backbone, report)
    notes.append(why)
    return REGIMES[number]


def _siblings(cache: FeatureStore, start: StartingPoint) -> list[FeatureSet]:
    """The features of the same images at every cached node of the same network; the starting ones first."""
    own = start.features.fingerprint
    found = [start.features]
    for info in cache.features():
        other = info.fingerprint
        same = all(
            getattr(other, n) == getattr(own, n) for n in ("backbone", "weights_sha256", "transform", "precision")
        )
        if same and info.key != own.key:
            features = cache.read(start.features.dataset, key=info.key, partial=True)
            if np.array_equal(features.digests, start.features.digests):
                found.append(features)
    return found


def _best_node(
    cache: FeatureStore, start: StartingPoint, backbone: Backbone, probe: _Probe, notes: list[str]
) -> tuple[StartingPoint, Backbone]:
    """The cached node whose head validates best, and the network cut there."""
    candidates = _siblings(cache, start)
    if len(candidates) == 1:
        notes.append(
            f"only {start.features.fingerprint.node} is cached; extract earlier nodes (--node) for this regime to choose "
            f"from"
        )
        return start, backbone
    scores = []
    for features in candidates:
        there = start.at(features)
        predicted = probe.fit(there, start.fit).predict(features.X[start.valid])
        scores.append(int((predicted == features.y[start.valid]).sum()))
    best = candidates[int(np.argmax(scores))]
    tried = ", ".join(
        f"{f.fingerprint.node} {score / len(start.valid):.1%}" for f, score in zip(candidates, scores, strict=True)
    )
    notes.append(f"validation accuracy by node: {tried}")
    recipe = {**backbone.recipe(), "nodes": [best.fingerprint.node], "pool": recipe_of(best.fingerprint)["pool"]}
    return start.at(best), Backbone.from_recipe(recipe)


def _from_scratch(backbone: Backbone, start: StartingPoint, seed: int) -> tuple[Backbone, nn.Module]:
    """The same network with random weights, and a head of zeros."""
    fresh = Backbone(
        backbone.name, "none", nodes=backbone.nodes, pool=backbone.pool, seed=seed, transform=backbone.transform
    )
    layer = nn.Linear(start.features.X.shape[1], len(start.classes))
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    return fresh, layer


def _identity(start: StartingPoint, reopening: Reopening, supply: Supply, head: str) -> dict[str, Any]:
    """What a run depends on beside its settings; a checkpoint of another is refused."""
    fingerprint = start.features.fingerprint
    return {
        "images_and_labels": start.identity(),
        "backbone": fingerprint.backbone,
        "weights_sha256": fingerprint.weights_sha256,
        "node": fingerprint.node,
        "transform": fingerprint.transform,
        "cut": reopening.cut,
        "cached_views": supply.views,
        "head": head,
    }


def _finish(
    out: Path,
    cache: FeatureStore,
    data: str | bytes | os.PathLike[Any],
    start: StartingPoint,
    classifier: ImageClassifier,
    cached: Any,
    first: Any,
    state: State,
    settings: Settings,
    head_name: str,
    device: str,
    workers: int | None,
    report: Progress,
) -> FineTuning:
    """Write the network and the bundle, and judge cached and tuned head on the same images."""
    features = start.features
    free_of_gradients(classifier)
    judged = start.test if len(start.test) else start.valid
    right_cached = cached.predict(features.X[judged]) == features.y[judged]
    file: Path | None = None
    if state.best == 0:
        head, tuned, recipe = cached, features, classifier.backbone.recipe()
    else:
        layer = classifier.head
        assert isinstance(layer, nn.Linear)
        kept = state.history[state.best]
        about = {"trained": "fine-tuned with the network", "epoch": state.best, **kept}
        head = with_layer(first, layer, about)
        if settings.reopen == HEAD:
            tuned, recipe = features, classifier.backbone.recipe()
        else:
            file = weights_path(out)
            fingerprint = features.fingerprint
            backbone = save_network(classifier, file, {"from": fingerprint.weights, "dataset": features.dataset})
            extract(
                data,
                cache,
                backbone=backbone,
                dataset=features.dataset,
                precision=fingerprint.precision,
                device=device,
                workers=workers,
                progress=report,
            )
            key = backbone.fingerprints(fingerprint.precision)[fingerprint.node].key
            tuned, recipe = cache.read(features.dataset, key=key), backbone.recipe()
    proba = full_proba(head, tuned.X[judged], len(start.classes))
    right_tuned = proba.argmax(axis=1) == features.y[judged]
    judged_on = "test" if len(start.test) else "validation"
    save_bundle(
        out,
        head,
        tuned.fingerprint,
        recipe,
        start.classes,
        name=head_name,
        summary={
            "dataset": features.dataset,
            "train": len(start.fit),
            "accuracy": float(right_tuned.mean()),
            "judged_on": judged_on,
            "fine_tuned": {"from": features.fingerprint.weights, "epoch": state.best, "settings": settings.to_json()},
        },
        overwrite=True,
    )
    return FineTuning(
        bundle=out,
        weights_file=file,
        judged_on=judged_on,
        right_cached=right_cached,
        right_tuned=right_tuned,
        settings=settings.to_json(),
        history=state.history,
        best=state.best,
        seconds=0.0,
        seconds_per_epoch=state.seconds / max(1, state.epochs),
        preparation_seconds=0.0,
        stopped=state.stopped,
        details={"feature_key": tuned.fingerprint.key, "tuned_weights_sha256": tuned.fingerprint.weights_sha256},
    )


def _device(name: str) -> torch.device:
    """The device to train on.

    Raises
    ------
    DeviceError
        This machine does not have it.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    there = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if not there.get(name, False):
        usable = ", ".join(other for other, usable in there.items() if usable)
        raise DeviceError(f"this machine has no device {name!r} that torch can use; it has {usable}")
    return torch.device(name)


def _silent(stage: str, done: int, total: int, note: str) -> None:
    """Report to nobody."""
