"""The layouts that are known, the more specific ones first."""

from __future__ import annotations

from featstore.layouts.folders.class_folders import read_class_folders
from featstore.layouts.folders.place import Place
from featstore.layouts.hub_folder import HUB_FOLDER
from featstore.layouts.layout import Layout
from featstore.layouts.matlab_lists import MATLAB_LISTS
from featstore.layouts.named_folders import NAMED_FOLDERS
from featstore.layouts.pets import PETS
from featstore.layouts.synsets import SYNSETS
from featstore.layouts.text_lists import TEXT_LISTS


def _never(place: Place) -> bool:
    return False


_FOLDERS = (
    Layout(
        "part-folders",
        "train/cats/1.jpg, test/dogs/2.jpg; training_set, dev, holdout, seg_test ... mean parts as well",
        "names of the folders in the part folders",
        "names of the part folders",
        (),
        _never,
        read_class_folders,
    ),
    Layout(
        "class-folders",
        "cats/1.jpg, dogs/2.jpg; also cats/train/1.jpg",
        "folder names",
        "folders inside of the class folders",
        (),
        _never,
        read_class_folders,
    ),
)

LAYOUTS = {
    layout.name: layout
    for layout in (*PETS, *TEXT_LISTS, *MATLAB_LISTS, *HUB_FOLDER, *SYNSETS, *NAMED_FOLDERS, *_FOLDERS)
}
"""Name -> layout. Where a tree looks like several, the first is taken."""
