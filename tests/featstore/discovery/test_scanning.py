"""Discovery: order, digests and labels of a folder or list; what a second scan reads."""

import builtins
import dataclasses
import hashlib
import os
import tempfile
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from featstore.discovery import scanning
from featstore.discovery.scanning import scan
from featstore.errors import ImageSetError, ImagesNotFoundError
from featstore.images import hashing
from featstore.images.reading import Reading
from tests.support.pictures import encode, texture, write_tree


@pytest.fixture
def reads(monkeypatch):
    """Paths that are opened for hashing."""
    seen = []
    original = hashing.open_regular
    monkeypatch.setattr(hashing, "open_regular", lambda path: seen.append(path) or original(path))
    return seen


def test_rows_are_sorted_hashed_and_labelled(tmp_path):
    write_tree(tmp_path, ("bees", "ants"), each=3, splits=("val", "train"))
    images = scan(tmp_path)
    assert images.paths == tuple(sorted(images.paths)) and len(images) == 12
    assert images.classes == ("ants", "bees") and images.name == tmp_path.name
    assert images.root == os.fsencode(tmp_path.resolve())
    for i in range(len(images)):
        path = Path(os.fsdecode(images.absolute(i)))
        split, name = images.display(i).split("/")[:2]
        assert images.digests[i].tobytes() == hashlib.sha256(path.read_bytes()).digest()
        assert (images.sizes[i], images.mtimes[i]) == (path.stat().st_size, path.stat().st_mtime_ns)
        assert (images.classes[images.labels[i]], images.splits[i]) == (name, split)
    assert images.counts() == {"train": {"ants": 3, "bees": 3}, "val": {"ants": 3, "bees": 3}}
    assert not any(images.problems) and images.readable().all()


def test_csv_and_folder_of_the_same_files_agree(tmp_path):
    write_tree(tmp_path / "data", each=2)
    folder = scan(tmp_path / "data")
    lines = "".join(f"{folder.display(i)},{folder.classes[folder.labels[i]]}\n" for i in reversed(range(len(folder))))
    (tmp_path / "data" / "list.csv").write_text("path,label\n" + lines)
    listed = scan(tmp_path / "data" / "list.csv", name=folder.name)
    assert dataclasses.replace(listed, skipped=folder.skipped, about=folder.about).same_as(folder)
    assert scan(tmp_path / "data" / "list.csv").name == "list"


def test_second_scan_opens_no_file(tmp_path, monkeypatch):
    write_tree(tmp_path)
    (tmp_path / "ants" / "notes.txt").write_text("not a picture")
    (tmp_path / "bees" / "picture_without_ending").write_bytes(encode(texture(5)))
    first = scan(tmp_path)
    assert len(first) == 9 and [s.path for s in first.skipped] == [b"ants/notes.txt"]

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a file was opened")

    monkeypatch.setattr(os, "open", refuse)
    monkeypatch.setattr(builtins, "open", refuse)
    assert scan(tmp_path, previous=first).same_as(first)


def test_only_what_changed_is_read_again(tmp_path, reads):
    write_tree(tmp_path)
    first = scan(tmp_path)
    reads.clear()
    (tmp_path / "ants" / "001.jpg").write_bytes(encode(texture(50)))
    os.utime(tmp_path / "bees" / "002.jpg", ns=(1, 1))  # the same bytes
    (tmp_path / "bees" / "000.jpg").unlink()
    (tmp_path / "bees" / "new.jpg").write_bytes(encode(texture(51)))
    second = scan(tmp_path, previous=first)
    assert sorted(path.rpartition(b"/")[2] for path in reads) == [b"001.jpg", b"002.jpg", b"new.jpg"]
    assert second.same_as(scan(tmp_path))


def test_change_that_keeps_size_and_time_is_seen_with_content_only(tmp_path):
    write_tree(tmp_path)
    first = scan(tmp_path)
    path = tmp_path / "ants" / "001.jpg"
    status, data = path.stat(), bytearray(path.read_bytes())
    data[-3] ^= 1
    path.write_bytes(data)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert scan(tmp_path, previous=first).same_as(first)
    again = scan(tmp_path, previous=first, content=True)
    assert (again.digests != first.digests).any(axis=1).tolist() == [False, True] + [False] * 6


def test_an_earlier_scan_of_another_folder_is_not_believed(tmp_path, reads):
    write_tree(tmp_path / "a")
    first = scan(tmp_path / "a")
    (tmp_path / "a").rename(tmp_path / "b")
    reads.clear()
    moved = scan(tmp_path / "b", previous=first)
    assert len(reads) == 8
    np.testing.assert_array_equal(moved.digests, first.digests)


