import errno
import os
import stat

import pytest

from featstore.errors import StoreWriteError
from featstore.system import fsio


class Recorder:
    """`os` with a record of the calls that change the disk; `rules` maps a call's name to what it does instead."""

    def __init__(self, rules=None):
        self.calls = []
        self.rules = rules or {}

    def __getattr__(self, name):
        real = getattr(os, name)
        if not callable(real) or name not in {
            "open", "write", "fsync", "close", "link", "rename", "replace", "unlink", "mkdir", "utime"
        }:  # fmt: skip
            return real

        def call(*args, **kwargs):
            self.calls.append(name)
            return self.rules.get(name, real)(*args, **kwargs)

        return call


def refuse(number):
    def call(*args, **kwargs):
        raise OSError(number, os.strerror(number))

    return call


@pytest.fixture
def recorded(monkeypatch):
    def install(**rules):
        recorder = Recorder(rules)
        monkeypatch.setattr(fsio, "os", recorder)
        return recorder

    return install


@pytest.fixture
def tmp(tmp_path):
    (tmp_path / "tmp").mkdir()
    return tmp_path / "tmp"


def test_publish_writes_all_bytes_and_leaves_nothing_in_tmp(tmp_path, tmp):
    assert fsio.publish(tmp_path / "a", [b"one ", memoryview(b"two")], tmp=tmp)
    assert (tmp_path / "a").read_bytes() == b"one two" and not list(tmp.iterdir())


def test_publish_never_replaces(tmp_path, tmp):
    (tmp_path / "a").write_bytes(b"old")
    before = (tmp_path / "a").stat()
    assert not fsio.publish(tmp_path / "a", b"new", tmp=tmp)
    assert (tmp_path / "a").read_bytes() == b"old" and (tmp_path / "a").stat().st_mtime_ns == before.st_mtime_ns
    assert not list(tmp.iterdir())


def test_publish_syncs_the_bytes_before_they_get_their_name_and_the_folder_after(tmp_path, tmp, recorded):
    recorder = recorded()
    fsio.publish(tmp_path / "a", b"x", tmp=tmp)
    assert recorder.calls == ["open", "write", "fsync", "close", "link", "open", "fsync", "close", "unlink"]


def test_publish_syncs_the_folder_also_where_the_name_was_taken(tmp_path, tmp, recorded):
    (tmp_path / "a").write_bytes(b"old")
    recorder = recorded()
    assert not fsio.publish(tmp_path / "a", b"x", tmp=tmp)
    assert recorder.calls[4:8] == ["link", "open", "fsync", "close"]


def test_short_writes_are_continued(tmp_path, tmp, recorded):
    recorded(write=lambda descriptor, data: os.write(descriptor, data[:3]))
    fsio.publish(tmp_path / "a", b"0123456789", tmp=tmp)
    assert (tmp_path / "a").read_bytes() == b"0123456789"


def test_a_write_that_takes_nothing_is_an_error_not_a_loop(tmp_path, tmp, recorded):
    recorded(write=lambda descriptor, data: 0)
    with pytest.raises(StoreWriteError, match="nothing was written|I/O error"):
        fsio.publish(tmp_path / "a", b"x", tmp=tmp)


@pytest.mark.parametrize("call", ["open", "write", "fsync", "link"])
@pytest.mark.parametrize(
    ("number", "sentence"),
    [
        (errno.ENOSPC, "disk is full; make room"),
        (errno.EDQUOT, "quota is used up"),
        (errno.EROFS, "file system is read-only"),
        (errno.EACCES, "no permission to write"),
        (errno.EIO, "I/O error; check the disk"),
        (errno.ENAMETOOLONG, "File name too long"),
    ],
)
def test_a_refusal_is_one_sentence_and_leaves_no_file(tmp_path, tmp, recorded, call, number, sentence):
    recorded(**{call: refuse(number)})
    with pytest.raises(StoreWriteError, match=sentence) as caught:
        fsio.publish(tmp_path / "a", b"x", tmp=tmp)
    assert caught.value.errno == number and "What was committed before is untouched" in str(caught.value)
    assert not (tmp_path / "a").exists() and not list(tmp.iterdir())


def test_a_failing_cleanup_does_not_undo_a_success(tmp_path, tmp, recorded):
    recorded(unlink=refuse(errno.EIO))
    assert fsio.publish(tmp_path / "a", b"x", tmp=tmp)
    assert (tmp_path / "a").read_bytes() == b"x"


