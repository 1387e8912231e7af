"""Where and with what a result was made."""

from __future__ import annotations

import datetime
import platform
from importlib.metadata import version
from typing import Any

from featstore.system.machine import usable_cores

LIBRARIES = ("featstore", "numpy", "scikit-learn", "lightgbm", "torch")


def environment() -> dict[str, Any]:
    """Python, platform, cores, library versions and the date (UTC); plain JSON."""
    cores = usable_cores()
    return {
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
        "cores": cores,
        "threads": cores,
        "versions": {name: version(name) for name in LIBRARIES},
        "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),
    }
