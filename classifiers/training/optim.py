"""Optimisation: the rate of each layer at each step, the loss, and the moving average of the weights."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn


def warmup_cosine(steps: int, warmup: float) -> Callable[[int], float]:
    """Linear warm-up, then half a cosine down to nothing (Loshchilov and Hutter, "SGDR", ICLR 2017).

    A formula for torch's `LambdaLR`: a chain of `LinearLR` and `CosineAnnealingLR` derives each rate from the one
    before, so that a resumed run would need that one, too, to be the same to the bit.

    Parameters
    ----------
    steps : int
        Optimiser steps in all.
    warmup : float
        Share of them, in [0, 1), over which the rate rises.

    Returns
    -------
    callable
        Step, counted from 0 -> share of the peak rate, in (0, 1].
    """
    rise = max(1, round(warmup * steps))

    def factor(step: int) -> float:
        if step < rise:
            return (step + 1) / rise
        progress = (step - rise) / max(1, steps - rise)
        return 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))

    return factor


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
    """Groups for an optimiser, each with its peak rate under `lr`; vectors (biases, batch norm) do not decay.

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
                groups.append({"params": chosen, "lr": rate, "weight_decay": weight_decay if decays else 0.0})
    return groups


def class_weights(y: NDArray[np.int64], classes: int, how: str | None) -> Tensor:
    """Weight of each class: 1, or scikit-learn's "balanced", n / (k * images of the class).

    Returns
    -------
    Tensor of shape (k,), float32
    """
    if how is None:
        return torch.ones(classes)
    counts = np.bincount(y, minlength=classes).astype(np.float32)
    return torch.from_numpy(len(y) / (classes * np.maximum(counts, 1)))


def cross_entropy(logits: Tensor, targets: Tensor, weights: Tensor, smoothing: float) -> Tensor:
    """Weighted cross-entropy, summed over the batch; to be divided by `total_weight` of the whole batch.

    A sum, so that a batch may be computed in parts with the same result.

    Parameters
    ----------
    logits, targets : Tensor of shape (b, k), float32
        The targets are probabilities.
    weights : Tensor of shape (k,), float32
    smoothing : float in [0, 1)
        Share of each target that is spread over all classes (Szegedy et al., "Rethinking the Inception Architecture",
        CVPR 2016).
    """
    return F.cross_entropy(logits, targets, weight=weights, label_smoothing=smoothing, reduction="sum")


def total_weight(targets: Tensor, weights: Tensor, smoothing: float) -> Tensor:
    """Sum of the class weights of a batch's smoothed targets.

    Not the number of images, by which torch's own mean divides where targets are probabilities: the loss would grow
    with the weights of the classes that happen to be in the batch, unlike torch's mean over class indices.
    """
    return (1 - smoothing) * (targets * weights).sum() + smoothing * len(targets) * weights.mean()


def moving_average(module: nn.Module, decay: float) -> AveragedModel:
    """The exponential moving average of a module's parameters and buffers, which forgets the noise of the last steps.

    Parameters
    ----------
    module : nn.Module
    decay : float
        Share of the old average that a step keeps, in [0, 1); less in the first steps, as there is little to average
        (Tarvainen and Valpola, "Mean teachers", NeurIPS 2017).

    Returns
    -------
    AveragedModel
        In eval mode. `n_averaged` is 1 more than the steps that it has seen.
    """

    def update(averages: Any, values: Any, count: Any) -> None:
        n = int(count)
        get_ema_multi_avg_fn(min(decay, n / (9 + n)))(averages, values, count)  # type: ignore[no-untyped-call]  # of torch

    average = AveragedModel(module, multi_avg_fn=update, use_buffers=True).requires_grad_(False).eval()
    # The weights at the start count as the first ones; with 0, torch would forget them at the first step.
    average.n_averaged.fill_(1)
    return average


def float_tensors(module: nn.Module) -> dict[str, Tensor]:
    """The floating-point parameters and buffers of a module by name; shared memory, not copies."""
    named = [*module.named_parameters(), *module.named_buffers()]
    return {name: tensor for name, tensor in named if tensor.is_floating_point()}


@torch.no_grad()
def put(live: Mapping[str, Tensor], values: Mapping[str, Tensor]) -> None:
    """Copy values into a module's tensors."""
    for name, tensor in live.items():
        tensor.copy_(values[name])
