"""store.json: what makes a folder a feature store."""

from __future__ import annotations

import os
import re
import uuid
from pathlib import Path

from featstore.errors import StoreDamagedError, StoreError, StoreFormatError, StoreNotFoundError
from featstore.store.format.sealed import seal, unseal
from featstore.store.tables.layout import FEATURES, IMAGES, MANIFESTS, QUARANTINE, SHARDS, TMP
from featstore.system import fsio, fsread

STORE = "store.json"
FOLDERS = (FEATURES, IMAGES, QUARANTINE, TMP)
SIZE_LIMIT = 1 << 16

_HARMLESS = {".DS_Store", "lost+found"}
_KIND = "featstore"
_KEY, _NOT_HIDDEN = re.compile("[0-9a-f]{16}"), re.compile(r"[^.].*", re.DOTALL)


def identify(path: Path) -> str:
    """Check that a folder is a store of a format that can be read.

    Parameters
    ----------
    path : Path

    Returns
    -------
    str
        The store's uuid.

    Raises
    ------
    StoreNotFoundError
        Where there is nothing.
    StoreFormatError
        Where there is something else, or a store of a newer format.
    StoreDamagedError
        Where `store.json` is damaged, or lost.
    """
    if path.exists() and not path.is_dir():
        raise StoreFormatError(f"{path} is a file; expected the folder of a feature store")
    try:
        document = unseal(fsread.read_bytes(path / STORE, SIZE_LIMIT), path / STORE)
    except FileNotFoundError:
        raise _no_store(path) from None
    if document.get("kind") != _KIND or not isinstance(document.get("uuid"), str):
        raise StoreFormatError(f"{path / STORE} is not the one of a feature store; name another folder")
    return str(document["uuid"])


def identify_own(path: Path) -> str:
    """As `identify`, and no folder of the store leads out of it.

    Raises
    ------
    StoreError
        Where a folder is a symbolic link.
    StoreNotFoundError, StoreFormatError, StoreDamagedError
        As `identify`.
    """
    found = identify(path)
    refuse_links(path)
    return found


def refuse_links(path: Path) -> None:
    """Refuse a store in which a folder is a symbolic link.

    Raises
    ------
    StoreError
        Naming the first one.
    """
    for place, found in misplaced(path).items():
        if found == "link":
            raise StoreError(f"{place} is a symbolic link; a store holds no links: put the folder itself there")


def misplaced(path: Path) -> dict[Path, str]:
    """What lies where a store has folders and is none, sorted by path, with its kind as `fsread.kind` tells it.

    Raises
    ------
    StoreError
        Where a folder cannot be read.
    """
    places = [path / name for name in FOLDERS]
    for parent, name_of_folder in ((path / FEATURES, _KEY), (path / IMAGES, _NOT_HIDDEN)):
        if fsread.kind(parent) == "folder":
            children = [parent / name for name in fsread.list_names(parent) if name_of_folder.fullmatch(name)]
            places += children
            if parent.name == FEATURES:
                folders = [child for child in children if fsread.kind(child) == "folder"]
                places += [child / name for child in folders for name in (SHARDS, MANIFESTS)]
    kinds = {place: fsread.kind(place) for place in sorted(places)}
    return {place: found for place, found in kinds.items() if found not in ("", "folder")}


def create(path: Path) -> None:
    """Make a store where there is none; an existing one stays as it is.

    A folder in which an earlier attempt was killed counts as empty.

    Raises
    ------
    StoreFormatError
        Where the folder holds other things.
    StoreDamagedError
        Where it holds what is left of a store.
    StoreWriteError
        Where the disk refuses.
    """
    if path.exists():
        if not path.is_dir():
            raise StoreFormatError(f"{path} is a file; name a new or empty folder for the store")
        if (path / STORE).exists():
            return
        if holds_remains(path):
            raise _no_store(path)
        others = _others(path)
        if others:
            shown = ", ".join(others[:3]) + (", ..." if len(others) > 3 else "")
            raise StoreFormatError(f"{path} is no feature store and holds {shown}; name a new or empty folder")
    fsio.make_directory(path)
    for name in FOLDERS:
        fsio.make_directory(path / name, below=path)
    put_identity(path)


def vacant(path: Path) -> bool:
    """Whether there is nothing yet that could be a store: no folder, an empty one, or what a killed `create` left."""
    if not os.path.lexists(path):
        return True
    return path.is_dir() and not os.path.lexists(path / STORE) and not holds_remains(path) and not _others(path)


def put_identity(path: Path) -> bool:
    """Publish a new `store.json`; False where another writer was first."""
    data = seal({"kind": _KIND, "uuid": str(uuid.uuid4())})
    return fsio.publish(path / STORE, data, tmp=path / TMP)


def holds_remains(path: Path) -> bool:
    """Whether a folder holds features or image sets, as a store does."""
    return any(fsread.list_folders(path / name) for name in (FEATURES, IMAGES))


def _others(path: Path) -> list[str]:
    """What is in a folder that no store has at its top."""
    return sorted(entry.name for entry in path.iterdir() if entry.name not in {STORE, *FOLDERS, *_HARMLESS})


def _no_store(path: Path) -> Exception:
    if not path.exists():
        return StoreNotFoundError(
            f"there is no feature store at {path}; `featstore extract DATA --store {path}` makes one"
        )
    if holds_remains(path):
        return StoreDamagedError(f"{path} has lost its {STORE}; run `featstore repair {path}`")
    return StoreFormatError(f"{path} is no feature store: there is no {STORE} in it; name the folder of a store")
