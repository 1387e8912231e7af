"""Known data sets in class folders: PetImages, flower_photos, Caltech-101, Intel scenes, MVTec-like categories."""

from __future__ import annotations

from collections.abc import Callable

from featstore.images.reading import Reading
from featstore.images.tree import Labelled
from featstore.layouts.folders.class_folders import read_class_folders
from featstore.layouts.folders.place import Place, number
from featstore.layouts.folders.spans import Row, Span, classes_in, labelled
from featstore.layouts.layout import Layout
from featstore.system.reporting import argument

_FLOWERS = {b"daisy", b"dandelion", b"roses", b"sunflowers", b"tulips"}
_SCENES = {b"buildings", b"forest", b"glacier", b"mountain", b"sea", b"street"}
_CALTECH = b"101_ObjectCategories"
_CLUTTER = b"BACKGROUND_Google"


def _is_pet_images(place: Place) -> bool:
    return place.name == b"PetImages" and set(place.children()) == {b"Cat", b"Dog"}


def _is_flower_photos(place: Place) -> bool:
    return place.has(b"LICENSE.txt") and set(place.children()) == _FLOWERS


def _is_intel(place: Place) -> bool:
    names = set(place.children())
    if b"seg_train" not in names or not names <= {b"seg_train", b"seg_test", b"seg_pred"}:
        return False
    twice = place.children(b"seg_train") == [b"seg_train"]
    return set(place.children(b"seg_train/seg_train" if twice else b"seg_train")) <= _SCENES


def _is_mvtec(place: Place) -> bool:
    """Each category with train/good, test with good and others, and masks of the others in ground_truth."""
    categories = [b""] if b"train" in place.children() else place.children()
    return bool(categories) and all(
        set(place.children(name)) == {b"train", b"test", b"ground_truth"}
        and place.children(name + b"/train" if name else b"train") == [b"good"]
        for name in categories
    )


def _caltech_home(place: Place) -> bytes | None:
    if _CALTECH in place.children():
        return _CALTECH
    return b"" if place.name == _CALTECH and place.children() else None


def _is_caltech(place: Place) -> bool:
    return _caltech_home(place) is not None


def _read_caltech(place: Place, reading: Reading) -> Labelled:
    home = place.at(_caltech_home(place) or b"")
    clutter = home.count(_CLUTTER)
    spans: list[Span] = [
        (start, count, "clutter, no class of objects" if name == _CLUTTER else Row(name))
        for name in home.children()
        for start, count in home.spans(name)
    ]
    notes = []
    if clutter:
        notes.append(
            f"BACKGROUND_Google, {number(clutter, 'image')} of clutter, is doubtful as a class and left out; "
            f"{argument('layout', 'class-folders')} takes every folder as a class"
        )
    return labelled(
        place,
        spans,
        "caltech-101",
        f"{number(classes_in(spans), 'class', 'classes')} from the folders in {_CALTECH.decode()}",
        rest="lies outside of 101_ObjectCategories",
        notes=notes,
        told=("clutter, no class of objects",),
    )


def _reader(name: str) -> Callable[[Place, Reading], Labelled]:
    def read(place: Place, reading: Reading) -> Labelled:
        found = read_class_folders(place, reading)
        found.layout = name
        return found

    return read


NAMED_FOLDERS = (
    Layout(
        "petimages",
        "PetImages/Cat/0.jpg, PetImages/Dog/0.jpg, empty files, Thumbs.db",
        "folder names",
        "",
        (),
        _is_pet_images,
        _reader("petimages"),
    ),
    Layout(
        "flower-photos",
        "daisy/, dandelion/, roses/, sunflowers/, tulips/, LICENSE.txt",
        "folder names",
        "",
        (),
        _is_flower_photos,
        _reader("flower-photos"),
    ),
    Layout(
        "caltech-101",
        "101_ObjectCategories/accordion/...; BACKGROUND_Google is no class",
        "folder names",
        "",
        (),
        _is_caltech,
        _read_caltech,
    ),
    Layout(
        "intel-scenes",
        "seg_train/seg_train/buildings/..., seg_test/seg_test/..., seg_pred/seg_pred/1.jpg (no labels)",
        "folder names",
        "seg_train and seg_test",
        (),
        _is_intel,
        _reader("intel-scenes"),
    ),
    Layout(
        "mvtec",
        "bottle/train/good/..., bottle/test/broken_large/..., bottle/ground_truth/... (masks, left out)",
        'names of the inner folders (`class_from="leaf"`) or of the categories (`class_from="top"`)',
        "train and test inside of each category",
        (),
        _is_mvtec,
        _reader("mvtec"),
    ),
)
"""Layouts of class folders that are told by the names of these."""
