"""What the walk takes, what it skips and why, in any tree."""

import os
import socket
from pathlib import Path

import pytest

from featstore.errors import ImageSetError
from featstore.images import walk
from featstore.images.tree import LIST_BYTES, Tree
from featstore.images.walk import Remembered, list_tree
from tests.support.pictures import encode, lock_folders, texture, write_tree

JPEG = encode(texture(0, 8, 8))


def put(root: Path, *paths: str, data: bytes = JPEG) -> Path:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(data)
    return root


def listed(root: Path, remembered: Remembered | None = None) -> Tree:
    return list_tree(os.fsencode(root.resolve()), remembered)


def reasons(root: Path) -> dict[str, str]:
    return {os.fsdecode(s.path): s.reason for s in listed(root).skipped}


def images(root: Path) -> set[str]:
    """Paths; the folders' counts must add up to them, folder after folder."""
    tree = listed(root)
    at = 0
    for folder, count in tree.folders:
        assert {path.rpartition(b"/")[0] for path in tree.paths[at : at + count]} <= {folder}
        at += count
    assert at == len(tree.paths) == len(set(tree.paths)) == len(tree.sizes) == len(tree.mtimes)
    return set(map(os.fsdecode, tree.paths))


def test_all_images_are_listed_folder_after_folder(tmp_path):
    put(tmp_path, "loose.jpg", "train/cats/a.jpg", "train/cats/deep/er/b.jpg", "val/dogs/x/c.jpg", "train/z.jpg")
    assert images(tmp_path) == {
        "loose.jpg", "train/cats/a.jpg", "train/cats/deep/er/b.jpg", "val/dogs/x/c.jpg", "train/z.jpg",
    }  # fmt: skip
    assert dict(listed(tmp_path).folders)[b"train/cats/deep"] == 0


def test_sizes_and_times_are_those_of_the_files(tmp_path):
    put(tmp_path, "cats/a.jpg", "b.jpg")
    tree = listed(tmp_path)
    for path, size, mtime in zip(tree.paths, tree.sizes, tree.mtimes, strict=True):
        status = (tmp_path / os.fsdecode(path)).stat()
        assert (size, mtime) == (status.st_size, status.st_mtime_ns)


@pytest.mark.parametrize("name", ["a.JPG", "b.jpeg", "c.PnG", "d.webp", "e.bmp", "f.gif", "g.tiff", "h.ppm", "i.jfif"])
def test_files_named_like_images_are_rows_whatever_they_hold(tmp_path, name):
    put(tmp_path, f"cats/{name}", data=b"")
    assert images(tmp_path) == {f"cats/{name}"}


def test_other_names_are_looked_into(tmp_path):
    put(tmp_path, "cats/no_ending", "cats/photo.dat", "cats/a.b.c", "cats/x.jpg")
    put(tmp_path, "cats/notes.txt", data=b"hello")
    put(tmp_path, "cats/labels.mat", data=b"\x01\x02\x03\xff")
    put(tmp_path, "cats/new.jxl", data=b"\0\0\0\x0cJXL \r\n\x87\n")
    assert images(tmp_path) == {"cats/no_ending", "cats/photo.dat", "cats/a.b.c", "cats/x.jpg"}
    assert reasons(tmp_path) == {
        "cats/labels.mat": "not a supported image: unknown bytes 01 02 03 ff",
        "cats/new.jxl": "not a supported image: JPEG XL",
        "cats/notes.txt": "not a supported image: text",
    }


def test_files_that_were_looked_into_are_remembered_by_size_and_time(tmp_path):
    put(tmp_path, "cats/x.jpg", "cats/image")
    put(tmp_path, "cats/notes.txt", data=b"hello")
    first = listed(tmp_path)
    (notes,) = first.skipped
    assert notes.size == 5 and notes.mtime == (tmp_path / "cats" / "notes.txt").stat().st_mtime_ns
    memory = Remembered(frozenset, {(notes.path, notes.size, notes.mtime): "as before"})
    again = listed(tmp_path, memory)
    assert again.skipped == [notes._replace(reason="as before")]
    (tmp_path / "cats" / "notes.txt").write_bytes(JPEG)
    assert len(listed(tmp_path, memory).paths) == 3


