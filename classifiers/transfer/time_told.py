"""How long a fine-tune will take, told before it starts."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from classifiers.advice.cost import measure, rough
from classifiers.formatting import count
from classifiers.training.augment import source_transform
from classifiers.training.data import decode_rows
from classifiers.training.unfreezing import HEAD
from classifiers.transfer.fine_tune_plan import FineTunePlan
from featstore.system.machine import usable_cores

SAMPLE = 8
"""Images that are decoded to see how long that takes."""


def time_told(plan: FineTunePlan, device: torch.device, workers: int | None = None) -> str:
    """One sentence, from a few steps and a few images that are timed.

    Parameters
    ----------
    plan : FineTunePlan
    device : torch.device
    workers : int, optional
        Decoding processes.

    Raises
    ------
    ImageSetError
        An image with features cannot be decoded now.
    """
    start, settings, backbone = plan.start, plan.settings, plan.network.backbone
    fit, valid, rows = len(start.fit), len(start.valid), len(start.features)
    cost = measure(backbone, len(start.classes), settings.reopen, device)
    cached = cost.frozen_seconds_per_image > 0 and settings.views > 0
    views = settings.views if cached else 0
    each = _decoding(plan) / max(1, min(usable_cores(), SAMPLE) if workers is None else workers)
    training = cost.of(fit, settings.epochs, views, valid)["seconds_per_epoch"]
    forward = cost.frozen_seconds_per_image + cost.validation_seconds_per_image
    preparing = (fit * max(1, views) + valid) * (each + (cost.frozen_seconds_per_image if cached else 0.0))
    adding = 0.0 if settings.reopen == HEAD else rows * (each + forward)  # the tuned network's own features
    whole = settings.epochs * training + preparing + adding
    return (
        f"about {rough(whole)}: {count(settings.epochs, 'epoch')} of {rough(training)} over "
        f"{count(fit, 'image')}, plus {rough(preparing + adding)} for decoding and features; early stopping may end it "
        f"sooner, a collapse that makes it begin again may prolong it"
    )


def _decoding(plan: FineTunePlan) -> float:
    """Seconds that one process takes to decode an image."""
    start = plan.start
    rows = np.random.default_rng(plan.settings.seed).permutation(start.fit)[:SAMPLE]
    spec = source_transform(plan.network.backbone.transform)
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        decode_rows(start.features.subset(np.sort(rows)), spec, folder=Path(folder), workers=0)
        return (time.perf_counter() - began) / len(rows)
