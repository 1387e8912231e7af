"""What the lists of a layout name, and the label that is asked for."""

import pytest

from featstore.errors import UnknownNameError
from featstore.images.reading import Reading
from featstore.images.tree import Tree
from featstore.layouts.folders.place import Place
from featstore.layouts.folders.spans import Row
from featstore.layouts.layout import Listed, chosen_column


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
