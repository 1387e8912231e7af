"""How a command shares the processor with others: threads that do not spin for long, and no more than are free.

The threads of OpenMP wait for each other in busy loops after every operation. Alone on a machine that is the fastest
way; where another program has a core, a thread that has to wait for its turn makes all others burn theirs, and work of
three seconds takes twenty-four. A short busy wait costs next to nothing where the machine is quiet; none at all made
the mlp head half as slow again.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import MutableMapping
from pathlib import Path

from featstore.system.machine import usable_cores

WAITING = {
    "GOMP_SPINCOUNT": "10000",  # GNU's OpenMP: some ten microseconds, where it takes 300,000 by itself
    "KMP_BLOCKTIME": "1",  # LLVM's and Intel's, in milliseconds, where it is 200
}
"""Settings of the libraries, read when they are loaded."""

THREADS = "OMP_NUM_THREADS"
"""What OpenMP, OpenBLAS and torch take their number of threads from."""

_LOOKS, _PAUSE = 5, 0.004  # seconds between looks


def share_processor(environment: MutableMapping[str, str] | None = None) -> int | None:
    """Set what the numeric libraries read when they are loaded; what the user has set stays.

    Call it before NumPy, torch or LightGBM are imported.

    Parameters
    ----------
    environment : mapping, optional
        To be changed; default: this process's, which programs that it starts get, too.

    Returns
    -------
    int or None
        Threads, where it set them; None where every core is free or the user has set them.

    Examples
    --------
    >>> there = {"OMP_NUM_THREADS": "3"}
    >>> share_processor(there), there["OMP_NUM_THREADS"], there["GOMP_SPINCOUNT"]
    (None, '3', '10000')
    """
    environment = os.environ if environment is None else environment
    if "OMP_WAIT_POLICY" not in environment:
        for name, value in WAITING.items():
            environment.setdefault(name, value)
    if THREADS in environment:
        return None
    free = free_cores()
    if free >= (os.cpu_count() or 1):
        return None
    environment[THREADS] = str(free)
    return free


def free_cores(proc: Path = Path("/proc")) -> int:
    """Cores that this process may use and that nothing else keeps busy just now, at least 1.

    Where only some of the machine's cores are granted to it, these.

    Parameters
    ----------
    proc : Path
        Where the system tells how many threads run or wait for a core; where it does not, all usable cores are free.

    Examples
    --------
    >>> free_cores() >= 1
    True
    """
    usable = usable_cores()
    if usable < (os.cpu_count() or 1):
        return usable  # granted to this process; what others do on the rest of the machine says nothing
    looks = []
    for look in range(_LOOKS if (proc / "stat").exists() else 0):
        if look:
            time.sleep(_PAUSE)
        looks.append(_running(proc) - 1)  # this process itself
    busy = statistics.median_low(looks) if looks else 0
    return max(1, usable - busy)


def _running(proc: Path) -> int:
    try:
        lines = (proc / "stat").read_text(encoding="ascii").splitlines()
    except OSError:
        return 1
    found = [line.split()[1] for line in lines if line.startswith("procs_running ")]
    return int(found[0]) if found and found[0].isdigit() else 1
