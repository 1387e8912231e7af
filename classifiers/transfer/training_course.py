"""TrainingCourse: what happened between the cached head and the last epoch, in sentences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from classifiers.formatting import count, percent
from classifiers.training.validation_answers import STUCK


@dataclass(frozen=True)
class TrainingCourse:
    """The history of a training that ended, with the attempts before it.

    Attributes
    ----------
    history : sequence of mapping
        One entry an epoch, the first before any training; see `Trainer`.
    best : int
        The epoch that was kept.
    collapses : sequence of mapping
        The attempts that lost what they began with, see `TrainingState`.
    stopped : str
        Why it ended early.
    settings : mapping
        As asked for.
    validation : int
        Images that chose the epoch.
    trials : sequence of mapping
        Of the rates, before the first step; see `rate_range.Trial`.
    diverged : bool
        Whether it ended because a loss or a gradient became NaN or infinite.

    Examples
    --------
    >>> history = [{"valid_accuracy": 0.9, "largest_answer": 0.4}, {"valid_accuracy": 0.92, "largest_answer": 0.4}]
    >>> TrainingCourse(history, 0, (), "", {"keep_any": False}, validation=50).kept_cached
    'Epoch 1 got 92.0 % of 50 validation images right, the cached head 90.0 %: too few images to show that it is better'
    """

    history: Sequence[Mapping[str, Any]]
    best: int
    collapses: Sequence[Mapping[str, Any]]
    stopped: str
    settings: Mapping[str, Any]
    validation: int
    trials: Sequence[Mapping[str, Any]] = ()
    diverged: bool = False

    @property
    def notes(self) -> list[str]:
        """What is to be told of the training, whatever came of it."""
        said = [self._tried()] if self.trials and self.trials[0]["worse"] else []
        if self.collapses:
            said.append(self._collapsed())
        if self.diverged:
            said.append(
                f"the training was stopped, and the best weights before it were kept, those of epoch 0: {self.stopped}"
            )
        stuck = [epoch for epoch, entry in enumerate(self.history) if entry.get("largest_answer", 0.0) >= STUCK]
        if stuck and stuck[0] == 0:
            said += self._stuck_from_the_start(stuck[1:])
        elif stuck:
            said.append(f"{_one_class(stuck)}: the network had learnt to tell nothing apart")
        return said

    @property
    def undecided(self) -> bool:
        """Whether an epoch was no worse than epoch 0, and was not kept because it is not shown to be better."""
        if self.best or self.settings.get("keep_any") or not self.history:
            return False
        first, *epochs = ((e["valid_accuracy"], -e.get("valid_log_loss", 0.0)) for e in self.history)
        return any(entry >= first for entry in epochs)

    @property
    def kept_cached(self) -> str:
        """Why the cached head was kept, without a full stop."""
        if self.diverged and self.history[1:]:
            return f"The training was stopped: {self.stopped}. {self._none_better()}"
        return self._none_better()

    def _none_better(self) -> str:
        images = count(self.validation, "validation image")
        if not self.history[1:]:
            if self.collapses:
                return f"The training collapsed and was stopped: {self.stopped}"
            return f"The training was stopped: {self.stopped}" if self.diverged else "No epoch was finished"
        start = "the untrained network" if self.settings.get("from_scratch") else "the cached head"
        first = self.history[0]["valid_accuracy"]
        epoch = max(range(1, len(self.history)), key=lambda i: self.history[i]["valid_accuracy"])
        most = self.history[epoch]["valid_accuracy"]
        if most > first:
            return (
                f"Epoch {epoch} got {percent(most)} % of {images} right, {start} {percent(first)} %: too few "
                f"images to show that it is better"
            )
        if most == first:
            return (
                f"The network is not shown to have learnt what {start} did not know: no epoch got more of "
                f"{images} right than its {percent(first)} %"
            )
        return (
            f"Every epoch got fewer of {images} right than {start}: {percent(most)} % at most, against its "
            f"{percent(first)} %"
        )

    def _tried(self) -> str:
        """Why the rates are smaller than those asked for."""
        first, last, asked = self.trials[0], self.trials[-1], float(self.settings["learning_rate"])
        grew = (
            "became infinite" if first["after"] is None else f"rose from {first['before']:.2f} to {first['after']:.2f}"
        )
        said = f"{_rate(asked)} was too much to start with: the loss of training images {grew} in the first steps"
        if last["worse"]:
            return f"{said}, and so it did at the smallest rates, {_rate(asked * last['factor'])}, which were taken"
        return f"{said}; it trains with {_rate(asked * last['factor'])}, and the other rates as much smaller"

    def _stuck_from_the_start(self, epochs: Sequence[int]) -> list[str]:
        """What is said where epoch 0 gives one class to all images already; `epochs` are those that do, too."""
        if self.settings.get("from_scratch"):  # an untrained network tells nothing apart, which needs no word
            return [f"{_one_class(epochs)}: the network had not learnt to tell anything apart"] if epochs else []
        so_do = f", and so {'does' if len(epochs) == 1 else 'do'} {_spans(epochs)}" if epochs else ""
        return [f"the cached head gives one class to every validation image, or to all but one in fifty{so_do}"]

    def _collapsed(self) -> str:
        """When, and what was done."""
        asked = float(self.settings["learning_rate"])
        begun = self.collapses[0].get("begun_accuracy", self.history[0]["valid_accuracy"])
        told = [
            f"{_rate(asked * collapse['rate_factor'])} in epoch {collapse['epoch']} (" + _seen(collapse) + ")"
            for collapse in self.collapses
        ]
        if len(told) > 3:
            told = [told[0], "...", told[-1]]
        times = "once" if len(self.collapses) == 1 else f"{len(self.collapses)} times"
        last = self.collapses[-1]["rate_factor"] / 2
        then = (
            "each time it began again from there with half of all rates, until it was given up"
            if not self.history[1:]
            else f"{'it' if times == 'once' else 'each time it'} began again from there with half of all "
            f"rates ({'' if times == 'once' else 'at last '}{_rate(asked * last)})"
        )
        return (
            f"the training lost what it began with ({percent(begun)} % of the validation part right) {times}: with "
            f"{'; '.join(told)}; {then}"
        )


def _one_class(epochs: Sequence[int]) -> str:
    """Which epochs answer one class whatever they see."""
    give = "gives" if len(epochs) == 1 else "give"
    return f"{_spans(epochs)} {give} one class to every validation image, or to all but one in fifty"


def _rate(value: float) -> str:
    return f"`learning_rate={value:.3g}`"


def _seen(collapse: Mapping[str, Any]) -> str:
    """What showed it."""
    if "what" in collapse:
        return str(collapse["what"])
    alike = ", one class for all images" if collapse["largest_answer"] >= STUCK else ""
    return f"{percent(collapse['valid_accuracy'])} %{alike}"


def _spans(epochs: Sequence[int]) -> str:
    """1, 3, 4, 5 -> "epochs 1 and 3 to 5"."""
    spans: list[list[int]] = []
    for epoch in epochs:
        if spans and epoch == spans[-1][-1] + 1:
            spans[-1].append(epoch)
        else:
            spans.append([epoch])
    told = [str(s[0]) if len(s) == 1 else f"{s[0]} to {s[-1]}" for s in spans]
    listed = told[0] if len(told) == 1 else f"{', '.join(told[:-1])} and {told[-1]}"
    return f"epoch{'s' if len(epochs) > 1 else ''} {listed}"
