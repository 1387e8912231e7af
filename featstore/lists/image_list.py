"""A list of images and labels, read as it stands or applied to the files of a folder or archive."""

# Paths are bytes here, which pathlib does not know.
# ruff: noqa: PTH100, PTH109, PTH112, PTH117, PTH118, PTH120

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import replace

from featstore.errors import ImageSetError, ImagesNotFoundError
from featstore.images.image_set import SPLITS
from featstore.images.listing import Found, Skipped
from featstore.images.part_names import part_of
from featstore.images.reading import Reading
from featstore.images.tree import LIST_BYTES, Labelled, Tree
from featstore.lists.column_names import is_known
from featstore.lists.columns import Columns, find_columns
from featstore.lists.entries import (
    Entries,
    drop_comments,
    ending_hint,
    files_named,
    read_entries,
    refuse_missing,
    refuse_strange,
    require_labels,
)
from featstore.lists.folders import Disk, Members, join
from featstore.lists.resolution import Resolution, Resolved, stripped
from featstore.lists.table import Table, read_table
from featstore.system.fsread import open_regular
from featstore.system.reporting import argument, printable_path

UNLABELLED, UNLISTED = "without a label in the list", "on no list"
"""Why files are left out."""


def read_list(path: bytes, reading: Reading) -> Labelled:
    """The images that a list names, with their labels and parts.

    Columns are known by their names, by what `reading` says, or by whose cells are files. Paths start from the list's
    folder, `reading.root` or the working directory, whichever has the files. A file that is missing stays in the list
    with size 0, and fails when it is read.

    Parameters
    ----------
    path : bytes
        Of the list: CSV, TSV, text, JSON, JSON lines, Parquet.
    reading : Reading

    Returns
    -------
    Labelled
        `root` is the folder that paths start from; files that are elsewhere have absolute paths.

    Raises
    ------
    ImagesNotFoundError
        Where there is no such list.
    ImageSetError
        Where it cannot be understood, most files are missing, an image has two labels, or none has one.
    UnknownNameError
        Where `reading` names a column that is not there.
    MissingExtraError
        Where it is Parquet and pyarrow is not installed.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for name in ("a.jpg", "b.jpg"):
    ...         _ = pathlib.Path(folder, name).write_bytes(b"...")
    ...     _ = pathlib.Path(folder, "dogs.csv").write_text("id;breed\\na;beagle\\nb;pug\\n")
    ...     dogs = read_list(os.fsencode(folder) + b"/dogs.csv", Reading())
    >>> dogs.found.paths, dogs.labels_from
    ([b'a.jpg', b'b.jpg'], "2 classes from column 'breed' of dogs.csv")
    """
    path = os.path.abspath(path)
    table = _table(_content(path), path)
    bases = _bases(path, reading)
    disk = Disk()
    resolution = Resolution(disk, reading.suffix, bases[0], list_part(path))
    table, columns = _columns(table, reading, resolution, bases)
    cells = table.column(columns.path)
    resolved = resolution.resolve(cells, bases)
    drop_comments(table, columns, resolved)
    absent = [row for row, there in enumerate(resolved.found) if not there and row not in resolved.several]
    hint = ending_hint(table, columns, resolved, absent, resolution.folders)
    refuse_missing(table, columns, resolved, bases, hint)
    entries = read_entries(table, columns, resolved)
    require_labels(table, entries, columns, reading)

    found, skipped = Found(), list[Skipped]()
    root, missing, out = resolved.base, list[int](), list[int]()
    names = _encoded(entries.labels)
    for row in entries.rows:
        key, label = resolved.paths[row], names[entries.labels[row]]
        size, mtime = disk.seen[join(root, key)] if resolved.found[row] else (0, 0)
        if label is None and not reading.unlabelled:
            out.append(row)
            skipped.append(Skipped(key, UNLABELLED, size, mtime))
            continue
        if not resolved.found[row]:
            missing.append(row)
        found.add(key, size, mtime, label, entries.parts[row])
    notes = [*_of_place(resolution, resolved, cells, bases), *resolved.notes(), *table.notes]
    if missing:
        told = files_named(table, columns, missing)
        notes.append(f"{told} not there and will be among those that cannot be read{hint}")
    return _labelled(table, columns, entries, resolved, found, skipped, notes, out, root)


