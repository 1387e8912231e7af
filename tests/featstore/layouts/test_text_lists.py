"""CUB-200 against an independent reading; DTD and Food-101 as torchvision reads the same tree."""

import json
from pathlib import Path

import pytest

from featstore.errors import ImageSetError, UnknownNameError
from tests.support.trees import label, parts, put, reasons, rows, write

BIRDS = ["001.Black_footed_Albatross", "002.Laysan_Albatross", "010.Red_winged_Blackbird"]


def cub(root: Path, split: bool = True) -> Path:
    images, labels, given = [], [], []
    number = 0
    for at, name in enumerate(BIRDS, 1):
        for i in range(4):
            number += 1
            path = f"{name}/{name[4:]}_{i:04}_{number}.jpg"
            put(root, f"images/{path}")
            images.append(f"{number} {path}\n")
            labels.append(f"{number} {at}\n")
            given.append(f"{number} {int(i > 1)}\n")
    write(root, "images.txt", "".join(images))
    write(root, "image_class_labels.txt", "".join(labels))
    write(root, "classes.txt", "".join(f"{at} {name}\n" for at, name in enumerate(BIRDS, 1)))
    write(root, "bounding_boxes.txt", "1 60.0 27.0 325.0 304.0\n")
    write(root, "parts/parts.txt", "1 back\n")
    if split:
        write(root, "train_test_split.txt", "".join(given))
    return root


def read_cub(root: Path) -> dict[str, tuple[str, str]]:
    """As the data set's README says."""

    def pairs(name: str) -> dict[str, str]:
        return dict(line.split() for line in (root / name).read_text().splitlines())

    classes, label_of, part_of = pairs("classes.txt"), pairs("image_class_labels.txt"), pairs("train_test_split.txt")
    return {
        f"images/{path}": (classes[label_of[number]], "train" if part_of[number] == "1" else "test")
        for number, path in pairs("images.txt").items()
    }


def test_cub_as_its_lists_say(tmp_path):
    cub(tmp_path / "CUB_200_2011")
    put(tmp_path, "segmentations/001.Black_footed_Albatross/Black_footed_Albatross_0000_1.png")
    write(tmp_path, "attributes.txt", "1 has_bill_shape::curved\n")
    found = label(tmp_path)
    expected = read_cub(tmp_path / "CUB_200_2011")
    assert rows(found) == {f"CUB_200_2011/{path}": row for path, row in expected.items()}
    assert found.labels_from == "3 classes from image_class_labels.txt and classes.txt"
    assert found.parts_from == "train and test from train_test_split.txt"
    assert "segmentations/001.Black_footed_Albatross/Black_footed_Albatross_0000_1.png" in reasons(found)


def test_cub_without_parts(tmp_path):
    found = label(cub(tmp_path, split=False))
    assert parts(found) == {"": 12} and found.parts_from == ""


def test_lists_of_cub_that_do_not_belong_together_are_refused(tmp_path):
    cub(tmp_path)
    write(tmp_path, "classes.txt", "1 001.Black_footed_Albatross\n")
    with pytest.raises(ImageSetError, match="image 5 of images.txt has no class in image_class_labels.txt"):
        label(tmp_path)


def dtd(root: Path, splits: int = 2) -> Path:
    names = [f"{kind}/{kind}_{i:04}.jpg" for kind in ("banded", "dotted", "zigzagged") for i in range(6)]
    put(root, *(f"images/{name}" for name in names))
    for split in range(1, splits + 1):
        for at, part in enumerate(("train", "val", "test")):
            write(root, f"labels/{part}{split}.txt", "".join(f"{n}\n" for n in names[(at + split) % 3 :: 3]))
    write(root, "labels/labels_joint_anno.txt", "banded/banded_0000.jpg banded\n")
    write(root, "imdb/imdb.mat", b"MATLAB 5.0")
    return root


@pytest.mark.parametrize("split", [None, "1", "2"])
def test_dtd_is_torchvisions(tmp_path, split):
    import torchvision.datasets as datasets

    base = dtd(tmp_path / "dtd" / "dtd")
    expected = {}
    for part in ("train", "val", "test"):
        known = datasets.DTD(tmp_path, split=part, partition=int(split or 1))
        for path, number in zip(known._image_files, known._labels, strict=True):
            expected[str(Path(path).relative_to(tmp_path / "dtd"))] = (known.classes[number], part)
    found = label(tmp_path / "dtd", split_column=split)
    assert rows(found) == expected and len(expected) == 18
    assert found.layout == "dtd" and base.name == "dtd"
    told = 'split 1 of 2; `split_column="2"` takes another'
    assert (told in found.notes) is (split is None)


def test_a_split_of_dtd_that_is_not_there(tmp_path):
    with pytest.raises(UnknownNameError, match="unknown split column '7'; known: 1, 2; these are the splits of dtd"):
        label(dtd(tmp_path), split_column="7")


def food(root: Path, ending: str = "txt") -> Path:
    lists: dict[str, dict[str, list[str]]] = {"train": {}, "test": {}}
    for dish in ("apple_pie", "bibimbap"):
        for i in range(6):
            put(root, f"images/{dish}/{1000 + i}.jpg")
            lists["test" if i % 3 == 0 else "train"].setdefault(dish, []).append(f"{dish}/{1000 + i}")
    put(root, "images/apple_pie/77.jpg")
    for part, dishes in lists.items():
        write(root, f"meta/{part}.json", json.dumps(dishes))
        if ending == "txt":
            write(root, f"meta/{part}.txt", "".join(f"{name}\n" for names in dishes.values() for name in names))
    write(root, "meta/classes.txt", "apple_pie\nbibimbap\n")
    return root


@pytest.mark.parametrize("ending", ["txt", "json"])
def test_food_is_torchvisions(tmp_path, ending):
    import torchvision.datasets as datasets

    food(tmp_path / "food-101", ending)
    expected = {}
    for part in ("train", "test"):
        known = datasets.Food101(tmp_path, split=part)
        for path, number in zip(known._image_files, known._labels, strict=True):
            expected[str(path.relative_to(tmp_path / "food-101"))] = (known.classes[number], part)
    found = label(tmp_path / "food-101")
    assert rows(found) == expected
    assert found.labels_from == f"2 classes from meta/train.{ending} and meta/test.{ending}"
    assert reasons(found)["images/apple_pie/77.jpg"] == "on no list of the data set"


@pytest.mark.parametrize("content", ["[]", "{", '{"a": 1}', "[" * 100000])
def test_a_list_of_food_that_is_damaged_is_refused(tmp_path, content):
    food(tmp_path, "json")
    write(tmp_path, "meta/train.json", content)
    with pytest.raises(ImageSetError, match="meta/train.json cannot be read: .*expected an object of classes"):
        label(tmp_path)


def test_images_on_two_lists_are_said(tmp_path):
    food(tmp_path)
    write(tmp_path, "meta/test.txt", "apple_pie/1001\n")
    found = label(tmp_path)
    assert rows(found)["images/apple_pie/1001.jpg"] == ("apple_pie", "train")
    assert [note for note in found.notes if "named twice with different parts or labels" in note]


def test_lists_of_another_data_set_are_said(tmp_path):
    food(tmp_path)
    for part in ("train", "test"):
        write(tmp_path, f"meta/{part}.txt", "baklava/1\nceviche/2\n")
    found = label(tmp_path)
    assert found.layout == "class-folders" and any("its lists name none of the images" in one for one in found.notes)
    with pytest.raises(ImageSetError, match='none of its 13 images is named in its lists; `layout="class-folders"`'):
        label(tmp_path, layout="food-101")
