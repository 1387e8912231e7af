"""WebDataset: samples are members of tar shards that share a name up to its first dot: 0001.jpg, 0001.cls."""

# Paths are bytes here, which pathlib does not know.
# ruff: noqa: PTH119

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from featstore.errors import ImageSetError, UnknownNameError
from featstore.images.listing import Found, Skipped
from featstore.images.part_names import parts_of
from featstore.images.reading import Reading
from featstore.images.shards import ENDINGS
from featstore.images.tree import Labelled, Tree
from featstore.layouts.parquet_images import file_part
from featstore.system.reporting import argument, printable_path

NAME = "webdataset"

KEYS = (
    *("class_name", "classname", "label_name", "label_text", "category_name"),
    *("label", "class", "cls", "category", "target", "label_id", "class_id", "class_index"),
)
"""Keys of a sample's JSON that say its class, in the order in which they are looked for: names before numbers."""

NAMES = re.compile(rb"(?i)(class(es|_?names|_to_idx|_index)?|labels?|names|categories|id2label|synsets)[.](txt|json)")
"""Files beside the samples that may tell the names of classes."""

SIDE_BYTES = 1 << 20
"""The largest file beside an image that is read."""

_PROBED = 20  # samples that are looked into before all are


class _Sides(NamedTuple):
    """Where classes come from: an ending, how its content becomes a class, and a name for people."""

    ending: bytes
    class_of: Callable[[bytes], str | None]
    told: str


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
    sharded = all(_shard(path) for path in tree.paths)
    sides = _find_sides(tree, reading, sharded or not os.path.isdir(tree.root))  # noqa: PTH112 - bytes
    if sides is None and not sharded:
        return None
    extra = _further_pictures(tree) if sides is not None else set()
    labels: list[str | None] = []
    notes = list(tree.notes)
    if sides is not None:
        labels = [_label(tree, path, sides) for path in tree.paths]
        labels, names_from = _named(tree, labels, notes)
        told = sides.told + (f", named by {names_from}" if names_from else "")
        used = {_key(path) + sides.ending for path in tree.paths}
        inner: list[str] = []
    else:
        labels, inner, told = _of_names(tree, reading)
        used = set[bytes]()
    parts = {shard: file_part(shard) for shard in {_shard(path) for path in tree.paths} if shard}
    found = Found()
    for row, path in enumerate(tree.paths):
        if path not in extra:
            label = labels[row]
            name = None if label is None else label.encode("utf-8", "surrogateescape")
            part = inner[row] if inner else parts.get(_shard(path), "")
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


def _shard(path: bytes) -> bytes:
    """The shard that a path of a tree begins with; b"" where it begins with none."""
    first, slash, _ = path.partition(b"/")
    return first if slash and first.lower().endswith(ENDINGS) else b""


def _key(path: bytes) -> bytes:
    """What the members of a sample share: the path up to the first dot of the name."""
    start = path.rfind(b"/") + 1
    dot = path.find(b".", start)
    return path if dot < 0 else path[:dot]


def _find_sides(tree: Tree, reading: Reading, archive: bool) -> _Sides | None:
    """Which files beside the images hold the classes; decided by the first samples that have any."""
    column = reading.label_column
    for ending in (b".cls", b".json", b".txt"):
        if ending != b".cls" and not archive:
            return None  # in a folder, JSON and text beside an image say many things
        if column in ("cls", "json", "txt") and ending != b"." + column.encode():
            continue
        if column not in (None, "cls", "json", "txt") and ending != b".json":
            continue
        beside = [path for path in (_key(image) + ending for image in tree.paths) if path in tree.others]
        if len(beside) * 2 < len(tree.paths):
            continue
        contents = [_content(tree, path) for path in beside[:_PROBED]]
        sides = _json_sides(contents, reading, tree) if ending == b".json" else _text_sides(ending, contents, column)
        if sides is not None:
            return sides
    return None