def test_hidden_entries_are_skipped(tmp_path):
    put(tmp_path, "cats/x.jpg", "cats/.y.jpg", "cats/._x.jpg", ".git/z.jpg", "cats/.thumbs/t.jpg")
    assert images(tmp_path) == {"cats/x.jpg"}
    found = reasons(tmp_path)
    assert found.pop("cats/._x.jpg") == "a file of the system, not of the data"
    assert found == dict.fromkeys([".git", "cats/.thumbs", "cats/.y.jpg"], "hidden")


@pytest.mark.parametrize(
    "name",
    ["@eaDir", "__MACOSX", "#recycle", "$RECYCLE.BIN", "lost+found", "System Volume Information", ".ipynb_checkpoints",
     ".Trashes", "@Recycle"],
)  # fmt: skip
def test_system_folders_are_skipped_by_name(tmp_path, name):
    put(tmp_path, "cats/x.jpg", f"{name}/x.jpg", f"cats/{name}/1.jpg")
    assert images(tmp_path) == {"cats/x.jpg"}
    assert reasons(tmp_path) == dict.fromkeys([name, f"cats/{name}"], "a folder of the system, not of the data")


@pytest.mark.parametrize("name", ["Thumbs.db", "desktop.ini", ".DS_Store", "._x.jpg", "Icon\r", "THUMBS.DB"])
def test_system_files_are_skipped_by_name(tmp_path, name):
    put(tmp_path, "cats/x.jpg", f"cats/{name}")
    assert images(tmp_path) == {"cats/x.jpg"}
    assert set(reasons(tmp_path).values()) == {"a file of the system, not of the data"}


def test_pipes_sockets_and_dead_links_are_skipped_and_never_opened(tmp_path, monkeypatch):
    put(tmp_path, "cats/x.jpg")
    monkeypatch.chdir(tmp_path / "cats")
    os.mkfifo("pipe.jpg")
    os.mkfifo("pipe")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket.jpg")
        Path("dead.jpg").symlink_to("nowhere")
        Path("self.jpg").symlink_to("self.jpg")
        Path("zero.jpg").symlink_to("/dev/zero")
        found = reasons(tmp_path)
    assert found["cats/pipe.jpg"] == found["cats/pipe"] == "a named pipe"
    assert found["cats/socket.jpg"] == "a socket"
    assert found["cats/zero.jpg"] == "a device"
    assert found["cats/dead.jpg"] == "a link that leads nowhere"
    assert found["cats/self.jpg"].startswith("unreadable: ")


def test_links_to_files_and_to_folders_elsewhere_are_followed(tmp_path):
    put(tmp_path, "elsewhere/1.jpg", "data/cats/2.jpg")
    (tmp_path / "data" / "dogs").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "data" / "cats" / "3.jpg").symlink_to(tmp_path / "elsewhere" / "1.jpg")
    assert images(tmp_path / "data") == {"cats/2.jpg", "cats/3.jpg", "dogs/1.jpg"}


def test_link_loops_end_and_no_folder_is_entered_twice(tmp_path):
    put(tmp_path, "data/cats/1.jpg", "data/dogs/2.jpg", "other/3.jpg")
    data = tmp_path / "data"
    (data / "cats" / "again").symlink_to(".")
    (data / "cats" / "up").symlink_to("../..")
    (data / "cats" / "everything").symlink_to("/")
    (data / "cats" / "dogs").symlink_to("../dogs")
    (data / "a_alias").symlink_to("cats")  # sorts before the real one
    (data / "cats" / "loop1").symlink_to(tmp_path / "other")
    (tmp_path / "other" / "back").symlink_to(data)
    assert images(data) == {"cats/1.jpg", "cats/loop1/3.jpg", "dogs/2.jpg"}
    assert reasons(data) == {
        "a_alias": "the same folder as cats",
        "cats/again": "the same folder as cats",
        "cats/dogs": "the same folder as dogs",
        "cats/everything": "a link to a folder that holds this one",
        "cats/loop1/back": "a link to a folder that holds this one",
        "cats/up": "a link to a folder that holds this one",
    }


