"""Class names: the class of every branch, by its outermost or innermost folder or the whole path."""

from __future__ import annotations

from collections import Counter

from featstore.errors import ImageSetError
from featstore.images.reading import Reading
from featstore.layouts.folders.branches import Branches
from featstore.layouts.folders.folder_names import is_generic, one_form
from featstore.layouts.folders.masks import is_beside
from featstore.layouts.folders.place import Place, number, shown, together
from featstore.layouts.folders.spans import Row, Span
from featstore.system.reporting import argument, printable_path


def named(base: Place, reading: Reading, found: Branches) -> list[Span]:
    """Every branch with its class.

    Raises
    ------
    ImageSetError
        Where class folders are nested and nothing says which are the classes.
    """
    below: dict[bytes, set[tuple[bytes, ...]]] = {}
    for branch in found.branches:
        below.setdefault(branch.folders[0], set()).add(_plain(branch.folders)[1:])
    nested = {top: inner for top, inner in below.items() if inner != {()}}
    leaves = {(top, *min(inner))[-1] for top, inner in below.items()}
    # images directly in a class folder name it; one folder in each is harmless, unless inner folders of one name would
    # join some of the classes
    several = any(len(inner) > 1 and () not in inner for inner in nested.values())
    real = several or (nested and 1 < len(leaves) < len(below))
    choice = reading.class_from
    if real and choice is None and reading.layout != "class-folders":
        raise ImageSetError(_nested(base, below))
    if nested and choice is None:
        top, inner = next(iter(nested.items()))
        path = printable_path(b"/".join((top, *max(inner))))
        found.notes.append(
            f"class folders hold further folders ({path}): the outermost names the class, "
            f"{argument('class_from', 'leaf')} takes the innermost"
        )
    choice = choice or "top"
    names: dict[bytes, set[bytes]] = {}
    homes: dict[bytes, set[bytes]] = {}
    spans: list[Span] = []
    for branch in found.branches:
        folders = _plain(branch.folders)
        written = folders[0] if choice == "top" else folders[-1] if choice == "leaf" else b"/".join(folders)
        name = one_form(written)
        names.setdefault(name, set()).add(written)
        homes.setdefault(name, set()).add(b"/".join(folders))
        spans += [(start, count, Row(name, branch.split)) for start, count in branch.spans]
    double = [name for name, forms in names.items() if len(forms) > 1]
    if double:
        found.notes.append(
            f"{number(len(double), 'class', 'classes')} written in two Unicode forms, taken as one: "
            f"{', '.join(map(printable_path, double[:3]))}"
        )
    joined = [name for name, places in homes.items() if len(places) > 1] if choice == "leaf" else []
    if joined:
        found.notes.append(
            f"{number(len(joined), 'class', 'classes')} from several folders of one name, such as "
            f"{' and '.join(map(printable_path, sorted(homes[joined[0]])[:2]))}; {argument('class_from', 'path')} "
            f"keeps them apart"
        )
    return spans


def _nested(base: Place, below: dict[bytes, set[tuple[bytes, ...]]]) -> str:
    every = sorted((top, *inner) for top, inners in below.items() for inner in inners)
    leaves = Counter(folders[-1] for folders in every)
    top = next((top for top, inner in below.items() if len(inner) > 1), None)
    if top is None:  # then inner folders of one name would join classes
        leaf = next(name for name, count in leaves.items() if count > 1)
        paths = [b"/".join(folders) for folders in every if folders[-1] == leaf][:2]
        top = paths[0].partition(b"/")[0]
    else:
        leaf = (top, *max(below[top]))[-1]
        paths = [b"/".join(folders) for folders in every if folders[0] == top][:2]
    return (
        f"{shown(base)} has two readings, for class folders lie in class folders "
        f"({' and '.join(map(printable_path, paths))}): {number(len(below), 'class', 'classes')} by the outermost such "
        f"as {printable_path(top)} ({argument('class_from', 'top')}), or {number(len(leaves), 'class', 'classes')} by "
        f"the innermost such as {printable_path(leaf)} ({argument('class_from', 'leaf')}; "
        f"{argument('class_from', 'path')} names them by the whole path); say which{_hints(base, below)}"
    )


def _hints(base: Place, below: dict[bytes, set[tuple[bytes, ...]]]) -> str:
    """What else the outermost folders may be."""
    hint = ""
    if masks := [name for name in below if is_beside(name)]:
        hint = f"; {together(masks)} may hold masks of the pictures in the others: then give one of the others as DATA"
    deep = [name for name, inner in below.items() if inner != {()}]
    if len(deep) == 1 and len(below) > 1:
        hint += f"; where all classes lie in {printable_path(deep[0])}, give {shown(base.at(deep[0]))} as DATA"
    return hint


def _plain(folders: tuple[bytes, ...]) -> tuple[bytes, ...]:
    """Without the folders at the end that only say that there are images."""
    while len(folders) > 1 and is_generic(folders[-1]):
        folders = folders[:-1]
    return folders
