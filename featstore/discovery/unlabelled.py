"""Images to look at, without classes: what somebody names: files, folders and archives to the bottom, lists."""

# Paths are bytes here, which pathlib does not know.
# ruff: noqa: PTH100, PTH110, PTH112, PTH113, PTH118, PTH119, PTH120, PTH122

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from featstore.discovery.opened import LISTS, PARQUET, Opened, open_data
from featstore.errors import ImageSetError, ImagesNotFoundError
from featstore.images import formats
from featstore.images.archive_tree import archive_tree
from featstore.images.listing import UNREADABLE, Skipped
from featstore.images.reading import Reading
from featstore.images.shards import shards
from featstore.images.tree import Tree
from featstore.images.walk import SYSTEM_FILE, SYSTEM_FOLDER, list_tree
from featstore.sources.addresses import addresses
from featstore.sources.container import is_container
from featstore.sources.remote import fetched, is_url
from featstore.system.reporting import argument, printable_path

Path = str | bytes | os.PathLike[str]

OWN_NAMES = ("path", "name", "stem")
"""What an image can be called by without a list: its path, its file's name, that name without the ending."""

_OF_THE_SYSTEM = ("hidden", SYSTEM_FILE, SYSTEM_FOLDER)
_OF_LABELS = re.compile(
    r"`(labels|layout|class_from|label_column|split_column|group_column|unlabelled|allow)="
    r"|^columns? not used:|in no part; such images count as training images"
)
"""What notes of a list say about classes, parts and groups, which do not matter here."""

_TWICE = ("the same folder as", "a link to a folder that holds this one")
"""How reasons begin where nothing is lost."""


@dataclass(frozen=True)
class Unlabelled:
    """Images to look at.

    Attributes
    ----------
    paths : tuple of n bytes
        As named, with what lies in a folder, archive or list behind its name; each once.
    addresses : tuple of n bytes
        Where their bytes are, for `featstore.sources.reading.read`.
    ids : tuple of n str
        What each is called in a table.
    failed : tuple of (str, str)
        Printable path and reason of what was named, or is named like an image, but cannot be read as a file.
    skipped : tuple of (str, str)
        Printable path and kind of everything else; hidden files and those of the system are not told.
    notes : tuple of str
        What is to be said of a whole place, such as where an archive was cut off.

    Examples
    --------
    >>> Unlabelled((b"a.jpg",), (b"/d/a.jpg",), ("a.jpg",), (("b.jpg", "a named pipe"),), ()).names
    ('a.jpg',)
    """

    paths: tuple[bytes, ...]
    addresses: tuple[bytes, ...]
    ids: tuple[str, ...]
    failed: tuple[tuple[str, str], ...]
    skipped: tuple[tuple[str, str], ...]
    notes: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """Their printable paths."""
        return tuple(map(printable_path, self.paths))


def find_images(
    places: Sequence[Path], reading: Reading | None = None, *, id: str = "path", lists: bool = True
) -> Unlabelled:
    """List images.

    Parameters
    ----------
    places : sequence of path
        A file is taken whatever its name, unless that is the name of a list or archive; of a folder or archive all
        files in it whose ending or first bytes say that they are images; of a list its rows, in their order. Also
        shards (`shard-{000..099}.tar`) and the http(s) address of an archive.
    reading : Reading, optional
        How lists are to be read; they need no labels.
    id : str
        What an image is called by: "path", "name", "stem" or a column of the list.
    lists : bool
        Without them a file that is called like a list is taken for an image, as every other file is.

    Raises
    ------
    ImagesNotFoundError
        No image in any of the places; where one place alone does not exist, its name and why.
    ImageSetError
        A list or archive that cannot be read and is the only place, an `id` that is no column, or two images of one
        `id`.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = pathlib.Path(folder, "a.jpg").write_bytes(b"")
    ...     found = find_images([folder], id="stem")
    >>> [os.path.basename(path) for path in found.paths], found.ids
    ([b'a.jpg'], ('a',))
    """
    how = dataclasses.replace(reading or Reading(), unlabelled=True)
    if id not in OWN_NAMES:
        how = dataclasses.replace(how, group_column=id)
    search = _Search(how, alone=len(places) == 1, lists=lists)
    for place in map(os.fsencode, places):
        try:
            search.look(place)
        except ImageSetError as error:
            if search.alone:
                raise
            shown = printable_path(place)  # what is no list or archive changes nothing for the others
            search.failed.append((shown, str(error).removeprefix(shown).lstrip(" :")))
    if not search.found and not search.failed:
        raise ImagesNotFoundError(_nothing([os.fsencode(place) for place in places], search.skipped))
    paths = tuple(search.found)
    return Unlabelled(
        paths=paths,
        addresses=tuple(search.found.values()),
        ids=_names(paths, search.cells, id),
        failed=tuple(search.failed),
        skipped=tuple(search.skipped),
        notes=tuple(search.notes),
    )


