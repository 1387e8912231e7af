import gzip
import os
import zipfile

import pytest

from featstore.errors import ImageSetError
from featstore.sources.container import is_container, members
from featstore.sources.reading import read
from tests.support.archives import tar_of, zip_of

FILES = {"a/1.jpg": b"one", "b/2.jpg": b"two"}


def names(path):
    return [m.name for m in members(os.fsencode(path)) if m.record]


def test_the_content_decides_and_not_the_name(tmp_path):
    zip_of(FILES, tmp_path / "really-zip.tar")
    tar_of(FILES, tmp_path / "really-tar.zip")
    tar_of(FILES, tmp_path / "really-tar.gz.tar", "w:gz")
    tar_of(FILES, tmp_path / "no-ending")
    for path in tmp_path.iterdir():
        assert is_container(os.fsencode(path))
        assert names(path) == [b"a/1.jpg", b"b/2.jpg"]
        assert [read(m.record + os.fsencode(path), 9) for m in members(os.fsencode(path))] == [b"one", b"two"]


@pytest.mark.parametrize("name", ["a.zip", "A.ZIP", "a.tar", "a.tgz", "a.tar.gz", "a.7z", "a.rar", "a.tar.xz"])
def test_names_of_archives(tmp_path, name):
    (tmp_path / name).write_bytes(b"")
    assert is_container(os.fsencode(tmp_path / name))


def test_other_zip_files_folders_and_nothing_are_no_containers(tmp_path):
    zip_of(FILES, tmp_path / "table.xlsx")
    zip_of(FILES, tmp_path / "weights.pth")
    (tmp_path / "labels.csv.gz").write_bytes(gzip.compress(b"a,b", mtime=0))
    (tmp_path / "folder.zip").mkdir()
    for name in ("table.xlsx", "weights.pth", "labels.csv.gz", "folder.zip", "missing.zip"):
        assert not is_container(os.fsencode(tmp_path / name))


@pytest.mark.parametrize(
    ("name", "content", "match"),
    [
        (
            "a.7z",
            b"7z\xbc\xaf\x27\x1c" + bytes(600),
            "a 7z archive, which is not read.*unpack it and name",
        ),
        ("a.rar", b"Rar!\x1a\x07\x00" + bytes(600), "is a RAR archive"),
        ("a.tar.bz2", b"BZh91AY", "is packed by bzip2.*or pack it anew"),
        ("a.tar.xz", b"\xfd7zXZ\x00", "is packed by xz"),
        ("a.zip", b"", "is an empty file.*download it again"),
        ("a.zip", b"<!DOCTYPE html>", "named like an archive, but its first bytes are not"),
        ("a.tgz", gzip.compress(b"path,label", mtime=0), "is packed by gzip and holds no tar archive"),
        ("a.tgz", gzip.compress(os.urandom(9999), mtime=0)[:500], "cannot be unpacked|ends too early"),
        ("a.zip", b"PK\x03\x04" + bytes(100), "list of members at its end is missing"),
    ],
)
def test_what_cannot_be_read_is_told_with_the_way_out(tmp_path, name, content, match):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ImageSetError, match=match):
        list(members(os.fsencode(tmp_path / name)))


def test_an_empty_zip_has_no_members(tmp_path):
    zipfile.ZipFile(tmp_path / "a.zip", "w").close()
    assert names(tmp_path / "a.zip") == []
