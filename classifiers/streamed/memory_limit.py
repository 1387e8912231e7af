"""How much memory this process may still take, and from where features are streamed."""

from __future__ import annotations

from pathlib import Path

from featstore.system.machine import available_memory

HELD = 4
"""Times that a comparison in memory holds the features, about: given, standardised, a fold's rows, products."""


def free_memory() -> int | None:
    """Bytes that this process may still take: of the machine, of its container, of its own limits.

    Examples
    --------
    >>> free_memory() is None or free_memory() >= 0
    True
    """
    found = [available_memory()]
    try:
        import resource

        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
        held = {line.split(":")[0]: int(line.split()[1]) * 1024 for line in lines if line.startswith("Vm")}
        for limit, name in ((resource.RLIMIT_AS, "VmSize"), (resource.RLIMIT_DATA, "VmData")):
            soft, _ = resource.getrlimit(limit)
            if soft != resource.RLIM_INFINITY:
                found.append(max(soft - held[name], 0))
    except (ImportError, OSError, KeyError):
        pass  # no such limits here
    known = [value for value in found if value is not None]
    return min(known) if known else None


def too_large(size: int, memory: int | None) -> bool:
    """Whether features of so many bytes are streamed: where heads in memory would take more than there is.

    Examples
    --------
    >>> too_large(600, 1000), too_large(100, 1000), too_large(600, None)
    (True, False, False)
    """
    return memory is not None and size * HELD > memory
