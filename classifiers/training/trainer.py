"""Trainer: epochs, validation, early stopping and checkpoints; resumable to the bit."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from classifiers.training.checkpoint import CheckpointFolder
from classifiers.training.learner import Learner, NotFiniteError
from classifiers.training.optim import put
from classifiers.training.regimes import FineTuneSettings
from featstore.errors import TrainingError
from featstore.system.reporting import Progress, silent

SECONDS_A_CHECKPOINT = 120.0
"""An epoch that takes longer is saved in its middle, too."""
SMALLEST_GAIN = 1e-3
"""Of the validation's log loss; less is no reason to go on."""


@dataclass
class State:
    """Where a run is.

    Attributes
    ----------
    step : int
        Optimiser steps done.
    part : int
        Images a pass; 0 before the first step.
    loss_sum, right, seen : float, int, int
        Of the epoch under way.
    history : list of dict
        One entry an epoch; the first, epoch 0, before any training.
    best : int
        Epoch whose averaged weights are the best on the validation part, among those that it can tell from epoch 0.
    wrong_at_first : list of int
        Validation rows that were wrong before any training.
    seconds : float
        Spent in training, over all sessions.
    stopped : str
        Why it ended before the last epoch; "" where it did not.
    """

    step: int = 0
    part: int = 0
    loss_sum: float = 0.0
    right: int = 0
    seen: int = 0
    history: list[dict[str, Any]] = field(default_factory=list)
    best: int = 0
    wrong_at_first: list[int] = field(default_factory=list)
    seconds: float = 0.0
    stopped: str = ""

    @property
    def epochs(self) -> int:
        """Epochs that were finished."""
        return max(0, len(self.history) - 1)


