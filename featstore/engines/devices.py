"""Devices: which are here, and what they are called in the provenance."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import Any

import torch

from featstore.errors import DeviceError, UnknownNameError


def find_device(device: str) -> str:
    """The device that a name means here.

    Raises
    ------
    DeviceError
        It is not there.
    UnknownNameError
        It is no device's name.

    Examples
    --------
    >>> find_device("cpu")
    'cpu'
    """
    kind, _, number = device.partition(":")
    found = {"cpu": 1, "cuda": torch.cuda.device_count(), "mps": int(torch.backends.mps.is_available())}
    if device == "auto":
        return next(name for name in ("cuda", "mps", "cpu") if found[name])
    if kind not in found or (number and not number.isdigit()):
        raise UnknownNameError("device", device, ("auto", *found))
    if int(number or 0) >= found[kind]:
        there = ", ".join(f"{count} {name}" if name == "cuda" else name for name, count in found.items() if count)
        raise DeviceError(f'the device {device} is not on this machine (there is: {there}); use `device="auto"`')
    return device


def find_devices(device: str) -> tuple[str, ...]:
    """The devices that a name means here: all GPUs for "auto" and "cuda", each one of a list with commas.

    Raises
    ------
    DeviceError
        One is not there.
    UnknownNameError
        One is no device's name.
    """
    if device in ("auto", "cuda") and torch.cuda.device_count() > 1:
        return tuple(f"cuda:{number}" for number in range(torch.cuda.device_count()))
    return tuple(find_device(name.strip()) for name in device.split(","))


def describe(device: str) -> str:
    """The processor behind a device, for the provenance."""
    if device.startswith("cuda"):
        return f"cuda {torch.cuda.get_device_name(device)}"
    if device != "cpu":
        return f"{device} {platform.processor() or platform.machine()}"
    name = platform.processor() or platform.machine()
    if os.access("/proc/cpuinfo", os.R_OK):
        lines = Path("/proc/cpuinfo").read_text(errors="replace").splitlines()
        name = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), name)
    return f"cpu {name} {torch.backends.cpu.get_cpu_capability()}"


def has_bf16() -> bool:
    """Whether this machine's CPU computes in bf16 itself; where torch cannot tell, it is taken to.

    Examples
    --------
    >>> has_bf16() in (True, False)
    True
    """
    told: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()  # not in the oldest torch that is supported
    known = [there for name, there in told.items() if name.endswith("bf16") or name == "avx_ne_convert"]
    return any(known) or not known


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
