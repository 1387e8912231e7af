"""Cost: what an epoch of training takes here, measured on a few steps with random pixels."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from classifiers.advice.decision import Advice
from classifiers.models.image_classifier import ImageClassifier
from classifiers.training.regimes import REGIMES, reopening_regime, settings_for
from classifiers.training.unfreezing import ALL, UnfrozenNetwork
from featstore.backbone.backbone import Backbone
from featstore.backbone.landmarks import last_stage
from featstore.engines.devices import training_device
from featstore.system.machine import usable_cores

BATCH = 8
STEPS, SECONDS = 5, 2.0
"""Of these steps the fastest counts, for another program may have been busy; no further one is begun after so long."""
VARIED = 1.15
"""Augmenting and the optimiser come on top of what is measured."""


@dataclass(frozen=True)
class Cost:
    """Time of a fine-tune.

    Attributes
    ----------
    seconds_per_image : float
        Forward, backward and optimiser, through what is trained.
    frozen_seconds_per_image : float
        Forward through what is frozen; spent once a view where its values are cached.
    """

    seconds_per_image: float
    frozen_seconds_per_image: float
    device: str

    def of(self, images: int, epochs: int, views: int) -> dict[str, Any]:
        """The cost of so many epochs over so many images, JSON-able; times in seconds."""
        epoch = images * self.seconds_per_image
        once = images * views * self.frozen_seconds_per_image
        return {
            "seconds": round(once + epochs * epoch, 1),
            "epochs": epochs,
            "seconds_per_epoch": round(epoch, 2),
            "device": self.device,
        }


def measure(backbone: Backbone, classes: int, reopen: str, device: torch.device) -> Cost:
    """Time a few steps.

    Parameters
    ----------
    backbone : Backbone
        Its weights do not change.
    classes : int
    reopen : str
        As for `UnfrozenNetwork`.
    """
    side, width = backbone.transform.crop, next(iter(backbone.widths.values()))
    classifier = ImageClassifier(backbone, nn.Linear(width, classes), tuple(map(str, range(classes))))
    unfrozen = UnfrozenNetwork(classifier.to(device), reopen)
    unfrozen.set_training(False)
    pixels = torch.rand(BATCH, 3, side, side, device=device).contiguous(memory_format=torch.channels_last)
    labels = torch.zeros(BATCH, dtype=torch.int64, device=device)
    below, above = [], []
    try:
        started = time.perf_counter()
        for step in range(1 + STEPS):
            began = time.perf_counter()
            if step > 1 and began - started > SECONDS:
                break
            value = unfrozen.lower(pixels)
            middle = time.perf_counter()
            nn.functional.cross_entropy(unfrozen(value), labels).backward()  # type: ignore[no-untyped-call]
            below.append(middle - began)
            above.append(time.perf_counter() - middle)
    finally:
        unfrozen.zero_grad(set_to_none=True)
        unfrozen.requires_grad_(False).eval()
    frozen = min(below[1:]) / BATCH if unfrozen.bottom is not None else 0.0
    return Cost(VARIED * min(above[1:]) / BATCH, frozen, str(device))


def cost_of_advice(advice: Advice, backbone: Backbone, images: int, device: str) -> dict[str, Any]:
    """What the action advised costs; of the others that need no training the time is that of a comparison."""
    top = advice.verdict == "reopen-top"
    reopen = last_stage(backbone.name) if top else ALL
    settings = settings_for(REGIMES[reopening_regime(advice.regime)], images)
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
