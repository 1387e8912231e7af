"""The device to train on."""

from __future__ import annotations

import torch

from featstore.errors import DeviceError


def training_device(name: str) -> torch.device:
    """The device of a name; "auto" is CUDA where there is one, else the CPU.

    Raises
    ------
    DeviceError
        This machine does not have it.
    """
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        return torch.device("cuda" if there["cuda"] else "cpu")
    if not there.get(name, False):
        usable = ", ".join(other for other, usable in there.items() if usable)
        raise DeviceError(f"this machine has no device {name!r} that torch can use; it has {usable}")
    return torch.device(name)


def mixed_precision(device: torch.device) -> str:
    """The precision of the forward pass that suits a device: "bf16" or "fp16" on CUDA, elsewhere "fp32"."""
    if device.type != "cuda":
        return "fp32"
    return "bf16" if torch.cuda.is_bf16_supported() else "fp16"