def label_with_list(tree: Tree, name: bytes, content: bytes, reading: Reading) -> Labelled:
    """Apply a list to the images of a folder or archive.

    Paths in the list start from the list's own folder, from the tree's root, or end as those of the images do.

    Parameters
    ----------
    tree : Tree
    name : bytes
        Path of the list: relative to the tree's root where it is in it, else absolute.
    content : bytes
        Of the list.
    reading : Reading

    Returns
    -------
    Labelled
        Images on no list are left out, or taken without a label where `reading.unlabelled` says so.

    Raises
    ------
    ImageSetError
        As `read_list`; and where the list is that of other images: less than half of its rows are among these, and
        less than half of these are on it.
    UnknownNameError, MissingExtraError
        As `read_list`.

    Examples
    --------
    >>> tree = Tree(b"/pets", [b"train/1.jpg", b"train/2.jpg"], [9, 9], [0, 0])
    >>> pets = label_with_list(tree, b"labels.csv", b"id,label\\n1,cat\\n2,dog\\n", Reading())
    >>> pets.found.paths, pets.found.runs
    ([b'train/1.jpg', b'train/2.jpg'], [(1, b'cat', ''), (1, b'dog', '')])
    """
    table = _table(content, name)
    bases = _bases_within(tree, name, reading)
    resolution = Resolution(Members(tree), reading.suffix, b"", list_part(_within(tree.root, name) or name))
    table, columns = _columns(table, reading, resolution, bases)
    if tree.root:  # absolute paths into the tree
        above = os.fsdecode(tree.root) + "/"
        for row in table.rows:
            row[columns.path] = row[columns.path].removeprefix(above)
    cells = table.column(columns.path)
    resolved = resolution.resolve(cells, bases)
    resolved.paths = [os.path.join(resolved.base, path) if there else path
                      for path, there in zip(resolved.paths, resolved.found, strict=True)]  # fmt: skip
    drop_comments(table, columns, resolved)
    missing = [row for row, there in enumerate(resolved.found) if not there and row not in resolved.several]
    listed = {path for path, there in zip(resolved.paths, resolved.found, strict=True) if there}
    hint = ending_hint(table, columns, resolved, missing, resolution.folders)
    refuse_strange(table, columns, tree, missing, listed, hint)
    entries = read_entries(table, columns, resolved)
    require_labels(table, entries, columns, reading)

    found, skipped, out = Found(), list(tree.skipped), list[int]()
    names = _encoded(entries.labels)
    row_at = {resolved.paths[row]: row for row in entries.rows if resolved.found[row]}
    unlisted = 0
    for path, size, mtime in zip(tree.paths, tree.sizes, tree.mtimes, strict=True):
        at = row_at.get(path, -1)
        label = names[entries.labels[at]] if at >= 0 else None
        unlisted += at < 0
        if label is not None or reading.unlabelled:
            found.add(path, size, mtime, label, entries.parts[at] if at >= 0 else "")
        else:
            skipped.append(Skipped(path, UNLABELLED if at >= 0 else UNLISTED, size, mtime))
            out += [at] if at >= 0 else []
    notes = [*resolved.notes(), *table.notes]
    if missing:
        notes.append(f"{files_named(table, columns, missing)} not among the images, and left out{hint}")
    if unlisted:
        what = "taken without a label" if reading.unlabelled else "left out"
        notes.append(
            f"{unlisted} image{'s are' if unlisted > 1 else ' is'} not on {table.place.rpartition('/')[2]} and {what}"
        )
    return _labelled(table, columns, entries, resolved, found, skipped, notes, out, None)


def parts_in_list(tree: Tree, name: bytes, content: bytes, reading: Reading) -> tuple[dict[bytes, str], str]:
    """The parts that a list without labels tells of the images of a folder or archive.

    Parameters
    ----------
    tree, name, content, reading
        As `label_with_list` takes them.

    Returns
    -------
    parts : dict of path to str
        Of the images that are in one.
    parts_from : str
        End of a sentence for people; "" where the list tells none.

    Raises
    ------
    ImageSetError, UnknownNameError, MissingExtraError
        As `label_with_list`.

    Examples
    --------
    >>> tree = Tree(b"/pets", [b"cats/1.jpg", b"dogs/2.jpg"], [9, 9], [0, 0])
    >>> parts_in_list(tree, b"metadata.csv", b"file_name,split\\ncats/1.jpg,train\\ndogs/2.jpg,test\\n", Reading())
    ({b'cats/1.jpg': 'train', b'dogs/2.jpg': 'test'}, "train and test from column 'split' of metadata.csv")
    """
    found = label_with_list(tree, name, content, replace(reading, unlabelled=True, label_column=None))
    parts = [part for count, _, part in found.found.runs for _ in range(count)]
    return {path: part for path, part in zip(found.found.paths, parts, strict=True) if part}, found.parts_from


def _content(path: bytes) -> bytes:
    place = printable_path(path)
    try:
        descriptor, status = open_regular(path)
        with open(descriptor, "rb") as file:  # noqa: PTH123 - a descriptor
            if status.st_size > LIST_BYTES:
                raise ImageSetError(
                    f"{place} has {status.st_size >> 20} MiB; expected a list of at most {LIST_BYTES >> 20} MiB"
                )
            return file.read()
    except FileNotFoundError as error:
        raise ImagesNotFoundError(f"{place} does not exist; expected a list of images") from error
    except OSError as error:
        raise ImageSetError(f"{place} cannot be read: {error.strerror}") from error


def _table(content: bytes, name: bytes) -> Table:
    table = read_table(content, name)
    if not table.rows:
        raise ImageSetError(f"{table.place} has a header but no rows; expected one row an image")
    return table


