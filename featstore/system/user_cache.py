"""Where the user's cache folder is."""

from __future__ import annotations

import os
from pathlib import Path


def cache_folder() -> Path:
    """The user's cache folder for featstore: `$XDG_CACHE_HOME/featstore` or `~/.cache/featstore`.

    Examples
    --------
    >>> cache_folder().name
    'featstore'
    """
    base = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")  # noqa: PTH111,PTH118
    return Path(base) / "featstore"
