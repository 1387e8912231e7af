"""The files of a folder before anybody asks for classes."""

from featstore.images.listing import Skipped
from featstore.images.tree import Tree


def test_other_files_are_those_with_a_size():
    skipped = [Skipped(b"list.txt", "not a supported image: text", 7, 3), Skipped(b".git", "hidden")]
    tree = Tree(b"/pets", [b"b.jpg", b"a.jpg"], [1, 2], [3, 4], [(b"", 2)], skipped)
    assert tree.others == {b"list.txt": (7, 3)}
    assert tree.row_of == {b"b.jpg": 0, b"a.jpg": 1}
