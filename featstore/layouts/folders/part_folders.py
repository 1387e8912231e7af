"""Part folders: which folders are parts, and the classes and unlabelled images in each of them."""

from __future__ import annotations

from featstore.errors import ImageSetError
from featstore.images.part_names import parts_of
from featstore.images.reading import Reading
from featstore.layouts.folders.branches import Branches
from featstore.layouts.folders.folder_names import one_form
from featstore.layouts.folders.masks import BESIDE, is_beside
from featstore.layouts.folders.part_classes import read_classes
from featstore.layouts.folders.picture_folders import inside, pictures
from featstore.layouts.folders.place import Place, number, shown, together
from featstore.layouts.folders.spans import Row
from featstore.system.reporting import argument, printable_path

NO_CLASSES = "lies in a part without class folders"
"""The reason why an unlabelled image is left out."""

_DUMMIES = frozenset(b"unknown dummy none na nan unlabeled unlabelled class nolabel no_label no_class".split())


def split_folders(place: Place, reading: Reading) -> dict[bytes, str]:
    """The folders in a folder that are parts: name -> "train", "val", "test" or "".

    They are parts where two different ones are there, or nothing else. A folder `train` of images beside class folders
    is a class (in a set of vehicles).

    Raises
    ------
    ImageSetError
        Where there are two readings, or two folders mean the same part.
    """
    if reading.layout == "class-folders":
        return {}
    children = place.children()
    split_of = parts_of(children)
    if reading.layout == "part-folders":
        if not split_of and any(len(set(parts_of(place.children(name)).values())) > 1 for name in children):
            return {}  # parts inside of class folders
        if not split_of:
            raise ImageSetError(
                f"{shown(place)} holds no folder that is named like a part (train, val, test); it holds "
                f"{together(children)}"
            )
        return split_of
    others = [name for name in children if name not in split_of and not is_beside(name)]
    deep = [name for name in split_of if place.children(name)]
    if others and split_of:
        parts = set(split_of.values())
        if not deep and parts == {"train"}:
            return {}
        beside = sum(map(place.count, others)) > sum(map(place.count, split_of))
        if not deep or len(parts) == 1 or beside:
            _refuse(place, (deep or list(split_of))[0], others[0], bool(deep))
    for part in sorted(set(split_of.values())):
        names = [name for name in deep if split_of[name] == part]
        if len(names) > 1:
            raise ImageSetError(
                f"{shown(place)} holds {together(names)}, which {'both' if len(names) == 2 else 'all'} mean "
                f"{part or 'images to be predicted'}; keep one, or say {argument('layout', 'part-folders')} to take all"
            )
    return split_of


def _refuse(place: Place, part: bytes, rival: bytes, deep: bool) -> None:
    name, other = printable_path(part), printable_path(rival)
    what = "a part" if deep else "a part whose images have no label"
    raise ImageSetError(
        f"{shown(place)} has two readings: {name} is {what} ({argument('layout', 'part-folders')}), or a class like "
        f"{other} beside it ({argument('layout', 'class-folders')}); say which"
    )


def read_parts(base: Place, reading: Reading, found: Branches) -> None:
    """Classes in part folders."""
    here = {name: split for name, split in found.parts.items() if name in base.children()}
    inner = {name: set(pictures(base, name)) for name in here}
    for name, split in here.items():
        others = {child for part, children in inner.items() if part != name for child in children}
        if len(set().union(*inner.values())) == 1:
            others = set()  # the only folder in every part wraps, for a single class would make no sense
        part = inside(base.at(name), others)
        if split and (again := _parts_again(part)):
            for one, its in again.items():
                found.parts[name + b"/" + one] = its
                found.used.add(name + b"/" + one)
                read_classes(inside(part.at(one), others), reading, its, found)
            continue
        dummy = _dummy(part, split, [base.at(other) for other, its in here.items() if its == "train"])
        if part.children() and split and not dummy:
            found.used.add(name)
            read_classes(part, reading, split, found, others)
            continue
        read_unlabelled(base, name, split, reading, found, dummy)
    rest = [name for name in base.children() if name not in here]
    classes = [name for name in rest if not is_beside(name)]
    if reading.layout == "part-folders" and classes and "train" not in here.values():
        # the classes lie beside the one part that was put aside
        split = "train" if found.used - {name for name, part in found.parts.items() if not part} else ""
        read_classes(base, reading, split, found, but=set(here))
        if split:
            found.notes.append("the class folders beside the part folders are taken as train")
        return
    for name in rest:
        found.leave(base, name, BESIDE if is_beside(name) else "lies in a folder beside the part folders")
    found.loose(base, "", reading)


def read_unlabelled(
    base: Place, name: bytes, split: str, reading: Reading, found: Branches, dummy: bytes | None = None
) -> None:
    """A part without class folders."""
    rows = [span for path, _ in base.at(name).folders() for span in base.spans(name + b"/" + path if path else name)]
    if reading.unlabelled:
        found.used.add(name)
        found.others += [(start, count, Row(None, split)) for start, count in rows]
        return
    why = (
        f"for its only folder, {printable_path(dummy)}, is no class of train"
        if dummy
        else "for no class folders lie in it"
    )
    found.others += [(start, count, NO_CLASSES) for start, count in rows]
    found.notes.append(
        f"{number(base.count(name), 'image')} in {printable_path(name)} left out, {why}; "
        f"`unlabelled=True` takes them without labels"
    )


def _parts_again(part: Place) -> dict[bytes, str]:
    """Parts of class folders inside of a part's folder: train/train and train/val."""
    names = pictures(part)
    split_of = parts_of(names)
    several = len(set(split_of.values())) > 1 and len(split_of) == len(names)
    return split_of if several and all(part.children(name) for name in names) else {}


def _dummy(part: Place, split: str, trains: list[Place]) -> bytes | None:
    """The one folder in a part that some programs want to see, and that is no class of train: test/0."""
    names = part.children()
    classes = {name for train in trains for name in pictures(inside(train, set()))}
    if split == "train" or len(names) != 1 or part.direct() or part.children(names[0]) or len(classes) < 2:
        return None
    name = one_form(names[0])
    told = name.isdigit() and not any(one.isdigit() for one in classes)
    return name if told or (name.lower() in _DUMMIES and name not in classes) else None
