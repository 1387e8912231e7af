"""Entries in the user's cache folder: one for what they depend on, sealed, the user's own, whole or not at all."""

import errno
import hashlib
import json
import os
import stat
import subprocess
import sys
import time

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from featstore.system import fsio
from featstore.system.user_cache import (
    CacheEntry,
    cache_folder,
    drop_entry,
    entry_path,
    keep_within,
    read_entry,
    renew_entry,
    write_entry,
)
from tests.support.faulty_os import FaultyOs, failing, full_from

BODY = bytes(range(256)) * 40


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "featstore"


def kept(body=BODY):
    path = entry_path("things", {"a": "x"})
    assert write_entry(path, {"seen": True}, [memoryview(body)])
    return path


def test_an_entry_is_found_by_what_it_depends_on_in_any_order(folder):
    path = entry_path("things", {"b": 1, "a": "x"})
    assert cache_folder() == folder and path.parent == cache_folder() / "things"
    assert path.stem == hashlib.sha256(b'{"a":"x","b":1}').hexdigest()[:32]
    assert path == entry_path("things", {"a": "x", "b": 1}) != entry_path("things", {"a": "x", "b": 2})
    assert write_entry(path, {"seen": True})
    assert json.loads(path.read_bytes()) == {"seen": True, "seal": hashlib.sha256(b'{"seen":true}').hexdigest()}
    entry, reason = read_entry(path)
    assert entry.document == {"seen": True} and not entry.body and reason == ""


def test_bytes_behind_a_document_come_back():
    path = entry_path("things", {}, ".model")
    assert path.suffix == ".model" and write_entry(path, {"n": 3}, [memoryview(b"one\n"), memoryview(BODY)])
    entry, reason = read_entry(path)
    assert entry.document == {"n": 3} and bytes(entry.body) == b"one\n" + BODY and reason == ""


def test_no_entry_is_no_reason():
    assert read_entry(entry_path("things", {})) == (None, "")


@given(st.data())
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_change_of_bytes_is_noticed(data):
    path = kept(BODY[:50])
    whole = path.read_bytes()
    at = data.draw(st.integers(0, len(whole) - 1))
    how = data.draw(st.sampled_from(["flip", "cut", "add"]))
    changed = {
        "flip": whole[:at] + bytes([whole[at] ^ data.draw(st.integers(1, 255))]) + whole[at + 1 :],
        "cut": whole[:at],
        "add": whole + b"x",
    }[how]
    path.write_bytes(changed)
    entry, reason = read_entry(path)
    assert entry is None and reason == "it is damaged: its bytes have another hash than it says"


@pytest.mark.parametrize("content", [b"", b"{}\n", b"[]", b"null", b"\xff\xfe", b"[" * 100_000, b'{"seal":1}\n'])
def test_what_is_no_entry_is_damaged(content):
    path = kept()
    path.write_bytes(content)
    assert read_entry(path)[0] is None and "damaged" in read_entry(path)[1]


def test_an_entry_is_the_users_alone_whatever_the_umask():
    before = os.umask(0o002)
    try:
        path = kept()
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666])
def test_what_others_may_write_is_not_trusted(mode):
    path = kept()
    path.chmod(mode)
    entry, reason = read_entry(path)
    assert entry is None and reason == f"other users may write to it (mode {mode:03o}, expected 600)"


def test_what_belongs_to_somebody_else_is_not_trusted(monkeypatch):
    path = kept()
    owner = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: owner + 1)
    assert read_entry(path) == (None, f"it belongs to another user (id {owner}, expected {owner + 1})")


def test_links_and_folders_are_not_followed(tmp_path):
    path = kept()
    path.rename(tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")
    assert read_entry(path)[0] is None and read_entry(path)[1].startswith("it cannot be read (")
    path.unlink()
    os.mkfifo(path)
    assert read_entry(path) == (None, "it is no file")
    path.unlink()
    path.mkdir()
    assert read_entry(path) == (None, "it is no file")


def test_a_folder_that_cannot_be_written_is_no_failure(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("x")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    path = entry_path("things", {})
    assert not write_entry(path, {"seen": True})
    assert not path.exists() and read_entry(path)[0] is None
    drop_entry(path), renew_entry(path), keep_within("things", 0)


@pytest.mark.parametrize("fault", [errno.ENOSPC, errno.EIO, errno.EROFS])
def test_a_disk_that_refuses_leaves_the_old_entry_and_nothing_else(monkeypatch, fault):
    path = kept()
    for number in range(1, 20):
        disk = FaultyOs(failing(number, fault) if fault != errno.ENOSPC else full_from(number))
        monkeypatch.setattr(fsio, "os", disk)
        done = write_entry(path, {"seen": False}, [memoryview(BODY)])
        monkeypatch.undo()
        monkeypatch.setenv("XDG_CACHE_HOME", str(path.parents[2]))
        entry, reason = read_entry(path)
        assert reason == "" and bytes(entry.body) == BODY
        assert len(list(path.parent.iterdir())) == 1
        if done and entry.document == {"seen": False} and disk.count < number:
            return
    raise AssertionError("never went through")


@pytest.mark.parametrize("number", range(1, 6))
def test_ctrl_c_leaves_the_old_entry_or_the_new_one(monkeypatch, number):
    path = kept()
    monkeypatch.setattr(fsio, "os", FaultyOs(lambda at, call: KeyboardInterrupt() if at == number else None))
    with pytest.raises(KeyboardInterrupt):
        write_entry(path, {"seen": False}, [memoryview(BODY)])
    entry, reason = read_entry(path)
    assert reason == "" and bytes(entry.body) == BODY
    assert list(path.parent.iterdir()) == [path]


WRITER = """
import sys
from pathlib import Path
from featstore.system.user_cache import read_entry, write_entry
path, mine = Path(sys.argv[1]), sys.argv[2]
for i in range(40):
    assert write_entry(path, {"by": mine, "i": i}, [memoryview(mine.encode() * 50_000)])
    entry, reason = read_entry(path)
    assert reason == "" and bytes(entry.body) == entry.document["by"].encode() * 50_000, reason
"""


def test_two_processes_that_write_one_entry_never_see_a_broken_one(quick_path):
    path = quick_path / "entry.json"
    both = [subprocess.Popen([sys.executable, "-c", WRITER, str(path), name]) for name in "ab"]
    assert [process.wait(60) for process in both] == [0, 0]
    assert list(quick_path.iterdir()) == [path]


def test_those_whose_last_use_is_longest_ago_go_first():
    paths = [entry_path("things", {"n": n}) for n in range(4)]
    for n, path in enumerate(paths):
        write_entry(path, {"n": n}, [memoryview(bytes(1000))])
        os.utime(path, (n, n))
    size = paths[0].stat().st_size
    renew_entry(paths[0])
    keep_within("things", 4 * size)
    assert all(path.exists() for path in paths)
    keep_within("things", 3 * size - 1)
    assert [path.exists() for path in paths] == [True, False, False, True]
    keep_within("things", 0)
    assert not any(path.exists() for path in paths)


def test_what_a_killed_writer_left_is_cleared_away_and_what_is_being_written_is_not():
    path = kept()
    young, old = path.with_name(".young.part"), path.with_name(".old.part")
    for part in (young, old):
        part.write_bytes(b"x")
    os.utime(old, (time.time() - 7200,) * 2)
    keep_within("things", 1 << 20)
    assert path.exists() and young.exists() and not old.exists()


def test_an_entry_says_what_it_holds():
    assert CacheEntry({"rows": 3}, memoryview(b"ab")).body[0] == ord("a")
