"""Where the files of a list may be: a disk, or the files of a tree; names found although they are spelled otherwise."""

# Paths are bytes here, which pathlib does not know.
# ruff: noqa: PTH118, PTH119, PTH120, PTH122

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from typing import Protocol

from featstore.images import formats
from featstore.images.tree import Tree
from featstore.lists.spellings import loose

_MOST = 300_000
"""Files among which a list's are searched where they are not where it says."""

_DEPTH = 4


class Files(Protocol):
    """Files that can be asked for by path, and folders that can be listed."""

    def has(self, path: bytes) -> bool:
        """Whether there is a file of exactly that path."""

    def names(self, folder: bytes) -> Iterable[bytes]:
        """Names in a folder; none where it is no folder."""

    def below(self, folder: bytes) -> Iterable[bytes]:
        """Paths of the files anywhere in a folder, from where `has` takes them."""


class Disk:
    """The files of this machine, by absolute path.

    Examples
    --------
    >>> Disk().has(b"/no/such/file")
    False
    """

    def __init__(self) -> None:
        self.seen: dict[bytes, tuple[int, int]] = {}
        """Size and modification time (ns) of every file that was asked for and is there."""

    def has(self, path: bytes) -> bool:
        """Whether there is a regular file of exactly that path."""
        try:
            status = os.stat(path)
        except (OSError, ValueError):
            return False
        if not stat.S_ISREG(status.st_mode):
            return False
        self.seen[path] = (status.st_size, status.st_mtime_ns)
        return True

    def names(self, folder: bytes) -> Iterable[bytes]:
        """Names in a folder; none where it cannot be listed."""
        try:
            return os.listdir(folder or b".")
        except (OSError, ValueError):
            return []

    def below(self, folder: bytes) -> Iterable[bytes]:
        """Paths of the visible files in a folder, `_MOST` at most and `_DEPTH` folders deep."""
        count = 0
        depth = folder.rstrip(b"/").count(b"/") + _DEPTH
        for place, inner, names in os.walk(folder):
            inner[:] = sorted(name for name in inner if name[:1] != b".") if place.count(b"/") < depth else []
            for name in names:
                yield os.path.join(place, name)
            count += len(names) + 1
            if count > _MOST:
                return


class Members:
    """The image files of a tree, by path relative to its root.

    Examples
    --------
    >>> members = Members(Tree(b"/pets", [b"cats/1.jpg"], [9], [0]))
    >>> members.has(b"cats/1.jpg"), members.names(b"cats"), members.names(b"")
    (True, [b'1.jpg'], [b'cats'])
    """

    def __init__(self, tree: Tree) -> None:
        self.tree = tree
        self._names: dict[bytes, dict[bytes, None]] | None = None

    def has(self, path: bytes) -> bool:
        """Whether an image of the tree has exactly that path."""
        return path in self.tree.row_of

    def names(self, folder: bytes) -> Iterable[bytes]:
        """Names in a folder of the tree."""
        if self._names is None:
            self._names = {}
            for path in self.tree.paths:
                while path:
                    above, name = os.path.split(path)
                    inside = self._names.setdefault(above, {})
                    if name in inside:
                        break
                    inside[name] = None
                    path = above
        return list(self._names.get(folder, ()))

    def below(self, folder: bytes) -> Iterable[bytes]:
        """Paths of the images in a folder of the tree."""
        return self.tree.paths if not folder else [p for p in self.tree.paths if p.startswith(folder + b"/")]


