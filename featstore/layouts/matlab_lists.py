"""Data sets with their lists as MATLAB files: Flowers-102, Stanford Dogs."""

from __future__ import annotations

import io
import re
from typing import Any

import numpy as np

from featstore.errors import ImageSetError
from featstore.images.reading import Reading
from featstore.images.tree import Labelled
from featstore.layouts.folders.place import Place, number, shown
from featstore.layouts.folders.spans import Row, Span, classes_in, labelled
from featstore.layouts.layout import Layout, Listed
from featstore.system.reporting import printable_path

_FLOWER_PARTS = {"train": "trnid", "val": "valid", "test": "tstid"}
_DOG = re.compile(rb"n[0-9]{8}-(.+)$")
_DOG_LISTS = {"train": b"train_list.mat", "test": b"test_list.mat"}


def _variables(place: Place, path: bytes, *names: str) -> dict[str, Any]:
    """Variables of a MATLAB file.

    Raises
    ------
    ImageSetError
        Where it cannot be read or lacks one of them.
    """
    from scipy.io import loadmat

    try:
        found: dict[str, Any] = loadmat(io.BytesIO(place.content(path)), squeeze_me=True, variable_names=names)
    except ImageSetError:
        raise
    except Exception as error:  # whatever a damaged file makes of the reader
        raise ImageSetError(
            f"{shown(place)}: {printable_path(path)} cannot be read as a MATLAB file: {error}; unpack it again"
        ) from error
    lacking = [name for name in names if name not in found]
    if lacking:
        raise ImageSetError(
            f"{shown(place)}: {printable_path(path)} has no variable {lacking[0]!r}; expected {', '.join(names)}"
        )
    return found


def _is_flowers(place: Place) -> bool:
    return place.has(b"imagelabels.mat", b"setid.mat") and place.direct(b"jpg") > 0


def _read_flowers(place: Place, reading: Reading) -> Labelled:
    try:
        labels = np.atleast_1d(_variables(place, b"imagelabels.mat", "labels")["labels"]).astype(np.int64).tolist()
        found = _variables(place, b"setid.mat", *_FLOWER_PARTS.values())
        parts = {part: np.atleast_1d(found[name]).astype(np.int64).tolist() for part, name in _FLOWER_PARTS.items()}
    except (TypeError, ValueError) as error:
        raise ImageSetError(
            f"{shown(place)}: imagelabels.mat or setid.mat holds no plain numbers: {error}; expected Flowers-102's"
        ) from error
    listed = Listed(place)
    for part, images in parts.items():
        for image in images:
            if not 1 <= image <= len(labels):
                raise ImageSetError(
                    f"{shown(place)}: setid.mat names image {image}, but imagelabels.mat has {len(labels)} labels; "
                    f"expected lists that belong together"
                )
            path = b"jpg/image_%05d.jpg" % image
            listed.add(place.row(path), path, Row(b"%d" % labels[image - 1], part))
    spans = listed.spans()
    return labelled(
        place,
        spans,
        "flowers-102",
        f"{number(classes_in(spans), 'class', 'classes')} from imagelabels.mat",
        "train, val and test from setid.mat",
        notes=listed.notes(),
    )


def _is_dogs(place: Place) -> bool:
    names = place.children(b"Images")
    return bool(names) and all(_DOG.match(name) for name in names)


def _dog_names(place: Place) -> dict[bytes, bytes]:
    """Folder -> breed; where two have one name, the folders' names."""
    names = {folder: folder.partition(b"-")[2] for folder in place.children(b"Images")}
    return names if len(set(names.values())) == len(names) else {folder: folder for folder in names}


def _read_dogs(place: Place, reading: Reading) -> Labelled:
    breeds = _dog_names(place)
    at = next((home for home in (b"", b"lists/") if place.has(*(home + name for name in _DOG_LISTS.values()))), None)
    spans: list[Span]
    if at is None:
        spans = [
            (start, count, Row(breed))
            for folder, breed in breeds.items()
            for start, count in place.spans(b"Images/" + folder)
        ]
        parts_from, notes = "", ["train_list.mat and test_list.mat are not there: no image is in a part"]
    else:
        listed = Listed(place)
        for part, name in _DOG_LISTS.items():
            for one in np.atleast_1d(_variables(place, at + name, "file_list")["file_list"]).tolist():
                path = str(one).encode()
                folder = path.partition(b"/")[0]
                listed.add(place.row(b"Images/" + path), path, Row(breeds.get(folder, folder), part))
        spans, notes = listed.spans(), listed.notes()
        parts_from = f"train and test from {printable_path(at)}train_list.mat and {printable_path(at)}test_list.mat"
    return labelled(
        place,
        spans,
        "stanford-dogs",
        f"{number(classes_in(spans), 'class', 'classes')} from the folders in Images",
        parts_from,
        notes=notes,
    )


MATLAB_LISTS = (
    Layout(
        "flowers-102",
        "jpg/image_00001.jpg, imagelabels.mat, setid.mat",
        "imagelabels.mat; the classes are numbers",
        "setid.mat (trnid: train, valid: val, tstid: test)",
        (),
        _is_flowers,
        _read_flowers,
    ),
    Layout(
        "stanford-dogs",
        "Images/n02085620-Chihuahua/..., train_list.mat, test_list.mat",
        "folder names without the number",
        "train_list.mat and test_list.mat",
        (),
        _is_dogs,
        _read_dogs,
    ),
)
"""Layouts with lists as MATLAB files."""
