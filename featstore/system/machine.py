"""What this machine lets a process use: its cores, its memory, and whether it was memory that ran out."""

from __future__ import annotations

import math
import os
from pathlib import Path

from featstore.errors import FeaturesError
from featstore.system.control_group import memory_left, processor_quota


def usable_cores() -> int:
    """Cores that this process may use, at least 1: its affinity, the quota of its control groups, what SLURM granted.

    Examples
    --------
    >>> usable_cores() >= 1
    True
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = processor_quota()
    limits = [cores, *([] if quota is None else [math.ceil(quota)]), *_slurm_cores()]
    return max(1, min(limits))


def _slurm_cores() -> list[int]:
    """Cores that SLURM granted to this task, where it says so: not every cluster binds tasks to them."""
    granted = os.environ.get("SLURM_CPUS_PER_TASK", "")
    if not granted and os.environ.get("SLURM_NTASKS", "1") == "1":
        granted = os.environ.get("SLURM_CPUS_ON_NODE", "")
    return [int(granted)] if granted.isdigit() and int(granted) > 0 else []


def available_memory() -> int | None:
    """Bytes that this process can still take; None where the system does not say.

    The smaller of what the machine has left and what the limits of its control groups leave.
    """
    found = [_free_memory(), memory_left()]
    known = [value for value in found if value is not None]
    if known:
        return min(known)
    names = getattr(os, "sysconf_names", {})
    if "SC_PHYS_PAGES" in names and "SC_PAGE_SIZE" in names:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
    return None


def require_memory(needed: int, what: str, instead: str) -> None:
    """Refuse what does not fit in memory.

    Parameters
    ----------
    needed : int
        Bytes.
    what : str
        What needs them, e.g. "comparing 100,000 images of 25,088 features".
    instead : str
        What to do.

    Raises
    ------
    FeaturesError
        Naming both sizes.
    """
    there = available_memory()
    if there is not None and needed > there:
        raise FeaturesError(
            f"{what} needs about {_gigabytes(needed)} of memory, {_gigabytes(there)} are free; {instead}"
        )


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error is a lack of memory, of a device or of this machine."""
    text = str(error).lower()
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":  # torch's, without importing torch
        return True
    return isinstance(error, RuntimeError) and any(
        words in text for words in ("out of memory", "allocate memory", "bad_alloc")
    )


def _free_memory() -> int | None:
    """Bytes that the machine has left, as Linux tells."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    for line in lines:
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return None


def _gigabytes(count: int) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 5e7 else f"{count / 1e6:.2g} MB"
