"""Walk a folder tree: every image file, every other file, and why something is left out.

File names are bytes throughout, so every name that a disk can hold works. Nothing is opened but files whose name does
not say what they are, and these only once: an unchanged tree is listed from directory entries and `stat` alone.
"""

# Paths are bytes here, which pathlib does not know.
# ruff: noqa: PTH117, PTH118, PTH120

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from featstore.errors import ImageSetError
from featstore.images import formats
from featstore.images.listing import UNREADABLE, Skipped
from featstore.images.tree import LIST_BYTES, Tree
from featstore.system.fsread import open_regular
from featstore.system.reporting import printable_path

SYSTEM_FOLDERS = frozenset(
    (b"@eadir", b"@recycle", b"@recently-snapshot", b"@tmp", b"#recycle", b"#snapshot", b"$recycle.bin", b"recycler")
    + (b"__macosx", b"lost+found", b"system volume information", b"__pycache__", b"found.000")
    + (b".ipynb_checkpoints", b".trash", b".trashes", b".spotlight-v100", b".fseventsd", b".temporaryitems")
)
"""Folders that file systems, network drives and programs leave behind, in lower case."""

SYSTEM_FILES = frozenset((b"thumbs.db", b"ehthumbs.db", b"desktop.ini", b"picasa.ini", b"icon\r", b".ds_store"))
"""Files likewise."""

_USUAL = frozenset(case(e) for e in formats.EXTENSIONS if len(e) == 4 for case in (bytes.lower, bytes.upper))
"""Endings of nearly all images, as they are found without further work."""

SYSTEM_FOLDER, SYSTEM_FILE = "a folder of the system, not of the data", "a file of the system, not of the data"


class Remembered(NamedTuple):
    """What an earlier scan found: images, and the reasons of other files, both by (path, size, mtime)."""

    images: Callable[[], frozenset[tuple[bytes, int, int]]]
    others: Mapping[tuple[bytes, int, int], str]


def list_tree(root: bytes, remembered: Remembered | None = None) -> Tree:
    """List the files of a folder tree.

    A file is an image where its name ends like one or, for any other name, its first bytes are those of one; whether it
    can be decoded is found out later. Hidden entries (a leading dot), what systems leave behind, pipes, sockets and
    devices are skipped. Links are followed, but no folder is entered twice and none that holds `root`; real folders
    come before links to them.

    Parameters
    ----------
    root : bytes
        Absolute, without links.
    remembered : Remembered, optional
        Files without a telling name that need not be opened again.

    Returns
    -------
    Tree
        Folders that hold nothing are listed, too.

    Raises
    ------
    ImageSetError
        Where the folder cannot be read.
    """
    walk = _Walk(root, remembered or Remembered(frozenset, {}))
    walk.run()
    return walk.tree


