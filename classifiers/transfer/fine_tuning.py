"""Fine-tune: reopen the backbone, from the cached head and the pretrained weights.

Linear probing first, then fine-tuning (Kumar et al., "Fine-Tuning can Distort Pretrained Features and Underperform
Out-of-Distribution", ICLR 2022): the head that was fitted on cached features starts the classifier, its scaler folded
in, so that the first gradients that reach the network are those of a good classifier.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from classifiers.models.image_classifier import ImageClassifier
from classifiers.training.checkpoint import CheckpointFolder
from classifiers.training.data import Supply
from classifiers.training.learner import Learner, NotFiniteError
from classifiers.training.loaders import Feed
from classifiers.training.regimes import REGIMES, Settings, settings_for
from classifiers.training.starting_point import Probe, StartingPoint, linear_head, starting_point
from classifiers.training.trainer import State, Trainer
from classifiers.training.unfreezing import HEAD, Reopening
from classifiers.transfer.cached_network import CachedNetwork, Data
from classifiers.transfer.regime_choice import best_node, choose_regime
from classifiers.transfer.result import FineTuning
from classifiers.transfer.tuned_network import TunedNetwork, save_network, weights_path, with_layer
from featstore.backbone.backbone import Backbone
from featstore.engines.devices import mixed_precision, training_device
from featstore.errors import OutputExistsError, TrainingError
from featstore.store.feature_store import FeatureStore
from featstore.system.reporting import Progress, silent

Log = Callable[[dict[str, Any]], None]


def finetune(
    data: Data,
    store: FeatureStore | str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    dataset: str | None = None,
    select: Mapping[str, str] | None = None,
    weights: str | os.PathLike[str] | None = None,
    regime: int | str = "auto",
    head: str = "logistic",
    budget: str = "normal",
    engine: str = "auto",
    device: str = "auto",
    workers: int | None = None,
    restart: bool = False,
    overwrite: bool = False,
    progress: Progress | None = None,
    log: Log | None = None,
    **given: Any,
) -> FineTuning:
    """Fine-tune a network on images whose features are cached, and say whether it was worth it.

    An interrupted run goes on where it was when it is called again with the same options; on the CPU it ends with the
    same bits. The tuned network's features are added to the store, to be compared with the frozen ones.

    Parameters
    ----------
    data : path
        Image folder or CSV, as for `extract`.
    store : FeatureStore or path
        Holds features of these images; rows that are missing are computed first.
    out : path
        The bundle to write. The tuned weights go beside it, as `<stem>.weights.safetensors`.
    dataset, select, weights
        Which network, where the store has several; see `CachedNetwork.find`.
    regime : {"auto", 1, 2, 3, 4}
        See `classifiers.training.regimes.REGIMES`; "auto" judges by the evidence in the cache.
    head : str
        The cached head to start from; where it is not linear a linear one is taken, and that is said.
    budget : {"quick", "normal", "thorough"}
        Of that head's search.
    engine : {"auto", "eager", "compile", "openvino"}
        What extracts features; training is torch's own.
    device : {"auto", "cpu", "cuda", "mps"}
    restart : bool
        Throw an interrupted run away.
    log : callable, optional
        Gets each epoch's numbers.
    given
        Fields of `Settings` and `Augmentation`, in the place of what the regime suggests; None is no wish.

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
    out, place = Path(out), training_device(device)
    _check_output(out, overwrite)
    report = progress or silent
    store = store if isinstance(store, FeatureStore) else FeatureStore(store)
    extraction = {"engine": engine, "device": device, "workers": workers, "progress": report}
    network = CachedNetwork.find(store, data, dataset=dataset, select=select or {}, weights=weights, **extraction)
    given = {name: value for name, value in given.items() if value is not None}
    seed = int(given.get("seed", Settings.seed))
    fraction = given.get("valid_fraction", Settings.valid_fraction)
    start = starting_point(network.features, fraction=fraction, seed=seed, groups=given.get("groups"))
    notes = list(start.notes)
    probe = Probe(linear_head(head, notes), seed, budget, given.get("class_weight"))
    number = choose_regime(network, start, notes, report) if regime == "auto" else int(regime)
    reopens = given.get("reopen", HEAD) != HEAD or bool(given.get("from_scratch"))
    if regime == "auto" and reopens and number < 3:
        number += 2  # the rates of the regime that reopens in the same domain
    case = REGIMES[number]
    settings = settings_for(case, len(start.fit), **{"precision": mixed_precision(place), **given})
    if case.earlier:
        network, start = best_node(network, start, probe, notes)
    report("fit the head", 0, 2, "")
    cached = probe.fit(start, start.training)
    report("fit the head", 1, 2, "")
    first = probe.fit(start, start.fit)
    report("fit the head", 2, 2, "")

    classifier = _classifier(network, start, first, settings)
    classifier.to(memory_format=torch.channels_last).to(place)
    reopening = Reopening(classifier, settings.reopen)
    out.parent.mkdir(parents=True, exist_ok=True)
    supply = Supply(
        reopening, start, settings, store=store.path, folder=out.parent, device=place, workers=workers, progress=report
    )
    preparing = time.monotonic()
    feed = _prepared(supply, reopening, settings)
    preparation = time.monotonic() - preparing
    notes += supply.notes

    checkpoints = _checkpoint_folder(out)
    if restart:
        checkpoints.clear()
    trainer = _trainer(start, reopening, supply, feed, settings, probe.name, place, checkpoints, report, log)
    if trainer.resume():
        notes.append(f"went on after epoch {trainer.state.epochs} of an interrupted run")
    state, failure = _run(trainer)
    tuned = _tuned(out, network, classifier, cached, first, probe.name, state, settings)
    judged, judged_on = (start.test, "test") if len(start.test) else (start.valid, "validation")
    right = tuned.right(judged)
    tuned.save(out, _summary(start, settings, state, float(right.mean()), judged_on))
    if failure is not None:
        raise TrainingError(
            f"{failure}; {out} holds the best weights before it, those of epoch {state.best} (validation accuracy "
            f"{state.history[state.best]['valid_accuracy']:.1%}); try a smaller `learning_rate` with `restart=True`"
        ) from failure
    checkpoints.clear()
    before, after = start.features.fingerprint, tuned.network.features.fingerprint
    return FineTuning(
        bundle=out,
        weights_file=tuned.weights_file,
        judged_on=judged_on,
        right_cached=TunedNetwork(network, cached, probe.name, None).right(judged),
        right_tuned=right,
        settings=settings.to_json(),
        history=state.history,
        best=state.best,
        seconds=time.monotonic() - began,
        seconds_per_epoch=state.seconds / max(1, state.epochs),
        preparation_seconds=preparation,
        stopped=state.stopped,
        details={
            "dataset": network.dataset,
            "train": len(start.fit),
            "validation": len(start.valid),
            "regime": case.number,
            "regime_text": f"{case.title}: {case.text}",
            "reopen": settings.reopen,
            "cut": reopening.cut,
            "views": supply.views,
            "head": probe.name,
            "backbone": before.backbone,
            "node": before.node,
            "input_size": network.backbone.transform.crop,
            "weights": "none (from scratch)" if settings.from_scratch else before.weights,
            "device": str(place),
            "feature_key": before.key,
            "tuned_feature_key": after.key,
            "tuned_weights_sha256": after.weights_sha256,
        },
        notes=tuple(notes),
    )


