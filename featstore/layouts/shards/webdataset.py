"""WebDataset: samples are members of tar shards that share a name up to its first dot: 0001.jpg, 0001.cls."""

# Paths are bytes here, which pathlib does not know.
# ruff: noqa: PTH112

from __future__ import annotations

import os

from featstore.images.listing import Found, Skipped
from featstore.images.part_names import parts_of
from featstore.images.reading import Reading
from featstore.images.tree import Labelled, Tree
from featstore.layouts.shards.sample_labels import find_sides, label_of, named
from featstore.layouts.shards.shard_names import file_part, sample_of, shard_of, stem_of
from featstore.system.reporting import printable_path

NAME = "webdataset"


def label_webdataset(tree: Tree, reading: Reading) -> Labelled | None:
    """Read classes and parts of samples in shards.

    The class is the content of the `.cls` beside an image, a key of its `.json`, or its `.txt`; where there is none of
    them, the folder inside of the shard. The part is what the shard's name tells (`train-000.tar`).

    Parameters
    ----------
    tree : Tree
    reading : Reading
        `label_column` names the key of the `.json`, or one of `cls`, `json` and `txt`.

    Returns
    -------
    Labelled or None
        None where the tree is neither of shards nor has such files beside its images. Images without a class have the
        class None.

    Raises
    ------
    UnknownNameError
        Where no sample's JSON has the key `label_column`.
    ImageSetError
        Where a class cannot be read from what is there.

    Examples
    --------
    >>> tree = Tree(b"/d/a.tar", [b"1.jpg"], [900], [0], [(b"", 1)], [Skipped(b"1.cls", "text", 1, 0)])
    >>> tree.read = lambda path: b"7"
    >>> label_webdataset(tree, Reading()).found.runs
    [(1, b'7', '')]
    """
    if reading.layout not in ("auto", NAME) or reading.labels is not None or not tree.paths:
        return None
    sharded = all(shard_of(path) for path in tree.paths)
    sides = find_sides(tree, reading, sharded or not os.path.isdir(tree.root))
    if sides is None and not sharded:
        return None
    extra = _further_pictures(tree) if sides is not None else set()
    labels: list[str | None] = []
    notes = list(tree.notes)
    if sides is not None:
        labels = [label_of(tree, path, sides) for path in tree.paths]
        labels, names_from = named(tree, labels, notes)
        told = sides.told + (f", named by {names_from}" if names_from else "")
        used = {sample_of(path) + sides.ending for path in tree.paths}
        inner: list[str] = []
    else:
        labels, inner, told = _of_names(tree, reading)
        used = set[bytes]()
    parts = {shard: file_part(shard) for shard in {shard_of(path) for path in tree.paths} if shard}
    found = Found()
    for row, path in enumerate(tree.paths):
        if path not in extra:
            label = labels[row]
            name = None if label is None else label.encode("utf-8", "surrogateescape")
            part = inner[row] if inner else parts.get(shard_of(path), "")
            found.add(path, tree.sizes[row], tree.mtimes[row], name, part)
    left = [Skipped(path, "a second picture of its sample") for path in sorted(extra)]
    if left:
        first = printable_path(left[0].path)
        notes.append(f"{len(left)} images left out: a second picture of their sample (such as {first})")
    skipped = [
        entry._replace(reason="the label of its sample") if entry.path in used else entry for entry in tree.skipped
    ]
    count = len({name for _, name, _ in found.runs if name is not None})
    return Labelled(
        found,
        [*skipped, *left],
        NAME,
        f"{count} class{'es' * (count != 1)} from {told}" if count else "",
        found.parts_from("folders inside of the shards" if inner else "the names of shards"),
        notes,
    )


def _of_names(tree: Tree, reading: Reading) -> tuple[list[str | None], list[str], str]:
    """Classes of plain archives, without samples: folders in them, or each archive a class; parts where folders say so.

    Returns
    -------
    labels : list of n str or None
    parts : list of n str
        Empty where folders tell no parts.
    told : str
        Where the classes come from.
    """
    folders = [path.split(b"/")[1:-1] for path in tree.paths]
    while all(len(names) > 1 for names in folders) and len({names[0] for names in folders}) == 1:
        folders = [names[1:] for names in folders]  # a wrapper
    parts: list[str] = []
    firsts = {names[0] for names in folders if names}
    if all(len(names) > 1 for names in folders) and len(parts_of(firsts)) == len(firsts):
        told_parts = parts_of(firsts)
        parts = [told_parts[names[0]] for names in folders]
        folders = [names[1:] for names in folders]
    if not any(folders):
        stems = {shard_of(path): stem_of(shard_of(path)) for path in tree.paths}
        if len(set(stems.values())) > 1 and not any(file_part(shard) for shard in stems):
            names_of = {shard: stem.decode("utf-8", "surrogateescape") for shard, stem in stems.items()}
            return [names_of[shard_of(path)] for path in tree.paths], [], "the archives' names"
    labels: list[str | None] = []
    for names in folders:
        chosen = {"leaf": names[-1:], "path": names}.get(reading.class_from or "top", names[:1])
        labels.append(b"/".join(chosen).decode("utf-8", "surrogateescape") if chosen else None)
    return labels, parts, "folders inside of the shards"


def _further_pictures(tree: Tree) -> set[bytes]:
    """Of samples with several pictures all but the first: the one with the shortest ending."""
    first: dict[bytes, bytes] = {}
    others: set[bytes] = set()
    for path in tree.paths:
        key = sample_of(path)
        other = first.setdefault(key, path)
        if other is not path:
            short, long = sorted((other, path), key=lambda name: (name.count(b"."), name))
            first[key] = short
            others.add(long)
    return others
