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
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from classifiers.advice.cached_network import CachedNetwork, Data
from classifiers.models.image_classifier import ImageClassifier
from classifiers.training.checkpoint import CheckpointFolder
from classifiers.training.data import TrainingData
from classifiers.training.learner import Learner, NotFiniteError
from classifiers.training.loaders import Loader
from classifiers.training.regimes import FineTuneSettings
from classifiers.training.starting_point import StartingPoint
from classifiers.training.trainer import Trainer
from classifiers.training.training_state import TrainingState
from classifiers.training.unfreezing import UnfrozenNetwork
from classifiers.transfer.fine_tune_plan import FineTunePlan
from classifiers.transfer.result import FineTuneResult
from classifiers.transfer.time_told import time_told
from classifiers.transfer.tuned_network import TunedNetwork, weights_path
from featstore.backbone.backbone import Backbone
from featstore.engines.devices import training_device
from featstore.errors import OutputExistsError, StoreWriteError, TrainingError
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
    announce: Callable[[str], None] | None = None,
    **given: Any,
) -> FineTuneResult:
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
        Gets each epoch's numbers; those of attempts that collapsed, too.
    announce : callable, optional
        Gets sentences before the training starts: how long it will take; before that, where validation images are few,
        what an epoch has to reach to be kept.
    given
        Fields of `FineTuneSettings` and `Augmentation`, in the place of what the regime suggests; None is no wish.

    Returns
    -------
    FineTuneResult

    Raises
    ------
    FeaturesError
        No validation part, or a class without training images.
    UnknownNameError
        No such node, head, backbone or data set.
    TrainingError
        The loss became NaN after some epoch was of use (its weights are kept, the message says where), or the
        interrupted run was asked for something else.
    OutputExistsError, StoreError, WeightsError, DeviceError

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
    >>> result = finetune(
    ...     images, store, Path(folder.name, "textures.bundle"), regime=1, epochs=1, budget="quick", engine="eager",
    ...     device="cpu", workers=0,
    ... )
    >>> result.judged_on, result.bundle.name, len(result.history)
    ('validation', 'textures.bundle', 2)
    >>> folder.cleanup()
    """
    began = time.monotonic()
    out, place = Path(out), training_device(device)
    _check_output(out, overwrite)
    report = progress or silent
    store = store if isinstance(store, FeatureStore) else FeatureStore(store)
    extraction = {"engine": engine, "device": device, "workers": workers, "progress": report}
    network = CachedNetwork.find(store, data, dataset=dataset, select=select or {}, weights=weights, **extraction)
    given = {name: value for name, value in given.items() if value is not None}
    plan = FineTunePlan.of(
        network, regime=regime, head=head, budget=budget, device=place, given=given, progress=report
    )  # fmt: skip
    network, start, settings, notes = plan.network, plan.start, plan.settings, list(plan.notes)
    out.parent.mkdir(parents=True, exist_ok=True)
    report("fit the head", 0, 2, "")
    fitting = time.monotonic()
    first = plan.cached_head.fit(start, start.fit)
    fitting = time.monotonic() - fitting
    takes = plan.what_it_takes(TunedNetwork(network, first, plan.cached_head.name, None).right(start.valid))
    notes += [takes] if takes else []
    if announce is not None:
        if takes:
            announce(takes)
        left = fitting * len(start.training) / len(start.fit)
        announce(time_told(plan, place, workers, folder=out.parent, head_seconds=left))
    report("fit the head", 1, 2, "")
    cached = plan.cached_head.fit(start, start.training)
    report("fit the head", 2, 2, "")

    classifier = _classifier(network, start, first, settings)
    classifier.to(memory_format=torch.channels_last).to(place)
    unfrozen = UnfrozenNetwork(classifier, settings.reopen)
    training_data = TrainingData(
        unfrozen, start, settings, store=store.path, folder=out.parent, device=place, workers=workers, progress=report
    )
    preparing = time.monotonic()
    loader = _prepared(training_data, unfrozen, settings)
    preparation = time.monotonic() - preparing
    notes += training_data.notes

    checkpoints = checkpoint_folder(out)
    if restart:
        checkpoints.clear()
    trainer = _trainer(plan, unfrozen, training_data, loader, place, checkpoints, report, log)
    if trainer.resume():
        notes.append(f"went on after epoch {trainer.state.epochs} of an interrupted run")
    state, failure = _run(trainer)
    tuned = TunedNetwork.of(plan, classifier, state, cached=cached, first=first, bundle=out)
    judged, judged_on = (start.test, "test") if len(start.test) else (start.valid, "validation")
    # A head that was fitted to the very images that judge would only show how well it remembers them.
    unseen = cached if judged_on == "test" else first
    right_cached = TunedNetwork(network, unseen, plan.cached_head.name, None).right(judged)
    right = tuned.right(judged) if state.best else right_cached
    tuned.save(out, _summary(plan, state, float(right.mean()), judged_on))
    if failure is not None:
        raise TrainingError(
            f"{failure}; {out} holds the best weights before it, those of epoch {state.best} (validation accuracy "
            f"{state.history[state.best]['valid_accuracy']:.1%}); try a smaller `learning_rate` with `restart=True`"
        ) from failure
    checkpoints.clear()
    result = FineTuneResult(
        bundle=out,
        weights_file=tuned.weights_file,
        judged_on=judged_on,
        right_cached=right_cached,
        right_tuned=right,
        settings=settings.to_json(),
        history=state.history,
        best=state.best,
        seconds=time.monotonic() - began,
        seconds_per_epoch=trainer.seconds_per_epoch,
        preparation_seconds=preparation,
        stopped=state.stopped,
        diverged=state.diverged,
        details=_details(plan, unfrozen, training_data, tuned, place),
        notes=tuple(notes),
        collapses=tuple(state.collapses),
        trials=tuple(state.trials),
    )
    return dataclasses.replace(result, notes=(*notes, *result.course.notes))


def _classifier(
    network: CachedNetwork, start: StartingPoint, first: Any, settings: FineTuneSettings
) -> ImageClassifier:
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


def _prepared(training_data: TrainingData, unfrozen: UnfrozenNetwork, settings: FineTuneSettings) -> Loader:
    """Decoded images or cached activations; and batch norm ready to adapt, where it is to."""
    loader = training_data.loader()
    if settings.adapt_statistics and not settings.from_scratch and unfrozen.batch_norms():
        unfrozen.recalibrate(training_data.calibration(loader))
    return loader


def _trainer(
    plan: FineTunePlan,
    unfrozen: UnfrozenNetwork,
    training_data: TrainingData,
    loader: Loader,
    device: torch.device,
    checkpoints: CheckpointFolder,
    report: Progress,
    log: Log | None,
) -> Trainer:
    """The training loop, which knows what its checkpoints depend on."""
    start, fingerprint = plan.start, plan.start.features.fingerprint
    fit, valid = (start.features.y[rows] for rows in (start.fit, start.valid))
    identity = {
        "images_and_labels": start.identity(),
        "backbone": fingerprint.backbone,
        "weights_sha256": fingerprint.weights_sha256,
        "node": fingerprint.node,
        "transform": fingerprint.transform,
        "cut": unfrozen.cut,
        "cached_views": training_data.views,
        "head": plan.cached_head.name,
    }
    learner = Learner(unfrozen, loader, fit, plan.settings, device)
    varied = plan.settings.augmentation is not None and training_data.views != 1
    start_head = partial(plan.cached_head.varied_layer, learner, start, adapted=plan.settings.adapt_statistics)
    return Trainer(
        learner, valid, plan.settings, identity=identity, checkpoints=checkpoints, progress=report, log=log,
        start_head=start_head if varied else None,
    )  # fmt: skip


def _run(trainer: Trainer) -> tuple[TrainingState, NotFiniteError | None]:
    """Train; where the loss became NaN after some epoch was of use, that epoch's weights are in place."""
    try:
        return trainer.run(), None
    except NotFiniteError as error:
        if not trainer.state.history:
            raise TrainingError(
                f"{error}, before any training, so nothing was written: the network with its cached head answers "
                f"validation images with what is no number; try another `device`, or other weights"
            ) from error
        return trainer.state, error


