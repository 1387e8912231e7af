"""Which folders hold the pictures: not masks beside them, not wrappers around them."""

from pathlib import Path

import pytest

from featstore.layouts.folders.picture_folders import beside, inside, kernel, pictures, wrappers
from featstore.layouts.folders.place import Place
from tests.support.trees import put, tree_of


def place(root: Path, *paths: str) -> Place:
    return Place(tree_of(put(root, *paths)))


def test_where_all_are_masks_they_are_the_pictures(tmp_path):
    assert pictures(place(tmp_path, "masks/1.png", "labels/2.png")) == [b"labels", b"masks"]
    assert pictures(place(tmp_path, "images/1.png")) == [b"images"]


@pytest.mark.parametrize(
    ("paths", "expected"),
    [
        (("images/1.png", "masks/1.png"), [b"masks"]),
        (("train/1.png", "test/2.png", "masks/1.png"), [b"masks"]),
        (("mask/1.jpg", "nomask/1.jpg"), []),
        (("mask/1.png", "nomask/1.png"), []),
        (("cats/1.jpg", "dogs/2.jpg", "masks/1.png"), [b"masks"]),
        (("cats/1.png", "dogs/2.png", "masks/1_mask.png", "masks/2_mask.png"), [b"masks"]),
        (("cats/a.jpg", "dogs/b.jpg", "masks/a.jpg", "masks/b.jpg"), [b"masks"]),
        (("cats/1.png", "dogs/2.png", "masks/cats/1.png", "masks/dogs/2.png"), [b"masks"]),
        (("hats/1.jpg", "gloves/1.jpg", "masks/1.jpg"), []),
        (("pics/cat/1.jpg", "pics/dog/1.jpg", "masks/cat/1.png", "masks/dog/1.png"), [b"masks"]),
        (("mask/train/1.jpg", "mask/test/1.jpg", "nomask/train/1.jpg", "nomask/test/1.jpg"), []),
        (("1.jpg", "masks/1.png"), [b"masks"]),
    ],
)
def test_masks_are_told_by_what_lies_beside_them(tmp_path, paths, expected):
    assert beside(place(tmp_path, *paths)) == expected


@pytest.mark.parametrize(
    ("paths", "expected"),
    [
        (("data/cat/1.jpg", "data/dog/1.jpg", "docs/1.png"), b"data"),
        (("pets/train/cat/1.jpg", "pets/test/cat/2.jpg", "screenshots/1.png"), b"pets"),
        (("x/x/train/cat/1.jpg", "x/x/valid/cat/2.jpg", "test/test/1.jpg"), b"x"),
        (("car/sedan/1.jpg", "car/suv/1.jpg", "bus/1.jpg", "truck/1.jpg"), None),
        (("cat/train/1.jpg", "cat/test/1.jpg", "dog/1.jpg"), None),
        (("a/b/1.jpg", "a/c/1.jpg", "d/e/1.jpg", "d/f/1.jpg"), None),
    ],
)
def test_the_one_folder_that_holds_the_data_set(tmp_path, paths, expected):
    assert kernel(place(tmp_path, *paths)) == expected


@pytest.mark.parametrize(
    ("paths", "innermost"),
    [
        (("cats/1.jpg", "dogs/1.jpg"), b""),
        (("a/cats/1.jpg", "a/dogs/1.jpg"), b"a"),
        (("a/a/b/cats/1.jpg", "a/a/b/dogs/1.jpg"), b"a/a/b"),
        (("train/cats/1.jpg", "train/dogs/1.jpg"), b""),
        (("test/train/cats/1.jpg", "test/val/dogs/1.jpg"), b"test"),
        (("cats/1.jpg",), b""),
        (("images/1.jpg",), b"images"),
        (("cats/1.jpg", "cats/deep/1.jpg"), b""),
        (("pets/sample.jpg", "pets/cats/1.jpg", "pets/dogs/1.jpg"), b"pets"),
        (("images/cats/1.jpg", "images/dogs/1.jpg", "masks/1.png"), b"images"),
    ],
)
def test_wrappers(tmp_path, paths, innermost):
    chain = wrappers(place(tmp_path, *paths))
    assert chain[0].base == b"" and chain[-1].base == innermost


@pytest.mark.parametrize(
    ("paths", "path"),
    [
        (("train/train/a/1.jpg", "train/train/b/1.jpg"), b"train/train"),
        (("train/images/a/1.jpg",), b"train/images"),
        (("train/images/1.jpg",), b"train/images"),
        (("train/x/a/1.jpg", "train/x/b/1.jpg"), b"train/x"),
        (("train/TRAIN/1.jpg",), b"train/TRAIN"),
        (("train/good/1.jpg",), b"train"),
        (("train/cats/in/1.jpg", "train/cats/out/1.jpg"), b"train"),
    ],
)
def test_wrappers_in_a_part(tmp_path, paths, path):
    assert inside(place(tmp_path, *paths).at(b"train"), {b"cats"}).base == path