def test_unreadable_folder_is_noted_and_the_rest_is_listed(tmp_path, monkeypatch):
    put(tmp_path, "cats/1.jpg", "cats/locked/2.jpg")
    lock_folders(monkeypatch, b"locked")
    put(tmp_path, "locked/3.jpg")  # a class, which is not a class without images
    assert images(tmp_path) == {"cats/1.jpg"}
    shut = "unreadable folder: Permission denied"
    assert reasons(tmp_path) == {"cats/locked": shut, "locked": shut}
    assert len(listed(tmp_path).skipped) == 2


def test_root_that_cannot_be_read(tmp_path, monkeypatch):
    def scandir(path):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "scandir", scandir)
    with pytest.raises(ImageSetError, match="cannot be read: Permission denied"):
        listed(tmp_path)


def test_folder_that_vanishes_during_the_walk(tmp_path, monkeypatch):
    write_tree(tmp_path, ("a", "b"), each=1)
    original = os.scandir

    def scandir(path):
        if os.fsencode(path).endswith(b"/b"):
            raise FileNotFoundError(2, "No such file or directory")
        return original(path)

    monkeypatch.setattr(os, "scandir", scandir)
    assert images(tmp_path) == {"a/000.jpg"}
    assert "No such file" in reasons(tmp_path)["b"]


def test_very_deep_tree(tmp_path):
    deep = tmp_path / "cats"
    deep.mkdir()
    descriptor = os.open(deep, os.O_RDONLY)
    for _ in range(60):  # 60 x 100 bytes: beyond what one path may hold
        os.mkdir("d" * 100, dir_fd=descriptor)
        inner = os.open("d" * 100, os.O_RDONLY, dir_fd=descriptor)
        os.close(descriptor)
        descriptor = inner
    os.close(descriptor)
    put(tmp_path, "cats/1.jpg")
    found = reasons(tmp_path)
    assert images(tmp_path) == {"cats/1.jpg"}
    assert [reason for reason in found.values() if "File name too long" in reason]


def test_a_folder_that_ceases_to_be_readable_keeps_what_was_listed(tmp_path, monkeypatch):
    put(tmp_path, "a/1.jpg", "a/2.jpg", "b/3.jpg")
    original = os.scandir

    class Ends:
        def __init__(self, entries):
            self.entries = entries

        def __enter__(self):
            return self

        def __exit__(self, *error):
            self.entries.close()

        def __iter__(self):
            yield next(self.entries)
            raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "scandir", lambda path: Ends(original(path)) if path.endswith(b"/a") else original(path))
    assert len(images(tmp_path)) == 2
    assert reasons(tmp_path) == {"a": "unreadable folder: Input/output error"}


def test_empty_folders_are_listed(tmp_path):
    put(tmp_path, "cats/1.jpg")
    (tmp_path / "dogs").mkdir()
    assert sorted(listed(tmp_path).folders) == [(b"", 0), (b"cats", 1), (b"dogs", 0)]


def test_lists_beside_the_images_are_read(tmp_path, monkeypatch):
    put(tmp_path, "cats/1.jpg")
    put(tmp_path, "meta/train.txt", data=b"cats/1")
    tree = listed(tmp_path)
    assert tree.read(b"meta/train.txt") == b"cats/1"
    for path in (b"meta/none.txt", b"meta", b"a\0b"):
        with pytest.raises(ImageSetError, match="cannot be read"):
            tree.read(path)
    assert LIST_BYTES == 1 << 28
    monkeypatch.setattr(walk, "LIST_BYTES", 5)
    with pytest.raises(ImageSetError, match="meta/train.txt in .* has 6 bytes; expected a list of at most 5"):
        tree.read(b"meta/train.txt")


def test_a_list_that_is_a_pipe_is_not_waited_for(tmp_path):
    put(tmp_path, "cats/1.jpg")
    os.mkfifo(tmp_path / "list.txt")
    with pytest.raises(ImageSetError, match="list.txt in .* cannot be read"):
        listed(tmp_path).read(b"list.txt")