class Trainer:
    """Runs a learner over its epochs.

    Parameters
    ----------
    learner : Learner
    y_train, y_valid : ndarray of int64
        In the order of the head's logits.
    settings : FineTuneSettings
    identity : mapping
        JSON-able: what the result depends on beside the settings. A checkpoint of a run with another identity or other
        settings is refused.
    checkpoints : CheckpointFolder
    progress : callable, optional
        `(stage, done, total, note)`.
    log : callable, optional
        Gets each entry of the history.

    Examples
    --------
    >>> import tempfile
    >>> import torch
    >>> from classifiers.models.image_classifier import ImageClassifier
    >>> from classifiers.training.loaders import ActivationLoader
    >>> from classifiers.training.unfreezing import UnfrozenNetwork
    >>> from featstore.backbone.backbone import Backbone
    >>> backbone = Backbone("resnet18", "none", input_size=32)
    >>> network = UnfrozenNetwork(ImageClassifier(backbone, torch.nn.Linear(512, 2), ("cat", "dog")), "head")
    >>> X, y = np.random.default_rng(0).random((8, 512), dtype=np.float32).astype(np.float16), np.arange(8) % 2
    >>> loader = ActivationLoader([X], X, seed=0, device=torch.device("cpu"))
    >>> settings = FineTuneSettings(reopen="head", epochs=2, batch_size=4, augmentation=None)
    >>> learner = Learner(network, loader, y, settings, torch.device("cpu"))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     trainer = Trainer(learner, y, y, settings, identity={}, checkpoints=CheckpointFolder(folder))
    ...     trainer.run().epochs
    2
    """

    def __init__(
        self,
        learner: Learner,
        y_train: NDArray[np.int64],
        y_valid: NDArray[np.int64],
        settings: FineTuneSettings,
        *,
        identity: Mapping[str, Any],
        checkpoints: CheckpointFolder,
        progress: Progress | None = None,
        log: Callable[[dict[str, Any]], None] | None = None,
    ) -> None:
        self._learner, self._settings, self._checkpoints = learner, settings, checkpoints
        self._images, self._y_valid = len(y_train), y_valid
        self._described = {**settings.to_json(), **identity}
        self._report, self._log = progress or silent, log
        self._best = {name: tensor.detach().clone() for name, tensor in learner.live.items()}
        self.state = State()

    def resume(self) -> bool:
        """Go back to where an interrupted run was; False where there is none.

        Raises
        ------
        TrainingError
            It was asked for something else, which the message names, or no checkpoint can be read.
        """
        found = self._checkpoints.load()
        if found is None:
            return False
        if differences := _differences(found.settings, self._described):
            raise TrainingError(
                f"the interrupted fine-tune in {self._checkpoints.path} was asked for something else: "
                f"{'; '.join(differences)}. Give the same options to go on with it, or `restart=True` to begin anew"
            )
        try:
            self.state = State(**found.progress)
            self._learner.restore(found.tensors, self.state.step)
            put(self._best, {name: found.tensors[f"best/{name}"] for name in self._best})
            self._learner.part = self.state.part or self._learner.part
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            raise TrainingError(
                f"the checkpoint in {self._checkpoints.path} does not fit this network ({error}); add "
                f"`restart=True` to begin anew"
            ) from error
        return True

    def run(self) -> State:
        """Train until the last epoch, or until the validation no longer gets better.

        Afterwards the network holds the best averaged weights, also where an error ended it.

        Raises
        ------
        NotFiniteError
            The loss became NaN or infinite; the message names the step.
        DeviceError
            Not even one image fits into memory.
        """
        state, learner = self.state, self._learner
        try:
            if not state.history:
                self._judge()
                self._save()
            began = saved = time.monotonic()
            order, ordered = np.empty(0, dtype=np.intp), -1
            while state.step < learner.steps and not state.stopped:
                epoch, place = divmod(state.step, learner.steps_per_epoch)
                if ordered != epoch:
                    order, ordered = self._order(epoch), epoch
                if place == 0:
                    state.loss_sum, state.right, state.seen = 0.0, 0, 0
                rows = order[place * learner.batch : (place + 1) * learner.batch]
                loss, right = learner.step(rows, epoch, state.step)
                state.loss_sum += loss * len(rows)
                state.right += right
                state.seen += len(rows)
                state.step += 1
                state.part = learner.part
                ends = place + 1 == learner.steps_per_epoch
                if ends:
                    self._judge()
                    self._consider_stopping()
                now = time.monotonic()
                state.seconds, began = state.seconds + now - began, now
                if ends or now - saved > SECONDS_A_CHECKPOINT:
                    self._save()
                    saved = time.monotonic()
                self._report("train", state.step, learner.steps, self._note())
        finally:
            put(learner.live, self._best)
            learner.unfrozen.eval()
        return state

    def _order(self, epoch: int) -> NDArray[np.intp]:
        return np.random.default_rng([self._settings.seed, epoch, 0x6F7264]).permutation(self._images)

    def _judge(self) -> None:
        """Judge the averaged weights; keep them where they are the best so far."""
        state = self.state
        right, log_loss = self._learner.judge(self._y_valid)
        if not math.isfinite(log_loss):
            raise NotFiniteError(f"the validation's loss became {log_loss} at step {state.step}")
        entry = {
            "epoch": len(state.history),
            "step": state.step,
            "loss": state.loss_sum / state.seen if state.seen else None,
            "train_accuracy": state.right / state.seen if state.seen else None,
            "valid_accuracy": int(right.sum()) / len(self._y_valid),
            "valid_log_loss": log_loss,
        }
        if not state.history:
            state.wrong_at_first = np.flatnonzero(~right).tolist()
        first = np.ones(len(right), dtype=bool)
        first[state.wrong_at_first] = False
        gained, lost = int((right & ~first).sum()), int((first & ~right).sum())
        state.history.append(entry)
        trusted = self._settings.keep_any or len(state.history) == 1 or shown(gained, lost)
        if trusted and _rank(entry) >= _rank(state.history[state.best]):
            state.best = len(state.history) - 1
            put(self._best, self._learner.average)
        if self._log is not None:
            self._log(entry)

    def _consider_stopping(self) -> None:
        since = len(self.state.history) - 1 - _last_gain(self.state.history)
        if since >= self._settings.patience and self.state.epochs < self._settings.epochs:
            self.state.stopped = f"no better validation for {since} epochs"

    def _save(self) -> None:
        tensors = self._learner.tensors() | {f"best/{name}": tensor for name, tensor in self._best.items()}
        self._checkpoints.save(self._described, dataclasses.asdict(self.state), tensors)

    def _note(self) -> str:
        state = self.state
        loss = state.loss_sum / state.seen
        epoch = 1 + (state.step - 1) // self._learner.steps_per_epoch
        valid = state.history[-1]["valid_accuracy"]
        return f"epoch {epoch}/{self._settings.epochs}, loss {loss:.3f}, validation {valid:.1%}"


def shown(gained: int, lost: int) -> bool:
    """Whether more images were gained than lost by more than two standard errors of the paired difference.

    On a small validation part the best of many epochs is mostly luck.
    """
    return gained - lost > 2 * math.sqrt(gained + lost)


def _rank(entry: Mapping[str, Any]) -> tuple[float, float]:
    """More images right; with as many, the smaller log loss."""
    return float(entry["valid_accuracy"]), -float(entry["valid_log_loss"])


def _last_gain(history: Sequence[Mapping[str, Any]]) -> int:
    """The last epoch that had more images right, or was surer of them by more than rounding, than all before it."""
    last, most, least = 0, history[0]["valid_accuracy"], history[0]["valid_log_loss"]
    for epoch, entry in enumerate(history):
        if entry["valid_accuracy"] > most or entry["valid_log_loss"] < least - SMALLEST_GAIN:
            last = epoch
            most, least = max(most, entry["valid_accuracy"]), min(least, entry["valid_log_loss"])
    return last


def _differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """What differs between two descriptions, in words."""
    found = []
    for name in sorted(old.keys() | new.keys()):
        mine, theirs = old.get(name), new.get(name)
        if isinstance(mine, dict) and isinstance(theirs, dict):
            found += _differences(mine, theirs)
        elif mine != theirs:
            found.append(f"{name.replace('_', ' ')} was {mine}, now {theirs}")
    return found
