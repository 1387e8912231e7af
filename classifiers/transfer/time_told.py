"""How long a fine-tune will take, told before it starts."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from torch import nn

from classifiers.advice.cost import measure, rough
from classifiers.formatting import count
from classifiers.models import tensor_file
from classifiers.models.image_classifier import ImageClassifier
from classifiers.training.augment import source_transform
from classifiers.training.checkpoint import FORMAT
from classifiers.training.collapse_watch import BATCHES, PATIENCE
from classifiers.training.data import TrainingData, decode_rows
from classifiers.training.rate_range import IMAGES, SHARE, STEPS
from classifiers.training.starting_point import VARIED, VIEWS
from classifiers.training.unfreezing import HEAD, UnfrozenNetwork
from classifiers.transfer.fine_tune_plan import FineTunePlan
from featstore.system.machine import usable_cores

SAMPLE = 8
"""Images that are decoded to see how long that takes."""
WRITTEN = 8 << 20
"""Bytes that are written to see how long a checkpoint takes."""
COPIES = 5
"""Of the trained weights in a checkpoint: those of the last step, of the average, the best ones, and AdamW's two."""
TRIALS = 2
"""Of the rates: mostly one to three."""
STARTS = 5.0
"""Building the tuned network, its engine and the decoders that extract its features, in starts of a decoding pool: of
processor time 1.9 s and 0.35 s for MobileNetV2. Both import libraries and build what they need, so that a slow or busy
machine slows them alike."""


def time_told(
    plan: FineTunePlan, device: torch.device, workers: int | None = None, *, folder: Path, head_seconds: float = 0.0
) -> str:
    """One sentence, from what was timed here: a few steps, a few images, the start of decoding, one file.

    What does not grow with the data, such as starting processes, is most of a fine-tune of a hundred small images.

    Parameters
    ----------
    plan : FineTunePlan
    device : torch.device
    workers : int, optional
        Decoding processes.
    folder : Path
        Existing, where the checkpoints will be.
    head_seconds : float
        What fitting the cached head takes that is still to be fitted.

    Raises
    ------
    ImageSetError
        An image with features cannot be decoded now.
    StoreWriteError
        The disk refuses.
    """
    start, settings = plan.start, plan.settings
    fit, valid, rows = len(start.fit), len(start.valid), len(start.features)
    cost = measure(plan.network.backbone, len(start.classes), settings.reopen, device)
    unfrozen = _unfrozen(plan, device)
    training_data = TrainingData(
        unfrozen, start, settings, store=plan.network.store.path, folder=folder, device=device, workers=workers
    )
    decodings, views = training_data.decodings(), training_data.views
    saving = _saving(unfrozen, folder)
    unfrozen.requires_grad_(False).eval()
    frozen = cost.frozen_seconds_per_image if views else 0.0
    forward = cost.frozen_seconds_per_image + cost.validation_seconds_per_image
    decoding = _decoding(plan, 0)
    each = decoding / SAMPLE / max(1, usable_cores() if workers is None else workers)
    starting = 0.0 if workers == 0 else max(0.0, _decoding(plan, workers) - decoding)

    preparing = len(decodings) * starting + sum(decodings) * (each + frozen)
    batch = min(fit, settings.batch_size)
    steps = fit // batch  # what fills no batch is left out of an epoch
    compared = BATCHES * batch if steps > PATIENCE else 0
    beginning = (valid + compared) * cost.validation_seconds_per_image + saving
    if not settings.from_scratch:  # the rates are tried, and the head is fitted to varied images
        trial = max(1, min(STEPS, int(SHARE * steps * settings.epochs))) * batch * cost.seconds_per_image
        looked = (TRIALS + 1) * min(IMAGES, fit) + VIEWS * min(fit, VARIED) * (settings.augmentation is not None)
        beginning += TRIALS * trial + looked * forward
    epoch = saving + cost.of(steps * batch, settings.epochs, views, valid)["seconds_per_epoch"]
    adding = 0.0  # the tuned network's own features
    if settings.reopen != HEAD:
        adding = STARTS * starting + rows * (each + forward)
    around = head_seconds + preparing + beginning + adding
    what = "decoding and the head" if settings.reopen == HEAD else "decoding, the head and the tuned network's features"
    return (
        f"the training will take about {rough(settings.epochs * epoch + around)}: "
        f"{count(settings.epochs, 'epoch')} of {_told(epoch)} over {count(fit, 'image')}, plus {_told(around)} for "
        f"{what}; early stopping may end it sooner, a collapse that makes it begin again may prolong it"
    )


def _told(duration: float) -> str:
    """A duration that may be nothing."""
    return rough(duration) if duration >= 1 else "less than a second"


def _decoding(plan: FineTunePlan, workers: int | None) -> float:
    """Seconds that decoding the same few images takes, in this process or in others, their start included."""
    start = plan.start
    rows = np.random.default_rng(plan.settings.seed).permutation(start.fit)[:SAMPLE]
    rows = np.sort(np.resize(rows, SAMPLE))
    spec = source_transform(plan.network.backbone.transform)
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        decode_rows(start.features.subset(rows), spec, folder=Path(folder), workers=workers)
        return time.perf_counter() - began


def _unfrozen(plan: FineTunePlan, device: torch.device) -> UnfrozenNetwork:
    """The network as it will be trained, with a head that has learnt nothing."""
    backbone, classes = plan.network.backbone, plan.start.classes
    head = nn.Linear(next(iter(backbone.widths.values())), len(classes))
    classifier = ImageClassifier(backbone, head, classes)
    classifier.to(memory_format=torch.channels_last).to(device)
    return UnfrozenNetwork(classifier, plan.settings.reopen)


def _saving(unfrozen: UnfrozenNetwork, folder: Path) -> float:
    """Seconds that a checkpoint takes: a smaller file is written where it will be."""
    trained = COPIES * sum(p.numel() * p.element_size() for p in unfrozen.open_parts().parameters())
    values = np.zeros(min(trained, WRITTEN), dtype=np.uint8)
    with tempfile.TemporaryDirectory(dir=folder) as place:
        began = time.perf_counter()
        tensor_file.write(Path(place, "checkpoint.safetensors"), FORMAT, {}, {"values": values})
        return (time.perf_counter() - began) * trained / len(values)
