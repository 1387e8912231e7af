"""TrainingState: where a run is, as plain numbers that a checkpoint keeps."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from classifiers.training.collapse_watch import CollapseWatch


@dataclass
class TrainingState:
    """Where a run is.

    Attributes
    ----------
    step : int
        Optimiser steps done, since it began or began again.
    part : int
        Images a pass; 0 before the first step.
    loss_sum, right, seen : float, int, int
        Of the epoch under way.
    history : list of dict
        One entry an epoch; the first, epoch 0, before any training. Of a training that began again: since then.
    best : int
        Epoch whose averaged weights are the best on the validation part, among those that it can tell from epoch 0.
    seconds : float
        Spent in training, over all sessions.
    stopped : str
        Why it ended before the last epoch; "" where it did not.
    diverged : bool
        Whether that is a loss or a gradient that became NaN or infinite.
    collapses : list of dict
        One entry for each time that it lost what it began with and began again, with half of the rates: what
        was seen, and the history until then.
    watch : CollapseWatch
    trials : list of dict
        Of the rates, before the first step; see `rate_range.Trial`.

    Examples
    --------
    >>> state = TrainingState(step=3, history=[{"epoch": 0}, {"epoch": 1}])
    >>> state.epochs, state.rate_factor, TrainingState.from_json(state.to_json()) == state
    (1, 1.0, True)
    """

    step: int = 0
    part: int = 0
    loss_sum: float = 0.0
    right: int = 0
    seen: int = 0
    history: list[dict[str, Any]] = field(default_factory=list)
    best: int = 0
    seconds: float = 0.0
    stopped: str = ""
    diverged: bool = False
    collapses: list[dict[str, Any]] = field(default_factory=list)
    watch: CollapseWatch = field(default_factory=CollapseWatch)
    trials: list[dict[str, Any]] = field(default_factory=list)

    @property
    def epochs(self) -> int:
        """Epochs that were finished."""
        return max(0, len(self.history) - 1)

    @property
    def rate_factor(self) -> float:
        """Share of the rates asked for that it trains with."""
        found = float(self.trials[-1]["factor"]) if self.trials else 1.0
        return found * 0.5 ** len(self.collapses)

    @property
    def steps_in_all(self) -> int:
        """Optimiser steps done, those that were thrown away included."""
        return self.step + sum(int(collapse["step"]) for collapse in self.collapses)

    def begin_epoch(self) -> None:
        """Nothing was seen of it yet."""
        self.loss_sum, self.right, self.seen = 0.0, 0, 0

    def begin_again(self, collapse: Mapping[str, Any]) -> None:
        """Back to epoch 0; what was seen stays in `collapses`."""
        self.collapses.append({**collapse, "history": self.history[1:]})
        self.step, self.history = 0, self.history[:1]
        self.begin_epoch()
        self.watch.begin_again()

    def to_json(self) -> dict[str, Any]:
        """The fields as plain JSON values."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Self:
        """What `to_json` returned.

        Raises
        ------
        KeyError, TypeError
            It is something else.
        """
        return cls(**{**document, "watch": CollapseWatch(**document["watch"])})
