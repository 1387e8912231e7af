"""Converted networks, kept between runs: converting takes seconds, reading what was converted does not.

A folder a network, in the user's cache folder, made elsewhere and renamed, with the hashes of its files. What is
damaged is thrown away and converted anew; a cache that cannot be written is no failure.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from featstore.fingerprint import canonical_json
from featstore.recall import cache_folder

LARGEST = 300 << 20
"""Bytes of one network; reading and hashing larger ones saves little."""
TOTAL = 1 << 30
"""Bytes of the cache; the longest unused go first."""
_FILES = ("model.xml", "model.bin")


def cached_model(core: Any, identity: Mapping[str, Any], convert: Callable[[], Any]) -> Any:
    """The OpenVINO model of an identity, from the cache or converted.

    Parameters
    ----------
    core : openvino.Core
    identity : mapping
        Everything that the model depends on; JSON-able.
    convert : callable
        Makes the model where the cache does not have it.
    """
    folder = cache_folder() / "openvino" / hashlib.sha256(canonical_json(identity)).hexdigest()[:32]
    try:
        if _sound(folder):
            model = core.read_model(folder / _FILES[0])
            os.utime(folder)
            return model
        shutil.rmtree(folder, ignore_errors=True)
    except (OSError, RuntimeError):
        pass  # whatever is wrong with the cache, converting needs nothing of it
    model = convert()
    _keep(folder, model)
    return model


def _hashes(folder: Path) -> dict[str, str]:
    found = {}
    for name in _FILES:
        with (folder / name).open("rb") as file:
            found[name] = hashlib.file_digest(file, "sha256").hexdigest()
    return found


def _sound(folder: Path) -> bool:
    """Are the files those that were written?"""
    try:
        return bool(json.loads((folder / "hashes.json").read_bytes()) == _hashes(folder))
    except (OSError, ValueError):
        return False


def _keep(folder: Path, model: Any) -> None:
    import openvino

    made = None
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        made = Path(tempfile.mkdtemp(prefix=".new-", dir=folder.parent))
        openvino.save_model(model, made / _FILES[0], compress_to_fp16=False)
        if (made / _FILES[1]).stat().st_size > LARGEST:
            return
        (made / "hashes.json").write_bytes(canonical_json(_hashes(made)))
        made.rename(folder)
        _prune(folder.parent, keep=folder)
    except (OSError, RuntimeError):
        pass  # a full disk or another process that was first: the model is in memory
    finally:
        if made is not None:
            shutil.rmtree(made, ignore_errors=True)


def _prune(cache: Path, keep: Path) -> None:
    entries = [entry for entry in cache.iterdir() if entry != keep]
    entries.sort(key=lambda entry: entry.stat().st_mtime, reverse=True)
    used = _bytes(keep)
    for entry in entries:
        used += _bytes(entry)
        if used > TOTAL:
            shutil.rmtree(entry, ignore_errors=True)


def _bytes(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.iterdir())
