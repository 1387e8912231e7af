"""Pets: the Oxford-IIIT Pets with their lists, and Kaggle's dogs and cats with the label in the file name."""

from __future__ import annotations

import re

from featstore.images.image_set import SPLITS
from featstore.images.part_names import parts_of
from featstore.images.reading import Reading
from featstore.images.tree import Labelled
from featstore.layouts.folders.picture_folders import inside
from featstore.layouts.folders.place import Place, fields, number, starts_with, together
from featstore.layouts.folders.spans import Row, Span, classes_in, labelled
from featstore.layouts.layout import Layout, Listed, chosen_column

_LISTS = {b"trainval.txt": "train", b"test.txt": "test", b"list.txt": ""}
_SPECIES = {b"1": b"Cat", b"2": b"Dog"}
_PHOTO = re.compile(rb"(?i)(cat|dog)\.[0-9]+\.[^./]+$")


def _folder(place: Place, name: bytes) -> bytes:
    """A folder, or the one of the same name in it that an archive brought along."""
    twice = name + b"/" + name
    return twice if place.count(twice) or place.has(twice + b"/trainval.txt") else name


def _pets_lists(place: Place) -> list[bytes]:
    """The lists that are there, those of the parts first."""
    folder = _folder(place, b"annotations")
    paths = [folder + b"/" + name for name in _LISTS]
    return [path for path in paths if starts_with(place, path, rb"\S+_\d+\s+\d+\s+[12]\s+\d+$")]


def _is_pets(place: Place) -> bool:
    return bool(place.direct(_folder(place, b"images")) and _pets_lists(place))


def _read_pets(place: Place, reading: Reading) -> Labelled:
    column = chosen_column(reading, ("breed", "species"), "oxford-pets")
    images = _folder(place, b"images")
    rows = {name.rpartition(b".")[0]: row for name, row in place.images(images)}
    listed = Listed(place)
    lists = _pets_lists(place)
    named: set[bytes] = set()
    for path in lists:
        part = _LISTS[path.rpartition(b"/")[2]]
        for name, _, species, *_ in fields(place, path, 3):
            if not part and name in named:
                continue  # list.txt names all images, the others say in which part they are
            named.add(name)
            breed = b" ".join(word.title() for word in name.rpartition(b"_")[0].split(b"_"))
            kind = _SPECIES.get(species, species) if column == "species" else breed
            listed.add(rows.get(name), images + b"/" + name + b".jpg", Row(kind, part))
    spans = listed.spans()
    trimaps = [
        (start, count, "a trimap, no picture")
        for folder in (b"annotations", b"annotations/annotations")
        for start, count in place.spans(folder + b"/trimaps")
    ]
    parted = [path for path in lists if _LISTS[path.rpartition(b"/")[2]]]
    source = lists[-1:] if lists[-1].endswith(b"list.txt") else parted
    parts = together([_LISTS[path.rpartition(b"/")[2]] for path in parted])
    return labelled(
        place,
        [*spans, *trimaps],
        "oxford-pets",
        f"{number(classes_in(spans), 'class', 'classes')} ({column}) from {together(source)}",
        f"{parts} from {together(parted)}" if parted else "",
        rest="on no list of the pets",
        notes=listed.notes(),
    )


def _photo_folders(place: Place) -> tuple[list[Place], list[tuple[Place, str]]]:
    """Folders of photos named by their animal; and those of photos without a label, with their parts."""
    if place.direct():
        return [place], []
    split_of = parts_of(place.children())
    homes = {name: inside(place.at(name), set()) for name in split_of}
    train = [homes[name] for name, split in split_of.items() if split == "train"]
    return train, [(homes[name], split) for name, split in split_of.items() if split != "train"]


def _is_cats_and_dogs(place: Place) -> bool:
    train, others = _photo_folders(place)
    homes = [*train, *(home for home, _ in others)]
    if not train or any(home.children() for home in homes):
        return False
    animals = set()
    for home in train:
        for name, _ in home.images():
            match = _PHOTO.match(name)
            if not match:
                return False
            animals.add(match[1].lower())
    return len(animals) == 2


def _read_cats_and_dogs(place: Place, reading: Reading) -> Labelled:
    train, others = _photo_folders(place)
    split = "" if train == [place] else "train"
    spans: list[Span] = []
    row_of = {(animal, part): Row(animal, part) for animal in (b"cat", b"dog") for part in ("", *SPLITS)}
    for home in train:
        for name, row in home.images():
            match = _PHOTO.match(name)
            spans.append((row, 1, row_of[match[1].lower(), split] if match else _NO_ANIMAL))
    notes = []
    for home, part in others:
        for name, row in home.images():
            match = _PHOTO.match(name)
            says: Row | str = row_of[match[1].lower(), part] if match else Row(None, part)
            if not match and not reading.unlabelled:
                says = _NO_ANIMAL
            spans.append((row, 1, says))
    bare = sum(1 for _, _, says in spans if says == _NO_ANIMAL)
    if bare:
        notes.append(
            f"{number(bare, 'image')} left out, for {'its name tells' if bare == 1 else 'their names tell'} no label; "
            f"`unlabelled=True` takes them without labels"
        )
    return labelled(
        place,
        spans,
        "dogs-vs-cats",
        f"{number(classes_in(spans), 'class', 'classes')} from the file names",
        "train from the folder's name" if split else "",
        notes=notes,
        told=(_NO_ANIMAL,),
    )


_NO_ANIMAL = "its name tells no label"

PETS = (
    Layout(
        "oxford-pets",
        "images/Abyssinian_1.jpg, annotations/list.txt, annotations/trainval.txt, annotations/test.txt",
        "the breed from the names that the lists name, or the species from the lists",
        "trainval.txt (train) and test.txt",
        ("breed", "species"),
        _is_pets,
        _read_pets,
    ),
    Layout(
        "dogs-vs-cats",
        "train/cat.0.jpg, train/dog.0.jpg, test1/1.jpg",
        "file names; those of test1 have none",
        "folder names",
        (),
        _is_cats_and_dogs,
        _read_cats_and_dogs,
    ),
)
"""Layouts of pets."""
