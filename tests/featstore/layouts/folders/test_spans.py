"""How spans of images become a labelled tree."""

import pytest

from featstore.errors import ImageSetError
from featstore.layouts.folders.place import Place
from featstore.layouts.folders.spans import Row, labelled
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
