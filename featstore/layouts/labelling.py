"""Labelling: a tree of files, read as the user says or as it looks."""

# Paths are bytes here, which pathlib does not know.
# ruff: noqa: PTH100, PTH113, PTH123

from __future__ import annotations

import dataclasses
import os
import re

from featstore.errors import ImageSetError, UnknownNameError
from featstore.images.listing import Found
from featstore.images.part_names import parts_of
from featstore.images.reading import Reading
from featstore.images.tree import LIST_BYTES, Labelled, Tree
from featstore.layouts.catalogue import LAYOUTS
from featstore.layouts.folders.folder_names import one_form
from featstore.layouts.folders.label_hints import EXPECTED
from featstore.layouts.folders.masks import BESIDE
from featstore.layouts.folders.picture_folders import lies_beside, pictures, wrappers
from featstore.layouts.folders.place import Place, number, shown, together
from featstore.layouts.folders.spans import NothingListedError, Row, Span, classes_in, labelled, parts_in
from featstore.layouts.layout import Layout
from featstore.layouts.list_parts import with_list_parts
from featstore.system.reporting import argument, printable_path


def label_tree(tree: Tree, reading: Reading) -> Labelled:
    r"""Find the class and the part of every image of a folder or archive.

    Parameters
    ----------
    tree : Tree
    reading : Reading
        `labels`, `layout`, `class_from`, `label_column`, `split_column` and `unlabelled` are heeded.

    Returns
    -------
    Labelled
        Every file of the tree is a row or skipped with a reason.

    Raises
    ------
    ImageSetError
        Where there is no image, no label, or more than one reading.
    UnknownNameError
        Where there is no layout or no kind of label of that name.

    Examples
    --------
    >>> tree = Tree(b"/pets", [b"tom.1.jpg", b"rex.2.jpg"], [900, 900], [0, 0], [(b"", 2)])
    >>> label_tree(tree, Reading(labels=r"(\w+)[.]")).found.runs
    [(1, b'tom', ''), (1, b'rex', '')]
    """
    if reading.layout != "auto" and reading.layout not in LAYOUTS:
        raise UnknownNameError("layout", reading.layout, LAYOUTS, "see `featstore layouts`")
    if not tree.paths:
        raise ImageSetError(_no_image(tree))
    place = Place(tree)
    if reading.labels is not None:
        return _given_labels(place, reading, reading.labels)
    chain = wrappers(place, as_classes=True)
    if reading.layout in ("class-folders", "part-folders"):
        return LAYOUTS[reading.layout].read(place, reading)
    if reading.layout != "auto":
        layout = LAYOUTS[reading.layout]
        base = next((base for base in chain if layout.recognises(base)), None)
        if base is None:
            raise ImageSetError(
                f"{shown(place)} does not look like {argument('layout', layout.name)}: {layout.looks}; leave `layout` "
                f"out to have it found out"
            )
        return layout.read(base, reading)
    base, fits = _recognised(chain)
    try:
        result = fits[0].read(base, reading)
    except NothingListedError:
        result = LAYOUTS["class-folders"].read(place, reading)
        result.notes.append(f"it looks like {fits[0].name}, but its lists name none of the images: folders are read")
    if result.layout == "class-folders":
        with_list_parts(result, place)
    if result.layout == "hub-folder" and not result.parts_from:
        result = _with_parts(result, place, reading)
    if len(fits) > 1:
        others = " and ".join(layout.name for layout in fits[1:])
        result.notes.append(
            f"read as {fits[0].name}, the more specific layout; it also looks like {others} "
            f"({argument('layout', fits[1].name)})"
        )
    if reading.label_column is not None and not fits[0].columns:
        raise ImageSetError(
            f"{shown(place)} is read as {result.layout}, which has no columns; leave `label_column` out, or name the "
            f"list as `labels`"
        )
    return result


def _recognised(chain: list[Place]) -> tuple[Place, list[Layout]]:
    """The layouts that a tree looks like, the most specific first, and where; class folders where there is none."""
    for base in chain:
        fits = [layout for layout in LAYOUTS.values() if layout.recognises(base)]
        if fits:
            return base, fits
    return chain[0], [LAYOUTS["class-folders"]]


def _given_labels(place: Place, reading: Reading, labels: str) -> Labelled:
    """Labels from the list or the regular expression that the user names."""
    tree, name = place.tree, os.fsencode(labels)
    listed = name.removeprefix(b"./")
    if listed in tree.others:
        from featstore.lists.image_list import label_with_list

        return _with_parts(label_with_list(tree, listed, tree.read(listed), reading), place, reading)
    if os.path.isfile(labels):
        from featstore.lists.image_list import label_with_list

        with open(labels, "rb") as file:
            content = file.read(LIST_BYTES + 1)
        if len(content) > LIST_BYTES:
            raise ImageSetError(f"{printable_path(name)} is larger than {LIST_BYTES} bytes; expected a list of images")
        return _with_parts(label_with_list(tree, os.path.abspath(name), content, reading), place, reading)
    return _by_pattern(place, reading, labels)


