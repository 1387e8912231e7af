"""Where the paths of a list start from, and which file each means."""

import os

import pytest
from hypothesis import given, settings, strategies as st

from featstore.images.tree import Tree
from featstore.lists.folders import Disk, Members
from featstore.lists.resolution import Resolution, sample, stripped

FILES = [b"cats/1.jpg", b"cats/2.jpg", b"dogs/3.jpg", b"dogs/4.jpg"]


def tree(files=FILES) -> Members:
    return Members(Tree(b"/d", list(files), [1] * len(files), [0] * len(files)))


@pytest.mark.parametrize(
    ("cells", "done", "prefix"),
    [
        (["cats/1.jpg", "dogs/3.jpg"], {}, b""),
        (["./cats/1.jpg", "cats/../dogs/3.jpg"], {}, b""),
        ([r"cats\1.jpg", r"dogs\3.jpg"], {"backslashes": 2}, b""),
        (["Cats/1.JPG", "DOGS/3.jpg"], {"case": 2}, b""),
        (["cats/1", "dogs/3"], {"ending": 2}, b""),
        ([" cats/1.jpg", "'dogs/3.jpg'"], {"quotes or spaces": 2}, b""),
        (["/home/me/pets/cats/1.jpg", "/home/me/pets/dogs/3.jpg"], {}, b"/home/me/pets"),
        ([r"D:\pets\cats\1.jpg", r"d:\Pets\dogs\3.jpg"], {"backslashes": 2}, b"D:/pets"),
        (["data/cats/1.jpg", "data/dogs/3.jpg"], {}, b"data"),
        (["/cats/1.jpg", "/dogs/3.jpg"], {}, b"/"),
        (["1.jpg", "3.jpg"], {"below": 2}, b""),
        (["1", "3"], {"below": 2, "ending": 2}, b""),
    ],
)
def test_paths_of_another_machine(cells, done, prefix):
    found = Resolution(tree(), search=b"").resolve(cells, [b""])
    assert found.paths == [b"cats/1.jpg", b"dogs/3.jpg"]
    assert (dict(found.done), found.prefix, found.found) == (done, prefix, [True, True])
    assert len(found.notes()) == len(done) + bool(prefix)


def test_the_longest_tail_that_is_there_is_taken_for_all_rows():
    files = [b"train/a/1.jpg", b"a/1.jpg", b"train/a/2.jpg", b"a/2.jpg"]
    found = Resolution(tree(files)).resolve(["/x/train/a/1.jpg", "/x/train/a/2.jpg"], [b""])
    assert (found.paths, found.prefix) == ([b"train/a/1.jpg", b"train/a/2.jpg"], b"/x")
    found = Resolution(tree()).resolve(["/x/cats/1.jpg", "/x/cats/2.jpg", "/y/dogs/3.jpg"], [b""])
    assert (found.paths, found.found) == ([b"cats/1.jpg", b"cats/2.jpg", b"/y/dogs/3.jpg"], [True, True, False])


def test_what_fits_several_files_is_told():
    found = Resolution(tree([b"a/1.jpg", b"a/1.png", b"b/2.jpg"])).resolve(["a/1", "b/2"], [b""])
    assert (found.found, found.several) == ([False, True], {0: [b"a/1.jpg", b"a/1.png"]})
    for suffix in (".png", "png", ".PNG"):
        assert Resolution(tree([b"a/1.jpg", b"a/1.png"]), suffix).resolve(["a/1"], [b""]).paths == [b"a/1.png"]


def test_a_missing_file_keeps_its_place_and_does_not_move_the_others():
    found = Resolution(tree(), search=b"").resolve(["cats/1.jpg", "cats/9.jpg", "dogs/3.jpg", "3.jpg"], [b""])
    assert found.found == [True, False, True, False]
    assert found.paths[1] == b"cats/9.jpg"


