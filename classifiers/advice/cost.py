"""Cost: what an epoch of training takes here, measured on a few steps of the very training with random pixels."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from typing import Any

import numpy as np
import torch
from torch import nn

from classifiers.advice.decision import Advice
from classifiers.formatting import count
from classifiers.models.image_classifier import ImageClassifier
from classifiers.training.augment import Augmentation, source_transform
from classifiers.training.learner import Learner
from classifiers.training.loaders import ActivationLoader, Loader, PixelLoader
from classifiers.training.regimes import REGIMES, FineTuneSettings, reopening_regime, settings_for
from classifiers.training.unfreezing import ALL, UnfrozenNetwork
from featstore.backbone.backbone import Backbone
from featstore.backbone.landmarks import last_stage
from featstore.engines.devices import mixed_precision, training_device
from featstore.system.machine import usable_cores

BATCH, PROBE = 32, 8
"""Images of a step that is timed: as many as a fine-tune's own, or fewer where those would take too long."""
STEPS, SECONDS = 5, 0.5
"""Of these steps the median counts, for another program may have been busy in one; none is begun after so long."""


@dataclass(frozen=True)
class Cost:
    """Time of a fine-tune.

    Attributes
    ----------
    seconds_per_image : float
        Augmentation, forward, backward and optimiser, through what is trained.
    frozen_seconds_per_image : float
        Forward through what is frozen; spent once a view where its values are cached, else in every epoch.
    device : str
    validation_seconds_per_image : float
        Forward through what is trained.
    measured : str
        How `seconds_per_image` was found.

    Examples
    --------
    >>> Cost(0.01, 0.0, "cpu", 0.004).of(850, epochs=24, views=0, validation=150)["seconds_per_epoch"]
    9.1
    """

    seconds_per_image: float
    frozen_seconds_per_image: float
    device: str
    validation_seconds_per_image: float = 0.0
    measured: str = ""

    def of(self, images: int, epochs: int, views: int, validation: int = 0) -> dict[str, Any]:
        """The cost of so many epochs over so many images, JSON-able; times in seconds.

        Parameters
        ----------
        images, validation : int
            That train, and that judge every epoch.
        epochs : int
        views : int
            Of each training image whose values at the cut are cached; 0 computes them in every epoch.
        """
        epoch = images * self.seconds_per_image + validation * self.validation_seconds_per_image
        frozen = self.frozen_seconds_per_image
        if views:
            once = (images * views + validation) * frozen
        else:
            once, epoch = 0.0, epoch + (images + validation) * frozen
        return {
            "seconds": round(once + epochs * epoch, 1),
            "epochs": epochs,
            "seconds_per_epoch": round(epoch, 2),
            "device": self.device,
        }


def measure(backbone: Backbone, classes: int, reopen: str, device: torch.device) -> Cost:
    """Time a few steps of the very training, on random pixels and with rates of nothing.

    Parameters
    ----------
    backbone : Backbone
        Its weights do not change.
    classes : int
    reopen : str
        As for `UnfrozenNetwork`.
    """
    width = next(iter(backbone.widths.values()))
    classifier = ImageClassifier(backbone, nn.Linear(width, classes), tuple(map(str, range(classes))))
    classifier.to(memory_format=torch.channels_last).to(device)
    unfrozen = UnfrozenNetwork(classifier, reopen)
    rows, y = np.arange(BATCH), np.arange(BATCH) % classes
    try:
        frozen, loader = _loader(unfrozen, device)
        settings = FineTuneSettings(
            reopen=reopen, epochs=1, batch_size=BATCH, learning_rate=0.0, head_rate=0.0, weight_decay=0.0,
            precision=mixed_precision(device),
        )  # fmt: skip
        learner = Learner(unfrozen, loader, y, settings, device)
        (probe,) = _times(lambda: learner.step(rows[:PROBE], 0, 0), device, steps=1)
        batch = int(np.clip(SECONDS / 3 / probe * PROBE, PROBE, BATCH))
        times = _times(lambda: learner.step(rows[:batch], 0, 0), device, warmed=batch == PROBE)
        judged = median(_times(lambda: learner.answers(y[:PROBE]), device, steps=2)) / PROBE
    finally:
        unfrozen.zero_grad(set_to_none=True)
        unfrozen.requires_grad_(False).eval()
    measured = f"the median of {count(len(times), 'step')} of {batch} images"
    return Cost(median(times) / batch, frozen, str(device), judged, measured)


