"""SHA-256 of files, and of files that do not hold still."""

import hashlib
import os

import pytest

from featstore.images import hashing
from featstore.images.hashing import hash_file, hash_files


def test_digests_in_order_whatever_the_threads(tmp_path):
    paths, expected = [], []
    for number in range(200):
        data = os.urandom(number * 7)
        (tmp_path / str(number)).write_bytes(data)
        paths.append(os.fsencode(tmp_path / str(number)))
        expected.append(hashlib.sha256(data).digest())
    for threads in (1, 4, None):
        hashed = hash_files(paths, threads=threads)
        assert [h.digest for h in hashed] == expected
    assert (hashed[9].size, hashed[9].mtime) == (63, (tmp_path / "9").stat().st_mtime_ns)


def test_file_larger_than_a_piece(tmp_path):
    data = os.urandom(hashing.CHUNK * 2 + 5)
    (tmp_path / "large").write_bytes(data)
    assert hash_file(os.fsencode(tmp_path / "large")).digest == hashlib.sha256(data).digest()


def test_nothing_to_hash():
    assert hash_files([]) == []


@pytest.mark.parametrize("kind", ["missing", "folder", "pipe"])
def test_what_cannot_be_read_is_a_problem_and_never_hangs(tmp_path, kind):
    path = tmp_path / "x"
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    hashed = hash_file(os.fsencode(path))
    assert hashed.problem.startswith("cannot be read: ") and hashed.digest == b""


def change_while_reading(monkeypatch, path, times):
    """The file grows after the first piece of each of its first `times` readings."""
    original = os.read
    grown = []

    def read(descriptor, size):
        piece = original(descriptor, size)
        if piece and len(grown) < times:
            grown.append(1)
            with path.open("ab") as file:
                file.write(b"more")
        return piece

    monkeypatch.setattr(hashing.os, "read", read)


def test_file_that_grows_once_is_read_again(tmp_path, monkeypatch):
    path = tmp_path / "x"
    path.write_bytes(b"start")
    change_while_reading(monkeypatch, path, 1)
    hashed = hash_file(os.fsencode(path))
    assert hashed.problem == "" and hashed.digest == hashlib.sha256(b"startmore").digest() and hashed.size == 9


def test_file_that_keeps_growing_is_a_problem(tmp_path, monkeypatch):
    path = tmp_path / "x"
    path.write_bytes(b"start")
    change_while_reading(monkeypatch, path, 99)
    assert hash_file(os.fsencode(path)).problem == "changed while it was being read"