def test_the_first_place_is_taken_unless_most_are_missing_there_and_none_elsewhere(tmp_path):
    for name in ("one/a.jpg", "two/a.jpg", "two/b.jpg", "two/c.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"1")
    bases = [os.fsencode(tmp_path / "one"), os.fsencode(tmp_path / "two")]
    resolution = Resolution(Disk())
    assert resolution.resolve(["a.jpg", "b.jpg"], bases).base == bases[0]
    assert resolution.resolve(["a.jpg", "b.jpg", "c.jpg"], bases).base == bases[1]
    assert resolution.resolve(["a.jpg", "b.jpg", "d.jpg"], bases).base == bases[0]
    assert resolution.resolve(["b.jpg", "d.jpg"], bases).base == bases[1]
    assert resolution.resolve(["a.jpg"], bases).base == bases[0]
    assert resolution.rivals(["a.jpg"], bases) == bases[1:]
    assert resolution.rivals(["b.jpg"], bases) == []
    assert resolution.share(["a.jpg", "none"], bases) == 0.5 and resolution.share([], bases) == 0
    inside = resolution.resolve([str(tmp_path / "two" / "a.jpg"), str(tmp_path / "one" / "a.jpg")], bases[1:])
    assert inside.paths == [b"a.jpg", bases[0] + b"/a.jpg"]


names = st.text(st.characters(codec="utf-8", exclude_characters="/\0"), min_size=1, max_size=6).filter(
    lambda name: name.strip(". ") and not name.startswith(".")
)


@settings(max_examples=60)
@given(st.lists(st.tuples(names, names), min_size=1, max_size=6, unique=True))
def test_every_name_as_it_is_written_is_found_and_is_itself(pairs):
    files = sorted({f"{folder}/{name}.jpg".encode() for folder, name in pairs})
    found = Resolution(tree(files), search=b"").resolve([file.decode() for file in files], [b""])
    assert (found.paths, found.found) == (files, [True] * len(files))


def test_samples_are_spread_and_prefixes_are_whole_folders():
    cells = [str(number) for number in range(1000)]
    assert sample(cells) == cells[::5]
    assert stripped(b"/a/bc/d", b"/a/b") is None and stripped(b"/A/b/d", b"/a/b") == b"d"


@pytest.mark.parametrize(
    ("cell", "files"),
    [
        ("val/0.jpg", ["train/0.jpg"]),
        ("val/0.jpg", ["0.jpg"]),
        ("cats/0.jpg", ["dogs/0.jpg"]),
        ("/data/val/img/0.jpg", ["train/img/0.jpg"]),
        ("/data/b/img/0.jpg", ["a/img/0.jpg", "b/img/1.jpg"]),
        ("x/b/0.jpg", ["x/a/0.jpg", "x/b/1.jpg"]),
    ],
)
def test_a_path_is_never_that_of_a_file_in_another_folder(cell, files):
    paths = [file.encode() for file in files]
    tree = Tree(b"/pets", paths, [1] * len(paths), [0] * len(paths))
    assert Resolution(Members(tree), "", b"").resolve([cell], [b""]).found == [False]


@pytest.mark.parametrize(
    ("cell", "file"),
    [
        ("/home/me/dev/img/0.jpg", "img/0.jpg"),
        ("C:\\test\\data\\0.jpg", "0.jpg"),
        ("/home/me/train/0.jpg", "train/0.jpg"),
        ("/home/me/photos/0.jpg", "img/0.jpg"),
        ("images/0.jpg", "0.jpg"),
    ],
)
def test_folders_of_another_machine_are_left_out(cell, file):
    tree = Tree(b"/pets", [file.encode()], [1], [0])
    assert Resolution(Members(tree), "", b"").resolve([cell], [b""]).paths == [file.encode()]


def test_names_alone_are_those_of_the_lists_part():
    tree = Tree(b"/pets", [b"test/0.jpg", b"test/1.jpg", b"train/0.jpg"], [1] * 3, [0] * 3)
    found = Resolution(Members(tree), "", b"", "train").resolve(["0", "1"], [b""])
    assert (found.paths, found.found) == ([b"train/0.jpg", b"1"], [True, False])


@pytest.mark.parametrize("cells", [["8", "9", "10"], ["8.0", "9.0", "10.0"]])
def test_zeros_that_a_spreadsheet_took_away_are_added_where_every_row_is_then_one_file(cells):
    files = [b"img/00008.jpg", b"img/00009.jpg", b"img/00010.jpg"]
    resolution = Resolution(tree(files), "", b"")
    found = resolution.resolve(cells, [b""])
    assert found.paths == files
    assert "3 paths were found by adding the zeros in front of their number that the files have" in found.notes()
    assert resolution.share(cells, [b""]) == 1
    assert not any(Resolution(tree(files), "", b"").resolve([*cells, "11"], [b""]).found)
    assert not any(Resolution(tree([*files, b"img/7.jpg"]), "", b"").resolve(["8", "9"], [b""]).found)
    assert Resolution(tree([b"img/8.jpg", b"img/10.jpg"]), "", b"").resolve(["8.0", "10.0"], [b""]).notes()[-1] == (
        "2 paths were found without the .0 behind their number"
    )
