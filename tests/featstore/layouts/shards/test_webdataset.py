"""Classes and parts of samples in shards."""

import os

from featstore.images.archive_tree import archive_tree
from featstore.images.reading import Reading
from featstore.layouts.shards.webdataset import label_webdataset
from tests.support.archives import tar_of
from tests.support.shards import JPEG, rows, samples, tree_of


def test_cls_files_with_names_beside_the_shards_and_parts_from_their_names(tmp_path):
    (tmp_path / "classes.txt").write_text("ant\nbee\n")
    tree = tree_of(
        tmp_path,
        ("train-000.tar", samples(".cls", [b"0", b"1\n"])),
        ("train-001.tar", samples(".cls", [b"1"], 2)),
        ("val-000.tar", samples(".cls", [b"0"], 3)),
    )
    labelled = label_webdataset(tree, Reading())
    assert rows(labelled) == [
        ("train-000.tar/0000.jpg", "ant", "train"),
        ("train-000.tar/0001.jpg", "bee", "train"),
        ("train-001.tar/0002.jpg", "bee", "train"),
        ("val-000.tar/0003.jpg", "ant", "val"),
    ]
    assert labelled.labels_from == "2 classes from .cls files, named by classes.txt"
    assert labelled.parts_from.endswith(" from the names of shards") and labelled.notes == []
    assert {s.reason for s in labelled.skipped if s.path.endswith(b".cls")} == {"the label of its sample"}


def test_text_in_cls_files_of_one_archive(tmp_path):
    tar_of(samples(".cls", [b"cat", b"dog", None]), tmp_path / "a.tar")
    labelled = label_webdataset(archive_tree(os.fsencode(tmp_path / "a.tar")), Reading())
    assert rows(labelled) == [("0000.jpg", "cat", ""), ("0001.jpg", "dog", ""), ("0002.jpg", None, "")]


def test_class_folders_inside_of_shards(tmp_path):
    tree = tree_of(tmp_path, ("a-0.tar", {"cat/1.jpg": JPEG, "dog/x/2.jpg": JPEG}), ("a-1.tar", {"cat/3.jpg": JPEG}))
    labelled = label_webdataset(tree, Reading())
    assert [row[1] for row in rows(labelled)] == ["cat", "dog", "cat"]
    assert labelled.labels_from == "2 classes from folders inside of the shards"
    assert [row[1] for row in rows(label_webdataset(tree, Reading(class_from="leaf")))] == ["cat", "x", "cat"]


def test_a_second_picture_of_a_sample_is_left_out_and_said(tmp_path):
    files = {**samples(".cls", [b"1", b"2"]), "0000.seg.png": JPEG}
    labelled = label_webdataset(tree_of(tmp_path, ("a.tar", files)), Reading())
    assert [row[0] for row in rows(labelled)] == ["a.tar/0000.jpg", "a.tar/0001.jpg"]
    assert labelled.notes == ["1 images left out: a second picture of their sample (such as a.tar/0000.seg.png)"]


def test_other_trees_are_none(tmp_path):
    tar_of({"cat/1.jpg": JPEG, "dog/2.jpg": JPEG}, tmp_path / "a.tar")
    tree = archive_tree(os.fsencode(tmp_path / "a.tar"))
    assert label_webdataset(tree, Reading()) is None
    assert label_webdataset(tree, Reading(layout="pets")) is None
