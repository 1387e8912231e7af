"""Which folders are parts, wrap others, or lie beside the pictures."""

from pathlib import Path

import pytest

from featstore.errors import ImageSetError
from featstore.images.reading import Reading
from featstore.layouts.folders.place import Place
from featstore.layouts.part_folders import (
    beside,
    inside,
    is_beside,
    is_generic,
    kernel,
    pictures,
    split_folders,
    wrappers,
)
from tests.support.trees import put, tree_of


def place(root: Path, *paths: str) -> Place:
    return Place(tree_of(put(root, *paths)))


@pytest.mark.parametrize("name", ["masks", "Mask", "annotations", "SegmentationClass", "ground_truth", "trimaps", "xml",
                                  "train_masks", "labels", "masks_png", "GT"])  # fmt: skip
def test_names_of_masks_and_annotations(name):
    assert is_beside(name.encode())


@pytest.mark.parametrize(
    "name", ["no_mask", "with_mask", "cats", "train", "images", "label_1", "xmas", "boxer", "", "gt4"]
)
def test_names_of_other_things(name):
    assert not is_beside(name.encode())


def test_generic_names():
    assert is_generic(b"JPEGImages") and is_generic(b"photos") and not is_generic(b"cats")


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
    ("paths", "parts"),
    [
        (("train/a/1.jpg", "val/a/1.jpg", "test/a/1.jpg"), {b"train": "train", b"val": "val", b"test": "test"}),
        (("test/a/1.jpg",), {b"test": "test"}),
        (("a/1.jpg", "b/1.jpg"), {}),
        (("car/1.jpg", "train/2.jpg", "plane/3.jpg"), {}),
        (("train/a/1.jpg", "annotations/x/1.png", ".cache/x.jpg"), {b"train": "train"}),
        (("train/a/1.jpg", "test/1.jpg", "extra/b/1.jpg"), {b"train": "train", b"test": "test"}),
        (("seg_train/a/1.jpg", "seg_pred/1.jpg"), {b"seg_train": "train", b"seg_pred": ""}),
        (("test/a/1.jpg", "test1/1.jpg", "train/a/1.jpg"), {b"test": "test", b"test1": "test", b"train": "train"}),
    ],
)
def test_parts(tmp_path, paths, parts):
    assert split_folders(place(tmp_path, *paths), Reading()) == parts


@pytest.mark.parametrize(
    ("paths", "message"),
    [
        (("car/sedan/1.jpg", "train/steam/2.jpg"), "train is a part .*, or a class like car beside it"),
        (("cats/1.jpg", "test/1.jpg"), "test is a part whose images have no label .*, or a class like cats"),
        (("val/a/1.jpg", "valid/a/1.jpg", "train/a/1.jpg"), "val and valid, which both mean val"),
        (("train/a/1.jpg", "test/a/1.jpg", *(f"cars/{i}.jpg" for i in range(9))), "or a class like cars beside it"),
        (("train/1.jpg", "test/1.jpg", "car/1.jpg"), "a part whose images have no label .*or a class like car"),
    ],
)
def test_two_readings_are_refused_with_the_option_for_each(tmp_path, paths, message):
    here = place(tmp_path, *paths)
    with pytest.raises(ImageSetError, match=message) as refused:
        split_folders(here, Reading())
    assert '`layout="part-folders"`' in str(refused.value)
    assert split_folders(here, Reading(layout="class-folders")) == {}
    assert split_folders(here, Reading(layout="part-folders"))


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