def _text_sides(ending: bytes, contents: Sequence[bytes], column: str | None) -> _Sides | None:
    if ending == b".txt" and column != "txt":
        lines = [content.strip() for content in contents]
        short = all(len(line) <= 64 and b"\n" not in line and line.count(b" ") <= 2 for line in lines)
        if not short or len(set(lines)) > max(2, len(lines) // 2):
            return None  # captions
    return _Sides(ending, _plain, f"{ending.decode()} files")


def _plain(content: bytes) -> str | None:
    text = content.decode("utf-8", "surrogateescape").removeprefix("\ufeff").strip()
    if "\n" in text:
        raise ImageSetError(f"it has {len(text.splitlines())} lines; expected one class")
    return text or None


def _json_sides(contents: Sequence[bytes], reading: Reading, tree: Tree) -> _Sides | None:
    documents = [document for content in contents if isinstance(document := _parsed(content), dict)]
    wanted = None if reading.label_column in (None, "json") else reading.label_column
    known = sorted({key for document in documents for key in document})
    if wanted is not None and wanted not in known:
        place = printable_path(tree.root)
        raise UnknownNameError(
            "label column", wanted, known, f"these are the keys of the JSON beside images in {place}"
        )
    key = wanted or next((name for name in KEYS if sum(name in d for d in documents) * 2 > len(documents)), None)
    if key is None:
        return None

    def class_of(content: bytes) -> str | None:
        document = _parsed(content)
        value = document.get(key) if isinstance(document, dict) else None
        if isinstance(value, list) and len(value) == 1:
            value = value[0]
        if value is None or value == "":
            return None
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if not isinstance(value, str | int):
            raise ImageSetError(f"its {key!r} is {json.dumps(value)[:60]}; expected one name or number")
        return str(value)

    return _Sides(b".json", class_of, f"{key!r} in .json files")


def _parsed(content: bytes) -> Any:
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        return None


def _content(tree: Tree, path: bytes) -> bytes:
    size = tree.others[path][0]
    if size > SIDE_BYTES:
        raise ImageSetError(
            f"{printable_path(path)} in {printable_path(tree.root)} has {size:,} bytes; expected the class of an "
            f"image, at most {SIDE_BYTES:,}"
        )
    return tree.read(path)


def _label(tree: Tree, path: bytes, sides: _Sides) -> str | None:
    """The class of an image; None where it has none."""
    side = _key(path) + sides.ending
    if side not in tree.others:
        return None
    try:
        return sides.class_of(_content(tree, side))
    except ImageSetError as error:
        text = str(error)
        if not text.startswith("it"):
            raise
        raise ImageSetError(
            f"{printable_path(side)} in {printable_path(tree.root)}: {text}; "
            f"{argument('label_column', 'KEY')} names another key, {argument('labels', 'REGEX')} takes classes from "
            "the names"
        ) from error


def _named(tree: Tree, labels: list[str | None], notes: list[str]) -> tuple[list[str | None], str]:
    """Names in place of numbers where a file tells them, and the file."""
    numbers = {label for label in labels if label is not None}
    if not numbers or not all(re.fullmatch("[0-9]{1,9}", label) for label in numbers):
        return labels, ""
    for path in sorted(tree.others, key=lambda path: (path.count(b"/"), path)):
        if not NAMES.fullmatch(os.path.basename(path)) or tree.others[path][0] > SIDE_BYTES * 16:
            continue
        names = _names(tree.read(path), path.lower().endswith(b".json"))
        if not names:
            continue
        unnamed = sorted(int(number) for number in numbers if int(number) not in names)
        if unnamed:
            notes.append(f"{printable_path(path)} names {len(names)} classes, not number {unnamed[0]}; it is not used")
            continue
        return [None if label is None else names[int(label)] for label in labels], printable_path(path)
    return labels, ""


def _names(content: bytes, is_json: bool) -> dict[int, str]:
    """Number -> name from lines, a JSON list, or a JSON mapping either way; empty where it is none of them."""
    if not is_json:
        lines = content.decode("utf-8", "surrogateescape").removeprefix("\ufeff").splitlines()
        while lines and not lines[-1].strip():
            lines.pop()
        return {} if not all(line.strip() for line in lines) else {i: line.strip() for i, line in enumerate(lines)}
    document = _parsed(content)
    if isinstance(document, list) and all(isinstance(name, str) for name in document):
        return dict(enumerate(document))
    if not isinstance(document, dict):
        return {}
    if all(isinstance(value, int) for value in document.values()):
        return {int(value): name for name, value in document.items()}
    if all(isinstance(value, str) and re.fullmatch("[0-9]{1,9}", key) for key, value in document.items()):
        return {int(key): value for key, value in document.items()}
    return {}


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
        stems = {_shard(path): _stem(_shard(path)) for path in tree.paths}
        if len(set(stems.values())) > 1 and not any(file_part(shard) for shard in stems):
            names_of = {shard: stem.decode("utf-8", "surrogateescape") for shard, stem in stems.items()}
            return [names_of[_shard(path)] for path in tree.paths], [], "the archives' names"
    labels: list[str | None] = []
    for names in folders:
        chosen = {"leaf": names[-1:], "path": names}.get(reading.class_from or "top", names[:1])
        labels.append(b"/".join(chosen).decode("utf-8", "surrogateescape") if chosen else None)
    return labels, parts, "folders inside of the shards"


def _stem(shard: bytes) -> bytes:
    """An archive's name without its ending and without the number of a shard."""
    stem = re.sub(rb"(?i)[.](tar|tgz|tar[.]gz)$", b"", shard)
    return re.sub(rb"(?i)[-_.]?(shard|part)?[-_.][0-9]+([-_.]of[-_.][0-9]+)?$", b"", stem) or stem


def _further_pictures(tree: Tree) -> set[bytes]:
    """Of samples with several pictures all but the first: the one with the shortest ending."""
    first: dict[bytes, bytes] = {}
    others: set[bytes] = set()
    for path in tree.paths:
        key = _key(path)
        other = first.setdefault(key, path)
        if other is not path:
            short, long = sorted((other, path), key=lambda name: (name.count(b"."), name))
            first[key] = short
            others.add(long)
    return others