def test_relabelling_and_another_split_need_no_reading(tmp_path, reads):
    write_tree(tmp_path)
    first = scan(tmp_path)
    csv = tmp_path / "list.csv"
    csv.write_text("path,label,split\n" + "".join(f"{first.display(i)},x{i % 2},train\n" for i in range(8)))
    reads.clear()
    second = scan(csv, previous=first)
    assert not reads and second.classes == ("x0", "x1")


def test_unreadable_file_keeps_its_row_with_a_reason(tmp_path, monkeypatch):
    write_tree(tmp_path)
    original = hashing.open_regular

    def forbidden(path: bytes):
        if path.endswith(b"ants/002.jpg"):
            raise PermissionError(13, "Permission denied")
        return original(path)

    monkeypatch.setattr(hashing, "open_regular", forbidden)
    images = scan(tmp_path)
    assert len(images) == 8
    assert images.problems[2] == "cannot be read: Permission denied" and not images.digests[2].any()
    assert images.readable().tolist() == [True, True, False] + [True] * 5
    monkeypatch.undo()
    again = scan(tmp_path, previous=images)  # the file is tried again
    assert not any(again.problems) and again.digests.any(axis=1).all() and again.same_as(scan(tmp_path))


def test_progress_counts_the_files_that_are_hashed(tmp_path):
    write_tree(tmp_path, each=100)
    calls = []
    scan(tmp_path, progress=lambda done, total: calls.append((done, total)))
    assert calls[-1] == (200, 200) and calls == sorted(calls) and len(calls) > 1


def test_missing_folder(tmp_path):
    with pytest.raises(ImagesNotFoundError, match="nowhere does not exist; expected a folder of images, a list"):
        scan(tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError):
        scan(str(tmp_path / "nowhere.csv"))


def test_file_that_is_neither(tmp_path):
    (tmp_path / "images.doc").write_bytes(b"PK")
    with pytest.raises(ImageSetError, match=r"images.doc is a file; expected a folder of images, a list \(.csv"):
        scan(tmp_path / "images.doc")


def test_no_readable_image(tmp_path, monkeypatch):
    write_tree(tmp_path)

    def forbidden(path: bytes):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(hashing, "open_regular", forbidden)
    with pytest.raises(ImageSetError, match=r"none of the 8 images in .* the first, ants/000.jpg: cannot be read"):
        scan(tmp_path)


def test_names_that_cannot_be_printed_are_escaped_and_still_found(tmp_path):
    for name in (b"caf\xe9\n\xe2\x80\xae", b"plain"):
        folder = tmp_path / os.fsdecode(name)
        folder.mkdir()
        (folder / os.fsdecode(b"a\xff\n.jpg")).write_bytes(encode(texture(1)))
    images = scan(tmp_path)
    assert images.classes == ("caf\\xe9\\n\\u202e", "plain")
    assert images.display(0) == "caf\\xe9\\n\\u202e/a\\xff\\n.jpg"
    assert Path(os.fsdecode(images.absolute(0))).read_bytes() == encode(texture(1))
    assert scan(os.fsencode(tmp_path)).same_as(images)


def test_paths_in_a_linked_csv_are_relative_to_the_link(tmp_path):
    write_tree(tmp_path / "data", ("a",), each=1)
    (tmp_path / "lists").mkdir()
    (tmp_path / "lists" / "all.csv").write_text("path,label\na/000.jpg,x\n")
    (tmp_path / "data" / "all.csv").symlink_to(tmp_path / "lists" / "all.csv")
    images = scan(tmp_path / "data" / "all.csv")
    assert images.paths == (b"a/000.jpg",) and images.name == "all"
    assert images.root == os.fsencode((tmp_path / "data").resolve())


def test_csv_that_is_a_pipe_is_refused(tmp_path):
    os.mkfifo(tmp_path / "list.csv")
    with pytest.raises(ImageSetError, match="list.csv cannot be read: not a regular file"):
        scan(tmp_path / "list.csv")


def test_many_unchanged_files_are_listed_quickly(tmp_path):
    for name in ("a", "b", "c", "d"):
        (tmp_path / name).mkdir()
        for i in range(2500):
            (tmp_path / name / f"{i:05d}.jpg").touch()
    first = scan(tmp_path)
    times = []
    for _ in range(3):
        start = time.perf_counter()
        second = scan(tmp_path, previous=first)
        times.append(time.perf_counter() - start)
    assert second.same_as(first)
    assert min(times) / len(first) < 40e-6  # 6 microseconds on an idle machine; the benchmark is strict


