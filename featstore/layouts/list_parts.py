"""Parts that lists beside class folders tell: train.txt and test.txt with the paths of images."""

# Paths are bytes here, which pathlib does not know.
# ruff: noqa: PTH122

from __future__ import annotations

import os
from collections import Counter

from featstore.errors import ImageSetError
from featstore.images.listing import Found
from featstore.images.part_names import part_of
from featstore.images.tree import Labelled
from featstore.layouts.folders.place import Place, number, together


def with_list_parts(found: Labelled, place: Place) -> None:
    """Give images the parts of the lists that name them, where nothing else has told parts.

    Parameters
    ----------
    found : Labelled
        Of class folders; changed in place.
    place : Place
        Of the whole tree.

    Examples
    --------
    >>> from featstore.images.tree import Tree
    >>> found = Labelled(Found([b"a/1.jpg"], [1], [0], [(1, b"a", "")]), [], "class-folders", "1 class")
    >>> with_list_parts(found, Place(Tree(b"/p", [b"a/1.jpg"], [1], [0], [(b"", 0), (b"a", 1)])))
    >>> found.parts_from
    ''
    """
    tree = place.tree
    lists: dict[bytes, str] = {}
    for path in sorted(tree.others):
        stem, ending = os.path.splitext(path.rpartition(b"/")[2])
        part = part_of(stem) if ending.lower() == b".txt" else None
        if part:
            lists[path] = part
    if found.parts_from or len(set(lists.values())) < 2:
        return
    unused = f"{together(list(lists))} look like lists of parts, but are not used: "
    if len(set(lists.values())) < len(lists):
        found.notes.append(unused + "several of them mean one part")
        return
    known: dict[bytes, bytes] = {}
    forms: Counter[bytes] = Counter()
    for path in found.found.paths:
        folders = path.split(b"/")
        for depth in range(1, len(folders) + 1):
            ending = b"/".join(folders[-depth:])
            for form in {ending, os.path.splitext(ending)[0]}:
                forms[form] += 1
                known[form] = path
    said: dict[bytes, set[str]] = {}
    lines = fits = 0
    for path, part in lists.items():
        try:
            named = place.lines(path)
        except ImageSetError:
            named = []
        for line in named:
            lines += 1
            for form in (line, line.split()[0].rstrip(b",")):
                form = form.removeprefix(b"./")
                if forms[form] == 1:
                    fits += 1
                    said.setdefault(known[form], set()).add(part)
                    break
    if not lines or fits < 0.9 * lines or any(len(parts) > 1 for parts in said.values()):
        found.notes.append(unused + f"{fits} of their {lines} lines name an image, and each image may lie in one part")
        return
    new, row = Found(), 0
    for count, name, _ in found.found.runs:
        for at in range(row, row + count):
            path = found.found.paths[at]
            part = next(iter(said.get(path, {""})))
            new.add(path, found.found.sizes[at], found.found.mtimes[at], name, part)
        row += count
    found.found = new
    found.parts_from = new.parts_from(together(list(lists)))
    if rest := len(new.paths) - len(said):
        found.notes.append(f"{number(rest, 'image')} on none of the lists of parts")
