"""Image folders of the Hugging Face hub: metadata.csv, .jsonl or .parquet with `file_name`, one a folder or part."""

from __future__ import annotations

from collections.abc import Sequence

from featstore.errors import ImageSetError
from featstore.images.listing import Found, Skipped
from featstore.images.part_names import part_of
from featstore.images.reading import Reading
from featstore.images.tree import Labelled, Tree
from featstore.layouts.folders.class_folders import read_class_folders
from featstore.layouts.folders.place import Place, number, together
from featstore.layouts.layout import Layout
from featstore.system.reporting import printable_path

_LISTS = (b"metadata.csv", b"metadata.jsonl", b"metadata.parquet")


def _lists(place: Place) -> list[bytes]:
    """The lists of a place: its own, or those of its folders; relative to the place."""
    homes = [b"", *(name + b"/" for name in place.children())]
    for name in place.children():  # data/train, as the hub's own tools write it
        homes += [b"%s/%s/" % (name, inner) for inner in place.children(name) if part_of(inner) is not None]
    return [home + name for home in homes for name in _LISTS if place.has(home + name)]


def _is_hub(place: Place) -> bool:
    return bool(_lists(place)) and all(_names_files(place, path) for path in _lists(place))


def _names_files(place: Place, path: bytes) -> bool:
    """Whether a list has `file_name`."""
    try:
        content = place.content(path)
    except ImageSetError:
        return False
    if path.endswith(b".parquet"):
        return content[:4] == b"PAR1" and b"file_name" in content[-(1 << 16) :]
    return b"file_name" in content.lstrip()[: 1 << 12].partition(b"\n")[0]


def _read_hub(place: Place, reading: Reading) -> Labelled:
    from featstore.lists.column_names import label_rank
    from featstore.lists.image_list import label_with_list
    from featstore.lists.table import read_table

    paths = _lists(place)
    tables = [read_table(place.content(path), place.whole(path)) for path in paths]
    columns = [table.columns for table in tables]
    labelling = any(label_rank(name) is not None for every in columns for name in every)
    if reading.label_column is None and not labelling and _in_folders(place):
        found = read_class_folders(place, reading)
        unused = sorted({name for every in columns for name in every} - {"file_name"})
        told = together(paths)
        found.notes.append(
            f"{told} names no class, so the classes are those of the folders; columns not used: "
            f"{', '.join(unused) or 'none'}"
        )
        found.layout = "hub-folder"
        return found
    bare = [path for path, every in zip(paths, columns, strict=True) if _bare(every)]
    left: list[str] = []
    if labelling and reading.label_column is None and not reading.unlabelled:
        left = [
            f"the images of {printable_path(path)} left out, for it has no column of labels; `unlabelled=True` takes "
            f"them without labels"
            for path in bare
        ]
        paths = [path for path in paths if path not in bare]
    parts = [_below(place, path, len(tables) > 1) for path in paths]
    results = [
        label_with_list(tree, place.whole(path), place.content(path), reading)
        for tree, path in zip(parts, paths, strict=True)
    ]
    for result, path in zip(results, paths, strict=True):
        part = next((part for name in path.split(b"/")[:-1] if (part := part_of(name)) is not None), "")
        if part and {split for _, _, split in result.found.runs} == {""}:
            result.found.runs = [(count, name, part) for count, name, _ in result.found.runs]
            result.parts_from = f"{part} from the folder {printable_path(path.rpartition(b'/')[0])}"
    if len(results) == 1 and not left:
        (result,) = results
        result.layout = "hub-folder"
        return result
    joined = _joined(place, paths, parts, results)
    joined.notes += left
    return joined


def _bare(columns: Sequence[str]) -> bool:
    """Whether no column holds labels by its name."""
    from featstore.lists.column_names import label_rank

    return all(label_rank(name) is None for name in columns)


def _in_folders(place: Place) -> bool:
    """Whether class folders seem to be there."""
    try:
        return len({name for _, name, _ in read_class_folders(place, Reading()).found.runs if name is not None}) > 1
    except ImageSetError:
        return False


def _below(place: Place, path: bytes, several: bool) -> Tree:
    """The part of the tree that a list speaks of: its folder and all below, where there are several lists."""
    tree = place.tree
    home = place.whole(path).rpartition(b"/")[0]
    if not several or not home:
        return tree
    prefix = home + b"/"
    part = Tree(tree.root, read=tree.read)
    start = 0
    for folder, count in tree.folders:
        if folder == home or folder.startswith(prefix):
            part.folders.append((folder, count))
            part.paths += tree.paths[start : start + count]
            part.sizes += tree.sizes[start : start + count]
            part.mtimes += tree.mtimes[start : start + count]
        start += count
    part.skipped = [one for one in tree.skipped if one.path.startswith(prefix)]
    return part


def _joined(place: Place, paths: list[bytes], parts: list[Tree], results: list[Labelled]) -> Labelled:
    """Several lists' images as one."""
    found = Found()
    groups: dict[bytes, str] = {}
    left: list[Skipped] = []
    for tree, result in zip(parts, results, strict=True):
        found.paths += result.found.paths
        found.sizes += result.found.sizes
        found.mtimes += result.found.mtimes
        found.runs += result.found.runs
        groups |= result.groups
        known = set(tree.skipped)
        left += [one for one in result.skipped if one not in known]
    if len(set(found.paths)) < len(found.paths):
        raise ImageSetError(
            f"{printable_path(place.tree.root)}: two lists name the same image; keep one list, or name it as `labels`"
        )
    inside = {path for tree in parts for path in tree.paths}
    left += [Skipped(path, "on no list of the data set") for path in place.tree.paths if path not in inside]
    classes = len({name for _, name, _ in found.runs if name is not None})
    lists = [printable_path(path) for path in paths]
    used = [part for part in ("train", "val", "test") if any(part == split for _, _, split in found.runs)]
    return Labelled(
        found,
        [*place.tree.skipped, *left],
        "hub-folder",
        f"{number(classes, 'class', 'classes')} from {together(lists)}",
        f"{together(used)} from the folders of the lists" if used else "",
        list(dict.fromkeys(note for result in results for note in result.notes)),
        groups,
        results[0].root,
    )


HUB_FOLDER = (
    Layout(
        "hub-folder",
        "1.jpg, metadata.csv (or .jsonl, .parquet) with file_name and a label; also one in each part folder",
        "the list's column of labels, or the one that `label_column` names; folder names where it has none",
        "the list's column of parts, or part folders",
        ("any column of the list",),
        _is_hub,
        _read_hub,
    ),
)
"""The layout of the Hugging Face hub's image folders."""
