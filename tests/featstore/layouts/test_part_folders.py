"""Which folders are parts, wrap others, or lie beside the pictures."""

from pathlib import Path

import pytest

from featstore.errors import ImageSetError
from featstore.images.reading import Reading
from featstore.layouts.part_folders import inside, is_beside, is_generic, pictures, split_folders, wrappers
from featstore.layouts.place import Place
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


def test_where_all_are_masks_they_are_the_pictures():
    assert pictures([b"masks", b"labels"]) == [b"masks", b"labels"] and pictures([b"masks", b"a"]) == [b"a"]


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