@pytest.mark.parametrize("by_content", [False, True])
@pytest.mark.parametrize("number", [errno.EPERM, errno.ENOTSUP])
def test_without_hard_links_names_are_still_given_once(tmp_path, tmp, recorded, number, by_content):
    recorded(link=refuse(number))
    assert fsio.publish(tmp_path / "a", b"first", tmp=tmp, by_content=by_content)
    assert not fsio.publish(tmp_path / "a", b"second", tmp=tmp, by_content=by_content)
    assert (tmp_path / "a").read_bytes() == b"first" and not list(tmp.iterdir())
    assert (tmp_path / "a.claim").exists() != by_content


def test_without_hard_links_a_name_claimed_by_a_killed_writer_stays_taken(tmp_path, tmp, recorded):
    recorded(link=refuse(errno.EPERM), rename=refuse(errno.EIO))
    with pytest.raises(StoreWriteError):
        fsio.publish(tmp_path / "a", b"first", tmp=tmp)
    recorded(link=refuse(errno.EPERM))
    assert not fsio.publish(tmp_path / "a", b"second", tmp=tmp)
    assert not (tmp_path / "a").exists()


def test_folders_that_cannot_be_synced_are_left_to_their_server(tmp_path, tmp, recorded):
    def fsync(descriptor):
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "Invalid argument")
        os.fsync(descriptor)

    recorded(fsync=fsync)
    assert fsio.publish(tmp_path / "a", b"x", tmp=tmp)


def test_replace_exchanges_all_bytes_at_once(tmp_path, recorded):
    (tmp_path / "report").write_bytes(b"old")
    recorder = recorded()
    fsio.replace(tmp_path / "report", b"new")
    assert (tmp_path / "report").read_bytes() == b"new" and os.listdir(tmp_path) == ["report"]
    assert recorder.calls == ["open", "write", "fsync", "close", "replace", "open", "fsync", "close"]


@pytest.mark.parametrize("call", ["write", "fsync", "replace"])
def test_a_failed_replace_keeps_the_old_file_and_nothing_else(tmp_path, recorded, call):
    (tmp_path / "report").write_bytes(b"old")
    recorded(**{call: refuse(errno.ENOSPC)})
    with pytest.raises(StoreWriteError, match="disk is full"):
        fsio.replace(tmp_path / "report", b"new")
    assert (tmp_path / "report").read_bytes() == b"old" and os.listdir(tmp_path) == ["report"]


def test_make_directory_syncs_the_parent_of_every_level(tmp_path, recorded):
    recorder = recorded()
    fsio.make_directory(tmp_path / "a" / "b")
    assert (tmp_path / "a" / "b").is_dir()
    assert recorder.calls == ["mkdir", "open", "fsync", "close"] * 2


def test_make_directory_below_syncs_levels_that_a_killed_writer_may_have_made(tmp_path, recorded):
    (tmp_path / "a" / "b").mkdir(parents=True)
    recorder = recorded()
    fsio.make_directory(tmp_path / "a" / "b", below=tmp_path)
    assert recorder.calls.count("fsync") == 2


def test_make_directory_refuses_a_file_in_the_way(tmp_path):
    (tmp_path / "a").write_bytes(b"")
    with pytest.raises(StoreWriteError, match="a could not be written"):
        fsio.make_directory(tmp_path / "a", below=tmp_path)


def test_move_syncs_both_folders_and_says_where_there_was_nothing(tmp_path, recorded):
    (tmp_path / "to").mkdir()
    (tmp_path / "a").write_bytes(b"x")
    recorder = recorded()
    assert fsio.move(tmp_path / "a", tmp_path / "to" / "b")
    assert recorder.calls.count("fsync") == 2 and (tmp_path / "to" / "b").read_bytes() == b"x"
    assert not fsio.move(tmp_path / "a", tmp_path / "to" / "c")


def test_remove_says_whether_there_was_a_file(tmp_path):
    (tmp_path / "a").write_bytes(b"x")
    assert fsio.remove(tmp_path / "a") and not fsio.remove(tmp_path / "a")


def test_renew_makes_a_file_young_and_leaves_its_bytes(tmp_path):
    (tmp_path / "a").write_bytes(b"x")
    os.utime(tmp_path / "a", (1, 1))
    fsio.renew(tmp_path / "a")
    assert (tmp_path / "a").stat().st_mtime > 1e9 and (tmp_path / "a").read_bytes() == b"x"
