"""The user's cache folder, and the entries in it."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from featstore.errors import StoreError
from featstore.system import fsio
from featstore.system.canonical_json import canonical_json


def cache_folder() -> Path:
    """The user's cache folder for featstore: `$XDG_CACHE_HOME/featstore` or `~/.cache/featstore`.

    Examples
    --------
    >>> cache_folder().name
    'featstore'
    """
    base = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")  # noqa: PTH111,PTH118
    return Path(base) / "featstore"


def entry_path(kind: str, identity: Mapping[str, Any]) -> Path:
    """The file of an entry: in a folder of its kind, named by the SHA-256 of what it depends on, as canonical JSON."""
    return cache_folder() / kind / f"{hashlib.sha256(canonical_json(identity)).hexdigest()[:32]}.json"


def write_entry(path: Path, document: Mapping[str, Any]) -> None:
    """Keep a document as canonical JSON; a cache folder that cannot be written is no failure."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        fsio.replace(path, canonical_json(document))
    except (OSError, StoreError):
        return
