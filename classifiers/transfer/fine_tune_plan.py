"""FineTunePlan: what is decided before a fine-tune: the regime, the node, who trains, and every setting."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray

from classifiers.advice.cached_network import CachedNetwork
from classifiers.formatting import count
from classifiers.training.regimes import REGIMES, FineTuneSettings, Regime, settings_for
from classifiers.training.starting_point import FEWEST, CachedHead, StartingPoint, linear_head, starting_point
from classifiers.training.unfreezing import HEAD
from classifiers.transfer.regime_choice import best_node, choose_regime
from featstore.engines.devices import mixed_precision
from featstore.system.reporting import Progress

FEW = 30
"""Validation images below which it is said what an epoch has to gain: of these, `FEWEST` are more than a sixth."""


@dataclass(frozen=True, eq=False)
class FineTunePlan:
    """What a fine-tune will do.

    Attributes
    ----------
    network : CachedNetwork
        At the node that the head stands on.
    start : StartingPoint
        Who trains, who chooses the epoch, who judges.
    cached_head : CachedHead
        How the cached head is fitted.
    regime : Regime
    settings : FineTuneSettings
    notes : list of str
        What was decided, and why.
    """

    network: CachedNetwork
    start: StartingPoint
    cached_head: CachedHead
    regime: Regime
    settings: FineTuneSettings
    notes: list[str]

    @property
    def least_gain(self) -> float | None:
        """Share of the validation images that an epoch has to get right beyond the cached head to be kept, in (0, 1].

        More where it also loses some. None where any epoch may be kept, and where no epoch can gain enough.
        """
        n = len(self.start.valid)
        return None if self.settings.keep_any or n < FEWEST else FEWEST / n

    def what_it_takes(self, right: NDArray[np.bool_]) -> str:
        """What an epoch has to reach to be kept, where that is much or cannot be; "" where no word is needed.

        Parameters
        ----------
        right : ndarray of shape (n,), bool
            Which validation images the cached head gets right that was not fitted to them.
        """
        n, wrong = len(right), int((~right).sum())
        if self.least_gain is None or not (n < FEW or wrong < FEWEST):
            return ""
        rule = (
            f"the validation part has {count(n, 'image')}: an epoch is kept only where it gets at least {FEWEST} more "
            f"of them right than the cached head ({100 * self.least_gain:.1f} points), and more than {FEWEST} where it "
            f"also loses some"
        )
        if wrong < FEWEST:
            rule += f"; by the cached features that head gets only {wrong} wrong, so no epoch can gain as much"
        return f"{rule}; more validation images would show smaller gains, `keep_any=True` keeps the best epoch anyway"

    @classmethod
    def of(
        cls,
        network: CachedNetwork,
        *,
        regime: int | str,
        head: str,
        budget: str,
        device: torch.device,
        given: Mapping[str, Any],
        progress: Progress,
    ) -> Self:
        """Decide what was left open.

        Parameters
        ----------
        regime, head, budget
            See `finetune`.
        given : mapping
            Fields of `FineTuneSettings` and `Augmentation` that were asked for.

        Raises
        ------
        FeaturesError
            No validation part, or a class without training images.
        UnknownNameError
            No such node or head.
        """
        seed = int(given.get("seed", FineTuneSettings.seed))
        fraction = given.get("valid_fraction", FineTuneSettings.valid_fraction)
        start = starting_point(network.features, fraction=fraction, seed=seed, groups=given.get("groups"))
        notes = [*network.notes, *start.notes]
        cached_head = CachedHead(linear_head(head, notes), seed, budget, given.get("class_weight"))
        reopens = given.get("reopen", HEAD) != HEAD or bool(given.get("from_scratch"))
        auto = regime == "auto"
        number = choose_regime(network, start, notes, progress, reopens=reopens) if auto else int(regime)
        case = REGIMES[number]
        settings = settings_for(case, len(start.fit), **{"precision": mixed_precision(device), **given})
        if case.earlier:
            network, start = best_node(network, start, cached_head, notes)
        return cls(network, start, cached_head, case, settings, notes)
