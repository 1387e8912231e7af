"""Pilot: a fine-tune within a stated time, to see instead of to expect. Part of the training part judges it."""

from __future__ import annotations

import math
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import ndtri

from classifiers.advice.cost import measure
from classifiers.advice.expected_gain import WORTH
from classifiers.models.image_classifier import ImageClassifier
from classifiers.training.data import TrainingData
from classifiers.training.learner import Learner
from classifiers.training.rate_range import find_start
from classifiers.training.regimes import REGIMES, reopening_regime, settings_for
from classifiers.training.starting_point import CachedHead, StartingPoint
from classifiers.training.unfreezing import ALL, UnfrozenNetwork
from classifiers.validation.significance import SIGNIFICANT, mcnemar_exact
from classifiers.validation.splits import holdout, most_alike
from featstore.backbone.backbone import Backbone
from featstore.engines.devices import mixed_precision, training_device
from featstore.features import FeatureSet
from featstore.system.reporting import Progress, silent

JUDGED = 0.25
LEVEL = 0.95
"""Of the intervals of what a pilot shows."""
NEARLY_ALL = 0.9
"""Share of the images that it could have from which a pilot speaks of a whole fine-tune."""
FEWEST_EPOCHS = 3
"""Where not even these fit into the time, fewer images are trained on."""


@dataclass(frozen=True)
class Pilot:
    """What a short fine-tune showed, on training images that neither it nor the heads it is compared with had seen.

    Attributes
    ----------
    minutes, seconds : float
        Of training that were allowed; all that it took.
    epochs : float
        That were trained.
    planned_epochs : int
        Of a fine-tune that has the time.
    trained, judged : int
        Training images that the network was trained on, and those that judged it.
    accuracy_tuned, accuracy_last, accuracy_best : float in [0, 1]
        On the images that judged, of the tuned network, of the linear head on the last cached node, and of the best of
        the linear heads on the cached nodes. All heads were fitted to what the pilot could have been trained on.
    best_node : str
        The node of that best head. It is best on the very images that judge, which favours the cache.
    gain, gain_ci : float, tuple of float
        Tuned less last, a share in [-1, 1], with the 95 % interval of a paired difference.
    lead, lead_ci : float, tuple of float
        Tuned less best cached head, likewise.
    p : float
        Exact McNemar test of the tuned network against the best cached head.
    p_every : float
        The largest p of these tests, one for each cached head: below a level, all of them are beaten at that level.
    complete : bool
        Whether it ran as long as a whole fine-tune would, on all images that it could have.
    available : int
        Training images that it could have been trained on.
    judged_like_test : bool
        Whether the images that judged it are those training images that look most like the test part.

    Examples
    --------
    >>> pilot = Pilot(
    ...     minutes=1.0, seconds=63.0, epochs=4.0, planned_epochs=10, trained=300, judged=100, accuracy_tuned=0.9,
    ...     accuracy_last=0.8, accuracy_best=0.85, best_node="layer3", gain=0.1, gain_ci=(0.03, 0.17), lead=0.05,
    ...     lead_ci=(-0.01, 0.11), p=0.1, p_every=0.2, complete=False, available=300,
    ... )
    >>> pilot.pays, pilot.conclusive, pilot.to_json()["lead"]
    (False, False, 0.05)
    """

    minutes: float
    seconds: float
    epochs: float
    planned_epochs: int
    trained: int
    judged: int
    accuracy_tuned: float
    accuracy_last: float
    accuracy_best: float
    best_node: str
    gain: float
    gain_ci: tuple[float, float]
    lead: float
    lead_ci: tuple[float, float]
    p: float
    p_every: float
    complete: bool
    available: int
    judged_like_test: bool = False

    @property
    def shorter_than_an_epoch(self) -> bool:
        """Whether it ended before it had seen each of its images once: then it tells nothing of what fine-tuning does.

        Where only a part of the training images fits into the time, `trained` says how many it was to see.
        """
        return self.epochs < 1

    @property
    def of_a_part(self) -> bool:
        """Whether it was trained on a part of the images only, as there was no time for more: it can decide little.

        A gain that it does not show may be there all the same.
        """
        return self.trained < NEARLY_ALL * self.available

    @property
    def pays(self) -> bool:
        """Whether fine-tuning is shown to beat every cached head, and the best of them by what is worth the trouble."""
        return not self.shorter_than_an_epoch and self.p_every < SIGNIFICANT and self.lead >= WORTH

    @property
    def conclusive(self) -> bool:
        """Whether it may close the network: at least half of the epochs, on nearly all images that it could have."""
        return self.complete or (self.epochs >= max(1, self.planned_epochs / 2) and not self.of_a_part)

    def to_json(self) -> dict[str, Any]:
        """Plain JSON."""
        derived = ("shorter_than_an_epoch", "of_a_part", "pays", "conclusive")
        return asdict(self) | {"level": LEVEL} | {name: getattr(self, name) for name in derived}


