"""Place: a folder of a tree, as layouts look at it: what lies in it, and its lists."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from copy import copy

from featstore.errors import ImageSetError
from featstore.images.tree import Tree
from featstore.system.reporting import printable_path


class Place:
    """A folder of a tree: what lies in it, by paths relative to it.

    Parameters
    ----------
    tree : Tree
    base : bytes
        Path of the folder; "" for the root.

    Examples
    --------
    >>> place = Place(Tree(b"/pets", [b"cats/1.jpg"], [900], [0], [(b"", 0), (b"cats", 1)]))
    >>> place.children(), place.count(b"cats"), place.images(b"cats")
    ([b'cats'], 1, [(b'1.jpg', 0)])
    """

    def __init__(self, tree: Tree, base: bytes = b"") -> None:
        self.tree, self.base = tree, base
        self._spans: dict[bytes, list[tuple[int, int]]] = {}
        self._below: Counter[bytes] = Counter()
        self._inner: dict[bytes, set[bytes]] = {}
        self._sorted: dict[bytes, list[bytes]] = {}
        # people write Images and Annotations: a path that is not there is looked up without regard to capitals
        self._spelled: dict[bytes, bytes] = {}
        for path in (*(folder for folder, _ in tree.folders), *tree.others):
            self._spelled.setdefault(path.lower(), path)
        start = 0
        for path, count in tree.folders:
            if count:
                self._spans.setdefault(path, []).append((start, count))
                self._below[path] += count
            above, name = path, b""
            while above:
                above, _, name = above.rpartition(b"/")
                self._below[above] += count
                self._inner.setdefault(above, set()).add(name)
            start += count

    def at(self, path: bytes) -> Place:
        """The folder `path` in this one."""
        other = copy(self)
        other.base = self.whole(path)
        return other

    @property
    def name(self) -> bytes:
        """The folder's own name."""
        return (self.base or self.tree.root).rpartition(b"/")[2]

    def whole(self, path: bytes) -> bytes:
        """A path of this folder relative to the tree's root."""
        whole = self.base + b"/" + path if self.base and path else self.base or path
        if whole in self._below or whole in self.tree.others or whole in self.tree.row_of:
            return whole
        if whole.lower() in self._spelled:
            return self._spelled[whole.lower()]
        home, _, name = whole.rpartition(b"/")
        other = self._spelled.get(home.lower(), home)
        return other + b"/" + name if home and other + b"/" + name in self.tree.row_of else whole

    def children(self, path: bytes = b"") -> list[bytes]:
        """Names of the folders in a folder that hold images somewhere below, in byte order."""
        whole = self.whole(path)
        inner = self._inner.get(whole)
        if inner is None:
            return []
        if whole not in self._sorted:
            prefix = whole + b"/" if whole else b""
            self._sorted[whole] = sorted(name for name in inner if self._below[prefix + name])
        return self._sorted[whole].copy()

    def empty(self, path: bytes = b"") -> list[bytes]:
        """Names of the folders in a folder that hold no image."""
        return sorted(self._inner.get(self.whole(path), set()) - set(self.children(path)))

    def count(self, path: bytes = b"") -> int:
        """Number of images somewhere below a folder."""
        return self._below[self.whole(path)]

    def direct(self, path: bytes = b"") -> int:
        """Number of images directly in a folder."""
        return sum(count for _, count in self._spans.get(self.whole(path), ()))

    def folders(self) -> Iterator[tuple[bytes, tuple[bytes, ...]]]:
        """This folder and all below it that hold images: relative path, and the names of the folders on it."""
        pending: list[tuple[bytes, ...]] = [()]
        while pending:
            folders = pending.pop()
            path = b"/".join(folders)
            yield path, folders
            pending += [(*folders, name) for name in reversed(self.children(path))]

    def spans(self, path: bytes = b"") -> list[tuple[int, int]]:
        """Positions of the images directly in a folder: the first one's, and how many follow each other."""
        return self._spans.get(self.whole(path), [])

    def images(self, path: bytes = b"") -> list[tuple[bytes, int]]:
        """Names and positions of the images directly in a folder."""
        cut = len(self.whole(path)) + 1 if self.whole(path) else 0
        paths = self.tree.paths
        return [(paths[row][cut:], row) for start, count in self.spans(path) for row in range(start, start + count)]

    def row(self, path: bytes) -> int | None:
        """Position of an image."""
        return self.tree.row_of.get(self.whole(path))

    def has(self, *paths: bytes) -> bool:
        """Whether all these files that are no images are there."""
        return all(self.whole(path) in self.tree.others for path in paths)

    def content(self, path: bytes) -> bytes:
        """The bytes of a list file.

        Raises
        ------
        ImageSetError
            Where it cannot be read.
        """
        return self.tree.read(self.whole(path))

    def lines(self, path: bytes) -> list[bytes]:
        """The lines of a list file, without spaces around them, blank ones left out.

        Raises
        ------
        ImageSetError
            Where it cannot be read.
        """
        content = self.content(path).removeprefix(b"\xef\xbb\xbf")
        return [line for one in content.splitlines() if (line := one.strip())]


def shown(place: Place) -> str:
    """The folder's path as text."""
    return printable_path(b"/".join(part for part in (place.tree.root, place.base) if part))


def number(count: int, noun: str, plural: str = "") -> str:
    """A number with its noun.

    Examples
    --------
    >>> number(1, "class", "classes"), number(2, "image")
    ('1 class', '2 images')
    """
    return f"{count} {noun if count == 1 else plural or noun + 's'}"


def fields(place: Place, path: bytes, least: int, separator: bytes | None = None) -> list[list[bytes]]:
    """The lines of a list, cut into words; lines that begin with # are left out.

    Parameters
    ----------
    place : Place
    path : bytes
        Of the list, in the place.
    least : int
        Words that every line must have.
    separator : bytes, optional
        What is between words; spaces and tabs where it is not given.

    Raises
    ------
    ImageSetError
        Where the list cannot be read, or a line is too short.
    """
    lines = [line.split(separator) for line in place.lines(path) if not line.startswith(b"#")]
    for line in lines:
        if len(line) < least:
            raise ImageSetError(
                f"{shown(place)}: the line {printable_path(b' '.join(line)[:80])!r} of {printable_path(path)} has "
                f"{number(len(line), 'word')}; expected {least} or more"
            )
    return lines


def starts_with(place: Place, path: bytes, pattern: bytes) -> bool:
    """Whether the first line of a list that is no remark looks as expected; False where it cannot be read."""
    if not place.has(path):
        return False
    try:
        first = next((line for line in place.lines(path) if not line.startswith(b"#")), b"")
    except ImageSetError:
        return False
    return re.match(pattern, first) is not None


def together(names: Sequence[str | bytes], most: int = 5) -> str:
    """Names in a sentence.

    Examples
    --------
    >>> together(["train", "val", b"test"]), together("abcdefg", most=3)
    ('train, val and test', 'a, b and 5 more')
    """
    told = [printable_path(name) if isinstance(name, bytes) else name for name in names]
    if len(told) > most:
        told = [*told[: most - 1], f"{len(told) - most + 1} more"]
    return " and ".join([", ".join(told[:-1]), told[-1]] if len(told) > 1 else told)
