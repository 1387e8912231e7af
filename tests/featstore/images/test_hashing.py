"""SHA-256 of files, and of files that do not hold still."""

import hashlib
import os
import random

import pytest

from featstore.images import hashing
from featstore.images.hashing import hash_file, hash_files
from featstore.sources.addresses import addresses
from featstore.sources.gzip_stream import GzipStream
from tests.support.archives import pictures, written


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


@pytest.mark.parametrize("kind", ["zip", "tar", "tar.gz", "parquet"])
def test_members_are_hashed_in_any_order_with_progress(tmp_path, kind):
    files = pictures(80)
    place = written(files, tmp_path, kind)
    names = list(files)
    random.Random(0).shuffle(names)
    told = []
    hashed = hash_files(addresses([os.fsencode(place / name) for name in names]), lambda *at: told.append(at))
    assert [h.digest for h in hashed] == [hashlib.sha256(files[name]).digest() for name in names]
    assert {h.mtime for h in hashed} == {place.stat().st_mtime_ns}
    assert told[-1] == (160, 160) and len(told) > 1


@pytest.mark.parametrize("kind", ["tar.gz", "parquet"])
def test_a_stream_is_passed_over_once_and_several_side_by_side(tmp_path, kind, monkeypatch):
    sets = [written(pictures(40), tmp_path / str(number), kind) for number in range(5)]
    backwards = []
    seek = GzipStream.seek
    monkeypatch.setattr(GzipStream, "seek", lambda self, at, *how: backwards.append(at < self.tell()) or seek(self, at))
    paths = [os.fsencode(place / name) for name in pictures(40) for place in sets]
    hashed = hash_files(addresses(paths))
    assert not any(h.problem for h in hashed) and not any(backwards)


def test_a_container_that_changes_meanwhile_is_noticed(tmp_path, monkeypatch):
    place = written(pictures(2), tmp_path, "tar")
    (address,) = addresses([os.fsencode(place / "ants/0.jpg")])

    def changing(address):
        yield b"x"
        place.write_bytes(place.read_bytes() + b"more")

    monkeypatch.setattr(hashing, "pieces", changing)
    assert hash_file(address).problem == "changed while it was being read"
