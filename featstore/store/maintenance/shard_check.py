"""Checking a shard: every byte, its name, its description, and what a manifest says of it."""

from __future__ import annotations

import hashlib
from pathlib import Path

from featstore.errors import StoreDamagedError
from featstore.store.format.shard import ShardEntry, decode
from featstore.system import fsread

SHARD_LIMIT = 1 << 33
"""Bytes of a shard."""


def check_shard(path: Path, entry: ShardEntry | None, key: str) -> ShardEntry:
    """Read a shard, hash it, parse it under guards, and compare it with what a manifest says.

    Parameters
    ----------
    path : Path
        Its name must be its hash.
    entry : ShardEntry or None
        None where no manifest names it.
    key : str
        Of the feature set that it lies in.

    Returns
    -------
    ShardEntry
        As read off the shard.

    Raises
    ------
    FileNotFoundError
        Where there is none.
    StoreDamagedError
        Where it is not what was committed.
    """
    data = fsread.read_bytes(path, SHARD_LIMIT)
    if f"{hashlib.sha256(data).hexdigest()}.h5" != path.name:
        raise StoreDamagedError("its bytes do not have the hash that it is named by")
    _, fingerprint, found = decode(data)
    if fingerprint.key != key:
        raise StoreDamagedError(f"it belongs to feature set {fingerprint.key}")
    if entry is not None and found != entry:
        raise StoreDamagedError("it is not as its manifest says")
    return found
