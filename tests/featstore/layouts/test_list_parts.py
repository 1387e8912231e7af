"""Parts from lists beside class folders."""

import pytest

from tests.support.trees import label, parts, put, rows, write


@pytest.mark.parametrize(
    "names",
    [("train.txt", "test.txt"), ("TrainImages.txt", "TestImages.txt"), ("labels/train2.txt", "labels/test2.txt")],
)
@pytest.mark.parametrize("ending", ["", ".jpg"])
def test_lists_of_images_tell_parts(tmp_path, names, ending):
    put(tmp_path, "images/cat/1.jpg", "images/cat/2.jpg", "images/dog/1.jpg", "images/dog/2.jpg")
    for name, number in zip(names, "12", strict=True):
        write(tmp_path, name, f"cat/{number}{ending}\n./dog/{number}{ending}\n")
    found = label(tmp_path)
    assert parts(found) == {"train": 2, "test": 2} and rows(found)["images/dog/2.jpg"] == ("dog", "test")
    assert found.parts_from.startswith("train and test from ")


def test_lists_of_other_things_are_said(tmp_path):
    put(tmp_path, "cat/1.jpg", "dog/1.jpg")
    for name in ("train.txt", "test.txt"):
        write(tmp_path, name, "nothing of these\n")
    found = label(tmp_path)
    assert parts(found) == {"": 2} and "test.txt and train.txt look like lists of parts, but are not" in found.notes[0]
