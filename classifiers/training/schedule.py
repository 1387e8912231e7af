"""Schedule: how fast each part learns at each step: warm-up, cosine, layer by layer."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn


@dataclass(frozen=True)
class Schedule:
    """Linear warm-up, then half a cosine down to nothing (Loshchilov and Hutter, "SGDR", ICLR 2017).

    Parameters
    ----------
    steps : int
        Optimiser steps in all.
    warmup : float
        Share of them, in [0, 1), over which the rate rises.
    """

    steps: int
    warmup: float = 0.05

    def factor(self, step: int) -> float:
        """Share of the peak rate, in (0, 1], at a step counted from 0."""
        rise = max(1, round(self.warmup * self.steps))
        if step < rise:
            return (step + 1) / rise
        progress = (step - rise) / max(1, self.steps - rise)
        return 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))


def layer_rates(count: int, lowest: float) -> list[float]:
    """Share of the learning rate for each of `count` blocks, input first: a geometric series from `lowest` to 1.

    The ratio of the ends is the same for networks of any depth (layer-wise rates as in Howard and Ruder, "Universal
    Language Model Fine-tuning", ACL 2018, which fix the ratio of neighbours instead).
    """
    if count < 2:
        return [1.0] * count
    ratio = math.log(lowest) / (count - 1)
    return [math.exp(ratio * (count - 1 - i)) for i in range(count)]


def parameter_groups(
    parts: nn.ModuleDict,
    blocks: Sequence[Sequence[str]],
    *,
    learning_rate: float,
    lowest: float,
    head_rate: float,
    weight_decay: float,
) -> list[dict[str, Any]]:
    """Groups for an optimiser, each with its rate under `lr` and `peak`; vectors (biases, batch norm) do not decay.

    Parameters
    ----------
    parts : nn.ModuleDict
        `top` and `head`.
    blocks : sequence of sequence of str
        Names of `top`'s parameters, input first.
    learning_rate : float
        Of the last block.
    lowest : float
        Share of it that the first block gets.
    head_rate : float
        Of the head.
    """
    named = dict(parts["top"].named_parameters())
    groups = []
    rates = [learning_rate * share for share in layer_rates(len(blocks), lowest)]
    members = [[named[name] for name in names] for names in blocks] + [list(parts["head"].parameters())]
    for rate, parameters in zip([*rates, head_rate], members, strict=True):
        for decays in (True, False):
            chosen = [p for p in parameters if (p.dim() > 1) == decays]
            if chosen:
                decay = weight_decay if decays else 0.0
                groups.append({"params": chosen, "lr": rate, "peak": rate, "weight_decay": decay})
    return groups
