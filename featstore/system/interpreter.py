"""A second interpreter with this one's module path.

Neither fork (torch's threads hold locks) nor multiprocessing's spawn (it runs the user's script again, which then needs
a `__main__` guard).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_BOOT = (
    "import importlib, json, sys; order = json.loads(sys.argv[1]); sys.path[:] = order['path']; "
    "getattr(importlib.import_module(order['module']), order['function'])(order['settings'])"
)


def start(target: str, settings: Mapping[str, Any], **options: Any) -> subprocess.Popen[bytes]:
    """Call a function in a fresh process.

    Parameters
    ----------
    target : str
        "module:function".
    settings : mapping
        Its one argument, JSON-able.
    options
        Of `subprocess.Popen`.

    Raises
    ------
    OSError
        No process can be started.
    """
    module, _, function = target.partition(":")
    package = str(Path(__file__).resolve().parents[2])  # last: only where featstore was found by other means
    path = [str(entry) or str(Path.cwd()) for entry in sys.path] + [package]
    order = {"path": path, "module": module, "function": function, "settings": dict(settings)}
    return subprocess.Popen([sys.executable or "python3", "-c", _BOOT, json.dumps(order)], **options)


def complaints(descriptor: int) -> str:
    """The last line that a process wrote to its standard error, kept in a file; "" where there is none."""
    lines = os.pread(descriptor, 1 << 20, 0).decode("utf-8", "replace").strip().splitlines()
    return lines[-1] if lines else ""


def anonymous_file() -> int:
    """A file descriptor of memory without a name: nothing is left behind however the processes end.

    On Linux it is a memfd, which counts as memory of the process and not against the size of `/dev/shm` (64 MB in a
    container); elsewhere it is a temporary file that is unlinked at once.
    """
    if hasattr(os, "memfd_create"):
        return os.memfd_create("featstore", os.MFD_CLOEXEC)
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())
