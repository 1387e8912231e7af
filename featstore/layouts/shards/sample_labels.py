"""Sample labels: the classes in the files beside images, 0001.cls, 0001.json or 0001.txt, and names for numbers."""

# Paths are bytes here, which pathlib does not know.
# ruff: noqa: PTH119

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from featstore.errors import ImageSetError, UnknownNameError
from featstore.images.reading import Reading
from featstore.images.tree import Tree
from featstore.layouts.shards.shard_names import sample_of
from featstore.system.reporting import argument, printable_path

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


class Sides(NamedTuple):
    """Where classes come from: an ending, how its content becomes a class, and a name for people."""

    ending: bytes
    class_of: Callable[[bytes], str | None]
    told: str


def find_sides(tree: Tree, reading: Reading, archive: bool) -> Sides | None:
    """Which files beside the images hold the classes; decided by the first samples that have any."""
    column = reading.label_column
    for ending in (b".cls", b".json", b".txt"):
        if ending != b".cls" and not archive:
            return None  # in a folder, JSON and text beside an image say many things
        if column in ("cls", "json", "txt") and ending != b"." + column.encode():
            continue
        if column not in (None, "cls", "json", "txt") and ending != b".json":
            continue
        beside = [path for path in (sample_of(image) + ending for image in tree.paths) if path in tree.others]
        if len(beside) * 2 < len(tree.paths):
            continue
        contents = [_content(tree, path) for path in beside[:_PROBED]]
        sides = _json_sides(contents, reading, tree) if ending == b".json" else _text_sides(ending, contents, column)
        if sides is not None:
            return sides
    return None


def _text_sides(ending: bytes, contents: Sequence[bytes], column: str | None) -> Sides | None:
    if ending == b".txt" and column != "txt":
        lines = [content.strip() for content in contents]
        short = all(len(line) <= 64 and b"\n" not in line and line.count(b" ") <= 2 for line in lines)
        if not short or len(set(lines)) > max(2, len(lines) // 2):
            return None  # captions
    return Sides(ending, _plain, f"{ending.decode()} files")


def _plain(content: bytes) -> str | None:
    text = content.decode("utf-8", "surrogateescape").removeprefix("\ufeff").strip()
    if "\n" in text:
        raise ImageSetError(f"it has {len(text.splitlines())} lines; expected one class")
    return text or None


def _json_sides(contents: Sequence[bytes], reading: Reading, tree: Tree) -> Sides | None:
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

    return Sides(b".json", class_of, f"{key!r} in .json files")


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


def label_of(tree: Tree, path: bytes, sides: Sides) -> str | None:
    """The class of an image; None where it has none."""
    side = sample_of(path) + sides.ending
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


def named(tree: Tree, labels: list[str | None], notes: list[str]) -> tuple[list[str | None], str]:
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
