"""Devices: which are here, and what they are called in the provenance. The CPU is known without torch."""

from __future__ import annotations

import hashlib
import os
import platform
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from featstore.errors import DeviceError, UnknownNameError
from featstore.system.machine import usable_cores

if TYPE_CHECKING:
    import torch

_DRIVERS = ("nvidia*", "nvhost*", "nvmap", "dxg", "kfd")
"""Device files of NVIDIA's drivers, of WSL's and of AMD's: without one of them torch finds no GPU on Linux."""
_BF16 = {"avx512_bf16", "amx_bf16", "avx_ne_convert"}
"""Flags of x86 CPUs that compute in bf16."""
_LIMITS = ("ATEN_CPU_CAPABILITY", "ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA")
"""Environment variables that keep libraries from using all that a CPU has."""


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
    if device == "cpu" or (device == "auto" and only_a_cpu()):
        return "cpu"
    import torch

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
    if device == "cuda" or (device == "auto" and not only_a_cpu()):
        import torch

        if torch.cuda.device_count() > 1:
            return tuple(f"cuda:{number}" for number in range(torch.cuda.device_count()))
    return tuple(find_device(name.strip()) for name in device.split(","))


def only_a_cpu() -> bool:
    """Whether this machine surely has nothing but a CPU to compute on; told without torch, on Linux.

    False where torch is loaded anyway: it knows better.

    Examples
    --------
    >>> only_a_cpu() in (True, False)
    True
    """
    return (
        sys.platform == "linux"
        and "torch" not in sys.modules
        and not any(any(Path("/dev").glob(driver)) for driver in _DRIVERS)
    )


def cpu_identity() -> dict[str, Any]:
    """What tells this machine's CPU from others', as far as numbers and speed depend on it; JSON-able, without torch.

    Examples
    --------
    >>> cpu_identity()["cores"] >= 1
    True
    """
    told = _cpuinfo()
    flags = " ".join(sorted((told.get("flags") or told.get("Features", "")).split()))
    return {
        "architecture": platform.machine(),
        "model": told.get("model name") or platform.processor(),
        "flags_sha256": hashlib.sha256(flags.encode()).hexdigest(),
        "cores": usable_cores(),
        "limits": {name: os.environ[name] for name in _LIMITS if name in os.environ},
    }


def _cpuinfo() -> dict[str, str]:
    """What Linux says of the first core, by field; {} elsewhere."""
    if not os.access("/proc/cpuinfo", os.R_OK):
        return {}
    lines = Path("/proc/cpuinfo").read_text(errors="replace").partition("\n\n")[0].splitlines()
    return {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in lines)}


def describe(device: str) -> str:
    """The processor behind a device, for the provenance."""
    import torch

    if device.startswith("cuda"):
        return f"cuda {torch.cuda.get_device_name(device)}"
    if device != "cpu":
        return f"{device} {platform.processor() or platform.machine()}"
    name = _cpuinfo().get("model name") or platform.processor() or platform.machine()
    return f"cpu {name} {torch.backends.cpu.get_cpu_capability()}"


def has_bf16() -> bool:
    """Whether this machine's CPU computes in bf16 itself; where torch cannot tell, it is taken to.

    Examples
    --------
    >>> has_bf16() in (True, False)
    True
    """
    flags = _cpuinfo().get("flags", "").split()
    if flags and "torch" not in sys.modules:
        return bool(_BF16.intersection(flags))
    import torch

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
    import torch

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
    import torch

    return "bf16" if torch.cuda.is_bf16_supported() else "fp16"
