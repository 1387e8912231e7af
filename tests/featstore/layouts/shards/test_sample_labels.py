"""Classes in the files beside images of shards."""

import json

import pytest

from featstore.errors import ImageSetError, UnknownNameError
from featstore.images.reading import Reading
from featstore.layouts.shards.webdataset import label_webdataset
from tests.support.shards import rows, samples, tree_of


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
