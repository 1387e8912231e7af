"""Data sets with their lists as text: CUB-200, DTD, Food-101."""

from __future__ import annotations

import json

from featstore.errors import ImageSetError, UnknownNameError
from featstore.images.reading import Reading
from featstore.images.tree import Labelled
from featstore.layouts.folders.place import Place, fields, number, shown, starts_with, together
from featstore.layouts.folders.spans import Row, classes_in, labelled
from featstore.layouts.layout import Layout, Listed
from featstore.system.reporting import argument, printable_path

_CUB = (b"images.txt", b"image_class_labels.txt", b"classes.txt")
_CUB_PARTS = b"train_test_split.txt"


def _is_cub(place: Place) -> bool:
    return place.has(*_CUB) and all(starts_with(place, path, rb"\d+\s+\S") for path in _CUB)


def _read_cub(place: Place, reading: Reading) -> Labelled:
    names = {line[0]: b" ".join(line[1:]) for line in fields(place, b"classes.txt", 2)}
    label_of = {line[0]: line[1] for line in fields(place, b"image_class_labels.txt", 2)}
    given = place.has(_CUB_PARTS)
    part_of = {line[0]: line[1] for line in fields(place, _CUB_PARTS, 2)} if given else {}
    listed = Listed(place)
    for number_, *words in fields(place, b"images.txt", 2):
        path = b"images/" + b" ".join(words)
        label = label_of.get(number_)
        if label is None or label not in names:
            raise ImageSetError(
                f"{shown(place)}: image {printable_path(number_)} of images.txt has no class in "
                f"image_class_labels.txt and classes.txt; expected one, so the lists do not belong together"
            )
        part = {b"1": "train", b"0": "test"}.get(part_of.get(number_, b""), "")
        listed.add(place.row(path), path, Row(names[label], part))
    spans = listed.spans()
    return labelled(
        place,
        spans,
        "cub-200",
        f"{number(classes_in(spans), 'class', 'classes')} from image_class_labels.txt and classes.txt",
        f"train and test from {_CUB_PARTS.decode()}" if given else "",
        notes=listed.notes(),
    )


_DTD_PARTS = (("train", b"train"), ("val", b"val"), ("test", b"test"))


def _is_dtd(place: Place) -> bool:
    lists = (b"labels/train1.txt", b"labels/val1.txt", b"labels/test1.txt")
    return place.has(*lists) and starts_with(place, lists[0], rb"[^/\s]+/[^/]+$")


def _read_dtd(place: Place, reading: Reading) -> Labelled:
    columns = _dtd_numbers(place)
    split = reading.split_column or "1"
    if split not in columns:
        raise UnknownNameError("split column", split, columns, "these are the splits of dtd")
    paths = [(part, b"labels/%s%s.txt" % (stem, split.encode())) for part, stem in _DTD_PARTS]
    listed = Listed(place)
    for part, path in paths:
        for line in place.lines(path):
            listed.add(place.row(b"images/" + line), b"images/" + line, Row(line.partition(b"/")[0], part))
    notes = listed.notes()
    if reading.split_column is None and len(columns) > 1:
        notes.append(f"split 1 of {len(columns)}; {argument('split_column', columns[1])} takes another")
    spans = listed.spans()
    return labelled(
        place,
        spans,
        "dtd",
        f"{number(classes_in(spans), 'class', 'classes')} from the folders that the lists name",
        f"train, val and test from {together([path for _, path in paths])}",
        rest=f"on no list of split {split}",
        notes=notes,
    )


def _dtd_numbers(place: Place) -> list[str]:
    """The splits of which all lists are there."""
    found = []
    for count in range(1, 100):
        if place.has(*(b"labels/%s%d.txt" % (stem, count) for _, stem in _DTD_PARTS)):
            found.append(str(count))
    return found


def _food_list(place: Place, part: str) -> bytes | None:
    """The list of a part: text before JSON."""
    names = (b"meta/%s.txt" % part.encode(), b"meta/%s.json" % part.encode())
    return next((name for name in names if place.has(name)), None)


def _is_food(place: Place) -> bool:
    train = _food_list(place, "train")
    if train is None or _food_list(place, "test") is None or not place.children(b"images"):
        return False
    return train.endswith(b".json") or starts_with(place, train, rb"[^/\s]+/[^/.]+$")


def _read_food(place: Place, reading: Reading) -> Labelled:
    rows = {
        b"%s/%s" % (folder, name.rpartition(b".")[0]): row
        for folder in place.children(b"images")
        for name, row in place.images(b"images/" + folder)
    }
    listed = Listed(place)
    lists = []
    for part in ("train", "test"):
        path = _food_list(place, part)
        if path is None:
            continue
        lists.append(printable_path(path))
        for name in _food_names(place, path):
            listed.add(rows.get(name), b"images/%s.jpg" % name, Row(name.partition(b"/")[0], part))
    spans = listed.spans()
    told = " and ".join(lists)
    return labelled(
        place,
        spans,
        "food-101",
        f"{number(classes_in(spans), 'class', 'classes')} from {told}",
        f"train and test from {told}",
        notes=listed.notes(),
    )


def _food_names(place: Place, path: bytes) -> list[bytes]:
    """Images of a list, "apple_pie/1005649"."""
    if path.endswith(b".txt"):
        return place.lines(path)
    try:
        document = json.loads(place.content(path))
        return [str(name).encode() for names in document.values() for name in names]
    except (ValueError, AttributeError, TypeError, RecursionError) as error:
        raise ImageSetError(
            f"{shown(place)}: {printable_path(path)} cannot be read: {error}; expected an object of classes, each with "
            f"the names of its images"
        ) from error


TEXT_LISTS = (
    Layout(
        "cub-200",
        "images/001.Black_footed_Albatross/..., images.txt, image_class_labels.txt, classes.txt, train_test_split.txt",
        "image_class_labels.txt and classes.txt",
        "train_test_split.txt",
        (),
        _is_cub,
        _read_cub,
    ),
    Layout(
        "dtd",
        "images/banded/..., labels/train1.txt, labels/val1.txt, labels/test1.txt",
        "folder names",
        "the lists of split 1, or of the one that `split_column` names",
        (),
        _is_dtd,
        _read_dtd,
    ),
    Layout(
        "food-101",
        "images/apple_pie/..., meta/train.txt, meta/test.txt (or .json)",
        "folder names",
        "meta/train.txt and meta/test.txt",
        (),
        _is_food,
        _read_food,
    ),
)
"""Layouts with lists as text."""
