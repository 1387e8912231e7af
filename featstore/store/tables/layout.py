"""Where the parts of a store lie, and the quarantine that damaged files are moved to, never deleted."""

from __future__ import annotations

import secrets
from pathlib import Path

from featstore.system import fsio, fsread

FEATURES, IMAGES, QUARANTINE, TMP = "features", "images", "quarantine", "tmp"
"""Folders of a store."""

FINGERPRINT, MANIFESTS, SHARDS = "fingerprint.json", "manifests", "shards"
"""What lies in `features/<key>`."""

SHARD_ROWS = 1024
"""Rows of a shard at most: what is computed at a time, and what one lost shard costs."""

SHARD_BYTES = 256 << 20
"""Bytes of a shard's features at most."""


def has_shards(store: Path) -> bool:
    """Whether any feature set of a store has a shard, named or not."""
    features = store / FEATURES
    return any(fsread.list_files(features / key / SHARDS) for key in fsread.list_folders(features))


def quarantine(store: Path, path: Path) -> Path | None:
    """Move a file or folder of a store to its quarantine.

    Parameters
    ----------
    store : Path
        Folder of the store.
    path : Path
        Inside of it.

    Returns
    -------
    Path or None
        Where it is now: its old path with `--` for `/`, and a random ending that nobody else uses. None where it was
        gone already.

    Raises
    ------
    StoreWriteError
        Where the disk refuses.
    """
    fsio.make_directory(store / QUARANTINE, below=store)
    name = "--".join(path.relative_to(store).parts)[-180:]
    target = store / QUARANTINE / f"{name}.{secrets.token_hex(4)}"
    return target if fsio.move(path, target) else None
