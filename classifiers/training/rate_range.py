"""RateRange: the largest learning rates that a pretrained network can start with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from torch import Tensor, nn

from classifiers.training.learner import Learner, NotFiniteError
from classifiers.training.optim import put
from classifiers.training.validation_answers import larger

STEPS = 16
"""Of a trial. Rates that are too large show it at once: AdamW's first steps are its largest."""
SHARE = 0.3
"""Of the whole training, at most, for a trial."""
IMAGES = 256
"""Training images whose losses are compared: enough for a standard error of a sixteenth of their spread."""
FACTORS = (1.0, 0.316, 0.1, 0.0316, 0.01)
"""Of the rates asked for: half decades. What does not even start at a hundredth fails for another reason."""


@dataclass(frozen=True)
class Trial:
    """A few steps at some rates.

    Attributes
    ----------
    factor : float
        Share of the rates that were asked for.
    before, after : float
        Mean cross-entropy on the same varied training images before and after; `after` is infinite where the loss was.
    worse : bool
        Whether the loss grew, by a paired t-test.
    """

    factor: float
    before: float
    after: float
    worse: bool

    def to_json(self) -> dict[str, Any]:
        """The fields as plain JSON values; null for an infinite loss."""
        return {**asdict(self), "after": self.after if np.isfinite(self.after) else None}


def find_start(
    learner: Learner, weights: Mapping[str, Tensor], head: Callable[[], nn.Module] | None = None
) -> tuple[dict[str, Tensor], list[Trial]]:
    """What a fine-tune begins with: a head that knows varied images, and rates that do no harm.

    Parameters
    ----------
    learner : Learner
        Afterwards it is ready to train.
    weights : mapping of str to Tensor
        What it starts from, by the names of `Learner.live`.
    head : callable, optional
        Returns the head to start from in the place of the one in `weights`; see `CachedHead.fit_varied`.

    Returns
    -------
    given : dict of str to Tensor
        The weights of that head, by the names of `Learner.live`; empty without one.
    trials : list of Trial
        See `find_rates`.
    """
    given = {} if head is None else {f"head.{name}": value for name, value in head().state_dict().items()}
    return given, find_rates(learner, {**weights, **given})


def find_rates(learner: Learner, start: Mapping[str, Tensor]) -> list[Trial]:
    """Try rates from the largest down, until a few steps do no harm on the training images.

    A short form of the learning rate range test (Smith, "Cyclical learning rates for training neural networks", WACV
    2017): what is looked for is not the best rate, but whether the one asked for makes the network forget.

    Parameters
    ----------
    learner : Learner
        Afterwards it is ready to train from `start` at the rates that were found.
    start : mapping of str to Tensor
        Weights that the training starts from, by the names of `Learner.live`.

    Returns
    -------
    list of Trial
        The last one's factor is the one that was taken.

    Examples
    --------
    >>> import torch
    >>> from classifiers.models.image_classifier import ImageClassifier
    >>> from classifiers.training.loaders import ActivationLoader
    >>> from classifiers.training.regimes import FineTuneSettings
    >>> from classifiers.training.unfreezing import UnfrozenNetwork
    >>> from featstore.backbone.backbone import Backbone
    >>> backbone = Backbone("resnet18", "none", input_size=32)
    >>> network = UnfrozenNetwork(ImageClassifier(backbone, torch.nn.Linear(512, 2), ("cat", "dog")), "head")
    >>> X, y = np.random.default_rng(0).random((8, 512), dtype=np.float32).astype(np.float16), np.arange(8) % 2
    >>> loader = ActivationLoader([X], X, seed=0, device=torch.device("cpu"))
    >>> settings = FineTuneSettings(reopen="head", epochs=9, batch_size=8, head_rate=1e-4, augmentation=None)
    >>> learner = Learner(network, loader, y, settings, torch.device("cpu"))
    >>> start = {name: tensor.clone() for name, tensor in learner.live.items()}
    >>> trials = find_rates(learner, start)
    >>> [trial.factor for trial in trials], trials[0].worse
    ([1.0], False)
    """
    steps = max(1, min(STEPS, int(SHARE * learner.steps)))
    judged = np.sort(np.random.default_rng(0).permutation(learner.images)[:IMAGES])
    trials: list[Trial] = []
    put(learner.live, start)
    before = learner.losses(judged, learner.unseen)
    for factor in FACTORS:
        learner.begin_again(start, factor, rise=steps)
        try:
            for step in range(steps):
                learner.step(learner.rows(step), step // learner.steps_per_epoch, step)
            after = learner.losses(judged, learner.unseen)
        except NotFiniteError:
            after = np.full(len(judged), np.inf)
        worse = not np.isfinite(after).all() or larger(after - before)
        trials.append(Trial(factor, float(before.mean()), float(after.mean()), worse))
        if not worse:
            break
    learner.begin_again(start, trials[-1].factor)
    return trials
