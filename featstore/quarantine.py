"""Quarantine: where damaged files go. They are moved there, never deleted."""

from __future__ import annotations

import secrets
from pathlib import Path

from featstore import fsio

QUARANTINE = "quarantine"


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
