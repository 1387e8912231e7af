"""How what layouts find is put together."""

import pytest

from featstore.errors import ImageSetError, UnknownNameError
from featstore.images.reading import Reading
from featstore.images.tree import Tree
from featstore.layouts.layout import Listed, Row, chosen_column, labelled
from featstore.layouts.place import Place
from tests.support.trees import put, reasons, rows, tree_of


def test_every_image_is_a_row_or_left_out_with_a_reason(tmp_path):
    put(tmp_path, "1.jpg", "2.jpg", "3.jpg", "4.jpg")
    place = Place(tree_of(tmp_path))
    spans = [(place.row(b"3.jpg"), 1, Row(b"b", "test")), (place.row(b"1.jpg"), 1, Row(b"a", "train"))]
    found = labelled(place, [*spans, (place.row(b"4.jpg"), 1, "blurred")], "x", "2 classes", rest="on no list")
    assert rows(found) == {"1.jpg": ("a", "train"), "3.jpg": ("b", "test")}
    assert reasons(found) == {"2.jpg": "on no list", "4.jpg": "blurred"}
    assert sorted(found.notes) == [
        "1 image left out: blurred (such as 4.jpg)",
        "1 image left out: on no list (such as 2.jpg)",
    ]


def test_no_row_at_all_is_refused(tmp_path):
    put(tmp_path, "1.jpg")
    with pytest.raises(ImageSetError, match="looks like x, but none of its 1 images is named in its lists"):
        labelled(Place(tree_of(tmp_path)), [], "x", "")


def test_what_lists_say_twice_is_told_once():
    listed = Listed(Place(Tree(b"/x", [b"1.jpg"], [1], [0], [(b"", 1)])))
    for part in ("train", "train", "test"):
        listed.add(0, b"1.jpg", Row(b"a", part))
    assert listed.spans() == [(0, 1, Row(b"a", "train"))]
    assert listed.notes() == [
        "1 image is named twice with different parts or labels, such as 1.jpg: the first is taken"
    ]


def test_the_column_of_labels_that_is_asked_for():
    assert chosen_column(Reading(), ("breed", "species"), "pets") == "breed"
    assert chosen_column(Reading(label_column="species"), ("breed", "species"), "pets") == "species"
    with pytest.raises(UnknownNameError, match="unknown label column 'x'; known: breed; these are the labels of pets"):
        chosen_column(Reading(label_column="x"), ("breed",), "pets")