class Folders:
    """Files found by names that differ from theirs in capitals, Unicode form or a missing extension.

    Each folder is listed once.
    """

    def __init__(self, files: Files) -> None:
        self.files = files
        self._known: dict[bytes, tuple[set[bytes], dict[str, list[bytes]], dict[str, list[bytes]]]] = {}
        self._places: dict[tuple[bytes, bytes], list[bytes]] = {}
        self._below: dict[bytes, tuple[dict[str, list[bytes]], dict[str, list[bytes]]]] = {}

    def has(self, path: bytes) -> bool:
        """Whether there is a file of exactly that path; the listed folder is asked before the disk."""
        folder, _, name = path.rpartition(b"/")
        names = self._listed(folder or (b"/" if path[:1] == b"/" else b""))[0]
        return (not names or name in names) and self.files.has(path)

    def is_folder(self, path: bytes) -> bool:
        """Whether there is a folder of that path with something in it."""
        above, _, name = path.rpartition(b"/")
        return bool(name) and any(self._listed(join(above, real))[0] for real in self._alike(above, name, False))

    def find(self, base: bytes, path: bytes) -> list[bytes]:
        """The files that a path may mean: one where it is plain, several where it has several readings.

        Parameters
        ----------
        base : bytes
            Folder that the path is relative to.
        path : bytes
            Without `.`; a leading `..` is followed.
        """
        above, _, name = path.rpartition(b"/")
        folders = self._folders_like(base, above) if above or path[:1] == b"/" else [base]
        places = [join(folder, alike) for folder in folders for alike in self._alike(folder, name, True)]
        return [place for place in places if self.files.has(place)]

    def ending(self, base: bytes, path: bytes) -> list[bytes]:
        """The files anywhere below a folder whose paths end as a path does, with an ending of images where it has none.

        Parameters
        ----------
        base, path : bytes
            As `find` takes them.
        """
        if base not in self._below:
            names: dict[str, list[bytes]] = {}
            stems: dict[str, list[bytes]] = {}
            for file in self.files.below(base):
                name = os.path.basename(file)
                names.setdefault(loose(name), []).append(file)
                stem, ending = os.path.splitext(name)
                if ending.lower() in formats.EXTENSIONS:
                    stems.setdefault(loose(stem), []).append(file)
            self._below[base] = (names, stems)
        *folders, name = path.split(b"/")
        for index in self._below[base]:
            found = index.get(loose(name), [])
            if folders:
                tail = [loose(folder) for folder in folders]
                found = [f for f in found if [loose(part) for part in f.split(b"/")[-len(tail) - 1 : -1]] == tail]
            exact = [file for file in found if (b"/" + file).endswith(b"/" + path)]
            found = [file for file in exact or found if self.files.has(file)]
            if found:
                return found
        return []

    def digits(self, base: bytes) -> int:
        """How many digits the images anywhere below a folder have that are named by numbers; 0 where it differs."""
        self.ending(base, b"")
        widths = {len(stem) for stem in self._below[base][1] if stem.isascii() and stem.isdigit()}
        return widths.pop() if len(widths) == 1 else 0

    def other_ending(self, base: bytes, path: bytes) -> bytes | None:
        """The one file that has a path but for its ending; None where there are none or several."""
        stem, ending = os.path.splitext(path)
        found = self.find(base, stem) if ending.lower() in formats.EXTENSIONS else []
        return found[0] if len(found) == 1 else None

    def _folders_like(self, base: bytes, path: bytes) -> list[bytes]:
        """The folders that a path may mean, as `find` does files."""
        key = (base, path)
        if key not in self._places:
            places = [base]
            for part in path.split(b"/"):
                if not part:  # an absolute path
                    places = [b"/"]
                elif part == b"..":
                    places = [os.path.dirname(place) for place in places]
                else:
                    places = [join(place, name) for place in places for name in self._alike(place, part, False)]
                if len(places) > 64:
                    places = []
            self._places[key] = places
        return self._places[key]

    def _alike(self, folder: bytes, name: bytes, last: bool) -> list[bytes]:
        exact, alike, stems = self._listed(folder)
        if name in exact and not last:
            return [name]
        found = alike.get(loose(name), [])
        if found or not last:
            return found
        return stems.get(loose(name), [])

    def _listed(self, folder: bytes) -> tuple[set[bytes], dict[str, list[bytes]], dict[str, list[bytes]]]:
        known = self._known.get(folder)
        if known is None:
            known = (set(self.files.names(folder)), {}, {})
            for name in sorted(known[0]):
                key = loose(name)
                known[1].setdefault(key, []).append(name)
                stem, ending = os.path.splitext(name)
                if ending.lower() in formats.EXTENSIONS:
                    known[2].setdefault(loose(stem), []).append(name)
            self._known[folder] = known
        return known


def join(folder: bytes, path: bytes) -> bytes:
    """A path from a folder; an absolute one as it is.

    Examples
    --------
    >>> join(b"/pets", b"1.jpg"), join(b"", b"1.jpg"), join(b"/pets", b"/1.jpg")
    (b'/pets/1.jpg', b'1.jpg', b'/1.jpg')
    """
    if not folder or path[:1] == b"/":
        return path
    return folder + path if folder[-1:] == b"/" else folder + b"/" + path
