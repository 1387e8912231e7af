import json
import os

import pytest

from featstore.errors import ImageSetError, UnknownNameError
from featstore.images.archive_tree import archive_tree
from featstore.images.listing import Listing
from featstore.images.reading import Reading
from featstore.layouts.webdataset import label_webdataset
from tests.support.archives import pictures, tar_of

JPEG = next(iter(pictures(1).values()))


def tree_of(folder, *shards):
    for name, files in shards:
        tar_of(files, folder / name)
    return archive_tree(os.fsencode(folder))


def samples(ending, values, start=0):
    files = {}
    for number, value in enumerate(values, start):
        files[f"{number:04d}.jpg"] = JPEG
        if value is not None:
            files[f"{number:04d}{ending}"] = value if isinstance(value, bytes) else json.dumps(value).encode()
    return files


def rows(labelled):
    listing = Listing.of(labelled.found, labelled.skipped, b"/d")
    return [
        (path.decode(), listing.classes[label] if label >= 0 else None, str(split))
        for path, label, split in zip(listing.paths, listing.labels, listing.splits, strict=True)
    ]


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


@pytest.mark.parametrize(
    ("names", "content"),
    [
        ("classes.json", ["ant", "bee"]),
        ("class_to_idx.json", {"ant": 0, "bee": 1}),
        ("id2label.json", {"0": "ant", "1": "bee"}),
    ],
)
def test_json_labels_and_names_in_json(tmp_path, names, content):
    (tmp_path / names).write_text(json.dumps(content))
    tree = tree_of(tmp_path, ("a.tar", samples(".json", [{"label": 0}, {"label": 1, "x": 2}, {"label": None}])))
    assert [row[1] for row in rows(label_webdataset(tree, Reading()))] == ["ant", "bee", None]


def test_a_name_is_preferred_to_a_number_and_a_key_can_be_named(tmp_path):
    values = [{"label": 3, "class_name": "cat", "breed": "siamese"}, {"label": 4, "class_name": "dog", "breed": "pug"}]
    tree = tree_of(tmp_path, ("a.tar", samples(".json", values)))
    assert [row[1] for row in rows(label_webdataset(tree, Reading()))] == ["cat", "dog"]
    labelled = label_webdataset(tree, Reading(label_column="breed"))
    assert [row[1] for row in rows(labelled)] == ["siamese", "pug"]
    assert labelled.labels_from == "2 classes from 'breed' in .json files"
    with pytest.raises(UnknownNameError, match="unknown label column 'bred'; close matches: breed"):
        label_webdataset(tree, Reading(label_column="bred"))


def test_names_that_do_not_cover_the_numbers_are_not_used_and_it_is_said(tmp_path):
    (tmp_path / "classes.txt").write_text("ant\n")
    tree = tree_of(tmp_path, ("a.tar", samples(".cls", [b"0", b"7"])))
    labelled = label_webdataset(tree, Reading())
    assert [row[1] for row in rows(labelled)] == ["0", "7"]
    assert labelled.notes == ["classes.txt names 1 classes, not number 7; it is not used"]


def test_captions_are_no_classes_and_short_words_are(tmp_path):
    captions = [b"a cat that sits on a mat and looks at number %d" % i for i in range(6)]
    tree = tree_of(tmp_path, ("a.tar", samples(".txt", captions)))
    labelled = label_webdataset(tree, Reading())
    assert labelled.labels_from == "" and {row[1] for row in rows(labelled)} == {None}
    tree = tree_of(tmp_path, ("a.tar", samples(".txt", [b"cat", b"dog"] * 3)))
    assert [row[1] for row in rows(label_webdataset(tree, Reading()))] == ["cat", "dog"] * 3


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


@pytest.mark.parametrize(
    ("ending", "value", "match"),
    [
        (".cls", b"1\n2\n", r"0001\.cls.*it has 2 lines; expected one class"),
        (".json", {"label": [1, 2]}, r"0001\.json.*its 'label' is \[1, 2\]; expected one name"),
        (".cls", b"1" * (1 << 21), r"has 2,097,152 bytes; expected the class of an image"),
    ],
)
def test_what_is_no_class_is_refused_with_its_place(tmp_path, ending, value, match):
    good = b"1" if ending == ".cls" else {"label": 1}
    tree = tree_of(tmp_path, ("a.tar", samples(ending, [good, value])))
    with pytest.raises(ImageSetError, match=match):
        label_webdataset(tree, Reading())
