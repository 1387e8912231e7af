"""Files put in order, with classes and splits."""

import pytest
from hypothesis import given, strategies as st

from featstore.errors import ImageSetError
from featstore.images.listing import Found, Listing, Skipped, natural_key


def test_rows_are_sorted_with_everything_that_belongs_to_them():
    found = Found()
    for path, size, name, split in [
        (b"c", 3, b"y", "train"),
        (b"a", 1, b"y", "train"),
        (b"d", 4, b"x", "val"),
        (b"b", 2, b"y", "val"),
    ]:
        found.add(path, size, size * 10, name, split)
    assert found.runs == [(2, b"y", "train"), (1, b"x", "val"), (1, b"y", "val")]
    listing = Listing.of(found, [Skipped(b"z", "hidden"), Skipped(b"y", "hidden")], b"/here")
    assert listing.paths == (b"a", b"b", b"c", b"d")
    assert listing.sizes.tolist() == [1, 2, 3, 4]
    assert listing.mtimes.tolist() == [10, 20, 30, 40]
    assert listing.classes == ("x", "y") and listing.labels.tolist() == [1, 1, 1, 0]
    assert listing.splits.tolist() == ["train", "val", "train", "val"]
    assert [s.path for s in listing.skipped] == [b"y", b"z"]


def test_classes_that_look_alike_are_refused():
    found = Found()
    found.add(b"a", 1, 1, b"\xe9", "")
    found.add(b"b", 1, 1, b"\\xe9", "")
    with pytest.raises(ImageSetError, match="here: two different classes are both shown as"):
        Listing.of(found, [], b"/here")


def test_numbers_in_class_names_count_as_numbers():
    found = Found()
    for name in (b"1", b"10", b"11", b"2", b"class 9", b"class 10", b"02"):
        found.add(name + b".jpg", 1, 1, name, "")
    assert Listing.of(found, [], b"/here").classes == ("1", "02", "2", "10", "11", "class 9", "class 10")


@given(st.lists(st.integers(0, 10**30), unique=True))
def test_numbers_of_any_size_sort_by_value(numbers):
    names = [b"%d" % number for number in numbers]
    assert sorted(names, key=natural_key) == [b"%d" % number for number in sorted(numbers)]


def test_images_without_a_label():
    found = Found()
    found.add(b"a", 1, 1, None, "test")
    found.add(b"b", 1, 1, b"x", "train")
    listing = Listing.of(found, [], b"/here")
    assert listing.labels.tolist() == [-1, 0] and listing.classes == ("x",)
