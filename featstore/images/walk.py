"""Walk a folder tree: every image file, with the class and split that its folders give it, and why others are skipped.

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
from featstore.images.listing import UNREADABLE, Found, Listing, Skipped
from featstore.images.split_folders import EXPECTED, named_like_image, split_folders
from featstore.system.fsread import open_regular
from featstore.system.reporting import printable_path

_NO_CLASS = "lies in no class folder"


class Remembered(NamedTuple):
    """What an earlier scan found: images, and the reasons of other files, both by (path, size, mtime)."""

    images: Callable[[], frozenset[tuple[bytes, int, int]]]
    others: Mapping[tuple[bytes, int, int], str]


def list_folder(root: bytes, remembered: Remembered | None = None) -> Listing:
    """List the images of a folder tree.

    A file is an image where its name ends like one or, for any other name, its first bytes are those of one; whether it
    can be decoded is found out later. Hidden entries (a leading dot), pipes, sockets and devices are skipped. Links are
    followed, but no folder is entered twice and none that holds `root`; real folders come before links to them.

    Parameters
    ----------
    root : bytes
        Absolute, without links.
    remembered : Remembered, optional
        Files without a telling name that need not be opened again.

    Raises
    ------
    ImageSetError
        Where the folder cannot be read, holds no image in a class folder, or its layout has two readings.
    """
    walk = _Walk(root, remembered or Remembered(frozenset, {}), split_folders(root))
    walk.run()
    if not walk.found.paths:
        raise ImageSetError(_nothing_found(root, walk.skipped))
    return Listing.of(walk.found, walk.skipped, root)


class _Folder(NamedTuple):
    path: bytes  # relative to the root
    class_name: bytes | None  # None above the class folders
    split: str


@dataclass
class _Walk:
    root: bytes
    remembered: Remembered
    split_of: Mapping[bytes, str]
    found: Found = field(default_factory=Found)
    skipped: list[Skipped] = field(default_factory=list)
    seen: dict[tuple[int, int], bytes] = field(default_factory=dict)  # (device, inode) of folders entered
    links: list[_Folder] = field(default_factory=list)
    images: frozenset[tuple[bytes, int, int]] | None = None

    def run(self) -> None:
        above = self.root
        while True:
            self.seen[_identity(above)] = b"" if above == self.root else above
            if above == os.path.dirname(above):
                break
            above = os.path.dirname(above)

        pending = [_Folder(b"", None, "")]
        while pending or self.links:
            if pending:
                folder = pending.pop()
            else:
                self.links.sort(reverse=True)
                folder = self.links.pop()
            if folder.path and not self._enter(folder):
                continue
            before = len(self.found.paths)
            inner = self._list(folder)
            if inner is None:
                continue
            pending.extend(inner)
            count = len(self.found.paths) - before
            if count and folder.class_name is not None:
                self.found.runs.append((count, folder.class_name, folder.split))
            elif folder.class_name is not None and not inner:
                self.skipped.append(Skipped(folder.path, "a folder without images"))

    def _enter(self, folder: _Folder) -> bool:
        """Note the folder as seen; False where it was seen before or cannot be looked at."""
        try:
            identity = _identity(os.path.join(self.root, folder.path))
        except OSError as error:
            self.skipped.append(Skipped(folder.path, f"{UNREADABLE}: {error.strerror}"))
            return False
        same = self.seen.setdefault(identity, folder.path)
        if same is folder.path:
            return True
        loops = os.path.isabs(same) or not same
        reason = "a link to a folder that holds this one" if loops else f"the same folder as {printable_path(same)}"
        self.skipped.append(Skipped(folder.path, reason))
        return False

    def _list(self, folder: _Folder) -> list[_Folder] | None:
        """Take the files of one folder; return its real sub-folders, None where it cannot be read; put links aside."""
        prefix = folder.path + b"/" if folder.path else b""
        inner: list[_Folder] = []
        # Bound once: this loop runs for every file and decides how long a repeated extraction takes.
        extensions, is_file, is_loose = formats.EXTENSIONS, stat.S_ISREG, folder.class_name is None
        paths, sizes, mtimes = self.found.paths.append, self.found.sizes.append, self.found.mtimes.append
        try:
            with os.scandir(os.path.join(self.root, folder.path)) as entries:
                for entry in entries:
                    name = entry.name
                    path = prefix + name
                    if name[0] == 0x2E:
                        self.skipped.append(Skipped(path, "hidden"))
                        continue
                    try:
                        status = entry.stat()
                    except OSError as error:
                        self.skipped.append(Skipped(path, _unreachable(entry, error)))
                        continue
                    if is_file(status.st_mode):
                        if is_loose:
                            self._skip_file(path, status, _NO_CLASS)
                        elif name[name.rfind(b".") :].lower() in extensions or self._is_image(path, status):
                            paths(path)
                            sizes(status.st_size)
                            mtimes(status.st_mtime_ns)
                    elif not stat.S_ISDIR(status.st_mode):
                        self.skipped.append(Skipped(path, _kind(status.st_mode)))
                    elif (below := self._below(folder, path, name)) is not None:
                        (self.links if entry.is_symlink() else inner).append(below)
        except OSError as error:
            if not folder.path:
                raise ImageSetError(f"{printable_path(self.root)} cannot be read: {error.strerror}") from error
            self.skipped.append(Skipped(folder.path, f"{UNREADABLE}: {error.strerror}"))
            return None
        return inner

    def _below(self, folder: _Folder, path: bytes, name: bytes) -> _Folder | None:
        """What a sub-folder is; None where it is noted as skipped."""
        if folder.path or not self.split_of:
            return _Folder(path, name if folder.class_name is None else folder.class_name, folder.split)
        if name in self.split_of:
            return _Folder(path, None, self.split_of[name])
        self.skipped.append(Skipped(path, "a folder beside the split folders"))
        return None

    def _is_image(self, path: bytes, status: os.stat_result) -> bool:
        """Whether a file whose name does not tell is an image; noted as skipped where not."""
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
        self._skip_file(path, status, reason)
        return False

    def _skip_file(self, path: bytes, status: os.stat_result, reason: str) -> None:
        self.skipped.append(Skipped(path, reason, status.st_size, status.st_mtime_ns))


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


def _nothing_found(root: bytes, skipped: list[Skipped]) -> str:
    place = printable_path(root)
    visible = [s for s in skipped if s.reason != "hidden"]
    if not visible:
        return f"{place} is empty; {EXPECTED}"
    loose = [s for s in visible if s.reason == _NO_CLASS and named_like_image(s.path)]
    if loose:
        first_loose = printable_path(min(loose).path)
        return f"{len(loose)} images in {place} lie in no class folder (such as {first_loose}); {EXPECTED}"
    first = min(visible)
    return (
        f"{place} holds no image; {len(visible)} entries were skipped, such as {printable_path(first.path)} "
        f"({first.reason}); {EXPECTED}"
    )
