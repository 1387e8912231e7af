"""What the walk takes, what it skips and why, in any tree."""

import os
import socket
from pathlib import Path

import pytest

from featstore.errors import ImageSetError
from featstore.images.walk import Remembered, list_folder
from tests.support.pictures import encode, lock_folders, texture, write_tree

JPEG = encode(texture(0, 8, 8))


def put(root: Path, *paths: str, data: bytes = JPEG) -> Path:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(data)
    return root


def listed(root: Path):
    return list_folder(os.fsencode(root.resolve()))


def reasons(root: Path) -> dict[str, str]:
    return {os.fsdecode(s.path): s.reason for s in listed(root).skipped}


def rows(root: Path) -> dict[str, tuple[str, str]]:
    found = listed(root)
    return {
        os.fsdecode(path): (found.classes[label], str(split))
        for path, label, split in zip(found.paths, found.labels, found.splits, strict=True)
    }


def test_nested_folders_belong_to_the_class_above(tmp_path):
    put(tmp_path, "train/cats/a.jpg", "train/cats/deep/er/b.jpg", "val/dogs/x/c.jpg")
    assert rows(tmp_path) == {
        "train/cats/a.jpg": ("cats", "train"),
        "train/cats/deep/er/b.jpg": ("cats", "train"),
        "val/dogs/x/c.jpg": ("dogs", "val"),
    }


def test_order_is_that_of_the_bytes_of_the_whole_path(tmp_path):
    put(tmp_path, "a/x.jpg", "a-b/x.jpg", "a/B.jpg", "ä/x.jpg", "a/10.jpg", "a/9.jpg")
    paths = [os.fsencode(path) for path in rows(tmp_path)]
    assert paths == sorted(paths)
    assert paths[0] == b"a-b/x.jpg"  # "-" sorts before "/"


@pytest.mark.parametrize("name", ["a.JPG", "b.jpeg", "c.PnG", "d.webp", "e.bmp", "f.gif", "g.tiff", "h.ppm", "i.jfif"])
def test_files_named_like_images_are_rows_whatever_they_hold(tmp_path, name):
    put(tmp_path, f"cats/{name}", data=b"")
    assert list(rows(tmp_path)) == [f"cats/{name}"]


def test_other_names_are_looked_into(tmp_path):
    put(tmp_path, "cats/no_ending", "cats/photo.dat", "cats/a.b.c", "cats/x.jpg")
    put(tmp_path, "cats/notes.txt", data=b"hello")
    put(tmp_path, "cats/labels.mat", data=b"\x01\x02\x03\xff")
    put(tmp_path, "cats/new.jxl", data=b"\xff\x0a\xfa\x7f")
    assert set(rows(tmp_path)) == {"cats/no_ending", "cats/photo.dat", "cats/a.b.c", "cats/x.jpg"}
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
    again = list_folder(os.fsencode(tmp_path.resolve()), memory)
    assert again.skipped == (notes._replace(reason="as before"),)
    (tmp_path / "cats" / "notes.txt").write_bytes(JPEG)
    assert len(list_folder(os.fsencode(tmp_path.resolve()), memory).paths) == 3


def test_hidden_entries_are_skipped(tmp_path):
    put(tmp_path, "cats/x.jpg", "cats/.y.jpg", "cats/._x.jpg", ".git/z.jpg", "cats/.thumbs/t.jpg")
    assert list(rows(tmp_path)) == ["cats/x.jpg"]
    assert reasons(tmp_path) == dict.fromkeys([".git", "cats/._x.jpg", "cats/.thumbs", "cats/.y.jpg"], "hidden")


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
    assert rows(tmp_path / "data") == {
        "cats/2.jpg": ("cats", ""),
        "cats/3.jpg": ("cats", ""),
        "dogs/1.jpg": ("dogs", ""),
    }


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
    assert list(rows(data)) == ["cats/1.jpg", "cats/loop1/3.jpg", "dogs/2.jpg"]
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
    assert list(rows(tmp_path)) == ["cats/1.jpg"]
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
    assert list(rows(tmp_path)) == ["a/000.jpg"]
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
    assert list(rows(tmp_path)) == ["cats/1.jpg"]
    assert [reason for reason in found.values() if "File name too long" in reason]


def test_empty_class_folders_are_noted_and_are_no_class(tmp_path):
    put(tmp_path, "cats/1.jpg")
    (tmp_path / "dogs").mkdir()
    assert listed(tmp_path).classes == ("cats",)
    assert reasons(tmp_path) == {"dogs": "a folder without images"}


def test_loose_images_are_skipped_with_a_reason(tmp_path):
    put(tmp_path, "loose.jpg", "train/loose.jpg", "train/cats/1.jpg", "val/cats/2.jpg", "readme.txt")
    assert set(rows(tmp_path)) == {"train/cats/1.jpg", "val/cats/2.jpg"}
    assert reasons(tmp_path) == dict.fromkeys(["loose.jpg", "readme.txt", "train/loose.jpg"], "lies in no class folder")


@pytest.mark.parametrize(
    ("paths", "message"),
    [
        ([], r"is empty; expected one sub-folder a class \(cats/1.jpg"),
        (
            ["1.jpg", "2.jpg"],
            r"2 images in .* lie in no class folder \(such as 1.jpg\); expected one sub-folder a class",
        ),
        (["train/1.jpg", "test/2.jpg"], r"2 images in .* lie in no class folder \(such as test/2.jpg\)"),
        (["cats/notes.txt.gz"], r"holds no image; 2 entries were skipped, such as cats \(a folder without images\)"),
        ([".hidden/1.jpg"], "is empty"),
    ],
)
def test_nothing_usable_is_one_sentence(tmp_path, paths, message):
    put(tmp_path, *[p for p in paths if not p.endswith(".gz")])
    put(tmp_path, *[p for p in paths if p.endswith(".gz")], data=b"\x1f\x8b")
    with pytest.raises(ImageSetError, match=message):
        listed(tmp_path)


def test_classes_that_look_alike_are_refused(tmp_path):
    for name in (b"caf\xe9", b"caf\\xe9"):
        put(tmp_path, os.fsdecode(name) + "/1.jpg")
    with pytest.raises(ImageSetError, match=r"two different classes are both shown as 'caf\\\\xe9'; rename one"):
        listed(tmp_path)


def test_ordinary_words_of_other_scripts_are_not_escaped(tmp_path):
    names = ["猫", "می‌شود", "Käse", "собака", "👨‍👩‍👧"]
    put(tmp_path, *[f"{name}/1.jpg" for name in names])
    assert set(listed(tmp_path).classes) == set(names)