def test_real_sets(shared_data):
    images = scan(shared_data / "hymenoptera")
    assert images.counts() == {"train": {"ants": 122, "bees": 121}, "val": {"ants": 69, "bees": 83}}
    pets = scan(shared_data / "pets37x10")
    assert len(pets) == 370 and len(pets.classes) == 37 and not pets.skipped
    assert set(pets.splits) == {""}


def test_every_way_to_write_a_path_gives_the_same_set(tmp_path, monkeypatch):
    images = scan(write_tree(tmp_path / "pets"))
    (tmp_path / "link").symlink_to("pets")
    monkeypatch.chdir(tmp_path)
    for path in ("pets", b"pets", Path("pets"), "./pets/", tmp_path / "pets", "link"):
        assert scan(path).same_as(images), path


def test_a_set_bears_the_name_it_is_given_or_that_of_its_folder_or_list(tmp_path):
    write_tree(tmp_path / "data.csv", each=1)
    assert scan(tmp_path / "data.csv").name == "data.csv"  # a folder, whatever its name ends in
    assert scan(tmp_path / "data.csv", name="pets").name == "pets"
    (tmp_path / "ALL.CSV").write_text("path,label\ndata.csv/ants/000.jpg,ants\n")
    assert scan(tmp_path / "ALL.CSV").name == "ALL"
    (tmp_path / "data.csv").rename(tmp_path / os.fsdecode(b"caf\xe9"))
    assert scan(tmp_path / os.fsdecode(b"caf\xe9")).name == "caf\\xe9"


def test_sentences_about_paths_can_be_printed(tmp_path):
    with pytest.raises(ImagesNotFoundError, match=r"/caf\\xe9\\n does not exist; expected a folder of images"):
        scan(os.fsencode(tmp_path) + b"/caf\xe9\n")


def test_all_files_are_read_for_their_content(tmp_path, reads):
    first = scan(write_tree(tmp_path))
    reads.clear()
    assert scan(tmp_path, previous=first, content=True).same_as(first)
    assert sorted(reads) == [first.absolute(i) for i in range(len(first))]


def test_size_and_time_are_those_of_the_bytes_that_were_hashed(tmp_path, monkeypatch):
    path = write_tree(tmp_path) / "ants" / "001.jpg"
    original = scanning.hash_files

    def changed_after_the_listing(paths, progress):
        path.write_bytes(b"other bytes")
        os.utime(path, ns=(7, 7))
        return original(paths, progress)

    monkeypatch.setattr(scanning, "hash_files", changed_after_the_listing)
    images = scan(tmp_path)
    assert (images.paths[1], images.sizes[1], images.mtimes[1]) == (b"ants/001.jpg", len(b"other bytes"), 7)
    assert images.digests[1].tobytes() == hashlib.sha256(b"other bytes").digest()


files = st.sampled_from(["a/1.jpg", "a/2.png", "a/deep/1.jpg", "b/1.jpg", "b/ü.webp", "c/A.JPG"])
trees = st.dictionaries(files, st.tuples(st.binary(max_size=4), st.integers(1, 3)), min_size=1)


def lay_out(root: Path, tree: dict[str, tuple[bytes, int]]) -> None:
    """Make the folder hold exactly these files: name -> (bytes, modification time in ns)."""
    for path in [path for path in root.rglob("*") if path.is_file()]:
        path.unlink()
    for name, (content, mtime) in tree.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
        os.utime(root / name, ns=(mtime, mtime))


@settings(max_examples=60, deadline=None)
@given(before=trees, after=trees)
def test_after_any_changes_a_scan_gives_every_file_and_rehashes_only_other_sizes_and_times(before, after):
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        lay_out(root, before)
        first = scan(root, reading=Reading(class_from="top"))
        lay_out(root, after)
        second = scan(root, previous=first, reading=Reading(class_from="top"))
    names = sorted(after, key=os.fsencode)
    assert second.paths == tuple(os.fsencode(name) for name in names)
    if len({name.split("/")[0] for name in names}) > 1:  # a single folder may be a wrapper
        assert [second.classes[label] for label in second.labels] == [name.split("/")[0] for name in names]
    for row, name in enumerate(names):
        content, mtime = after[name]
        known, known_mtime = before.get(name, (b"", 0))
        unchanged = (len(known), known_mtime) == (len(content), mtime)
        assert second.digests[row].tobytes() == hashlib.sha256(known if unchanged else content).digest()
        assert (second.sizes[row], second.mtimes[row]) == (len(content), mtime)
