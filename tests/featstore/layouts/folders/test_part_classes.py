"""Class folders of one part or of all: parts inside of them, masks beside them, pieces of one heap."""

import pytest

from featstore.errors import ImageSetError
from tests.support.trees import classes, label, parts, put, reasons, rows, write


@pytest.mark.parametrize("inner", ["", "/images"])
def test_parts_inside_of_the_class_folders(tmp_path, inner):
    put(tmp_path, *(f"{c}/{p}{inner}/{i}.jpg" for c in ("cats", "dogs") for p in ("Train", "test") for i in range(2)))
    found = label(tmp_path)
    assert classes(found) == {"cats", "dogs"} and parts(found) == {"train": 4, "test": 4}
    assert found.layout == "class-part-folders"
    assert found.parts_from == "train and test from the folders inside of the class folders"


def test_a_class_without_the_parts_that_others_have_inside(tmp_path):
    put(tmp_path, "cats/train/1.jpg", "cats/test/1.jpg", "dogs/1.jpg")
    with pytest.raises(ImageSetError, match=r"folders in cats \(test and train\) are parts, which dogs lacks"):
        label(tmp_path)
    assert rows(label(tmp_path, layout="class-folders"))["cats/train/1.jpg"] == ("cats", "")


def test_parts_in_one_class_of_two_can_be_read_both_ways(tmp_path):
    put(tmp_path, "cat/train/1.jpg", "cat/test/1.jpg", "dog/1.jpg")
    with pytest.raises(ImageSetError, match='lacks .`layout="part-folders"`., or they belong .*"class-folders"'):
        label(tmp_path)
    assert parts(label(tmp_path, layout="part-folders")) == {"train": 1, "test": 1, "": 1}
    assert classes(label(tmp_path, layout="class-folders")) == {"cat", "dog"}


_PARTS = ("train", "test")


@pytest.mark.parametrize("names", [("mask", "nomask"), ("part1", "part2")])
@pytest.mark.parametrize("inside", [False, True])
def test_classes_of_any_name_in_parts(tmp_path, names, inside):
    put(tmp_path, *(f"{name}/{part}/1.jpg" if inside else f"{part}/{name}/1.jpg" for name in names for part in _PARTS))
    for layout in ("auto", "part-folders"):
        found = label(tmp_path, layout=layout)
        assert classes(found) == set(names) and parts(found) == {"train": 2, "test": 2}


def test_shards_of_class_folders_are_one_heap(tmp_path):
    put(tmp_path, *(f"shard{i}/{name}/{i}.jpg" for i in range(2) for name in ("cat", "dog")))
    for reading in ({}, {"class_from": "leaf"}):
        found = label(tmp_path, **reading)
        assert classes(found) == {"cat", "dog"} and '`class_from="top"` takes shard0 and shard1' in found.notes[0]
    assert classes(label(tmp_path, class_from="top")) == {"shard0", "shard1"}


@pytest.mark.parametrize(
    "names", [("set_images_part_1", "set_images_part_2"), ("images_001/images", "images_002/images")]
)
def test_pieces_of_one_heap_are_no_classes(tmp_path, names):
    put(tmp_path, *(f"{name}/{i}.jpg" for name in names for i in range(2)))
    write(tmp_path, "metadata.csv", "id,dx\n1,nv\n")
    with pytest.raises(ImageSetError, match='look like pieces of one heap .*class-folders.*`labels="metadata.csv"`'):
        label(tmp_path)
    assert classes(label(tmp_path, layout="class-folders")) == {name.partition("/")[0] for name in names}
    assert classes(label(tmp_path, unlabelled=True)) == {None}


def test_masks_beside_class_folders_are_left_out(tmp_path):
    put(tmp_path, "cats/1.jpg", "dogs/1.jpg", "masks/1.png")
    found = label(tmp_path)
    assert classes(found) == {"cats", "dogs"}
    assert reasons(found)["masks/1.png"] == "holds masks or annotations by its name, no class"
    assert found.notes == ["1 image left out: holds masks or annotations by its name, no class (such as masks/1.png)"]
    assert classes(label(tmp_path, layout="class-folders")) == {"cats", "dogs", "masks"}


@pytest.mark.parametrize("paths", [("mask/1.jpg", "no_mask/1.jpg"), ("mask/1.jpg", "none/1.jpg", "wrong/1.jpg")])
def test_faces_with_and_without_a_mask_are_classes(tmp_path, paths):
    put(tmp_path, *paths)
    for layout in ("auto", "class-folders"):
        assert classes(label(tmp_path, layout=layout)) == {path.partition("/")[0] for path in paths}


@pytest.mark.parametrize("names", [("images", "masks"), ("images", "annotations"), ("photos", "ground_truth")])
def test_pictures_beside_their_masks(tmp_path, names):
    put(tmp_path, *(f"{name}/{kind}/1.png" for name in names for kind in ("cats", "dogs")))
    found = label(tmp_path)
    assert rows(found) == {f"{names[0]}/{kind}/1.png": (kind, "") for kind in ("cats", "dogs")}
    assert f"{names[1]}/cats/1.png" in reasons(found)


def test_empty_class_folders_are_noted(tmp_path):
    put(tmp_path, "cats/1.jpg", "dogs/1.jpg")
    (tmp_path / "birds").mkdir()
    assert reasons(label(tmp_path)) == {"birds": "a folder without images"}
