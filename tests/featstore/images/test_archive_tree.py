import hashlib
import io
import os
import subprocess
import sys
import tarfile

import pytest

from featstore.errors import ImageSetError
from featstore.images.archive_tree import archive_tree
from featstore.images.hashing import hash_files
from featstore.images.listing import Skipped
from featstore.sources.addresses import addresses
from tests.support.archives import KINDS, pictures, tar_of, written, zip_of

FILES = pictures()
JPEG = next(iter(FILES.values()))


def tree_of(path):
    return archive_tree(os.fsencode(path))


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in ("folder", "parquet")])
def test_one_set_has_the_same_digests_from_every_archive(tmp_path, kind):
    tree = tree_of(written(FILES, tmp_path, kind))
    strip = 1 if kind == "shards" else 0
    names = [b"/".join(path.split(b"/")[strip:]).decode() for path in tree.paths]
    assert sorted(names) == sorted(FILES)
    hashed = hash_files(addresses([tree.root + b"/" + path for path in tree.paths]))
    assert [h.digest for h in hashed] == [hashlib.sha256(FILES[name]).digest() for name in names]
    assert [h.size for h in hashed] == tree.sizes and [h.mtime for h in hashed] == tree.mtimes
    assert tree.skipped == [] and tree.notes == []


def test_folders_are_counted_in_the_order_of_the_paths(tmp_path):
    files = {"b/2.jpg": JPEG, "a/x/1.jpg": JPEG, "b/1.jpg": JPEG, "top.jpg": JPEG, "a-b/1.jpg": JPEG}
    tree = tree_of(zip_of(files, tmp_path / "a.zip"))
    assert tree.folders == [(b"", 1), (b"a", 0), (b"a/x", 1), (b"a-b", 1), (b"b", 2)]
    assert tree.paths == [b"top.jpg", b"a/x/1.jpg", b"a-b/1.jpg", b"b/2.jpg", b"b/1.jpg"]
    assert tree.root == os.fsencode(tmp_path.resolve() / "a.zip")


def test_first_bytes_decide_where_the_name_does_not_and_lists_can_be_read(tmp_path):
    files = {"a/one": JPEG, "a/2.dat": JPEG, "labels.csv": b"path,label\n", "x.svg": b"<svg", "in.zip": b"PK\x03\x04"}
    for path in (zip_of(files, tmp_path / "a.zip"), tar_of(files, tmp_path / "a.tgz", "w:gz")):
        tree = tree_of(path)
        assert tree.paths == [b"a/one", b"a/2.dat"]
        assert {s.path: s.reason for s in tree.skipped} == {
            b"labels.csv": "not a supported image: text",
            b"x.svg": "not a supported image: SVG",
            b"in.zip": "an archive inside of an archive; unpack the outer one once",
        }
        assert tree.read(b"labels.csv") == b"path,label\n" and tree.others[b"labels.csv"][0] == 11
        with pytest.raises(ImageSetError, match=r"none\.csv cannot be read"):
            tree.read(b"none.csv")


def test_hidden_and_system_entries_are_skipped(tmp_path):
    hidden = ("__MACOSX/a/._1.jpg", "a/._1.jpg", "a/.DS_Store", ".git/1.jpg", "@eaDir/1.jpg", "a/Thumbs.db")
    tree = tree_of(zip_of({"a/1.jpg": JPEG, **dict.fromkeys(hidden, JPEG)}, tmp_path / "a.zip"))
    assert tree.paths == [b"a/1.jpg"] and tree.folders == [(b"", 0), (b"a", 1)]
    assert {s.path.decode() for s in tree.skipped} == set(hidden)


def test_of_two_members_of_one_name_the_last_counts_and_it_is_said(tmp_path):
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        for data in (b"first", JPEG):
            entry = tarfile.TarInfo("a/1.jpg")
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    tree = tree_of(tmp_path / "a.tar")
    assert tree.paths == [b"a/1.jpg"] and tree.sizes == [len(JPEG)] and tree.read(b"a/1.jpg") == JPEG
    assert tree.notes == [
        "1 name in a.tar occurs more than once, such as a/1.jpg; the last one counts, as when it is unpacked"
    ]


def test_a_cut_archive_keeps_what_lies_before_the_cut(tmp_path):
    path = tar_of(FILES, tmp_path / "a.tar")
    path.write_bytes(path.read_bytes()[:2700])
    tree = tree_of(path)
    assert 0 < len(tree.paths) < len(FILES)
    assert tree.skipped[-1].reason == "the archive is cut off in the middle of it"
    assert "a.tar is cut off after" in tree.notes[0]


@pytest.mark.parametrize(
    ("files", "match"),
    [
        ({}, "is empty: it holds no file"),
        (
            {"train.zip": b"PK\x03\x04", "test.zip": b"PK\x03\x04"},
            r"no image but 2 archives, such as test\.zip; unpack",
        ),
        ({"a.txt": b"text"}, r"holds no image; 1 entry was skipped, such as a\.txt \(not a supported image: text\)"),
        ({"../a.jpg": JPEG}, r"such as \.\./a\.jpg \(its name leads out of the archive\)"),
    ],
)
def test_an_archive_without_images_is_refused_with_what_it_holds(tmp_path, files, match):
    for path in (zip_of(files, tmp_path / "a.zip"), tar_of(files, tmp_path / "a.tar")):
        with pytest.raises(ImageSetError, match=match):
            tree_of(path)