def _bases(path: bytes, reading: Reading) -> list[bytes]:
    """Folders that paths may start from, the likelier first; `root` decides."""
    if reading.root is not None:
        root = os.path.realpath(os.fsencode(reading.root))
        if not os.path.isdir(root):
            raise ImageSetError(
                f"{argument('root', reading.root)}: {printable_path(root)} is no folder; expected the folder that the "
                f"paths in {printable_path(path)} start from"
            )
        return [root]
    own = os.path.realpath(os.path.dirname(path))
    return list(dict.fromkeys([own, os.path.realpath(os.getcwdb())]))


def list_part(path: bytes) -> str:
    """The part that a list is about by its name, or by the folder that it is in; "" where they tell none.

    Examples
    --------
    >>> [list_part(path) for path in (b"train.csv", b"trainLabels.csv", b"test/labels.csv", b"dogs.csv")]
    ['train', 'train', 'test', '']
    """
    above, _, name = path.rpartition(b"/")
    silent = rb"(?i)(labels?|lists?|annotations?|metadata|meta|info|gt|ground_?truth)(?![a-z])"
    stem = re.sub(silent, b"", name.split(b".")[0])
    return part_of(stem) or part_of(above.rpartition(b"/")[2]) or ""


def _bases_within(tree: Tree, name: bytes, reading: Reading) -> list[bytes]:
    """Folders of a tree that paths may start from: the list's own, and the root; `root` decides."""
    if reading.root is None:
        own = os.path.dirname(_within(tree.root, name) or b"")
        return [own, b""] if own else [b""]
    inside = _within(tree.root, os.fsencode(reading.root))
    if inside is None:
        raise ImageSetError(
            f"{argument('root', reading.root)} is not in {printable_path(tree.root)}, whose images the list is for; "
            "expected a folder in it, or relative to it"
        )
    inside = os.path.normpath(inside or b".")
    return [b"" if inside == b"." else inside]


def _columns(table: Table, reading: Reading, resolution: Resolution, bases: list[bytes]) -> tuple[Table, Columns]:
    """The columns that count; a first row that is one of the images is no header."""

    def share(cells: Sequence[str]) -> float:
        return resolution.share(cells, bases)

    if table.headed and not any(map(is_known, table.columns)):
        unheaded = table.unheaded()
        for number, name in enumerate(table.columns):
            if name and share([name]) == 1.0 and share(table.column(number)) >= 0.5:
                table = unheaded
                break
    return table, find_columns(table, reading, share)


def _of_place(resolution: Resolution, resolved: Resolved, cells: Sequence[str], bases: Sequence[bytes]) -> list[str]:
    """Where paths start from, if that is not the list's folder; and where else there are such files."""
    notes = []
    if resolved.base != bases[0]:
        notes.append(f"the paths start from {printable_path(resolved.base)}, the working directory")
    rivals = resolution.rivals(cells, bases) if len(bases) > 1 and all(resolved.found[:1]) else []
    if rivals and not resolved.anywhere:
        shown = printable_path(rivals[0])
        notes.append(
            f"the paths start from {printable_path(resolved.base)}; files of such names are in {shown}, too: "
            f"{argument('root', os.fsdecode(rivals[0]))} takes these"
        )
    return notes


def _labelled(
    table: Table, columns: Columns, entries: Entries, resolved: Resolved, found: Found, skipped: list[Skipped],
    notes: list[str], out: Sequence[int], root: bytes | None,
) -> Labelled:  # fmt: skip
    notes = [*notes, *entries.notes, *columns.notes]
    if out:
        parts = {entries.parts[row] for row in out} - {""}
        where = f" (all in {next(iter(parts))})" if len(parts) == 1 and all(entries.parts[row] for row in out) else ""
        notes.append(
            f"{len(out)} row{'s' * (len(out) > 1)} without a label left out{where}; `unlabelled=True` takes "
            "such images, too"
        )
    name = table.place.rpartition("/")[2]
    count = len({label for _, label, _ in found.runs} - {None})
    labels_from = f"{count} class{'es' * (count != 1)} from {entries.labels_from} of {name}" if count else ""
    here = [part for part in SPLITS if part in {part for _, _, part in found.runs}]
    shown = " and ".join([", ".join(here[:-1]), here[-1]] if len(here) > 1 else here)
    parts_from = f"{shown} from {entries.parts_from} of {name}" if here else ""
    groups = {}
    if columns.group is not None:
        taken, cells = set(found.paths), table.column(columns.group)
        pairs = [(resolved.paths[row], cells[row].strip()) for row in entries.rows]
        groups = {path: cell for path, cell in pairs if cell and path in taken}
    return Labelled(found, skipped, "list", labels_from, parts_from, notes, groups, root)


def _encoded(labels: Sequence[str | None]) -> dict[str | None, bytes | None]:
    return {name: None if name is None else name.encode("utf-8", "surrogateescape") for name in {*labels}} | {
        None: None
    }


def _within(root: bytes, path: bytes) -> bytes | None:
    """A path relative to a folder; None where it is elsewhere."""
    if not os.path.isabs(path):
        return path
    return b"" if path == root else stripped(path, root) if root else None