def _loader(unfrozen: UnfrozenNetwork, device: torch.device) -> tuple[float, Loader]:
    """Seconds that the frozen part takes for an image, and a loader of what the open part starts from."""
    transform = unfrozen.classifier.transform
    side, generator = source_transform(transform).crop, np.random.default_rng(0)
    pictures = generator.integers(0, 256, (BATCH, side, side, 3), dtype=np.uint8)
    plain = generator.integers(0, 256, (BATCH, transform.crop, transform.crop, 3), dtype=np.uint8)
    loader = PixelLoader(unfrozen, pictures, plain, Augmentation(), transform.crop, seed=0, device=device)
    if unfrozen.bottom is None:
        return 0.0, loader
    rows = np.arange(PROBE)
    frozen = median(_times(lambda: loader.training(rows, 0), device, steps=3)) / PROBE
    values = torch.cat([loader.validation(rows)] * (BATCH // PROBE)).cpu().numpy().astype(np.float16)
    return frozen, ActivationLoader([values], values, seed=0, device=device)


def _times(
    work: Callable[[], object], device: torch.device, steps: int = STEPS, *, warmed: bool = False
) -> list[float]:
    """Seconds of each of some calls, after one that is not timed unless it is `warmed`: it finds memory and kernels."""
    times: list[float] = []
    if not warmed:
        work()
    while len(times) < steps and sum(times) < SECONDS:
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        began = time.perf_counter()
        work()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        times.append(time.perf_counter() - began)
    return times


def cost_of_advice(advice: Advice, backbone: Backbone, images: int, device: str) -> dict[str, Any]:
    """What the action advised costs; of the others that need no training the time is that of a comparison."""
    top = advice.verdict == "reopen-top"
    reopen = last_stage(backbone.name) if top else ALL
    settings = settings_for(REGIMES[reopening_regime(advice.regime)], images)
    measured = measure(backbone, advice.evidence.classes, reopen, training_device(device))
    validation = round(images * settings.valid_fraction)
    reopening = measured.of(images - validation, settings.epochs, settings.views if top else 0, validation)
    done = advice.verdict.startswith("reopen")
    text = {
        "cache-is-enough": "nothing; heads on the cache train in seconds",
        "earlier-node": "nothing; the node is cached, heads on it train in seconds",
        "more-data": f"about {images} more labelled images, extracted once",
    }.get(advice.verdict, f"about {rough(reopening['seconds'])} of training on {reopening['device']}")
    if not done:
        text += f" (reopening the network would take about {rough(reopening['seconds'])} on {reopening['device']})"
    text += f"; timed by {measured.measured}"
    if reopening["device"] == "cpu" and os.getloadavg()[0] > 1.5 * usable_cores():
        text += " while other programs kept this machine busy"
    reopening |= {"reopen": reopen, "measured": measured.measured}
    return {"text": text, "seconds": reopening["seconds"] if done else 0.0, "reopening": reopening}


def rough(duration: float) -> str:
    """A duration in seconds, as it is told before the work.

    Examples
    --------
    >>> rough(1.2), rough(70), rough(100), rough(9000)
    ('1 second', '70 seconds', '2 minutes', '2.5 hours')
    """
    if duration < 90:
        return count(max(1, round(duration)), "second")
    minutes = duration / 60
    return count(round(minutes), "minute") if minutes < 90 else f"{minutes / 60:.1f} hours"