def test_shards_tell_what_is_missing_and_what_lies_beside_them(tmp_path):
    written(FILES, tmp_path, "shards")
    (tmp_path / "shard-001.tar").unlink()
    (tmp_path / "classes.txt").write_bytes(b"ants\nbees\n")
    tree = tree_of(tmp_path / "shard-{000..002}.tar")
    assert Skipped(b"shard-001.tar", "does not exist") in tree.skipped
    assert {path.split(b"/")[0] for path in tree.paths} == {b"shard-000.tar", b"shard-002.tar"}
    assert tree.root == os.fsencode(tmp_path.resolve()) and tree.read(b"classes.txt") == b"ants\nbees\n"
    assert tree.read(tree.paths[0])[:2] == b"\xff\xd8"
    assert tree_of(tmp_path).paths == tree.paths


def hostile(folder):
    """Archives that try to reach outside."""
    with tarfile.open(folder / "a.tar", "w") as archive:
        for name, kind, link in (
            ("../../evil.jpg", tarfile.REGTYPE, ""),
            ("/tmp/evil.jpg", tarfile.REGTYPE, ""),
            ("l.jpg", tarfile.SYMTYPE, "/etc/passwd"),
            ("l.jpg/x.jpg", tarfile.REGTYPE, ""),
            ("h.jpg", tarfile.LNKTYPE, "/etc/passwd"),
            ("d.jpg", tarfile.BLKTYPE, ""),
            ("ok.jpg", tarfile.REGTYPE, ""),
        ):
            entry = tarfile.TarInfo("x")
            entry.name, entry.type, entry.linkname = name, kind, link
            entry.size = len(JPEG) if kind == tarfile.REGTYPE else 0
            archive.addfile(entry, io.BytesIO(JPEG) if entry.size else None)
    zip_of({"../../evil.jpg": JPEG, "/tmp/evil.jpg": JPEG, "..\\..\\e.jpg": JPEG, "ok.jpg": JPEG}, folder / "a.zip")
    (folder / "b.tgz").write_bytes(b"")
    with tarfile.open(folder / "b.tgz", "w:gz") as archive:
        archive.add(folder / "a.tar", "inner.tar")
        entry = tarfile.TarInfo("ok.jpg")
        entry.size = len(JPEG)
        archive.addfile(entry, io.BytesIO(JPEG))
    data = bytearray(zip_of({"ok.jpg": JPEG, "locked.jpg": JPEG}, folder / "c.zip").read_bytes())
    data[data.rindex(b"locked.jpg") - 46 + 8] |= 1
    (folder / "c.zip").write_bytes(data)
    return [folder / name for name in ("a.tar", "a.zip", "b.tgz", "c.zip")]


def test_nothing_outside_of_hostile_archives_is_opened_or_written(tmp_path):
    paths = [os.fsencode(path.resolve()) for path in hostile(tmp_path)]
    code = f"""
import os, sys
from concurrent.futures import ThreadPoolExecutor
from featstore.images.archive_tree import archive_tree
from featstore.images.hashing import hash_files
from featstore.sources.addresses import addresses
import featstore.sources.zip_bytes, zipfile, tarfile, encodings.cp437, encodings.ascii, unicodedata
paths = {paths!r}
opened = []
writes = ["os." + verb for verb in ("mkdir", "rename", "remove", "link", "symlink", "rmdir", "system", "truncate")]
def hook(event, args):
    if event == "open" and not isinstance(args[0], int):
        opened.append((args[0], args[1] or args[2]))
    if event.split(".")[0] in ("subprocess", "socket", "shutil") or event in writes:
        raise SystemExit(event)
sys.addaudithook(hook)
for path in paths:
    tree = archive_tree(path)
    assert set(tree.paths) - {{b"l.jpg/x.jpg"}} == {{b"ok.jpg"}}, (path, tree.paths)
    assert tree.skipped
    hashed = hash_files(addresses([os.path.join(tree.root, p) for p in tree.paths]))
    assert not any(h.problem for h in hashed)
for path, how in opened:
    if os.fsencode(path).startswith((b"/sys/", b"/proc/self/cgroup")):  # how many cores there are
        continue
    assert os.fsencode(path) in paths or isinstance(how, int) and os.fsencode(path).startswith(tuple(paths)), path
    assert how == "rb" or isinstance(how, int) and not how & (os.O_WRONLY | os.O_RDWR | os.O_CREAT), (path, how)
print(len(opened))
"""
    before = sorted(tmp_path.rglob("*"))
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert told.returncode == 0, told.stderr
    assert int(told.stdout) > 4 and sorted(tmp_path.rglob("*")) == before


def test_an_encrypted_member_is_named(tmp_path):
    hostile(tmp_path)
    tree = tree_of(tmp_path / "c.zip")
    assert [(s.path, s.reason) for s in tree.skipped] == [
        (b"locked.jpg", "encrypted; unpack the archive with its password, and name the folder")
    ]


def test_a_bomb_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("featstore.sources.zip_members.GRACE", 1 << 20)
    path = zip_of({"0.jpg": bytes(30 << 20)}, tmp_path / "a.zip")
    with pytest.raises(ImageSetError, match="a bomb is not read"):
        tree_of(path)


def test_shards_that_are_not_there_are_told_or_refused(tmp_path):
    for number in range(3):
        with tarfile.open(tmp_path / f"a-{number}.tar", "w") as archive:
            member = tarfile.TarInfo("cats/1.jpg")
            member.size = 3
            archive.addfile(member, io.BytesIO(b"\xff\xd8\xff"))
    tree = archive_tree(bytes(tmp_path / "a-{0..3}.tar"))
    assert "1 of 4 archives are not there, such as a-3.tar" in tree.notes
    with pytest.raises(ImageSetError, match="7 of 10 archives are not there, such as a-3.tar; look in"):
        archive_tree(bytes(tmp_path / "a-{0..9}.tar"))
