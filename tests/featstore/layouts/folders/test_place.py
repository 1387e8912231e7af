"""A folder of a tree as layouts look at it."""

import pytest

from featstore.errors import ImageSetError
from featstore.images.listing import Skipped
from featstore.images.tree import Tree
from featstore.layouts.folders.place import Place, fields, starts_with
from tests.support.trees import put, tree_of, write


def test_a_place_knows_what_lies_in_it(tmp_path):
    put(tmp_path, "a/1.jpg", "a/b/2.jpg", "a/b/3.jpg", "c/4.jpg")
    (tmp_path / "a" / "empty").mkdir()
    write(tmp_path, "a/list.txt", "\ufeff x 1 \r\n\r\n# no\ny 2\n")
    root = Place(tree_of(tmp_path))
    place = root.at(b"a")
    assert root.children() == [b"a", b"c"] and place.children() == [b"b"] and place.empty() == [b"empty"]
    assert (root.count(), root.direct(), place.count(), place.direct(), place.count(b"b")) == (4, 0, 3, 1, 2)
    assert sorted(name for name, _ in place.images(b"b")) == [b"2.jpg", b"3.jpg"]
    assert root.tree.paths[place.row(b"b/2.jpg")] == b"a/b/2.jpg" and place.row(b"none.jpg") is None
    assert place.has(b"list.txt") and not root.has(b"list.txt") and place.name == b"a"
    assert place.lines(b"list.txt") == [b"x 1", b"# no", b"y 2"]
    assert fields(place, b"list.txt", 2) == [[b"x", b"1"], [b"y", b"2"]]


def test_trees_that_do_not_list_every_folder():
    """Archives need not name the folders above a member."""
    place = Place(Tree(b"/x.zip", [b"a/b/1.jpg"], [1], [0], [(b"a/b", 1)]))
    assert (
        place.children() == [b"a"] and place.at(b"a").children() == [b"b"] and place.images(b"a/b") == [(b"1.jpg", 0)]
    )


def test_a_folder_that_a_tree_lists_twice_is_one():
    place = Place(
        Tree(b"/x", [b"a/1.jpg", b"b/1.jpg", b"a/2.jpg"], [1] * 3, [0] * 3, [(b"a", 1), (b"b", 1), (b"a", 1)])
    )
    assert place.images(b"a") == [(b"1.jpg", 0), (b"2.jpg", 2)] and place.count(b"a") == place.direct(b"a") == 2


def test_lists_whose_lines_are_too_short(tmp_path):
    put(tmp_path, "1.jpg")
    write(tmp_path, "list.txt", "a 1\nb\n")
    with pytest.raises(ImageSetError, match="the line 'b' of list.txt has 1 word; expected 2 or more"):
        fields(Place(tree_of(tmp_path)), b"list.txt", 2)


def test_the_first_line_tells_a_list(tmp_path):
    put(tmp_path, "1.jpg")
    write(tmp_path, "list.txt", "#Image CLASS-ID\nAbyssinian_1 1\n")
    place = Place(tree_of(tmp_path))
    assert starts_with(place, b"list.txt", rb"\w+ \d+$") and not starts_with(place, b"list.txt", rb"\d")
    assert not starts_with(place, b"none.txt", b"")
    (tmp_path / "list.txt").unlink()
    assert not starts_with(place, b"list.txt", b"")


def test_capitals_of_a_marker_do_not_matter():
    tree = Tree(b"/p", [b"Images/1.jpg"], [1], [0], [(b"", 0), (b"Images", 1)], [Skipped(b"Meta/a.txt", "text", 1, 0)])
    place = Place(tree)
    assert place.has(b"meta/a.txt") and place.direct(b"images") == 1 and place.row(b"images/1.jpg") == 0
    assert not place.has(b"meta/b.txt") and place.row(b"images/2.jpg") is None
