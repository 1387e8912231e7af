"""Masks and annotations, told by the names of folders and of files beside pictures."""

# Paths are bytes here, which pathlib does not know.
# ruff: noqa: PTH122

from __future__ import annotations

import os
import re

from featstore.layouts.folders.place import Place

MASK = 'a mask of the picture beside it by its name; `layout="class-folders"` takes all files'
"""The reason why a mask beside its picture is left out."""
BESIDE = "holds masks or annotations by its name, no class"
"""The reason why images in a folder of masks or annotations are left out."""

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
MASK_NAME = re.compile(
    rb"(?i)^(.+?)[-_. (]+(?:mask|seg|segmentation|label|gt|ground[-_]?truth|annotation)s?(?:[-_ ]?\d+)?\)?$"
)
"""The name, without ending, of a mask; its first group is the name of its picture."""
_MASK_WORD = re.compile(rb"(?i)[-_. (](?:mask|seg|label|gt|ground|annotation)")  # in every name of a mask


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


def mask_files(place: Place) -> set[int]:
    """Positions of files named like masks of pictures that lie beside them, where most pictures have one."""
    found: dict[int, bytes] = {}
    paths = place.tree.paths
    if not _MASK_WORD.search(b"\n".join(paths)):  # a look at all of them at once: nearly no data set has any
        return set()
    for row, path in enumerate(paths):
        home, slash, name = path.rpartition(b"/")
        if match := MASK_NAME.match(os.path.splitext(name)[0]):
            found[row] = home + slash + match[1]
    if not found:
        return set()
    stems = {os.path.splitext(path)[0] for row, path in enumerate(paths) if row not in found}
    masks = {row for row, stem in found.items() if stem in stems}
    return masks if len({found[row] for row in masks}) > len(stems) / 2 else set()
