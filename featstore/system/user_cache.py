"""The user's cache folder, and the entries in it: sealed by their own hash, the user's own, bounded by `keep_within`.

All of it may be deleted at any time: what is lost is made again.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import stat
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from featstore.errors import StoreError
from featstore.system import fsio
from featstore.system.canonical_json import canonical_json

_SEAL = "seal"
_BODY = "body_sha256"
_HEAD = 1 << 24
"""Bytes of a document, at most."""
_MINE_ALONE = 0o600
_ABANDONED = 3600.0
"""Seconds after which a file that is still being written has been given up by its writer."""


@dataclass(frozen=True, eq=False)
class CacheEntry:
    """What an entry holds: a JSON document, and bytes behind it.

    Examples
    --------
    >>> CacheEntry({"rows": 3}, memoryview(b"")).document["rows"]
    3
    """

    document: dict[str, Any]
    body: memoryview


def cache_folder() -> Path:
    """The user's cache folder for featstore: `$XDG_CACHE_HOME/featstore` or `~/.cache/featstore`.

    Examples
    --------
    >>> cache_folder().name
    'featstore'
    """
    base = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")  # noqa: PTH111,PTH118
    return Path(base) / "featstore"


def entry_path(kind: str, identity: Mapping[str, Any], ending: str = ".json") -> Path:
    """The file of an entry: in a folder of its kind, named by the SHA-256 of what it depends on, as canonical JSON."""
    return cache_folder() / kind / f"{hashlib.sha256(canonical_json(identity)).hexdigest()[:32]}{ending}"


def write_entry(path: Path, document: Mapping[str, Any], body: Sequence[memoryview] = ()) -> bool:
    """Keep a document, as canonical JSON with its own hash, and bytes behind it; whole or not at all.

    Returns
    -------
    bool
        False where it cannot be kept, for instance in a folder that cannot be written, which is no failure.
    """
    total = hashlib.sha256()
    for part in body:
        total.update(part)
    sealed = {**document, **({_BODY: total.hexdigest()} if body else {})}
    head = canonical_json({**sealed, _SEAL: hashlib.sha256(canonical_json(sealed)).hexdigest()}) + b"\n"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        fsio.replace(path, [memoryview(head), *body], mode=_MINE_ALONE)
    except (OSError, StoreError):
        return False
    return True


def read_entry(path: Path) -> tuple[CacheEntry | None, str]:
    """What `write_entry` kept.

    Returns
    -------
    entry : CacheEntry or None
    reason : str
        Why there is none although a file lies there: it is damaged, or others than this user could have written it.
    """
    try:
        # Whatever lies there, this neither follows a link nor waits for the other end of a pipe.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except (FileNotFoundError, NotADirectoryError):
        return None, ""
    except OSError as error:
        return None, f"it cannot be read ({error.strerror or error})"
    try:
        if reason := _not_trusted(os.fstat(descriptor)):
            return None, reason
        with open(descriptor, "rb", closefd=False) as file:  # noqa: PTH123 - of a descriptor
            head, body = file.readline(_HEAD), memoryview(file.read())
    except OSError as error:
        return None, f"it cannot be read ({error.strerror or error})"
    finally:
        os.close(descriptor)
    try:
        sealed = json.loads(head)
        seal = sealed.pop(_SEAL)
        intact = hashlib.sha256(canonical_json(sealed)).hexdigest() == seal
        told = sealed.pop(_BODY, "")
        if intact and told == (hashlib.sha256(body).hexdigest() if body or told else ""):
            return CacheEntry(sealed, body), ""
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        pass  # no document, or one without a seal
    return None, "it is damaged: its bytes have another hash than it says"


def _not_trusted(status: os.stat_result) -> str:
    """Why others than this user could have written a file; "" where they could not."""
    if not stat.S_ISREG(status.st_mode):
        return "it is no file"
    if status.st_uid != os.geteuid():
        return f"it belongs to another user (id {status.st_uid}, expected {os.geteuid()})"
    if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        return f"other users may write to it (mode {stat.S_IMODE(status.st_mode):03o}, expected 600)"
    return ""


def drop_entry(path: Path) -> None:
    """Delete an entry, where that is possible."""
    with contextlib.suppress(OSError):
        path.unlink()


def renew_entry(path: Path) -> None:
    """Mark an entry as just used, where that is possible."""
    with contextlib.suppress(OSError):
        os.utime(path)


def keep_within(kind: str, limit: int) -> None:
    """Delete entries of a kind until the others take so many bytes at most: those whose last use is longest ago first.

    Parameters
    ----------
    limit : int
        Bytes.
    """
    found = []
    with contextlib.suppress(OSError):
        for path in (cache_folder() / kind).iterdir():
            with contextlib.suppress(OSError):  # another process has deleted it
                status = path.lstat()
                if path.suffix != ".part":
                    found.append((status.st_mtime_ns, status.st_size, path))
                elif time.time() - status.st_mtime > _ABANDONED:
                    path.unlink()  # its writer was killed
    total = sum(size for _, size, _ in found)
    for _, size, path in sorted(found):
        if total <= limit:
            return
        drop_entry(path)
        total -= size