def _classifier(network: CachedNetwork, start: StartingPoint, first: Any, settings: Settings) -> ImageClassifier:
    """The cached head on the pretrained network; or, to compare, a head of zeros on random weights."""
    backbone = network.backbone
    if not settings.from_scratch:
        return ImageClassifier(backbone, first.to_torch().float(), start.classes)
    fresh = Backbone(
        backbone.name,
        "none",
        nodes=backbone.nodes,
        pool=backbone.pool,
        seed=settings.seed,
        transform=backbone.transform,
    )
    layer = nn.Linear(network.features.X.shape[1], len(start.classes))
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    return ImageClassifier(fresh, layer, start.classes)


def _prepared(supply: Supply, reopening: Reopening, settings: Settings) -> Feed:
    """Decoded images or cached activations; and batch norm ready to adapt, where it is to."""
    feed = supply.feed()
    if settings.adapt_statistics and not settings.from_scratch and reopening.batch_norms():
        reopening.recalibrate(supply.calibration(feed))
    return feed


def _trainer(
    start: StartingPoint,
    reopening: Reopening,
    supply: Supply,
    feed: Feed,
    settings: Settings,
    head: str,
    device: torch.device,
    checkpoints: CheckpointFolder,
    report: Progress,
    log: Log | None,
) -> Trainer:
    """The training loop, which knows what its checkpoints depend on."""
    y, fingerprint = start.features.y, start.features.fingerprint
    identity = {
        "images_and_labels": start.identity(),
        "backbone": fingerprint.backbone,
        "weights_sha256": fingerprint.weights_sha256,
        "node": fingerprint.node,
        "transform": fingerprint.transform,
        "cut": reopening.cut,
        "cached_views": supply.views,
        "head": head,
    }
    learner = Learner(reopening, feed, y[start.fit], settings, device)
    return Trainer(
        learner,
        y[start.fit],
        y[start.valid],
        settings,
        identity=identity,
        checkpoints=checkpoints,
        progress=report,
        log=log,
    )


