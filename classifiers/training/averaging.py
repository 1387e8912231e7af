"""Averaging: an exponential moving average of weights, which forgets the noise of the last steps."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class Averaging:
    """The average of a module's floating-point parameters and buffers over the steps so far.

    Parameters
    ----------
    module : nn.Module
    decay : float
        Share of the old average that a step keeps, in [0, 1); less in the first steps, as there is little to average
        (Tarvainen and Valpola, "Mean teachers", NeurIPS 2017).
    """

    def __init__(self, module: nn.Module, decay: float) -> None:
        self._live = live_tensors(module)
        self._decay = decay
        self.tensors = {name: tensor.detach().clone() for name, tensor in self._live.items()}

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Take in the weights after a step, counted from 0."""
        decay = min(self._decay, (1 + step) / (10 + step))
        torch._foreach_lerp_(list(self.tensors.values()), [t.detach() for t in self._live.values()], 1 - decay)

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """The module computes with the average inside this block, and with its own weights after it."""
        own = {name: tensor.detach().clone() for name, tensor in self._live.items()}
        put(self._live, self.tensors)
        try:
            yield
        finally:
            put(self._live, own)


def live_tensors(module: nn.Module) -> dict[str, Tensor]:
    """The floating-point parameters and buffers of a module by name; shared memory, not copies."""
    named = [*module.named_parameters(), *module.named_buffers()]
    return {name: tensor for name, tensor in named if tensor.is_floating_point()}


@torch.no_grad()
def put(live: Mapping[str, Tensor], values: Mapping[str, Tensor]) -> None:
    """Copy values into a module's tensors."""
    for name, tensor in live.items():
        tensor.copy_(values[name])
