"""Files put in order, with classes and splits."""

from types import SimpleNamespace

import pytest

from featstore.errors import ImageSetError
from featstore.images.listing import Found, Listing, Skipped


def status(size: int, mtime: int) -> SimpleNamespace:
    return SimpleNamespace(st_size=size, st_mtime_ns=mtime)


def test_rows_are_sorted_with_everything_that_belongs_to_them():
    found = Found()
    for path, size, name, split in [
        (b"c", 3, b"y", "train"),
        (b"a", 1, b"y", "train"),
        (b"d", 4, b"x", "val"),
        (b"b", 2, b"y", "val"),
    ]:
        found.add(path, status(size, size * 10), name, split)
    assert found.groups == [(2, b"y", "train"), (1, b"x", "val"), (1, b"y", "val")]
    listing = Listing.of(found, [Skipped(b"z", "hidden"), Skipped(b"y", "hidden")], b"/here")
    assert listing.paths == (b"a", b"b", b"c", b"d")
    assert listing.sizes.tolist() == [1, 2, 3, 4]
    assert listing.mtimes.tolist() == [10, 20, 30, 40]
    assert listing.classes == ("x", "y") and listing.labels.tolist() == [1, 1, 1, 0]
    assert listing.splits.tolist() == ["train", "val", "train", "val"]
    assert [s.path for s in listing.skipped] == [b"y", b"z"]


def test_classes_that_look_alike_are_refused():
    found = Found()
    found.add(b"a", status(1, 1), b"\xe9", "")
    found.add(b"b", status(1, 1), b"\\xe9", "")
    with pytest.raises(ImageSetError, match="here: two different classes are both shown as"):
        Listing.of(found, [], b"/here")