def _run(trainer: Trainer) -> tuple[State, NotFiniteError | None]:
    """Train; where the loss became NaN after some epoch was of use, that epoch's weights are in place."""
    try:
        return trainer.run(), None
    except NotFiniteError as error:
        if trainer.state.best == 0:
            raise TrainingError(
                f"{error}, before any epoch was better than the cached head, so nothing was written; try a smaller "
                f"`learning_rate` with `restart=True`"
            ) from error
        return trainer.state, error


def _tuned(
    out: Path,
    network: CachedNetwork,
    classifier: ImageClassifier,
    cached: Any,
    first: Any,
    name: str,
    state: State,
    settings: Settings,
) -> TunedNetwork:
    """The tuned network on disk and in the store; or what there was, where that was not beaten."""
    if state.best == 0:
        return TunedNetwork(network, cached, name, None)
    classifier.cpu().eval().requires_grad_(False)
    layer = classifier.head
    assert isinstance(layer, nn.Linear)
    head = with_layer(first, layer, {"method": "fine-tuned", **state.history[state.best]})
    if settings.reopen == HEAD and not settings.from_scratch:
        return TunedNetwork(network, head, name, None)
    file = weights_path(out)
    about = {"from": network.features.fingerprint.weights, "dataset": network.dataset, "epoch": str(state.best)}
    return TunedNetwork(network.tuned(save_network(classifier, file, about)), head, name, file)


def _summary(start: StartingPoint, settings: Settings, state: State, accuracy: float, judged_on: str) -> dict[str, Any]:
    """What the bundle tells people about itself."""
    return {
        "dataset": start.features.dataset,
        "train": len(start.fit),
        "accuracy": accuracy,
        "judged_on": judged_on,
        "fine_tuned": {
            "from": start.features.fingerprint.weights,
            "epoch": state.best,
            "settings": settings.to_json(),
        },
    }


def _checkpoint_folder(out: Path) -> CheckpointFolder:
    return CheckpointFolder(out.with_name(out.stem + ".checkpoints"))


def _check_output(out: Path, overwrite: bool) -> None:
    unfinished = _checkpoint_folder(out).begun  # then the weights beside it may be this very run's
    for path in (out,) if unfinished else (out, weights_path(out)):
        if not overwrite and (path.exists() or path.is_symlink()):
            raise OutputExistsError(f"{path} exists already; name another place or add `overwrite=True`")
