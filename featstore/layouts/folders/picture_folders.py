"""Picture folders: those that do not lie beside pictures as masks do, and those that only wrap others."""

# Paths are bytes here, which pathlib does not know.
# ruff: noqa: PTH119, PTH122

from __future__ import annotations

import os
from collections.abc import Sequence

from featstore.images.part_names import part_of, parts_of
from featstore.layouts.folders.folder_names import is_documentation, is_generic
from featstore.layouts.folders.masks import MASK_NAME, is_beside
from featstore.layouts.folders.place import Place

_DRAWN = (b".png", b".gif", b".bmp")


def beside(place: Place, path: bytes = b"") -> list[bytes]:
    """The folders in a folder that hold masks or annotations of the pictures in the others, by name and content.

    A name alone does not tell: people sort faces with and without a mask. Masks lie beside folders that only say that
    there are pictures, or parts; beside classes they are told by their files.

    Parameters
    ----------
    place : Place
    path : bytes
        Of the folder.

    Examples
    --------
    >>> from featstore.images.tree import Tree
    >>> beside(Place(Tree(b"/p", [b"images/1.jpg", b"masks/1.png"], folders=[(b"images", 1), (b"masks", 1)])))
    [b'masks']
    >>> beside(Place(Tree(b"/p", [b"mask/1.jpg", b"nomask/2.jpg"], folders=[(b"mask", 1), (b"nomask", 1)])))
    []
    """
    names = place.children(path)
    masks = [name for name in names if is_beside(name)]
    if not masks:
        return []
    home = place.at(path)
    rest = [name for name in names if name not in masks]
    if not rest:
        return masks if home.direct() else []
    if all(is_generic(name) for name in rest) or len(parts_of(rest)) == len(rest):
        return masks
    return [name for name in masks if _mirrors(home, name, rest)]


def pictures(place: Place, path: bytes = b"") -> list[bytes]:
    """The folders in a folder that do not lie beside pictures."""
    aside = beside(place, path)
    return [name for name in place.children(path) if name not in aside]


def lies_beside(place: Place, folders: Sequence[bytes]) -> bool:
    """Whether one of the folders of a path in `place` lies beside pictures."""
    return any(
        is_beside(name) and name in beside(place, b"/".join(folders[:depth])) for depth, name in enumerate(folders)
    )


def _mirrors(place: Place, masks: bytes, rest: list[bytes]) -> bool:
    """Whether a folder's files belong to the pictures in other folders."""
    own = [os.path.splitext(path) for path in _files(place, masks)]
    others = [os.path.splitext(path) for name in rest for path in _files(place, name)]
    stems = {os.path.basename(stem) for stem, _ in others}
    drawn = all(end.lower() in _DRAWN for _, end in own) and not all(end.lower() in _DRAWN for _, end in others)
    inner = set(place.children(masks))
    classes = {name for name in inner if part_of(name) is None}
    paired = bool(classes) and inner >= set(rest)
    named = [match[1] for stem, _ in own if (match := MASK_NAME.search(os.path.basename(stem)))]
    if len(named) == len(own) and sum(stem in stems for stem in named) > 0.9 * len(own):
        return True
    if len(rest) == 1:
        return drawn and bool(classes) and classes <= set(_end(place, rest[0]).children())
    each = {os.path.basename(stem) for stem, _ in own}
    all_of_them = len(each) == len(own) >= 0.9 * len(others) and len(each & stems) > 0.9 * len(own)
    return paired or drawn or all_of_them


def _files(place: Place, name: bytes) -> list[bytes]:
    """The images somewhere below a folder."""
    pending, found = [name], []
    while pending:
        path = pending.pop()
        found += [image for image, _ in place.images(path)]
        pending += [path + b"/" + inner for inner in place.children(path)]
    return found


def wrappers(place: Place, as_classes: bool = False, any_name: bool = False) -> list[Place]:
    """A folder and those inside of it that hold everything: in the last one lie classes, parts or images.

    Parameters
    ----------
    place : Place
    as_classes : bool
        No folder is a part.
    any_name : bool
        No folder lies beside pictures.

    Returns
    -------
    list of Place
        From the outermost to the innermost.
    """
    chain = [place]
    while True:
        children = place.children() if any_name else pictures(place)
        if len(children) != 1:
            return chain
        (name,) = children
        inner = place.children(name) if any_name else pictures(place, name)
        if part_of(name) is not None and not as_classes:
            goes_on = len(set(parts_of(inner).values())) > 1
        elif place.direct() or place.direct(name):
            goes_on = len(inner) > 1 or (not inner and not place.direct() and is_generic(name))
        else:
            goes_on = True
        if not goes_on:
            return chain
        place = place.at(name)
        chain.append(place)


def inside(place: Place, others: set[bytes]) -> Place:
    """A part's folder without the wrappers in it: `training_set/training_set`, `test/images`.

    Parameters
    ----------
    place : Place
        The part.
    others : set of bytes
        Names of folders in the other parts: classes.
    """
    while not place.direct():
        children = pictures(place)
        if len(children) != 1:
            return place
        (name,) = children
        wraps = is_generic(name) or part_of(name) is not None or name.lower() == place.name.lower()
        if not wraps and (name in others or len(place.children(name)) < 2):
            return place
        place = place.at(name)
    return place


def kernel(place: Place) -> bytes | None:
    """The one folder that holds the data set where all others only hold loose pictures: a repository with its docs.

    It holds class folders or parts of them; and it, or its parts, or the names of the others tell that it is no class
    among classes. None where there is no such folder.
    """
    names = pictures(place)
    deep = [name for name in names if inside(_end(place, name), set()).children()]
    parts = parts_of(names)
    if len(names) < 2 or len(deep) != 1 or place.direct(deep[0]) or deep[0] in parts:
        return None
    end = _end(place, deep[0])
    classes = pictures(end)
    inner = parts_of(classes)
    parted = len(set(inner.values())) > 1 and any(end.children(name) for name in inner)
    others = [name for name in names if name != deep[0]]
    aside = all(name in parts or is_documentation(name) for name in others)
    if parted or (len(classes) > 1 and not inner and (is_generic(deep[0]) or (aside and not set(parts) & set(others)))):
        return deep[0]
    return None


def _end(place: Place, name: bytes) -> Place:
    """A folder, or the one in it that holds everything."""
    return wrappers(place.at(name))[-1]
