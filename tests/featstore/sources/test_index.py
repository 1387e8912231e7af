import os

from featstore.sources.address import FileRange, file_of
from featstore.sources.index import Index, forget, index_of, is_kept, keep
from featstore.sources.reading import read
from tests.support.archives import tar_of


def test_a_later_member_of_the_same_name_replaces_the_first():
    index = Index(b"/a.tar")
    assert index.add(b"x", FileRange(1, 1, b"").address())
    assert index.add(b"y", FileRange(2, 2, b"").address())
    assert not index.add(b"x", FileRange(3, 3, b"").address())
    assert index.address(b"x") == FileRange(3, 3, b"/a.tar").address()
    assert index.address(b"y") == FileRange(2, 2, b"/a.tar").address()
    assert index.address(b"z") is None
    assert list(index) == [b"x", b"y"] and len(index) == 2


def test_an_index_is_listed_once_and_again_when_the_file_changes(tmp_path, monkeypatch):
    import featstore.sources.index as module

    listed = []
    real = module.members
    monkeypatch.setattr(module, "members", lambda path: listed.append(path) or real(path))
    path = os.fsencode(tar_of({"a": b"1"}, tmp_path / "a.tar"))
    assert index_of(path) is index_of(path) and len(listed) == 1
    tar_of({"a": b"22", "b": b"3" * 12000}, tmp_path / "a.tar")
    assert read(index_of(path).address(b"a"), 9) == b"22" and len(listed) == 2


def test_what_is_no_container_has_no_index(tmp_path):
    (tmp_path / "a.zip").write_bytes(b"no")
    (tmp_path / "a.jpg").write_bytes(b"no")
    (tmp_path / "a.parquet").write_bytes(b"no")
    for name in ("a.zip", "a.jpg", "a.parquet", "none"):
        assert index_of(os.fsencode(tmp_path / name)) is None


def test_an_index_without_a_file_is_kept_until_it_is_forgotten():
    keep(b"/nowhere/at/all", index := Index(b"/x"), None)
    assert is_kept(b"/nowhere/at/all") and index_of(b"/nowhere/at/all") is index
    forget(b"/nowhere/at/all")
    assert not is_kept(b"/nowhere/at/all") and index_of(b"/nowhere/at/all") is None
    assert file_of(FileRange(1, 1, b"/x").address()) == b"/x"