def _with_parts(listed: Labelled, place: Place, reading: Reading) -> Labelled:
    """A list's images with the parts that their folders name, where the list names none."""
    if listed.parts_from or reading.split_column == "":
        return listed
    parts, notes = _parts_of_folders(place, reading)
    found, start = Found(), 0
    for count, name, _ in listed.found.runs:
        for row in range(start, start + count):
            path = listed.found.paths[row]
            part = parts.get(path.rpartition(b"/")[0], "")
            found.add(path, listed.found.sizes[row], listed.found.mtimes[row], name, part)
        start += count
    used = [part for part in ("train", "val", "test") if part in {part for _, _, part in found.runs}]
    if not used:
        return listed
    said = f"{together(used)} from folder names"
    return dataclasses.replace(listed, found=found, parts_from=said, notes=[*listed.notes, *notes])


def _by_pattern(place: Place, reading: Reading, labels: str) -> Labelled:
    """The first group of a regular expression, searched in each path, is the class."""
    told = argument("labels", labels)
    try:
        pattern = re.compile(labels)
    except (re.error, OverflowError, RecursionError) as error:
        raise ImageSetError(
            f"{told} is neither a file nor a regular expression: {error}; expected the name of a list of images, or an "
            f"expression whose first group is the class"
        ) from error
    if not pattern.groups:
        raise ImageSetError(
            f"{told} is no file, and as a regular expression it has no group; put what is the class into parentheses, "
            f"as in {argument('labels', '([a-z]+)_[0-9]+')}"
        )
    tree = place.tree
    parts, notes = _parts_of_folders(place, reading)
    spans: list[Span] = []
    unnamed: list[bytes] = []
    start = 0
    for folder, count in tree.folders:
        below = reading.layout != "class-folders" and lies_beside(place, folder.split(b"/"))
        for row in range(start, start + count):
            path = tree.paths[row]
            match = None if below else pattern.search(path.decode("utf-8", "surrogateescape"))
            text = match[1] if match else None
            if below:
                spans.append((row, 1, BESIDE))
            elif text:
                name = one_form(text.encode("utf-8", "surrogateescape"))
                spans.append((row, 1, Row(name, parts.get(folder, ""))))
            else:
                unnamed.append(path)
                spans.append((row, 1, Row(None, parts.get(folder, ""))))
        start += count
    classes = classes_in(spans)
    if unnamed and not (reading.unlabelled and classes):
        first = ", ".join(printable_path(path) for path in sorted(unnamed)[:3])
        more = f" and {len(unnamed) - 3} more" if len(unnamed) > 3 else ""
        way = "change the expression"
        if classes:
            way += ", or say `unlabelled=True` to take them without labels"
        raise ImageSetError(
            f"{told} does not match, or leaves its first group empty, in {number(len(unnamed), 'path')} of "
            f"{len(tree.paths)} ({first}{more}); it is searched in each path relative to {shown(place)}; {way}"
        )
    if unnamed:
        notes.append(f"{number(len(unnamed), 'image')} without a label: the expression does not match")
    used = parts_in(spans)
    return labelled(
        place,
        spans,
        "pattern",
        f"{number(classes, 'class', 'classes')} from the paths by the expression {labels}",
        f"{used} from folder names" if used else "",
        notes=notes,
    )


def _parts_of_folders(place: Place, reading: Reading) -> tuple[dict[bytes, str], list[str]]:
    """The part of each folder, where folders say it, and what there is to say about it."""
    base = wrappers(place)[-1]
    if reading.layout == "class-folders":
        return {}, []
    names = base.children()
    split_of = parts_of(names)
    notes = []
    others = [name for name in pictures(base) if name not in split_of]
    if len(set(split_of.values())) == 1 and others and reading.layout != "part-folders":
        name = printable_path(next(iter(split_of)))
        notes.append(f"the folder {name} is not taken for a part; {argument('layout', 'part-folders')} does")
        split_of = {}
    found: dict[bytes, str] = {}
    inner = {name: parts_of(base.children(name)) for name in names} if not split_of else {}
    if not all(inner[name] and not base.direct(name) for name in inner):
        inner = {}
    depth = len(base.base.split(b"/")) if base.base else 0
    for folder, count in place.tree.folders:
        names = folder.split(b"/")[depth:]
        if count and names and names[0] in split_of:
            found[folder] = split_of[names[0]]
        elif count and len(names) > 1 and names[0] in inner:
            found[folder] = inner[names[0]].get(names[1], "")
    return found, notes


def _no_image(tree: Tree) -> str:
    place = printable_path(tree.root)
    visible = [one for one in tree.skipped if one.reason != "hidden"]
    if not visible:
        return f"{place} is empty; {EXPECTED}"
    first = min(visible)
    return (
        f"{place} holds no image; {number(len(visible), 'entry was', 'entries were')} skipped, such as "
        f"{printable_path(first.path)} ({first.reason}); {EXPECTED}"
    )
