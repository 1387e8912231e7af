"""Which folders are parts, and what is taken from each."""

from pathlib import Path

import pytest

from featstore.errors import ImageSetError
from featstore.images.reading import Reading
from featstore.layouts.folders.part_folders import split_folders
from featstore.layouts.folders.place import Place
from tests.support.trees import classes, label, parts, put, reasons, rows, tree_of, write


def place(root: Path, *paths: str) -> Place:
    return Place(tree_of(put(root, *paths)))


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
    ("train", "val", "test"),
    [
        ("train", "val", "test"),
        ("Training", "VALID", "Testing"),
        ("training_set", "dev", "test_set"),
        ("train", "dev", "eval"),
        ("TRAIN", "Validation", "holdout"),
        ("birds_train", "birds_val", "birds_test"),
        ("training_set/training_set", "val/images", "test_set/test_set"),
        ("archive/train", "archive/valid", "archive/test1"),
        ("a/b/train", "a/b/val", "a/b/test"),
        ("data/data/train", "data/data/val", "data/data/test"),
    ],
)
def test_part_folders_as_people_write_them(tmp_path, train, val, test):
    put(tmp_path, *(f"{part}/{name}/1.jpg" for part in (train, val, test) for name in ("cats", "dogs")))
    found = label(tmp_path)
    said = {f"{train}/": "train", f"{val}/": "val", f"{test}/": "test"}
    assert rows(found) == {f"{part}{name}/1.jpg": (name, s) for part, s in said.items() for name in ("cats", "dogs")}
    assert found.layout == "part-folders"
    assert found.parts_from.startswith("train, val and test from the folders ")


def test_the_only_folder_of_every_part_wraps(tmp_path):
    put(tmp_path, *(f"{part}/dogs/{breed}/1.jpg" for part in ("train", "val") for breed in ("husky", "pug")))
    assert classes(label(tmp_path)) == {"husky", "pug"}


def test_parts_inside_of_a_part(tmp_path):
    put(tmp_path, *(f"{part}/{name}/1.jpg" for part in ("train/train", "train/val", "test") for name in ("A", "B")))
    for reading in ({}, {"layout": "part-folders", "class_from": "leaf"}):
        found = label(tmp_path, **reading)
        assert parts(found) == {"train": 2, "val": 2, "test": 2} and classes(found) == {"A", "B"}
    assert found.parts_from == "train, val and test from the folders train/train, train/val and test"


def test_parts_that_wrap_a_folder_of_their_own_name(tmp_path):
    put(tmp_path, *(f"asl_train/asl_train/{name}/1.jpg" for name in "AB"), "asl_test/asl_test/A_test.jpg")
    found = label(tmp_path)
    assert classes(found) == {"A", "B"} and "asl_test/asl_test/A_test.jpg" in reasons(found)


def test_folders_that_only_say_images_in_every_part_are_no_class(tmp_path):
    put(tmp_path, "train/images/1.jpg", "val/images/1.jpg")
    write(tmp_path, "train/labels/1.txt", "0 0.5 0.5 1 1")
    with pytest.raises(ImageSetError, match="2 images in .* lie in no class folder"):
        label(tmp_path)


@pytest.mark.parametrize("layout", ["auto", "part-folders"])
def test_labelled_and_unlabelled_folders(tmp_path, layout):
    put(tmp_path, "labeled/A/1.jpg", "labeled/B/1.jpg", "unlabeled/2.jpg")
    assert classes(label(tmp_path, layout=layout)) == {"A", "B"}
    assert classes(label(tmp_path, layout=layout, unlabelled=True)) == {"A", "B", None}


def test_a_dummy_class_folder_in_test_holds_unlabelled_images(tmp_path):
    put(tmp_path, "train/cat/1.jpg", "train/dog/1.jpg", "test/0/1.jpg")
    found = label(tmp_path)
    assert parts(found) == {"train": 2} and "for its only folder, 0, is no class of train" in found.notes[0]
    assert parts(label(tmp_path, unlabelled=True)) == {"train": 2, "test": 1}


def test_train_among_vehicles_is_a_class(tmp_path):
    put(tmp_path, "car/1.jpg", "train/2.jpg", "plane/3.jpg")
    assert classes(label(tmp_path)) == {"car", "train", "plane"}


def test_a_folder_of_unlabelled_test_images_beside_classes_has_two_readings(tmp_path):
    put(tmp_path, "cats/1.jpg", "dogs/1.jpg", "test/1.jpg")
    with pytest.raises(ImageSetError, match="test is a part whose images have no label .*, or a class like cats"):
        label(tmp_path)
    assert classes(label(tmp_path, layout="class-folders")) == {"cats", "dogs", "test"}
    assert classes(label(tmp_path, layout="part-folders")) == {"cats", "dogs"}
    bare = label(tmp_path, layout="part-folders", unlabelled=True)
    assert rows(bare)["test/1.jpg"] == (None, "test") and rows(bare)["cats/1.jpg"] == ("cats", "train")


def test_a_labelled_test_part_beside_class_folders(tmp_path):
    put(tmp_path, "cats/1.jpg", "dogs/1.jpg", "test/cats/2.jpg", "test/dogs/2.jpg")
    with pytest.raises(ImageSetError, match="test is a part .*, or a class like cats beside it"):
        label(tmp_path)
    found = label(tmp_path, layout="part-folders")
    assert parts(found) == {"train": 2, "test": 2} and classes(found) == {"cats", "dogs"}


def test_unlabelled_images_of_a_part_are_left_out_and_said(tmp_path):
    put(tmp_path, "train/cats/1.jpg", "train/dogs/1.jpg", "test1/1.jpg", "test1/2.jpg")
    found = label(tmp_path)
    assert parts(found) == {"train": 2} and found.parts_from == "train from the folder train"
    told = "2 images in test1 left out, for no class folders lie in it; `unlabelled=True` takes them without labels"
    assert found.notes == [told]
    assert rows(label(tmp_path, unlabelled=True))["test1/1.jpg"] == (None, "test")


def test_folders_beside_the_parts_are_left_out_and_said(tmp_path):
    put(tmp_path, "train/cats/1.jpg", "train/dogs/1.jpg", "test/cats/1.jpg", "extra/cats/1.jpg")
    found = label(tmp_path)
    assert reasons(found)["extra/cats/1.jpg"] == "lies in a folder beside the part folders"
    assert [note for note in found.notes if "extra/cats/1.jpg" in note]


def test_two_names_for_one_part(tmp_path):
    put(tmp_path, "val/cats/1.jpg", "valid/dogs/2.jpg", "train/cats/3.jpg", "train/dogs/1.jpg")
    with pytest.raises(ImageSetError, match='val and valid, which both mean val; keep one, or .*"part-folders"'):
        label(tmp_path)
    assert parts(label(tmp_path, layout="part-folders")) == {"train": 2, "val": 2}


def test_part_folders_that_are_asked_for_and_not_there(tmp_path):
    put(tmp_path, "cats/1.jpg", "dogs/1.jpg")
    with pytest.raises(ImageSetError, match="no folder that is named like a part .*; it holds cats and dogs"):
        label(tmp_path, layout="part-folders")
