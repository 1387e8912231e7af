"""Which sub-folders of an image folder are splits, and which are classes."""

# Paths are bytes here, which pathlib does not know.
# ruff: noqa: PTH118, PTH122

from __future__ import annotations

import os

from featstore.errors import ImageSetError
from featstore.images import formats
from featstore.system.reporting import printable_path

SPLIT_FOLDERS = {
    b"train": "train",
    b"training": "train",
    b"val": "val",
    b"valid": "val",
    b"validation": "val",
    b"test": "test",
    b"testing": "test",
}
"""Folder names, in lower case, that mean a split."""

EXPECTED = "expected one sub-folder a class (cats/1.jpg, dogs/2.jpg), all of them optionally under train, val and test"
"""What an image folder looks like, for messages."""


def split_folders(root: bytes) -> dict[bytes, str]:
    """The sub-folders that are splits: name -> "train", "val" or "test"; empty where sub-folders are classes.

    They are splits where two of the three are there, or one and nothing else. One of them beside other folders is a
    class ("train" in a set of vehicles) where it has no sub-folders, and a split where no other folder holds images.

    Raises
    ------
    ImageSetError
        Where there are two readings, or two folders mean the same split.
    """
    folders = _folders(root)
    split_of = {name: SPLIT_FOLDERS[name.lower()] for name in folders if name.lower() in SPLIT_FOLDERS}
    for split in sorted(set(split_of.values())):
        names = [printable_path(name) for name in split_of if split_of[name] == split]
        if len(names) > 1:
            raise ImageSetError(
                f"{printable_path(root)} holds {' and '.join(names)}, which both mean {split}; keep one"
            )
    others = [name for name in folders if name not in split_of]
    if len(split_of) == 1 and others:
        name = next(iter(split_of))
        if not _folders(os.path.join(root, name)):
            return {}
        rival = next((other for other in others if _holds_image(os.path.join(root, other))), None)
        if rival is not None:
            raise ImageSetError(
                f"{printable_path(root)} has two readings: {printable_path(name)} is a split, or a class like "
                f"{printable_path(rival)} beside it; move what does not belong elsewhere, or list the images in a .csv "
                f"of path,label,split"
            )
    return split_of


def named_like_image(path: bytes) -> bool:
    """Whether a file name ends as those of images do."""
    return os.path.splitext(path)[1].lower() in formats.EXTENSIONS


def _folders(path: bytes) -> list[bytes]:
    """Names of the visible sub-folders, in byte order; none where they cannot be listed (the walk will say so)."""
    try:
        with os.scandir(path) as entries:
            return sorted(entry.name for entry in entries if entry.name[:1] != b"." and entry.is_dir())
    except OSError:
        return []


def _holds_image(path: bytes) -> bool:
    """Whether a file named like an image lies anywhere below; links are not followed."""
    return any(named_like_image(name) for _, _, names in os.walk(path) for name in names)