@dataclass
class _Walk:
    root: bytes
    remembered: Remembered
    seen: dict[tuple[int, int], bytes] = field(default_factory=dict)  # (device, inode) of folders entered
    links: list[bytes] = field(default_factory=list)
    images: frozenset[tuple[bytes, int, int]] | None = None

    def __post_init__(self) -> None:
        self.tree = Tree(self.root, read=lambda path: _read_list(self.root, path))
        self.skipped = self.tree.skipped

    def run(self) -> None:
        above = self.root
        while True:
            self.seen[_identity(above)] = b"" if above == self.root else above
            if above == os.path.dirname(above):
                break
            above = os.path.dirname(above)

        pending = [b""]
        while pending or self.links:
            if pending:
                folder = pending.pop()
            else:
                self.links.sort(reverse=True)
                folder = self.links.pop()
            if folder and not self._enter(folder):
                continue
            before = len(self.tree.paths)
            inner = self._list(folder)
            count = len(self.tree.paths) - before
            if inner is not None or count:  # a folder may cease to be readable half-way
                pending.extend(inner or ())
                self.tree.folders.append((folder, count))

    def _enter(self, folder: bytes) -> bool:
        """Note the folder as seen; False where it was seen before or cannot be looked at."""
        try:
            identity = _identity(os.path.join(self.root, folder))
        except OSError as error:
            self.skipped.append(Skipped(folder, f"{UNREADABLE}: {error.strerror}"))
            return False
        same = self.seen.setdefault(identity, folder)
        if same is folder:
            return True
        loops = os.path.isabs(same) or not same
        reason = "a link to a folder that holds this one" if loops else f"the same folder as {printable_path(same)}"
        self.skipped.append(Skipped(folder, reason))
        return False

    def _list(self, folder: bytes) -> list[bytes] | None:
        """Take the files of one folder; return its real sub-folders, None where it cannot be read; put links aside."""
        prefix = folder + b"/" if folder else b""
        inner: list[bytes] = []
        tree = self.tree
        # Bound once: this loop runs for every file and decides how long a repeated extraction takes.
        usual, extensions, is_file = _USUAL, formats.EXTENSIONS, stat.S_ISREG
        paths, sizes, mtimes = tree.paths.append, tree.sizes.append, tree.mtimes.append
        try:
            with os.scandir(os.path.join(self.root, folder)) as entries:
                for entry in entries:
                    name = entry.name
                    path = prefix + name
                    if name[0] == 0x2E:
                        self.skipped.append(Skipped(path, _hidden(name)))
                        continue
                    try:
                        status = entry.stat()
                    except OSError as error:
                        self.skipped.append(Skipped(path, _unreachable(entry, error)))
                        continue
                    if is_file(status.st_mode):
                        if (
                            name[-4:] in usual
                            or name[name.rfind(b".") :].lower() in extensions
                            or self._is_image(path, name, status)
                        ):
                            paths(path)
                            sizes(status.st_size)
                            mtimes(status.st_mtime_ns)
                    elif not stat.S_ISDIR(status.st_mode):
                        self.skipped.append(Skipped(path, _kind(status.st_mode)))
                    elif name.lower() in SYSTEM_FOLDERS:
                        self.skipped.append(Skipped(path, SYSTEM_FOLDER))
                    else:
                        (self.links if entry.is_symlink() else inner).append(path)
        except OSError as error:
            if not folder:
                raise ImageSetError(f"{printable_path(self.root)} cannot be read: {error.strerror}") from error
            self.skipped.append(Skipped(folder, f"{UNREADABLE}: {error.strerror}"))
            return None
        return inner

    def _is_image(self, path: bytes, name: bytes, status: os.stat_result) -> bool:
        """Whether a file whose name does not tell is an image; noted as skipped where not."""
        if name.lower() in SYSTEM_FILES:
            self.skipped.append(Skipped(path, SYSTEM_FILE))
            return False
        key = (path, status.st_size, status.st_mtime_ns)
        reason = self.remembered.others.get(key)
        if reason is None:
            if self.images is None:
                self.images = self.remembered.images()
            if key in self.images:
                return True
            try:
                head = _read_head(os.path.join(self.root, path))
            except OSError as error:
                self.skipped.append(Skipped(path, f"unreadable: {error.strerror}"))
                return False
            if formats.sniff(head):
                return True
            reason = f"not a supported image: {formats.describe(head)}"
        self.skipped.append(Skipped(path, reason, status.st_size, status.st_mtime_ns))
        return False


def _hidden(name: bytes) -> str:
    """Why an entry with a leading dot is skipped."""
    return SYSTEM_FILE if name.startswith(b"._") else of_the_system(name) or "hidden"


def of_the_system(name: bytes) -> str | None:
    """Why an entry is skipped that a system made and not people, by its name; None for every other.

    Examples
    --------
    >>> of_the_system(b"Thumbs.db"), of_the_system(b"cats")
    ('a file of the system, not of the data', None)
    """
    if name.lower() in SYSTEM_FILES:
        return SYSTEM_FILE
    return SYSTEM_FOLDER if name.lower() in SYSTEM_FOLDERS else None


def _read_list(root: bytes, path: bytes) -> bytes:
    """The content of a file that is no image."""
    place = printable_path(path)
    try:
        descriptor, status = open_regular(os.path.join(root, path))
        with os.fdopen(descriptor, "rb") as file:
            content = file.read(LIST_BYTES + 1)
    except (OSError, ValueError) as error:
        raise ImageSetError(f"{place} in {printable_path(root)} cannot be read: {error}") from error
    if len(content) > LIST_BYTES:
        raise ImageSetError(
            f"{place} in {printable_path(root)} has {status.st_size} bytes; expected a list of at most {LIST_BYTES}"
        )
    return content


def _read_head(path: bytes) -> bytes:
    descriptor, _ = open_regular(path)
    try:
        return os.read(descriptor, formats.HEAD_BYTES)
    finally:
        os.close(descriptor)


def _identity(path: bytes) -> tuple[int, int]:
    status = os.stat(path)
    return status.st_dev, status.st_ino


def _unreachable(entry: os.DirEntry[bytes], error: OSError) -> str:
    if isinstance(error, FileNotFoundError):
        return "a link that leads nowhere" if entry.is_symlink() else "vanished during the scan"
    return f"unreadable: {error.strerror}"


def _kind(mode: int) -> str:
    if stat.S_ISFIFO(mode):
        return "a named pipe"
    return "a socket" if stat.S_ISSOCK(mode) else "a device"
