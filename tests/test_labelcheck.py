"""Doubts about classes and splits, in words."""

from featstore.imageset import scan
from tests.pictures import write_tree
from tests.test_imageset import made


def test_single_class_is_said(tmp_path):
    write_tree(tmp_path / "data")
    (warning,) = scan(tmp_path).check_labels()
    assert (
        warning
        == "only one class, 'data'; classifiers need two; it has sub-folders (ants, ...): are these the classes?"
    )
    (warning,) = made([0, 0]).check_labels()
    assert warning == "only one class, 'c0'; classifiers need two"


def test_labels_that_differ_between_parts_are_said():
    images = made([0, 1, 2, 0, 3], splits=["train", "train", "train", "test", "test"])
    assert images.check_labels() == [
        "'c3' is in test but not in train; no classifier can get these right",
        "'c1', 'c2' are in train but not in test; they are learnt but never judged",
    ]
    assert made([0, 1, 0, 1], splits=["train", "train", "val", "val"]).check_labels() == []
    assert made([0, 1]).check_labels() == []
    assert made([0, 1, 1], splits=["", "", "test"]).check_labels() == [
        "'c0' is in train but not in test; they are learnt but never judged"
    ]


def test_the_same_picture_in_two_parts_is_said():
    splits = ["train", "train", "train", "test", "test", "test"]
    images = made([0, 1, 0, 0, 1, 0], contents=[1, 2, 3, 1, 9, 1], splits=splits)
    assert images.check_labels() == [
        "2 images in test are in train as well, byte for byte; they make every score too good"
    ]
