"""Trainer: epochs, validation, early stopping and checkpoints; resumable to the bit."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from classifiers.training.checkpoint import CheckpointFolder
from classifiers.training.collapse_watch import BATCHES, HALVINGS, PATIENCE
from classifiers.training.learner import Learner, NotFiniteError
from classifiers.training.optim import put
from classifiers.training.rate_range import find_start
from classifiers.training.regimes import FineTuneSettings
from classifiers.training.training_state import TrainingState
from classifiers.training.validation_answers import ValidationAnswers
from featstore.errors import TrainingError
from featstore.system.reporting import Progress, silent

SECONDS_A_CHECKPOINT = 120.0
"""An epoch that takes longer is saved in its middle, too."""
SMALLEST_GAIN = 1e-3
"""Of the validation's log loss; less is no reason to go on."""
WATCHED = 0.5
"""Share of the steps in which a collapse makes it begin again; by then the schedule has halved the rates itself."""


class Trainer:
    """Runs a learner over its epochs.

    Parameters
    ----------
    learner : Learner
    y_valid : ndarray of shape (n,), int64
        Classes of the validation part, in the order of the head's logits.
    settings : FineTuneSettings
    identity : mapping
        JSON-able: what the result depends on beside the settings. A checkpoint of a run with another identity or other
        settings is refused.
    checkpoints : CheckpointFolder
    progress : callable, optional
        `(stage, done, total, note)`.
    log : callable, optional
        Gets each entry of the history.
    start_head : callable, optional
        Returns the head that the training starts from, after the cached head was judged as epoch 0; default: that one.

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
    ...     trainer = Trainer(learner, y, settings, identity={}, checkpoints=CheckpointFolder(folder))
    ...     trainer.run().epochs
    2
    """

    def __init__(
        self,
        learner: Learner,
        y_valid: NDArray[np.int64],
        settings: FineTuneSettings,
        *,
        identity: Mapping[str, Any],
        checkpoints: CheckpointFolder,
        progress: Progress | None = None,
        log: Callable[[dict[str, Any]], None] | None = None,
        start_head: Callable[[], nn.Module] | None = None,
    ) -> None:
        self._learner, self._settings, self._checkpoints = learner, settings, checkpoints
        self._y_valid = y_valid
        self._described = {**settings.to_json(), **identity}
        self._report, self._log = progress or silent, log
        self._start_head = start_head
        self._head: dict[str, Tensor] = {}
        self._best = learner.weights()
        self._first: ValidationAnswers | None = None
        self._begun: ValidationAnswers | None = None
        self.state = TrainingState()

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
            self.state = TrainingState.from_json(found.progress)
            self._learner.restore(found.tensors, self.state.step, self.state.rate_factor)
            self._head = {
                name.removeprefix("start/"): tensor
                for name, tensor in found.tensors.items()
                if name.startswith("start/")
            }
            put(self._best, {name: found.tensors[f"best/{name}"] for name in self._best})
            first = self.state.history[0]
            right, losses = (found.tensors[f"first/{name}"].numpy() for name in ("right", "losses"))
            self._first = ValidationAnswers(right, losses, first["valid_log_loss"], first["largest_answer"])
            right, losses, rest = (found.tensors[f"begun/{name}"].numpy() for name in ("right", "losses", "rest"))
            self._begun = ValidationAnswers(right, losses, *rest.tolist())
            self._learner.part = self.state.part or self._learner.part
        except (IndexError, KeyError, TypeError, ValueError, RuntimeError) as error:
            raise TrainingError(
                f"the checkpoint in {self._checkpoints.path} does not fit this network ({error}); add "
                f"`restart=True` to begin anew"
            ) from error
        return True

    def run(self) -> TrainingState:
        """Train until the last epoch, or until the validation no longer gets better.

        Afterwards the network holds the best averaged weights, also where an error ended it.

        Raises
        ------
        NotFiniteError
            The loss became NaN or infinite after some epoch was of use; the message names the step. Where none was, the
            training is stopped, and the weights of epoch 0 are kept.
        DeviceError
            Not even one image fits into memory.
        """
        state, learner = self.state, self._learner
        try:
            if not state.history:
                self._look_at_the_start()
                self._save()
            began = saved = time.monotonic()
            while state.step < learner.steps and not state.stopped:
                ends = self._step()
                now = time.monotonic()
                state.seconds, began = state.seconds + now - began, now
                if ends or now - saved > SECONDS_A_CHECKPOINT:
                    self._save()
                    saved = time.monotonic()
                self._report("train", state.step, learner.steps, self._note())
        finally:
            learner.end(self._best)
        return state

    @property
    def seconds_per_epoch(self) -> float:
        """Of training and validation, over all that were trained; those that a collapse threw away are among them."""
        epochs = self.state.steps_in_all / self._learner.steps_per_epoch
        return self.state.seconds / epochs if epochs else 0.0

    def _step(self) -> bool:
        """One step, and what is due after it; whether a checkpoint is, too."""
        state, learner = self.state, self._learner
        epoch, place = divmod(state.step, learner.steps_per_epoch)
        ends = place + 1 == learner.steps_per_epoch
        if place == 0:
            state.begin_epoch()
        rows = learner.rows(state.step)
        try:
            loss, right = learner.step(rows, epoch, state.step)
            state.loss_sum += loss * len(rows)
            state.right += right
            state.seen += len(rows)
            state.step += 1
            state.part = learner.part
            average = self._judge() if ends else None
        except NotFiniteError as error:
            if state.best or not state.history:
                raise
            if self._watching():
                self._begin_again({"epoch": epoch + 1, "what": str(error)})
            else:
                state.stopped, state.diverged = str(error), True
            return True
        if self._watching() and (ends or state.watch.asks(loss)) and self._knows_less(average):
            self._begin_again({"epoch": epoch + 1})
            return True
        if ends:
            self._consider_stopping()
        return ends

    def _look_at_the_start(self) -> None:
        """Epoch 0; the head to start from and the rates that it can start with; the losses that tell a collapse."""
        self._judge()
        learner, state = self._learner, self.state
        if not self._settings.from_scratch:
            self._head, trials = find_start(learner, self._best, self._start_head)
            state.trials = [trial.to_json() for trial in trials]
        self._begun = learner.answers(self._y_valid) if self._head else self._first
        steps = range(BATCHES if self._watching() and learner.steps_per_epoch > PATIENCE else 0)
        self.state.watch.reference = [learner.loss(learner.rows(step), 0, step) for step in steps]

    def _begins(self) -> dict[str, Tensor]:
        """What is trained from: as long as no epoch was of use, the best weights are those of epoch 0."""
        return {**self._best, **self._head}

    def _judge(self) -> ValidationAnswers:
        """Judge the averaged weights; keep them where they are the best so far."""
        state, found = self.state, self._learner.answers(self._y_valid)
        if not math.isfinite(found.log_loss):
            raise NotFiniteError(f"the validation's loss became {found.log_loss} at step {state.step}")
        entry = {
            "epoch": len(state.history),
            "step": state.step,
            "loss": state.loss_sum / state.seen if state.seen else None,
            "train_accuracy": state.right / state.seen if state.seen else None,
            "valid_accuracy": found.accuracy,
            "valid_log_loss": found.log_loss,
            "largest_answer": found.largest,
            "rate_factor": state.rate_factor,
        }
        if self._first is None:
            self._first = found
        state.history.append(entry)
        trusted = self._settings.keep_any or len(state.history) == 1 or found.knows_more_than(self._first)
        if trusted and _rank(entry) >= _rank(state.history[state.best]):
            state.best = len(state.history) - 1
            put(self._best, self._learner.average)
        if self._log is not None:
            self._log(entry)
        return found

    def _watching(self) -> bool:
        """Whether a collapse is to be looked for: the first part of a training that has not been of use yet."""
        state = self.state
        return state.best == 0 and not self._settings.from_scratch and state.step <= WATCHED * self._learner.steps

    def _knows_less(self, average: ValidationAnswers | None) -> bool:
        """Whether the network lost what it began with and is not on its way back.

        That is the head which was fitted to varied images, where there is one: on few validation images it may look
        worse than the cached head, which is no loss that smaller rates would prevent.

        The average lags behind the weights of the last step, and those are noisy: both have to know less.

        Parameters
        ----------
        average : ValidationAnswers or None
            What the averaged weights answer, where that is known already.
        """
        assert self._begun is not None
        if average is None:
            average = self._learner.answers(self._y_valid)
        if not average.knows_less_than(self._begun):
            return False
        now = self._learner.answers(self._y_valid, average=False)
        return now.knows_less_than(self._begun) and not self.state.watch.comes_back(int(now.right.sum()))

    def _begin_again(self, found: Mapping[str, Any]) -> None:
        """Throw away what was trained, and train anew with half of the rates; the last time, leave it at that."""
        state, learner = self.state, self._learner
        now = self._learner.answers(self._y_valid, average=False)
        state.begin_again(
            {
                "rate_factor": state.rate_factor,
                "step": state.step,
                "valid_accuracy": now.accuracy,
                "largest_answer": now.largest,
                "begun_accuracy": None if self._begun is None else self._begun.accuracy,
                **found,
            }
        )
        if len(state.collapses) > HALVINGS:
            what, state.diverged = found.get("what", "the network lost what it began with"), "what" in found
            state.stopped = f"{what}, even at 1/{2**HALVINGS} of the rates"
        learner.begin_again(self._begins(), state.rate_factor)

    def _consider_stopping(self) -> None:
        since = len(self.state.history) - 1 - _last_gain(self.state.history)
        if since >= self._settings.patience and self.state.epochs < self._settings.epochs:
            self.state.stopped = f"no better validation for {since} epochs"

    def _save(self) -> None:
        tensors = self._learner.tensors() | {f"best/{name}": tensor for name, tensor in self._best.items()}
        tensors |= {f"start/{name}": tensor for name, tensor in self._head.items()}
        if self._first is not None:
            tensors["first/right"] = torch.from_numpy(self._first.right)
            tensors["first/losses"] = torch.from_numpy(self._first.losses)
        if self._begun is not None:
            tensors["begun/right"] = torch.from_numpy(self._begun.right)
            tensors["begun/losses"] = torch.from_numpy(self._begun.losses)
            tensors["begun/rest"] = torch.tensor([self._begun.log_loss, self._begun.largest], dtype=torch.float64)
        self._checkpoints.save(self._described, self.state.to_json(), tensors)

    def _note(self) -> str:
        state = self.state
        tried = f"rates x {state.rate_factor:g} after a collapse, " if state.collapses else ""
        if state.stopped or not state.seen:
            return tried + (state.stopped or "from the cached head")
        loss = state.loss_sum / state.seen
        epoch = 1 + (state.step - 1) // self._learner.steps_per_epoch
        valid = state.history[-1]["valid_accuracy"]
        return f"{tried}epoch {epoch}/{self._settings.epochs}, loss {loss:.3f}, validation {valid:.1%}"


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
