"""Tree: the files of a folder or archive, before anybody asks for their classes; and what a layout makes of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property

from featstore.images.listing import Found, Skipped

LIST_BYTES = 1 << 28
"""The largest list (of images, of classes) that is read, bytes."""


@dataclass
class Tree:
    """The files of a folder, or the members of an archive.

    Attributes
    ----------
    root : bytes
        Absolute path of the folder or archive, without links.
    paths : list of n bytes
        Image files, relative to `root`, folder after folder.
    sizes, mtimes : list of n int
        Bytes; nanoseconds since the epoch.
    folders : list of (bytes, int)
        Every folder, "" for the root, with the number of image files directly in it, in the order of `paths`.
    skipped : list of Skipped
        Everything else; a file that is no image with its size and time.
    read : callable
        The content of a file by its relative path; ImageSetError where it cannot be read or is larger than
        `LIST_BYTES`.
    notes : list of str
        What is to be said of the whole, such as where an archive was cut off.

    Examples
    --------
    >>> tree = Tree(b"/pets", [b"cats/1.jpg"], [900], [0], [(b"", 0), (b"cats", 1)], [Skipped(b"a.txt", "text", 7, 0)])
    >>> tree.others
    {b'a.txt': (7, 0)}
    """

    root: bytes
    paths: list[bytes] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)
    mtimes: list[int] = field(default_factory=list)
    folders: list[tuple[bytes, int]] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)
    read: Callable[[bytes], bytes] = lambda path: b""
    notes: list[str] = field(default_factory=list)

    @cached_property
    def others(self) -> dict[bytes, tuple[int, int]]:
        """Visible files that are no images: path -> (size, modification time)."""
        return {s.path: (s.size, s.mtime) for s in self.skipped if s.size >= 0}

    @cached_property
    def row_of(self) -> dict[bytes, int]:
        """Image files: path -> position in `paths`."""
        return {path: row for row, path in enumerate(self.paths)}


@dataclass
class Labelled:
    """Images with their classes and parts, and where these came from.

    Attributes
    ----------
    found : Found
    skipped : list of Skipped
        Everything that is no row, with the reason.
    layout : str
        Name of the layout that was recognised.
    labels_from, parts_from : str
        Ends of a sentence for people: "37 classes from annotations/list.txt"; "" where there are none.
    notes : list of str
        What was left out, not used or doubtful, for people.
    groups : dict of path to str
        Images that belong together (one patient), where the data tell it.
    root : bytes or None
        Where paths are relative to another place than the tree's root.

    Examples
    --------
    >>> Labelled(Found(), [], "class folders", "2 classes from folder names").parts_from
    ''
    """

    found: Found
    skipped: list[Skipped]
    layout: str
    labels_from: str
    parts_from: str = ""
    notes: list[str] = field(default_factory=list)
    groups: dict[bytes, str] = field(default_factory=dict)
    root: bytes | None = None
