"""Which file each cell of a list means: where paths start from, and how they are spelled."""

# Paths are bytes here, which pathlib does not know.
# ruff: noqa: PTH119

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from featstore.images import formats
from featstore.images.part_names import part_of
from featstore.lists.folders import Files, Folders, join
from featstore.lists.spellings import SLASHES, TIDIED, WINDOWS, loose, spellings
from featstore.system.reporting import printable_path

_SAMPLE = 200
"""Cells by which it is decided where paths start from."""

_CASE, _ENDING, _BELOW, _ZEROS, _POINT = "case", "ending", "below", "zeros", "point"
_WHOLE = re.compile(r"\s*([0-9]+)(\.0)?\s*")
_SAID = {
    TIDIED: "{n} found without the quotes or spaces around {them}",
    SLASHES: "{n} found with / for \\",
    WINDOWS: "{n} found by reading {their} bytes as Windows-1252",
    _CASE: "{n} found in another letter case or Unicode form",
    _BELOW: "{n} found in a folder below the one that the list's paths start from",
    _ZEROS: "{n} found by adding the zeros in front of {their} number that the files have",
    _POINT: "{n} found without the .0 behind {their} number",
    _ENDING: "{n} found by adding the ending that the file has",
}


@dataclass
class Resolved:
    """What the cells of a list mean.

    Attributes
    ----------
    base : bytes
        Where the paths start from.
    prefix : bytes
        Folders of another machine that were left out in front; "" where none were.
    anywhere : bool
        Whether the files were searched in all folders below `base`.
    paths : list of bytes
        The file of each cell, from `base` where it is below it; where `found` is False, the path that was looked for.
    found : list of bool
    several : dict of int to list of bytes
        Cells that fit more than one file.
    done : Counter of str
        How many cells needed which mending.
    """

    base: bytes
    prefix: bytes = b""
    anywhere: bool = False
    paths: list[bytes] = field(default_factory=list)
    found: list[bool] = field(default_factory=list)
    several: dict[int, list[bytes]] = field(default_factory=dict)
    done: Counter[str] = field(default_factory=Counter)

    def notes(self) -> list[str]:
        """What was done with cells so that their files were found."""
        told = []
        for what, count in sorted(self.done.items()):
            many = count > 1
            words = {"n": f"{count} path{'s were' if many else ' was'}", "them": "them" if many else "it"}
            told.append(_SAID[what].format(**words, their="their" if many else "its"))
        if self.prefix:
            told.append(
                f"{printable_path(self.prefix)} in front of the paths was left out, for the files are not there"
            )
        return told


