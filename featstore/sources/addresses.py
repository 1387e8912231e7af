"""From paths to addresses: a path that leads into a container becomes the place of the bytes in it."""

# Paths are bytes here, which pathlib does not know.
# ruff: noqa: PTH120

from __future__ import annotations

import os
import stat
from collections.abc import Sequence

from featstore.sources.index import Lookup, index_of, is_kept


def addresses(paths: Sequence[bytes]) -> list[bytes]:
    """Find out where the bytes of pictures are.

    Parameters
    ----------
    paths : sequence of bytes
        Absolute. Those that lead into an archive, a Parquet file or pictures in memory are looked up in its index; all
        others come back as they are, at the cost of one `stat` a folder.

    Returns
    -------
    list of bytes
        Of the same length. A member that is not there stays a path, which cannot be opened.

    Examples
    --------
    >>> import tempfile, zipfile
    >>> from featstore.sources.reading import read
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with zipfile.ZipFile(f"{folder}/pets.zip", "w") as archive:
    ...         archive.writestr("cats/1.jpg", "not really")
    ...     (address,) = addresses([f"{folder}/pets.zip/cats/1.jpg".encode()])
    ...     read(address, limit=100)
    b'not really'
    """
    inside: dict[bytes, tuple[Lookup, int] | None] = {}  # folder -> index, length of the container's path and slash
    found = list(paths)
    for number, path in enumerate(paths):
        folder = path[: path.rfind(b"/")]
        try:
            container = inside[folder]
        except KeyError:
            container = inside[folder] = _container(folder)
        if container is not None:
            index, length = container
            address = index.address(path[length:])
            if address is not None:
                found[number] = address
    return found


def _container(folder: bytes) -> tuple[Lookup, int] | None:
    """The container that a folder lies in; None where it lies on disk, or nowhere."""
    while folder:
        if not is_kept(folder):
            try:
                mode = os.stat(folder).st_mode
            except (FileNotFoundError, NotADirectoryError):
                folder = os.path.dirname(folder) if folder != os.path.dirname(folder) else b""
                continue
            except (OSError, ValueError):
                return None
            if not stat.S_ISREG(mode):
                return None
        index = index_of(folder)
        return None if index is None else (index, len(folder) + 1)
    return None
