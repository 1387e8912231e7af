"""ImageNet and Tiny ImageNet: folders named by WordNet numbers, and lists of validation images."""

from __future__ import annotations

import re

from featstore.images.part_names import parts_of
from featstore.images.reading import Reading
from featstore.images.tree import Labelled
from featstore.layouts.folders.picture_folders import inside, wrappers
from featstore.layouts.folders.place import Place, fields, number, together
from featstore.layouts.folders.spans import Row, Span, classes_in, labelled
from featstore.layouts.layout import Layout, Listed
from featstore.system.reporting import printable_path

_SYNSET = re.compile(rb"n[0-9]{8}$")
_NAMES = (b"words.txt", b"LOC_synset_mapping.txt")
_TINY = b"val/val_annotations.txt"
_SOLUTION = b"LOC_val_solution.csv"


def _homes(place: Place) -> dict[str, list[Place]]:
    """The folders of the parts, without wrappers; under "" the folder itself where it has no parts."""
    base = wrappers(place)[-1]
    split_of = parts_of(base.children())
    if not split_of:
        return {"": [base]}
    found: dict[str, list[Place]] = {}
    for name, split in split_of.items():
        found.setdefault(split, []).append(inside(base.at(name), {b""}))
    return found


def _synsets(home: Place) -> bool:
    names = home.children()
    return bool(names) and all(_SYNSET.match(name) for name in names)


def _is_tiny(place: Place) -> bool:
    return place.has(_TINY) and place.count(b"train") > 0 and place.direct(b"val/images") > 0


def _is_imagenet(place: Place) -> bool:
    """Folders of WordNet numbers, with the names or labels that go with them; without these they are class folders."""
    if place.has(_TINY) or not any(place.has(name) for name in (*_NAMES, _SOLUTION)):
        return False
    homes = [home for part in _homes(place).values() for home in part if home.children()]
    return bool(homes) and all(map(_synsets, homes))


def _read_synsets(place: Place, reading: Reading) -> Labelled:
    tiny = place.has(_TINY)
    shown, source = _shown(place)
    of_image, listed_in = _listed_labels(place)
    spans: list[Span] = []
    listed = Listed(place)
    bare: dict[bytes, int] = {}
    parts: list[str] = []
    for part, homes in _homes(place).items() if not tiny else _tiny_homes(place).items():
        for home in homes:
            before = len(spans) + len(listed.rows)
            if home.children() and not home.direct():
                spans += _class_folders(home, part, shown)
            else:
                for name, row in home.images():
                    number_ = of_image.get(name.rpartition(b".")[0])
                    if number_ is not None:
                        spans.append((row, 1, Row(shown.get(number_, number_), part)))
                    elif reading.unlabelled:
                        spans.append((row, 1, Row(None, part)))
                    else:
                        bare[home.base] = bare.get(home.base, 0) + 1
                        spans.append((row, 1, _NO_LABEL))
            if len(spans) > before and part not in parts and home.base not in bare:
                parts.append(part)
    notes = [
        f"{number(count, 'image')} in {printable_path(folder)} left out, for no list names their labels; "
        f"`unlabelled=True` takes them without labels"
        for folder, count in bare.items()
    ]
    classes = number(classes_in(spans), "class", "classes")
    told = together([part for part in ("train", "val", "test") if part in parts])
    return labelled(
        place,
        spans,
        "tiny-imagenet" if tiny else "imagenet",
        f"{classes} from folder names"
        + (f" and {printable_path(listed_in)}" if listed_in else "")
        + (f", named by {printable_path(source)}" if source else ""),
        f"{told} from folder names" if told else "",
        rest="lies in no class folder",
        notes=notes,
        told=(_NO_LABEL,),
    )


_NO_LABEL = "no list names its label"


def _tiny_homes(place: Place) -> dict[str, list[Place]]:
    """Tiny ImageNet's parts, by their names."""
    homes = {"train": b"train", "val": b"val/images", "test": b"test/images"}
    return {part: [place.at(path)] for part, path in homes.items() if place.count(path)}


def _class_folders(home: Place, part: str, shown: dict[bytes, bytes]) -> list[Span]:
    """Images of class folders, also where they lie in `images` inside of these."""
    return [
        (start, count, Row(shown.get(name, name), part))
        for name in home.children()
        for path in (name, *(name + b"/" + inner for inner in home.children(name)))
        for start, count in home.spans(path)
    ]


def _listed_labels(place: Place) -> tuple[dict[bytes, bytes], bytes]:
    """Image, without its ending -> WordNet number, from the list of validation images; and that list."""
    if place.has(_TINY):
        return {line[0].rpartition(b".")[0]: line[1] for line in fields(place, _TINY, 2)}, _TINY
    if place.has(_SOLUTION):
        lines = [line for line in fields(place, _SOLUTION, 2, b",") if not line[0].lower().startswith(b"imageid")]
        return {line[0]: line[1].split(b" ")[0] for line in lines}, _SOLUTION
    return {}, b""


def _shown(place: Place) -> tuple[dict[bytes, bytes], bytes]:
    """WordNet number -> the number with its first name; and the list that says so."""
    source = next((name for name in _NAMES if place.has(name)), b"")
    found: dict[bytes, bytes] = {}
    for line in place.lines(source) if source else ():
        number_, _, names = line.replace(b"\t", b" ", 1).partition(b" ")
        name = names.split(b",")[0].strip()
        if _SYNSET.match(number_) and name:
            found[number_] = number_ + b" " + name
    return found, source


SYNSETS = (
    Layout(
        "tiny-imagenet",
        "train/n01443537/images/..., val/images/..., val/val_annotations.txt, words.txt",
        "folder names and val/val_annotations.txt; words.txt has the names",
        "train, val, test",
        (),
        _is_tiny,
        _read_synsets,
    ),
    Layout(
        "imagenet",
        "n01440764/... with words.txt or LOC_synset_mapping.txt; val/ with LOC_val_solution.csv",
        "folder names and LOC_val_solution.csv; names from words.txt or LOC_synset_mapping.txt",
        "part folders",
        (),
        _is_imagenet,
        _read_synsets,
    ),
)
"""Layouts of WordNet numbers."""