class Resolution:
    """Finds the files of cells among some files.

    Parameters
    ----------
    files : Files
    suffix : str
        Added to paths that do not end in it; the dot before an ending of images may lack.
    search : bytes, optional
        Folder in which they are searched where less than half of the cells are files otherwise.
    part : str
        The part that the list is about by its name ("train" for train.csv), "" where it tells none: a path without
        folders is then none of the files in a folder of another part.

    Examples
    --------
    >>> from featstore.images.tree import Tree
    >>> from featstore.lists.folders import Members
    >>> members = Members(Tree(b"/pets", [b"cats/1.jpg", b"dogs/2.jpg"], [9, 9], [0, 0]))
    >>> found = Resolution(members).resolve([r"C:\\me\\CATS\\1.jpg", r"C:\\me\\dogs\\2.jpg"], [b""])
    >>> found.paths, found.prefix
    ([b'cats/1.jpg', b'dogs/2.jpg'], b'C:/me')
    """

    def __init__(self, files: Files, suffix: str = "", search: bytes | None = None, part: str = "") -> None:
        self.files = files
        self.folders = Folders(files)
        self.suffix = f".{suffix}" if f".{suffix}".lower().encode() in formats.EXTENSIONS else suffix
        self.search = search
        self.part = part
        self._digits: dict[tuple[str, ...], int] = {}

    def share(self, cells: Sequence[str], bases: Sequence[bytes]) -> float:
        """Which share of some cells are files, from the best place, in [0, 1]."""
        few = sample(self._numbered(cells, bases))
        return self._plan(few, bases)[0] / len(few) if few else 0.0

    def rivals(self, cells: Sequence[str], bases: Sequence[bytes]) -> list[bytes]:
        """Places but the first where the cells are files, too, and other ones."""
        few = sample(self._numbered(cells, bases))
        hits = {base: {f for cell in few for f in self._located(cell, base)[0]} for base in bases}
        best, _ = self._base(few, bases)
        return [base for base in bases if base != best and hits[base] - hits[best]]

    def resolve(self, cells: Sequence[str], bases: Sequence[bytes]) -> Resolved:
        """Find the file of each cell.

        Parameters
        ----------
        cells : sequence of str
        bases : sequence of bytes
            Folders that the paths may start from, the likelier first; the one where most cells are files is taken,
            for all of them.
        """
        written, cells = cells, self._numbered(cells, bases)
        _, base, prefix, anywhere = self._plan(sample(cells), bases)
        resolved = Resolved(base, prefix, anywhere)
        pairs = zip(cells, written, strict=True)
        changed = [(cell, before.split(".")[0].strip()) for cell, before in pairs if cell != before]
        resolved.done += Counter(_ZEROS if cell != whole else _POINT for cell, whole in changed)
        has, inner = self.files.has, base + b"/" if base else b""
        # most cells of most lists are plain: one look a cell
        simple = not prefix and not self.suffix and any(has(join(base, _bytes(cell))) for cell in sample(cells)[:20])
        for cell in cells:
            if simple and cell.isascii() and "\\" not in cell and "/." not in cell and "//" not in cell:
                path = cell.encode()
                if path[:1] not in b"./" and has(join(base, path)):
                    resolved.paths.append(path)
                    resolved.found.append(True)
                    continue
            self._add(resolved, cell, inner)
        return resolved

    def _numbered(self, cells: Sequence[str], bases: Sequence[bytes]) -> Sequence[str]:
        """Numbers as the files have them: with the zeros in front, and without the point, that a spreadsheet changed.

        Only where each row is then one file, and some are none as they are written.
        """
        if self.search is None or not cells or not all(map(_WHOLE.fullmatch, cells)):
            return cells
        key = tuple(cells)
        if key not in self._digits:
            self._digits[key] = -1
            width = self.folders.digits(self.search)
            padded = [_padded(cell, width) for cell in cells]
            if (
                padded != list(cells)
                and any(len(self._anywhere(cell, bases)) != 1 for cell in cells)
                and all(len(self._anywhere(cell, bases)) == 1 for cell in padded)
            ):
                self._digits[key] = width
        width = self._digits[key]
        return cells if width < 0 else [_padded(cell, width) for cell in cells]

    def _anywhere(self, cell: str, bases: Sequence[bytes]) -> list[bytes]:
        here = self._located(cell, bases[0])[0]
        return here or self._located(cell, self.search or b"", b"", True)[0]

    def _add(self, resolved: Resolved, cell: str, inner: bytes) -> None:
        files, done = self._located(cell, resolved.base, resolved.prefix, resolved.anywhere)
        if len(files) == 1:
            path = files[0]
            resolved.paths.append(path[len(inner) :] if inner and path.startswith(inner) else path)
            resolved.done.update(done)
        else:
            if files:
                resolved.several[len(resolved.paths)] = files
            path, _ = spellings(cell, self.suffix)[-1]
            resolved.paths.append(stripped(path, resolved.prefix) or path)
        resolved.found.append(len(files) == 1)

    def _base(self, few: Sequence[str], bases: Sequence[bytes]) -> tuple[bytes, int]:
        """The place where the cells are files, and how many.

        The first, unless less than half are there, and in another all, or none here.
        """
        own, *others = [(sum(bool(self._located(cell, base)[0]) for cell in few), base) for base in bases]
        count, base = max(others, key=lambda pair: pair[0], default=own)
        if own[0] * 2 >= len(few) or count <= own[0] or (own[0] and count < len(few)):
            count, base = own
        return base, count

    def _plan(self, few: Sequence[str], bases: Sequence[bytes]) -> tuple[int, bytes, bytes, bool]:
        """How many cells are files at best; from where, without which folders in front, and whether anywhere below.

        What needs less mending is taken where it finds half of the cells.
        """
        base, hits = self._base(few, bases)
        best = (hits, base, b"", False)
        places = [(base, False) for base in bases]
        if self.search is not None:
            places.append((self.search, True))
        for place, anywhere in places:
            if anywhere and best[0] * 2 < len(few):
                found = sum(bool(self._located(cell, place, b"", True)[0]) for cell in few)
                best = max(best, (found, place, b"", True), key=lambda plan: plan[0])
            if best[0] * 2 < len(few):
                best = max(best, self._without_prefix(few, place, anywhere), key=lambda plan: plan[0])
        return best

    def _without_prefix(self, few: Sequence[str], base: bytes, anywhere: bool) -> tuple[int, bytes, bytes, bool]:
        """The leading folders without which most cells are files: those of another machine."""
        votes = Counter(prefix for cell in few for prefix in self._prefixes(cell, base, anywhere))
        best = (0, base, b"", anywhere)
        for prefix, _ in votes.most_common(8):
            shared = sum(stripped(spellings(cell)[-1][0], prefix) is not None for cell in few)
            if shared < len(few) and any(map(part_of, prefix.split(b"/"))):
                continue  # train/1.jpg and val/1.jpg are two images
            found = sum(bool(self._located(cell, base, prefix, anywhere)[0]) for cell in few)
            best = max(best, (found, base, prefix, anywhere), key=lambda plan: plan[0])
        return best

    def _prefixes(self, cell: str, base: bytes, anywhere: bool) -> Iterator[bytes]:
        """The fewest leading folders without which a cell is a file."""
        path, _ = spellings(cell, self.suffix)[-1]
        parts = path.split(b"/")
        for count in range(1, len(parts)):
            tail = b"/".join(parts[count:])
            found = self.folders.find(base, tail) or (self._ending(base, tail) if anywhere else [])
            found = [file for file in found if self._may_lack(parts[:count], tail, base, file)]
            if found:
                yield b"/".join(parts[:count]) or b"/"
                return

    def _may_lack(self, prefix: list[bytes], tail: bytes, base: bytes, file: bytes) -> bool:
        """Whether a file may be that of a path with further folders in front: those of another machine.

        It is not where they say another part than the file's folders, or where such a folder is here: then the path
        means a file that is missing.
        """
        place = b"/".join(file.split(b"/")[: -tail.count(b"/") - 1])  # the folder that the tail starts from
        inner = [base.rpartition(b"/")[2], *place[len(base) :].split(b"/")]
        here = [part for folder in inner if (part := part_of(folder))]
        absolute = prefix[0] in (b"", b"..") or prefix[0].endswith(b":")
        said = [part for folder in prefix if (part := part_of(folder))]
        nearest = part_of(prefix[-1])
        if nearest and nearest not in here[-1:]:
            return False
        if said and ((here and said[-1] != here[-1]) if absolute else said[-1] not in here[-1:]):
            return False
        rest, alike = list(prefix), False
        while rest and loose(place.rpartition(b"/")[2]) == loose(rest[-1]):
            if len(place) <= len(base):
                return True
            place, alike = place.rpartition(b"/")[0], bool(rest.pop())
        if not rest:
            return True
        below = len(place) > len(base)
        if below and not absolute and not alike and b"/" not in tail:
            return False  # cats/1.jpg is not dogs/1.jpg
        beside = [place, place.rpartition(b"/")[0]][: 1 + below]
        return not any(self.folders.is_folder(join(folder, rest[-1])) for folder in beside)

    def _ending(self, base: bytes, path: bytes) -> list[bytes]:
        """The files below a folder that end as a path does, and are in no folder of another part than the list's."""
        found = self.folders.ending(base, path)
        if not self.part:
            return found
        inner, tail = len(base), path.count(b"/") + 1
        return [
            file
            for file in found
            if {part for name in file[inner:].split(b"/")[:-tail] if (part := part_of(name)) is not None} <= {self.part}
        ]

    def _located(
        self, cell: str, base: bytes, prefix: bytes = b"", anywhere: bool = False
    ) -> tuple[list[bytes], list[str]]:
        """The files that a cell may mean, and what had to be done."""
        ways = [(path, what) for full, what in spellings(cell, self.suffix) if (path := stripped(full, prefix))]
        for path, what in ways:
            if self.folders.has(join(base, path)):
                return [join(base, path)], [what] if what else []
        for path, what in ways:
            found, done = self.folders.find(base, path), {what} - {""}
            if not found and anywhere:
                found = self._ending(base, path)
                done.add(_BELOW)
            if prefix:
                lacking = prefix.split(b"/")
                found = [file for file in found if self._may_lack(lacking, path, base, file)]
            if found:
                name, asked = os.path.basename(found[0]), os.path.basename(path)
                if name != asked or _BELOW not in done:
                    done.add(_CASE if loose(name) == loose(asked) else _ENDING)
                return found, sorted(done)
        return [], []


def stripped(path: bytes, prefix: bytes) -> bytes | None:
    """A path without the folders in front; None where it has others.

    Examples
    --------
    >>> stripped(b"/home/me/a.jpg", b"/home/me"), stripped(b"b.jpg", b"/home/me")
    (b'a.jpg', None)
    """
    if not prefix:
        return path
    before = prefix.rstrip(b"/") + b"/"
    if path[: len(before)].lower() == before.lower():
        return path[len(before) :]
    return None


def _padded(cell: str, width: int) -> str:
    """A whole number without a point, with zeros in front.

    Examples
    --------
    >>> _padded("8.0", 5)
    '00008'
    """
    whole = cell.split(".")[0].strip()
    return whole.zfill(width)


def sample(cells: Sequence[str]) -> list[str]:
    """Some cells that are not empty, evenly spread.

    Examples
    --------
    >>> sample(["a", "", "b"])
    ['a', 'b']
    """
    step = max(1, len(cells) // _SAMPLE)
    return [cell for cell in cells[::step] if cell.strip()]


def _bytes(cell: str) -> bytes:
    return cell.encode("utf-8", "replace")