def run_pilot(
    backbone: Backbone,
    sets: Sequence[FeatureSet],
    *,
    minutes: float,
    regime: int,
    store: Path,
    groups: NDArray[np.int64] | None = None,
    like: NDArray[np.floating] | None = None,
    seed: int = 0,
    device: str = "auto",
    workers: int | None = None,
    progress: Progress | None = None,
) -> Pilot:
    """Reopen the whole network for so many minutes.

    Nothing is chosen on the images that judge: the averaged weights of the last step are judged, once.

    Parameters
    ----------
    backbone : Backbone
        Whose features these are. It is trained, so it is of no use afterwards.
    sets : sequence of FeatureSet
        Of the same images at its cached nodes, from the earliest to the last, where it starts from.
    minutes : float
        Of training, of which trying the rates takes up to half; heads, decoding and judging come on top.
    regime : {1, 2, 3, 4}
        The small ones take the rates of the large one of their domain.
    groups : ndarray of shape (n,), int64, optional
        Source of every row.
    like : ndarray of shape (n_training,), float, optional
        How much each row of the training part looks like the test part, see `Shift.likeness`: the training images that
        do most judge, where the test part holds another kind of images. No test image is ever looked at.

    Raises
    ------
    FeaturesError, ImageSetError, TrainingError, DeviceError

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
    >>> from featstore.backbone import Backbone
    >>> features = FeatureStore(store).read()
    >>> backbone = Backbone("mobilenet_v3_small", "none", input_size=32)
    >>> pilot = run_pilot(
    ...     backbone, [features], minutes=0.01, regime=4, store=store, device="cpu", workers=0
    ... )
    >>> pilot.trained + pilot.judged <= 32, pilot.complete
    (True, False)
    >>> folder.cleanup()
    """
    began = time.monotonic()
    report, last = progress or silent, sets[-1]
    training, place = last.training(), training_device(device)
    sources = None if groups is None else groups[training]
    if like is None:
        kept, held = holdout(last.y[training], JUDGED, seed, groups=sources)
    else:
        kept, held = most_alike(last.y[training], like, JUDGED, sources)
    case = REGIMES[reopening_regime(regime)]
    fit, judged = training[kept], training[held]
    settings = settings_for(case, len(fit), seed=seed, precision=mixed_precision(place), reopen=ALL)
    planned, budget = settings.epochs, 60 * minutes
    start = StartingPoint(last, fit, judged, np.empty(0, dtype=np.intp), groups)
    cached_head = CachedHead("logistic", seed, "quick", None)
    head = cached_head.fit(start, fit)
    cached = [cached_head.fit(start.at(one), fit).predict(one.X[judged]) == one.y[judged] for one in sets[:-1]]
    cached.append(head.predict(last.X[judged]) == last.y[judged])

    each = measure(backbone, len(last.classes), ALL, place).seconds_per_image
    images = int(min(len(fit), max(settings.batch_size, budget / (FEWEST_EPOCHS * each))))
    if images < len(fit):
        fit = np.sort(np.random.default_rng(seed).permutation(fit)[:images])
        head = cached_head.fit(start, fit) if len(np.unique(last.y[fit])) == len(last.classes) else head
    epochs = int(np.clip(budget / (each * len(fit)), 1, planned))
    start = StartingPoint(last, fit, judged, start.test, groups)
    settings = settings_for(case, len(fit), seed=seed, precision=settings.precision, reopen=ALL, epochs=epochs)
    classifier = ImageClassifier(backbone, head.to_torch().float(), last.classes)
    classifier.to(memory_format=torch.channels_last).to(place)
    unfrozen = UnfrozenNetwork(classifier, ALL)
    with tempfile.TemporaryDirectory(prefix="featstore-pilot-") as folder:
        training_data = TrainingData(
            unfrozen, start, settings, store=store, folder=Path(folder), device=place, workers=workers, progress=report
        )
        loader = training_data.loader()
        learner = Learner(unfrozen, loader, last.y[fit], settings, place)
        beginning = time.monotonic()
        everyone = settings.augmentation is not None and len(np.unique(last.y[fit])) == len(last.classes)
        varied = partial(cached_head.varied_layer, learner, start, adapted=False)
        find_start(learner, learner.weights(), varied if everyone else None)
        left = max(budget / 2, budget - (time.monotonic() - beginning))
        step = _train(learner, left, report)
        right_tuned, _ = learner.judge(last.y[judged])
    best = max(range(len(sets)), key=lambda at: (int(cached[at].sum()), at))  # the deeper one among equals
    p = [mcnemar_exact(int((right_tuned & ~one).sum()), int((one & ~right_tuned).sum())) for one in cached]
    gain, gain_ci = _difference(right_tuned, cached[-1])
    lead, lead_ci = _difference(right_tuned, cached[best])
    return Pilot(
        minutes=minutes,
        seconds=round(time.monotonic() - began, 1),
        epochs=round(step / learner.steps_per_epoch, 2),
        planned_epochs=planned,
        trained=len(fit),
        judged=len(judged),
        accuracy_tuned=float(right_tuned.mean()),
        accuracy_last=float(cached[-1].mean()),
        accuracy_best=float(cached[best].mean()),
        best_node=sets[best].fingerprint.node,
        gain=gain,
        gain_ci=gain_ci,
        lead=lead,
        lead_ci=lead_ci,
        p=p[best],
        p_every=max(p),
        judged_like_test=like is not None,
        available=len(kept),
        complete=step >= planned * learner.steps_per_epoch and images >= len(kept),
    )


def _train(learner: Learner, budget: float, report: Progress) -> int:
    """Steps until the schedule or the time ends; how many there were."""
    steps, ends = learner.steps, time.monotonic() + budget
    for step in range(steps):
        epoch = step // learner.steps_per_epoch
        loss, _ = learner.step(learner.rows(step), epoch, step)
        report("pilot", step + 1, steps, f"epoch {epoch + 1}, loss {loss:.3f}")
        if time.monotonic() >= ends:
            return step + 1
    return steps


def _difference(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> tuple[float, tuple[float, float]]:
    """Mean of a paired difference of shares and its 95 % interval; one discordant pair is added for few images."""
    n = len(a)
    paired: Sequence[float] = (a.astype(float) - b.astype(float)).tolist()
    mean = sum(paired) / n
    discordant = sum(abs(x) for x in paired) + 1
    half = float(ndtri(0.5 + LEVEL / 2)) * math.sqrt(max(discordant / n - mean**2, 0.0) / n)
    return mean, (max(-1.0, mean - half), min(1.0, mean + half))
