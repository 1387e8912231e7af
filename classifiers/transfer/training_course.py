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
        The attempts that lost what the cached head knows, see `TrainingState`.
    stopped : str
        Why it ended early.
    settings : mapping
        As asked for.
    validation : int
        Images that chose the epoch.

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

    @property
    def notes(self) -> list[str]:
        """What is to be told of the training, whatever came of it."""
        said = []
        if self.collapses:
            said.append(self._collapsed())
        first = self.history[0] if self.history else {}
        stuck = [epoch for epoch, entry in enumerate(self.history) if entry.get("largest_answer", 0.0) >= STUCK]
        if stuck and first.get("largest_answer", 0.0) < STUCK:
            said.append(
                f"{_spans(stuck)} {'gives' if len(stuck) == 1 else 'give'} the most frequent class to every validation "
                f"image, or to all but one in fifty: the network had learnt to tell nothing apart"
            )
        return said

    @property
    def kept_cached(self) -> str:
        """Why the cached head was kept, without a full stop."""
        images = count(self.validation, "validation image")
        if not self.history[1:]:
            if self.collapses:
                return f"The training collapsed and was stopped: {self.stopped}"
            return "No epoch was finished"
        first = self.history[0]["valid_accuracy"]
        epoch = max(range(1, len(self.history)), key=lambda i: self.history[i]["valid_accuracy"])
        most = self.history[epoch]["valid_accuracy"]
        if most > first:
            return (
                f"Epoch {epoch} got {percent(most)} % of {images} right, the cached head {percent(first)} %: too few "
                f"images to show that it is better"
            )
        if most == first:
            return (
                f"The network is not shown to have learnt what the cached head did not know: no epoch got more of "
                f"{images} right than its {percent(first)} %"
            )
        return (
            f"Every epoch got fewer of {images} right than the cached head: {percent(most)} % at most, against its "
            f"{percent(first)} %"
        )

    def _collapsed(self) -> str:
        """When, and what was done."""
        first, asked = self.history[0]["valid_accuracy"], float(self.settings["learning_rate"])
        told = [
            f"{_rate(asked * collapse['rate_factor'])} in epoch {collapse['epoch']} (" + _seen(collapse) + ")"
            for collapse in self.collapses
        ]
        if len(told) > 3:
            told = [told[0], "...", told[-1]]
        times = "once" if len(self.collapses) == 1 else f"{len(self.collapses)} times"
        last = self.collapses[-1]["rate_factor"] / 2
        then = (
            "each time it began again from the cached head with half of all rates, until it was given up"
            if not self.history[1:]
            else f"it began again from the cached head, at last with {_rate(asked * last)} and "
            f"all other rates in the same proportion"
        )
        return (
            f"the training lost what the cached head knows ({percent(first)} % of the validation part) {times}: with "
            f"{'; '.join(told)}; {then}"
        )


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
