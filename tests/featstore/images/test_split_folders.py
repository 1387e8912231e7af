"""Which sub-folders are splits and which are classes."""

import os
from pathlib import Path

import pytest

from featstore.errors import ImageSetError
from featstore.images.split_folders import named_like_image, split_folders


def tree(root: Path, *paths: str) -> bytes:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).touch()
    return os.fsencode(root)


@pytest.mark.parametrize(
    ("names", "splits"),
    [
        (("train", "val", "test"), ("train", "val", "test")),
        (("Training", "VALID", "Testing"), ("train", "val", "test")),
        (("train", "validation"), ("train", "val")),
        (("test",), ("test",)),
    ],
)
def test_split_folders_by_their_usual_names(tmp_path, names, splits):
    root = tree(tmp_path, *[f"{name}/cats/1.jpg" for name in names])
    assert split_folders(root) == {os.fsencode(n): s for n, s in zip(names, splits, strict=True)}


def test_class_folders_are_no_splits(tmp_path):
    assert split_folders(tree(tmp_path, "cats/1.jpg", "dogs/2.jpg")) == {}


def test_train_among_vehicles_is_a_class(tmp_path):
    assert split_folders(tree(tmp_path, "car/1.jpg", "train/2.jpg", "plane/3.jpg")) == {}


def test_folder_without_images_beside_one_split_changes_nothing(tmp_path):
    root = tree(tmp_path, "train/cats/1.jpg", "annotations/xml/1.xml", ".cache/x.jpg")
    assert split_folders(root) == {b"train": "train"}


def test_two_splits_stand_whatever_lies_beside_them(tmp_path):
    root = tree(tmp_path, "train/cats/1.jpg", "test/1.jpg", "extra/dogs/1.jpg")
    assert split_folders(root) == {b"train": "train", b"test": "test"}


def test_two_readings_are_refused(tmp_path):
    with pytest.raises(
        ImageSetError, match="two readings: train is a split, or a class like car beside it; move .*\\.csv"
    ):
        split_folders(tree(tmp_path, "car/sedan/1.jpg", "train/steam/2.jpg"))


def test_two_names_for_one_split_are_refused(tmp_path):
    with pytest.raises(ImageSetError, match="holds val and valid, which both mean val; keep one"):
        split_folders(tree(tmp_path, "val/cats/1.jpg", "valid/cats/2.jpg", "train/cats/3.jpg"))


def test_file_endings():
    assert named_like_image(b"a/b.JPEG") and named_like_image(b"x.tif")
    assert not named_like_image(b"jpg") and not named_like_image(b"a.jpg/x") and not named_like_image(b"a.txt")