def _summary(plan: FineTunePlan, state: TrainingState, accuracy: float, judged_on: str) -> dict[str, Any]:
    """What the bundle tells people about itself."""
    return {
        "dataset": plan.start.features.dataset,
        "train": len(plan.start.fit),
        "accuracy": accuracy,
        "judged_on": judged_on,
        "fine_tuned": {
            "from": plan.start.features.fingerprint.weights,
            "epoch": state.best,
            "settings": plan.settings.to_json(),
        },
    }


def _details(
    plan: FineTunePlan,
    unfrozen: UnfrozenNetwork,
    training_data: TrainingData,
    tuned: TunedNetwork,
    device: torch.device,
) -> dict[str, Any]:
    """What the result tells beside accuracies, times and settings."""
    before, after = plan.start.features.fingerprint, tuned.network.features.fingerprint
    return {
        "dataset": plan.network.dataset,
        "train": len(plan.start.fit),
        "validation": len(plan.start.valid),
        "least_gain": plan.least_gain,
        "regime": plan.regime.number,
        "regime_text": f"{plan.regime.title}: {plan.regime.text}",
        "reopen": plan.settings.reopen,
        "cut": unfrozen.cut,
        "views": training_data.views,
        "head": plan.cached_head.name,
        "backbone": before.backbone,
        "node": before.node,
        "input_size": plan.network.backbone.transform.crop,
        "weights": "none (from scratch)" if plan.settings.from_scratch else before.weights,
        "device": str(device),
        "feature_key": before.key,
        "tuned_feature_key": after.key,
        "tuned_weights_sha256": after.weights_sha256,
    }


def checkpoint_folder(bundle: str | os.PathLike[str]) -> CheckpointFolder:
    """Where an interrupted fine-tune is kept until it goes on: beside its bundle."""
    bundle = Path(bundle)
    return CheckpointFolder(bundle.with_name(bundle.stem + ".checkpoints"))


def _check_output(out: Path, overwrite: bool) -> None:
    there = next(place for place in (out.parent, *out.parent.parents) if place.exists())
    if not there.is_dir() or not os.access(there, os.W_OK):
        why = f"in {there} nothing may be written" if there.is_dir() else f"{there} is no folder"
        raise StoreWriteError(f"{out} cannot be written: {why}; name another place")
    unfinished = checkpoint_folder(out).begun  # then the weights beside it may be this very run's
    for path in (out,) if unfinished else (out, weights_path(out)):
        if not overwrite and (path.exists() or path.is_symlink()):
            raise OutputExistsError(f"{path} exists already; name another place or add `overwrite=True`")
