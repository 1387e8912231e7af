"""Where a network that is looked into runs."""

from __future__ import annotations

import torch
from torch import nn


def place(network: nn.Module, device: torch.device | str) -> None:
    """Move a network to a device, frozen, in eval mode, its convolutions laid out for speed.

    Channels last, a forward and backward pass takes a half to a third of the time on a CPU.
    """
    # Module.to changes the module in place, so that all who share its layers go with it.
    network.to(device).to(memory_format=torch.channels_last).eval().requires_grad_(False)
