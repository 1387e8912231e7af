"""Image files without labels: what somebody names to be classified, folders walked to the bottom."""

# Paths are bytes here, which pathlib does not know.
# ruff: noqa: PTH110, PTH118, PTH122

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass

from featstore.errors import ImagesNotFoundError
from featstore.images import formats
from featstore.system.reporting import printable_path

Path = str | bytes | os.PathLike[str]


@dataclass(frozen=True)
class Unlabelled:
    """Image files to look at.

    Attributes
    ----------
    paths : tuple of n bytes
        As named, a folder's files below it, in byte order; each once.
    skipped : tuple of (str, str)
        Printable path and reason of what was named, or is named like an image, but cannot be read as a file.

    Examples
    --------
    >>> Unlabelled(paths=(b"a.jpg",), skipped=(("b.jpg", "not a regular file"),)).paths
    (b'a.jpg',)
    """

    paths: tuple[bytes, ...]
    skipped: tuple[tuple[str, str], ...]


def find_images(places: Sequence[Path]) -> Unlabelled:
    """List image files.

    Parameters
    ----------
    places : sequence of path
        A file is taken whatever its name; of a folder all files below it whose extension or first bytes say that they
        are images. Hidden entries are left out; a folder is entered once, whatever links lead to it.

    Raises
    ------
    ImagesNotFoundError
        No image in any of the places; where one place alone does not exist, its name and why.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = pathlib.Path(folder, "a.jpg").write_bytes(b"")
    ...     found = find_images([folder])
    >>> [os.path.basename(path) for path in found.paths]
    [b'a.jpg']
    """
    found: dict[bytes, None] = {}
    skipped: list[tuple[str, str]] = []
    for place in map(os.fsencode, places):
        try:
            mode = os.stat(place).st_mode
        except OSError as error:
            if len(places) == 1:
                raise ImagesNotFoundError(
                    f"{printable_path(place)} cannot be opened: {error.strerror}; expected image files or folders of "
                    "them"
                ) from error
            skipped.append((printable_path(place), f"cannot be opened: {error.strerror}"))
            continue
        if stat.S_ISDIR(mode):
            _walk(place, found, skipped)
        else:
            found[place] = None
    if not found and not skipped:
        stores = [place for place in map(os.fsencode, places) if os.path.exists(os.path.join(place, b"store.json"))]
        if stores:
            raise ImagesNotFoundError(
                f"{printable_path(stores[0])} is a feature store and holds no images; name the image files or folders "
                "that it was extracted from, or others"
            )
        shown = ", ".join(printable_path(os.fsencode(place)) for place in places[:3])
        raise ImagesNotFoundError(f"there is no image in {shown}; expected {', '.join(formats.FORMATS)}")
    return Unlabelled(tuple(found), tuple(skipped))


def _walk(root: bytes, found: dict[bytes, None], skipped: list[tuple[str, str]]) -> None:
    """Add the images below a folder."""
    here: list[bytes] = []
    seen: set[tuple[int, int]] = set()
    pending = [root]
    while pending:
        folder = pending.pop()
        try:
            status = os.stat(folder)
            if (status.st_dev, status.st_ino) in seen:
                continue
            seen.add((status.st_dev, status.st_ino))
            names = os.listdir(folder)
        except OSError as error:
            skipped.append((printable_path(folder), f"unreadable folder: {error.strerror}"))
            continue
        for name in sorted(names, reverse=True):
            if not name.startswith(b"."):
                _take(os.path.join(folder, name), pending, here, skipped)
    found.update(dict.fromkeys(sorted(here)))


def _take(path: bytes, pending: list[bytes], here: list[bytes], skipped: list[tuple[str, str]]) -> None:
    """Sort one entry of a folder: a folder to enter, an image, something else, or nothing that can be read."""
    named = os.path.splitext(path)[1].lower() in formats.EXTENSIONS
    try:
        mode = os.stat(path).st_mode
        if stat.S_ISDIR(mode):
            pending.append(path)
        elif stat.S_ISREG(mode):
            if named or formats.sniff(_head(path)):
                here.append(path)
        elif named:
            skipped.append((printable_path(path), "not a regular file"))
    except OSError as error:
        if named:
            skipped.append((printable_path(path), f"cannot be read: {error.strerror}"))


def _head(path: bytes) -> bytes:
    # O_NONBLOCK: a pipe that took the file's place since it was listed must not hang the run
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        return os.read(handle, formats.HEAD_BYTES)
    finally:
        os.close(handle)
