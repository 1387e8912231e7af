"""Part classes: the class folders of one part, or of all images where there is no part around them."""

from __future__ import annotations

from collections.abc import Set

from featstore.errors import ImageSetError
from featstore.images.listing import Skipped
from featstore.images.part_names import parts_of
from featstore.images.reading import Reading
from featstore.layouts.folders.branches import NO_CLASS, Branch, Branches
from featstore.layouts.folders.folder_names import are_pieces, is_generic
from featstore.layouts.folders.masks import BESIDE, is_beside
from featstore.layouts.folders.picture_folders import beside, lies_beside, pictures
from featstore.layouts.folders.place import Place, shown, together
from featstore.layouts.folders.spans import Row
from featstore.system.reporting import argument, printable_path

NO_IMAGES = "a folder without images"
"""The reason why a folder is skipped."""


def read_classes(
    base: Place,
    reading: Reading,
    split: str,
    found: Branches,
    known: Set[bytes] = frozenset(),
    but: Set[bytes] = frozenset(),
) -> None:
    """Class folders of one part, or of all; `known` are names of folders in other parts."""
    tops = [name for name in base.children() if name not in but]
    any_name = reading.layout == "class-folders"
    free = reading.layout == "auto" and reading.class_from in (None, "leaf") and not known & set(tops)
    if free and are_pieces(tops) and not all(parts_of(base.children(name)) for name in tops):
        inner = {inner for name in tops for inner in base.children(name)}
        if not all(map(is_generic, inner)) and not any(map(base.direct, tops)):
            for name in tops:
                read_classes(base.at(name), reading, split, found, set(base.children(name)))
            found.notes.append(
                f"the folders {together(tops)} look like pieces of one heap, so the folders inside of them are the "
                f"classes; {argument('class_from', 'top')} takes {together(tops)} as classes"
            )
            return
        if reading.class_from is None:
            found.pieces, found.in_part = tops, bool(split)
            row: Row | str = Row(None, split) if reading.unlabelled else NO_CLASS
            for folder, _ in base.folders():
                found.others += [(start, count, row) for start, count in base.spans(folder)]
            return
    if not any_name:
        aside = [] if reading.layout == "part-folders" and not _generic_rest(base) else beside(base)
        for name in aside:
            tops = [top for top in tops if top != name]
            found.leave(base, name, BESIDE)
    found.skipped += [Skipped(base.whole(name), NO_IMAGES) for name in base.empty() if not base.at(name).empty()]
    in_classes = {} if split or any_name else _inner_parts(base, tops, reading)
    if in_classes:
        found.inner_parts = "the folders inside of the class folders"
    for top in tops:
        for name in set(base.children(top)) - set(in_classes[top]) if top in in_classes else ():
            found.leave(base, top + b"/" + name, BESIDE)
        for part, part_split in in_classes.get(top, {b"": split}).items():
            place = base.at(top + b"/" + part if part else top)
            for folder, below in place.folders():
                if not any_name and any(map(is_beside, below)) and lies_beside(place, below):
                    found.leave(place, folder, BESIDE, deep=False)
                elif spans := place.spans(folder):
                    found.branches.append(Branch(found.without_masks(spans), (top, *below), part_split))
    found.loose(base, split, reading)


def _generic_rest(base: Place) -> bool:
    return all(is_generic(name) for name in base.children() if not is_beside(name))


def _inner_parts(base: Place, tops: list[bytes], reading: Reading) -> dict[bytes, dict[bytes, str]]:
    """Parts inside of each class folder; empty where there are none."""
    found = {}
    for top in tops:
        inner = pictures(base, top)
        split_of = parts_of(inner) if inner else {}
        if inner and len(split_of) == len(inner) and not base.direct(top):
            found[top] = split_of
    if found and len(found) < len(tops) and reading.layout != "part-folders":
        have, lack = next(iter(found)), next(top for top in tops if top not in found)
        raise ImageSetError(
            f"{shown(base)} has two readings: the folders in {printable_path(have)} "
            f"({together(list(found[have]))}) are parts, which {printable_path(lack)} lacks "
            f"({argument('layout', 'part-folders')}), or they belong to the class "
            f"({argument('layout', 'class-folders')}); say which, or sort {printable_path(lack)} into parts, too"
        )
    return found
