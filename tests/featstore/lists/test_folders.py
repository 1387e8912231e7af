"""Files by names that are spelled otherwise, on a disk and in a tree."""

import os

import pytest

from featstore.images.tree import Tree
from featstore.lists import folders as module
from featstore.lists.folders import Disk, Folders, Members, join

FILES = [b"Cats/1.JPG", b"Cats/2.jpg", b"cats2/1.png", b"dogs/1.jpg", b"dogs/1.png", b"dogs/old/3.jpg", b"x.jpg"]


@pytest.fixture(params=["disk", "tree"])
def files(request, tmp_path):
    """Folders and the place that paths in them start from."""
    for name in FILES:
        place = tmp_path / os.fsdecode(name)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(b"123")
    if request.param == "disk":
        return Folders(Disk()), os.fsencode(tmp_path)
    return Folders(Members(Tree(b"/d", list(FILES), [3] * len(FILES), [0] * len(FILES)))), b""


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        (b"Cats/1.JPG", [b"Cats/1.JPG"]),
        (b"cats/1.jpg", [b"Cats/1.JPG"]),
        (b"CATS2/1", [b"cats2/1.png"]),
        (b"dogs/1", [b"dogs/1.jpg", b"dogs/1.png"]),
        (b"dogs/OLD/3", [b"dogs/old/3.jpg"]),
        (b"dogs/old", []),
        (b"X", [b"x.jpg"]),
        (b"cats/9.jpg", []),
        (b"none/1.jpg", []),
        (b"", []),
    ],
)
def test_capitals_and_missing_endings(files, asked, found):
    folders, base = files
    assert folders.find(base, asked) == [join(base, name) for name in found]


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        (b"3.jpg", [b"dogs/old/3.jpg"]),
        (b"old/3", [b"dogs/old/3.jpg"]),
        (b"1.png", [b"cats2/1.png", b"dogs/1.png"]),
        (b"cats/1.jpg", [b"Cats/1.JPG"]),
        (b"1.jpg", [b"dogs/1.jpg"]),  # not the one in capitals
        (b"2.png", []),
        (b"new/3.jpg", []),
    ],
)
def test_files_by_how_their_paths_end(files, asked, found):
    folders, base = files
    assert sorted(folders.ending(base, asked)) == [join(base, name) for name in found]


def test_exact_paths(files):
    folders, base = files
    assert folders.has(join(base, b"x.jpg")) and not folders.has(join(base, b"X.jpg"))
    assert not folders.has(join(base, b"dogs")) and not folders.has(join(base, b"none/x.jpg"))


def test_a_disk_keeps_size_and_time_and_knows_regular_files_only(tmp_path):
    (tmp_path / "a").write_bytes(b"12")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("a")
    disk, root = Disk(), os.fsencode(tmp_path)
    assert [disk.has(root + b"/" + name) for name in (b"a", b"link", b"pipe", b"none", b"\0")] == [
        True, True, False, False, False,
    ]  # fmt: skip
    assert disk.seen[root + b"/link"] == (2, (tmp_path / "a").stat().st_mtime_ns)
    assert disk.names(root + b"/none") == []
    assert Folders(disk).find(root + b"/x", b"../A") == [root + b"/a"]
    assert Folders(disk).find(b"/", root + b"/A") == [root + b"/a"]


def test_a_disk_is_not_searched_without_end(tmp_path, monkeypatch):
    (tmp_path / ".hidden").mkdir()
    (tmp_path / ".hidden" / "a").touch()
    deep = tmp_path / "1" / "2" / "3" / "4" / "5"
    deep.mkdir(parents=True)
    for folder in (deep, deep.parent, tmp_path):
        (folder / "b").touch()
    found = list(Disk().below(os.fsencode(tmp_path)))
    assert found == [os.fsencode(tmp_path / "b"), os.fsencode(deep.parent / "b")]
    monkeypatch.setattr(module, "_MOST", 1)
    assert list(Disk().below(os.fsencode(tmp_path))) == found[:1]


def test_a_file_with_another_ending_and_the_digits_of_numbered_files():
    folders = Folders(
        Members(Tree(b"/d", [b"a/007.jpg", b"a/012.jpg", b"a/x.jpg", b"b/y.png", b"b/y.jpg"], [1] * 5, [0] * 5))
    )
    assert folders.digits(b"") == 3
    assert folders.other_ending(b"", b"a/007.png") == b"a/007.jpg"
    assert folders.other_ending(b"", b"b/y.bmp") is None and folders.other_ending(b"", b"a/7.png") is None
    assert folders.is_folder(b"a") and folders.is_folder(b"A") and not folders.is_folder(b"c")
