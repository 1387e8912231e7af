# ruff: noqa: PTH119, PTH120, C416
"""What a disk may hold after a power cut, worked out from a record of calls: every state, not one run's luck.

The model is the weakest that POSIX allows. Bytes that were not synced may be there, missing, torn or zeros. An entry of
a folder that was not synced since (a new name, a removed one) may be there or not, independently of every other.
"""

import itertools
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.faulty_os import Call

Tree = dict[str, bytes | None]
"""Path -> bytes of a file, None for a folder."""

_FEW = 4


@dataclass
class _Inode:
    folder: bool
    durable: bytes = b""
    written: bytes = b""

    def contents(self) -> list[bytes]:
        """What may be found in a file: all of it, or what an unfinished write left."""
        if self.folder or self.durable == self.written:
            return [self.written]
        size = len(self.written)
        return [self.written, self.durable, self.written[: size // 2], bytes(size)]


@dataclass
class _Folder:
    durable: dict[str, int] = field(default_factory=dict)
    pending: list[tuple[str, int | None]] = field(default_factory=list)  # name -> inode, None where it was removed

    def states(self) -> Iterator[dict[str, int]]:
        """What a listing may show: each change since the last sync kept or lost."""
        count = len(self.pending)
        if count <= _FEW:
            kept = list(itertools.product([True, False], repeat=count))
        else:  # none, all, every prefix, and each one lost or kept alone
            kept = [tuple(i < end for i in range(count)) for end in range(count + 1)]
            kept += [tuple((i == one) == alone for i in range(count)) for one in range(count) for alone in (0, 1)]
        seen = set()
        for choice in kept:
            entries = dict(self.durable)
            for (name, inode), keep in zip(self.pending, choice, strict=True):
                if keep and inode is None:
                    entries.pop(name, None)
                elif keep and inode is not None:
                    entries[name] = inode
            frozen = frozenset(entries.items())
            if frozen not in seen:
                seen.add(frozen)
                yield entries


class Disk:
    """A disk that calls are replayed on.

    Parameters
    ----------
    root : str
        Existing folder, whose entries are durable from the start.
    tree : Tree, optional
        What is on the disk, durably, below `root`; paths are absolute.
    """

    def __init__(self, root: str, tree: Tree | None = None) -> None:
        self.root = root
        self.inodes: list[_Inode] = [_Inode(folder=True)]
        self.folders: dict[int, _Folder] = {0: _Folder()}
        self._renames: list[tuple[int, str, int, str, int]] = []
        for path in sorted(tree or {}):
            content = (tree or {})[path]
            number = self._new(folder=content is None)
            self.inodes[number].durable = self.inodes[number].written = content or b""
            self._folder_of(path).durable[os.path.basename(path)] = number

    def apply(self, call: Call) -> None:
        """Do what a call does."""
        path = call.paths[0]
        if call.name in ("open", "mkdir"):
            self._enter(path, self._new(folder=call.name == "mkdir"))
        elif call.name == "write":
            inode = self.inodes[self._find(path)]
            inode.written += call.data
        elif call.name == "fsync":
            number = self._find(path)
            self.inodes[number].durable = self.inodes[number].written
            if number in self.folders:
                folder = self.folders[number]
                folder.durable, folder.pending = self._now(number), []
        elif call.name == "link":
            self._enter(call.paths[1], self._find(path))
        elif call.name in ("rename", "replace"):
            number = self._find(path)
            ends = [(self._find(os.path.dirname(p)), os.path.basename(p)) for p in call.paths]
            self._renames.append((*ends[0], *ends[1], number))
            self._enter(path, None)
            self._enter(call.paths[1], number)
        elif call.name == "unlink":
            self._enter(path, None)

    def states(self) -> Iterator[Tree]:
        """Every tree that may be found when the power comes back, without `tmp` files' variety: nobody reads those."""
        names = self._names()
        choices = []
        for number, folder in self.folders.items():
            options = list(folder.states())
            inert = os.path.basename(names.get(number, "")) == "tmp" and not any(
                name.endswith(".taken") for name, _ in folder.pending
            )
            choices.append([(number, entries) for entries in ([options[0], options[-1]] if inert else options)])
        # One folder at a time takes every state it may have, beside all others keeping everything or losing everything.
        seen = set()
        for varied in range(len(choices)):
            for rest in (0, -1):
                for option in choices[varied]:
                    listing = {number: entries for number, entries in (c[rest] for c in choices)}
                    listing[option[0]] = option[1]
                    key = tuple(sorted((n, tuple(sorted(e.items()))) for n, e in listing.items()))
                    if key not in seen and not self._half_renamed(listing):
                        seen.add(key)
                        yield from self._trees(listing)

    def _half_renamed(self, listing: dict[int, dict[str, int]]) -> bool:
        """Whether a file is gone from both ends of a rename: a file system takes the old name away with the new one."""
        return any(
            (old, None) in self.folders[source].pending
            and (new, inode) in self.folders[target].pending
            and old not in listing[source]
            and listing[target].get(new) != inode
            for source, old, target, new, inode in self._renames
        )

    def _trees(self, listing: dict[int, dict[str, int]]) -> Iterator[Tree]:
        base: Tree = {}
        unsure: dict[int, list[str]] = {}
        queue = [(0, self.root)]
        while queue:
            number, path = queue.pop()
            for name, child in listing[number].items():
                place = f"{path}/{name}"
                if self.inodes[child].folder:
                    base[place] = None
                    queue.append((child, place))
                else:
                    contents = self.inodes[child].contents()
                    base[place] = contents[0]
                    if len(contents) > 1:
                        unsure.setdefault(child, []).append(place)
        yield base
        for child, places in unsure.items():
            for content in self.inodes[child].contents()[1:]:
                yield {**base, **dict.fromkeys(places, content)}

    def _new(self, folder: bool) -> int:
        self.inodes.append(_Inode(folder))
        if folder:
            self.folders[len(self.inodes) - 1] = _Folder()
        return len(self.inodes) - 1

    def _enter(self, path: str, inode: int | None) -> None:
        self._folder_of(path).pending.append((os.path.basename(path), inode))

    def _folder_of(self, path: str) -> _Folder:
        return self.folders[self._find(os.path.dirname(path))]

    def _now(self, number: int) -> dict[str, int]:
        folder = self.folders[number]
        entries = dict(folder.durable)
        for name, inode in folder.pending:
            if inode is None:
                entries.pop(name, None)
            else:
                entries[name] = inode
        return entries

    def _find(self, path: str) -> int:
        number = 0
        for part in Path(path).relative_to(self.root).parts:
            number = self._now(number)[part]
        return number

    def _names(self) -> dict[int, str]:
        found, queue = {0: self.root}, [0]
        while queue:
            number = queue.pop()
            for name, child in self._now(number).items():
                if self.inodes[child].folder:
                    found[child] = f"{found[number]}/{name}"
                    queue.append(child)
        return found


def write_tree(tree: Tree, root: str, place: Path) -> Path:
    """Put a tree on the real disk, below `place` instead of `root`."""
    for path in sorted(tree):
        target = place / Path(path).relative_to(root)
        content = tree[path]
        if content is None:
            target.mkdir(parents=True)
        else:
            target.write_bytes(content)
    return place


def read_tree(place: Path) -> Tree:
    """What is on the real disk below a folder."""
    return {str(p): None if p.is_dir() else p.read_bytes() for p in sorted(place.rglob("*"))}


def cuts(
    root: str, record: Sequence[Call], start: Tree | None = None, promised: Callable[[int], object] = lambda done: None
) -> Iterator[tuple[int, Tree]]:
    """(calls done, tree) for the power failing after every call.

    Parameters
    ----------
    promised : callable
        What must hold after so many calls: the same tree is yielded again where that changes.
    """
    disk = Disk(root, start)
    seen: set[int] = set()
    for done in range(len(record) + 1):
        if done:
            disk.apply(record[done - 1])
        for tree in disk.states():
            key = hash((promised(done), frozenset(tree.items())))
            if key not in seen:
                seen.add(key)
                yield done, tree
