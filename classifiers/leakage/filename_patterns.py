"""FilenamePattern: a part of a file name that what comes from one source often shares, and how to read it."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

_MARK = (
    r"(?i:copy(?:[ _.-]+of)?|orig(?:inal)?|aug(?:mented|mentation)?|[hv]?flip(?:ped|[hv])?|mirror(?:ed)?|"
    r"rot(?:ated?|ation)?|crop(?:ped)?|resized?|scaled?|zoom(?:ed)?|blur(?:red)?|nois[ey]|bright(?:ness|er)?|"
    r"dark(?:er)?|contrast|gr[ae]y(?:scale)?|dup(?:licate)?)(?![A-Za-z])"
)
_END = r"(?:\.[^/.]*)?"  # the ending
_INSIDE = 0.05  # share of names whose shared part lies inside of an id from which the pattern reads ids, not sources


@dataclasses.dataclass(frozen=True)
class FilenamePattern:
    """Where the shared part stands in a path: behind `head` and before `tail`, at the end of the path.

    Attributes
    ----------
    head, part, tail : str
        Regular expressions without groups that count; `head` begins where the name of a file (or folder) begins.
    spoken : str
        What the part is, in words: images share it.
    marked : bool
        Whether names of one folder that share the part say themselves that they are variants: they differ in words
        such as copy, flip or aug only.

    Examples
    --------
    >>> first_word = FilenamePattern("", r"[^/_. -]+", r"[_. -][^/]*", "the first word")
    >>> re.search(first_word.anywhere, "left/anna_1.jpg")[1], re.search(first_word.with_folder, "left/anna_1.jpg")[1]
    ('anna', 'left/anna')
    """

    head: str
    part: str
    tail: str
    spoken: str = ""
    marked: bool = False

    @property
    def anywhere(self) -> str:
        """Expression whose first group is the part alone: it joins images of any folders."""
        return f"(?:^|/){self.head}({self.part}){self.tail}$"

    @property
    def with_last_folder(self) -> str:
        """Expression that also catches the last folder: it joins `train/cat` and `test/cat`, not `cat` and `dog`."""
        return f"(?:^|/)((?:[^/]*/)?{self.head}{self.part}){self.tail}$"

    @property
    def with_folder(self) -> str:
        """Expression that also catches all folders: it joins images of one folder only."""
        return f"^((?:[^/]*/)*{self.head}{self.part}){self.tail}$"

    def read(self, names: Sequence[str]) -> tuple[list[str | None], list[str]]:
        """The part in each name, None where the pattern does not match; and the folders before it.

        Parameters
        ----------
        names : sequence of n str
            Printable paths.

        Examples
        --------
        >>> PATTERNS[1].read(["b/tom.jpg", "b/tom_flip.jpg", "b/tom - Copy (2).jpg"])
        (['tom', 'tom', 'tom'], ['b', 'b', 'b'])
        """
        expression = re.compile(self.anywhere)
        parts: list[str | None] = []
        folders = []
        for name in names:
            found = expression.search(name)
            parts.append(None if found is None else found[1])
            folders.append(name[: found.start() if found is not None else max(name.rfind("/"), 0)])
        return parts, folders

    def reads_ids(self, names: Sequence[str]) -> bool:
        """Whether the part is often a piece of a random id (a digest, a UUID), and not the whole of it.

        Parameters
        ----------
        names : sequence of n str

        Examples
        --------
        >>> FilenamePattern("", r"[^/\\d]*\\d+", r"(?:[^/\\d][^/]*)?").reads_ids(["9f86d081884c7d659a2f.jpg"])
        True
        """
        expression = re.compile(self.anywhere)
        inside = 0
        for name in names:
            caught = expression.search(name)
            if caught is None:
                continue
            left, right = caught.span(1)
            ids = _random_ids(name)
            inside += any(a <= left < b and (left, right) != (a, b) or a < right < b for a, b in ids)
        return inside > _INSIDE * len(names)


_VARIANT = rf"[ _.-]*(?<![A-Za-z]){_MARK}[^/]*"

PATTERNS = (
    # photo_jpg.rf.0123abcd.jpg
    FilenamePattern("", r"[^/]+", r"\.rf\.[^/]*", "the name up to .rf.", True),
    # photo.jpg, photo_flip.jpg, photo-aug3.jpg, photo - Copy.jpg
    FilenamePattern(
        "", r"[^/]*?[^/ _.-]", rf"(?:{_VARIANT})?{_END}", "the name up to a word such as copy, flip or aug", True
    ),
    # photo.jpg, photo (2).jpg, photo_flip.jpg: numbers in brackets may also count what a camera took
    FilenamePattern(
        "",
        r"[^/]*?[^/ _.-]",
        rf"(?: *\(\d+\)|{_VARIANT})?{_END}",
        "the name up to a word such as flip or to (2)",
    ),
    # photo.jpg, aug_3_photo.jpg, rot90-photo.jpg, Copy of photo.jpg
    FilenamePattern(
        rf"(?:{_MARK}\d*[ _.-]+(?:\d+[ _-]+)?)*",
        r"[^/]+?",
        _END,
        "the name after words such as copy, flip or aug",
    ),
    # scan12_rot90.jpg, scan12b.jpg
    FilenamePattern("", r"[^/\d]*\d+", r"(?:[^/\d][^/]*)?", "the name up to its first number"),
    # left12.jpg, right12.jpg
    FilenamePattern(r"[^/\d]*", r"\d+", r"(?:[^/\d][^/]*)?", "the first number of the name"),
    # scan_a_017.png
    FilenamePattern("", r"[^/]*[^/\d]", rf"\d+{_END}", "the name up to its last number"),
    # patient7-left-2.png
    FilenamePattern("", r"[^/_. -]+", r"[_. -][^/]*", "the first word of the name"),
    # old_house_sepia.jpg
    FilenamePattern(
        "[ _-]*", r"[^/ _-]+?(?:[ _-]+[^/ _-]+?)*?", rf"(?:[ _-]+[^/ _-]+?)?{_END}", "the name up to its last word"
    ),
    # patient7/slice.png
    FilenamePattern("", r"[^/]+", r"/[^/]*", "the name of the folder"),
)
"""What copies, frames and slices of one source are often called."""


def part_codes(parts: Sequence[str | None]) -> NDArray[np.int64]:
    """Equal numbers for equal parts; a name without one is for itself.

    Examples
    --------
    >>> part_codes(["anna", None, "anna", None]).tolist()
    [0, 1, 0, 2]
    """
    numbers: dict[tuple[bool, str], int] = {}
    keys = [(part is None, str(row) if part is None else part) for row, part in enumerate(parts)]
    return np.array([numbers.setdefault(key, len(numbers)) for key in keys], dtype=np.int64)


_WORD = re.compile(r"[0-9A-Za-z]{8,}|[0-9A-Fa-f]{4,}(?:-[0-9A-Fa-f]{4,}){2,}")
_SWITCH = re.compile(r"(?<=[0-9])(?=[A-Za-z])|(?<=[A-Za-z])(?=[0-9])")
_HEXADECIMAL = re.compile(r"[0-9A-Fa-f-]+")


def _random_ids(name: str) -> list[tuple[int, int]]:
    """Where a name holds a digest, a UUID or another random id: letters and digits that change places often."""
    found = []
    for word in _WORD.finditer(name):
        text = word[0]
        switches = len(_SWITCH.findall(text))
        plain = _HEXADECIMAL.fullmatch(text) is not None
        if switches >= 3 and (plain or (len(text) >= 12 and switches >= len(text) / 6)):
            found.append(word.span())
    return found
