"""Which folders are parts, which only wrap others, and which lie beside the pictures: masks, annotations."""

from __future__ import annotations

import re

from featstore.errors import ImageSetError
from featstore.images.part_names import part_of, parts_of
from featstore.images.reading import Reading
from featstore.layouts.place import Place, shown, together
from featstore.system.reporting import argument, printable_path

_GENERIC = frozenset(
    b"images image imgs img pictures picture pics photos photo data dataset jpg jpeg jpegs jpegimages png pngs raw "
    b"files unknown all".split()
)
_BESIDE = frozenset(
    b"mask masks segmentation segmentations segmented seg segs annotation annotations trimap trimaps label labels "
    b"groundtruth ground truth gt xml xmls bbox bboxes bounding box boxes saliency segmentationclass "
    b"segmentationobject matte mattes".split()
)
_SILENT = frozenset(
    b"images image png pngs class object files train training val validation valid test testing".split()
)
_HINT = re.compile(rb"(?i)mask|seg|annot|trimap|label|truth|ground|gt|xml|box|bounding|salien|matte")
_WORDS = re.compile(rb"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|[^a-zA-Z_. -]+")


def is_generic(name: bytes) -> bool:
    """Whether a folder's name says only that it holds pictures.

    Examples
    --------
    >>> is_generic(b"Images"), is_generic(b"cats")
    (True, False)
    """
    return name.lower() in _GENERIC


def is_beside(name: bytes) -> bool:
    """Whether a folder's name says that it holds masks or annotations of pictures rather than pictures of a class.

    Examples
    --------
    >>> is_beside(b"ground_truth"), is_beside(b"train_masks"), is_beside(b"no_mask")
    (True, True, False)
    """
    if not _HINT.search(name):  # nearly all names of 100,000 classes
        return False
    words = {word.lower() for word in _WORDS.findall(name)}
    return bool(words & _BESIDE) and words <= _BESIDE | _SILENT


def pictures(names: list[bytes]) -> list[bytes]:
    """The folders that do not lie beside pictures; all of them where these are all there is."""
    return [name for name in names if not is_beside(name)] or names


def wrappers(place: Place, as_classes: bool = False) -> list[Place]:
    """A folder and those inside of it that hold everything: in the last one lie classes, parts or images.

    Parameters
    ----------
    place : Place
    as_classes : bool
        No folder is a part.

    Returns
    -------
    list of Place
        From the outermost to the innermost.
    """
    chain = [place]
    while True:
        children = pictures(place.children())
        if len(children) != 1:
            return chain
        (name,) = children
        inner = pictures(place.children(name))
        if part_of(name) is not None and not as_classes:
            goes_on = len(set(parts_of(inner).values())) > 1
        elif place.direct() or place.direct(name):
            goes_on = len(inner) > 1 or (not inner and not place.direct() and is_generic(name))
        else:
            goes_on = True
        if not goes_on:
            return chain
        place = place.at(name)
        chain.append(place)


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


def inside(place: Place, others: set[bytes]) -> Place:
    """A part's folder without the wrappers in it: `training_set/training_set`, `test/images`.

    Parameters
    ----------
    place : Place
        The part.
    others : set of bytes
        Names of folders in the other parts: classes.
    """
    while not place.direct():
        children = pictures(place.children())
        if len(children) != 1:
            return place
        (name,) = children
        wraps = is_generic(name) or part_of(name) is not None or name.lower() == place.name.lower()
        if not wraps and (name in others or len(place.children(name)) < 2):
            return place
        place = place.at(name)
    return place


def _refuse(place: Place, part: bytes, rival: bytes, deep: bool) -> None:
    name, other = printable_path(part), printable_path(rival)
    what = "a part" if deep else "a part whose images have no label"
    raise ImageSetError(
        f"{shown(place)} has two readings: {name} is {what} ({argument('layout', 'part-folders')}), or a class like "
        f"{other} beside it ({argument('layout', 'class-folders')}); say which"
    )