@dataclass
class _Search:
    """The images of one place after the other."""

    reading: Reading
    alone: bool
    lists: bool
    found: dict[bytes, bytes] = field(default_factory=dict)  # path -> address
    cells: dict[bytes, str] = field(default_factory=dict)  # path -> what the list calls it
    failed: list[tuple[str, str]] = field(default_factory=list)
    skipped: list[tuple[str, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def look(self, place: bytes) -> None:
        """Add what one place holds."""
        name = place.lower()
        if is_url(os.fsdecode(place)):
            self._tree(place, archive_tree(os.fsencode(fetched(os.fsdecode(place)))))
            return
        if shards(place) is not None:
            folder = place if os.path.isdir(place) else os.path.dirname(place)
            self._tree(folder, archive_tree(place))
            return
        try:
            os.stat(place)
        except OSError as error:
            if self.alone:
                raise ImagesNotFoundError(
                    f"{printable_path(place)} cannot be opened: {error.strerror}; expected image files, folders or "
                    "archives of them, or lists"
                ) from error
            self.failed.append((printable_path(place), f"cannot be opened: {error.strerror}"))
            return
        if os.path.isdir(place):
            tree = list_tree(os.path.realpath(place))
            if tree.paths or not any(path.lower().endswith(PARQUET) for path in tree.others):
                self._tree(place, tree)
            else:
                self._rows(os.path.join(place, b""), open_data(place, self.reading))
        elif os.path.isfile(place) and name.endswith((*(LISTS if self.lists else ()), PARQUET)):
            self._rows(place, open_data(place, self.reading))
        elif is_container(place):
            self._tree(place, archive_tree(place))
        else:
            self.found.setdefault(place, os.path.abspath(place))  # what is no file is told where it is read

    def _tree(self, place: bytes, tree: Tree) -> None:
        """The files of a folder or the members of an archive, in byte order."""
        paths = sorted(tree.paths)
        places = addresses([os.path.join(tree.root, path) for path in paths])
        for path, address in zip(paths, places, strict=True):
            self.found.setdefault(os.path.join(place, path), address)
        self._left_out(place, tree.skipped)
        self.notes += tree.notes

    def _rows(self, place: bytes, opened: Opened) -> None:
        """The rows of a list or of Parquet files, in their order."""
        listed, root = opened.labelled, opened.root
        # Where paths start from the list's own folder they are told as they would be typed.
        folder = os.path.dirname(place)
        shown = folder if root == os.path.realpath(folder or b".") else root
        paths = listed.found.paths
        for path, address in zip(paths, addresses([os.path.join(root, path) for path in paths]), strict=True):
            named = os.path.join(shown, path)
            self.found.setdefault(named, address)
            if path in listed.groups:
                self.cells.setdefault(named, listed.groups[path])
        self._left_out(shown, listed.skipped, rows=True)
        self.notes += [note for note in listed.notes if not _OF_LABELS.search(note)]

    def _left_out(self, place: bytes, entries: Iterable[Skipped], rows: bool = False) -> None:
        for entry in sorted(entries):
            if entry.reason in _OF_THE_SYSTEM or entry.reason.startswith(_TWICE):
                continue
            named = os.path.splitext(entry.path)[1].lower() in formats.EXTENSIONS
            lost = rows or named or entry.reason.startswith(UNREADABLE)
            (self.failed if lost else self.skipped).append(
                (printable_path(os.path.join(place, entry.path)), entry.reason)
            )


def _names(paths: Sequence[bytes], cells: dict[bytes, str], id: str) -> tuple[str, ...]:
    """What each image is called by."""
    if id in OWN_NAMES:
        last = list(paths) if id == "path" else [os.path.basename(path) for path in paths]
        names = [printable_path(os.path.splitext(name)[0] if id == "stem" else name) for name in last]
    else:
        bare = next((path for path in paths if not cells.get(path)), None)
        if bare is not None:
            raise ImageSetError(
                f"{printable_path(bare)} has no {id!r}: {argument('id', id)} names a column of a list of images, and "
                f"all have to be in it; without a list there are {', '.join(OWN_NAMES)}"
            )
        names = [cells[path] for path in paths]
    first: dict[str, bytes] = {}
    for name, path in zip(names, paths, strict=True):
        if first.setdefault(name, path) != path:
            raise ImageSetError(
                f"two images are both called {name!r} by {argument('id', id)}: {printable_path(first[name])} and "
                f"{printable_path(path)}; {argument('id', 'path')} tells them apart"
            )
    return tuple(names)


def _nothing(places: Sequence[bytes], skipped: Sequence[tuple[str, str]]) -> str:
    """Why there is nothing to look at."""
    stores = [place for place in places if os.path.exists(os.path.join(place, b"store.json"))]
    if stores:
        return (
            f"{printable_path(stores[0])} is a feature store and holds no images; name the image files or folders "
            "that it was extracted from, or others"
        )
    shown = ", ".join(map(printable_path, places[:3]))
    others = ""
    if skipped:
        path, reason = skipped[0]
        kind = reason.removeprefix("not a supported image: ")
        others = f" ({len(skipped)} other file{'s' * (len(skipped) > 1)}, such as {path}: {kind})"
    return f"there is no image in {shown}{others}; expected {', '.join(formats.FORMATS)}"
