"""Promise 2: committed rows survive a power cut. Every state that the disk may be in is made and read."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from featstore import FeatureStore
from featstore.errors import StoreError
from featstore.store.tables.identity import STORE
from featstore.system import fsio
from tests.support.faulty_os import FaultyOs, failing
from tests.support.power_cut import Disk, cuts, read_tree, write_tree
from tests.support.store_inputs import PROVENANCE, features, fingerprint, images, rows

NAMES = "abcdefghi"
KEY = fingerprint().key


def seen_by_a_reader(path: Path) -> tuple[object, ...]:
    """What a store says that it holds: None, the order of its image set, each row's features."""
    if not (path / STORE).exists():
        return ()
    store = FeatureStore(path)
    snapshot = store.table(KEY).snapshot()
    listed = store.imageset().paths if store.datasets() else ()
    live = snapshot.live()
    if not len(live):
        return (listed, {})
    held = snapshot.rows(live)
    return (listed, {d.tobytes(): x.tobytes() for d, x in zip(held.digests, held.X, strict=True)})


def steps(path: Path):
    """A life: three shards, a second image set, compaction, garbage collection, repair of a lost manifest."""
    yield lambda: FeatureStore(path, create=True)
    yield lambda: FeatureStore(path).put_imageset(images("abc"))
    for part in ("abc", "def", "ghi"):
        yield lambda part=part: FeatureStore(path).commit(fingerprint(), rows(part), PROVENANCE)
    yield lambda: FeatureStore(path).put_imageset(images("abcd"))
    yield lambda: FeatureStore(path).compact()
    yield lambda: FeatureStore(path).commit(fingerprint(), rows("j"), PROVENANCE)
    yield lambda: FeatureStore(path).gc(grace_seconds=-1)


def lived(path: Path, monkeypatch):
    """Record a life: the calls, how many each step needed, and what a reader saw after each."""
    recorder = FaultyOs()
    monkeypatch.setattr(fsio, "os", recorder)
    ends, views = [], [()]
    for step in steps(path):
        step()
        ends.append(len(recorder.record))
        views.append(seen_by_a_reader(path))
    monkeypatch.undo()
    return recorder.record, ends, views


def test_every_state_after_a_power_cut_is_the_old_snapshot_or_the_new_one(tmp_path, quick_path, monkeypatch):
    path = tmp_path / "s"
    record, ends, views = lived(path, monkeypatch)
    assert len(views[-1][1]) == 10 and sum(call.name == "fsync" for call in record) > 40

    def step_of(done):
        return sum(end <= done for end in ends)

    states = 0
    for done, tree in cuts(str(tmp_path), record, promised=step_of):
        home = quick_path / "state"
        home.mkdir()
        write_tree(tree, str(tmp_path), home)
        step = step_of(done)
        view = seen_by_a_reader(home / "s")
        assert view in views[step : step + 2], (done, step, record[done - 1], sorted(tree))
        shutil.rmtree(home)
        states += 1
    assert states > 100


def test_work_goes_on_from_every_state(tmp_path, quick_path, monkeypatch):
    """A third commit is cut at every call: whatever is left, the same commit completes it and the store is sound."""
    path = tmp_path / "s"
    FeatureStore(path, create=True).put_imageset(images("abcde"))
    FeatureStore(path).commit(fingerprint(), rows("ab"), PROVENANCE)
    start = read_tree(tmp_path)
    recorder = FaultyOs()
    monkeypatch.setattr(fsio, "os", recorder)
    FeatureStore(path).commit(fingerprint(), rows("cde"), PROVENANCE)
    monkeypatch.undo()
    expected = FeatureStore(path).table(KEY).snapshot().content_sha256()
    count = 0
    for _, tree in cuts(str(tmp_path), recorder.record, start):
        home = quick_path / "state"
        home.mkdir()
        write_tree(tree, str(tmp_path), home)
        store = FeatureStore(home / "s")
        store.commit(fingerprint(), rows("cde"), PROVENANCE)
        assert store.table(KEY).snapshot().content_sha256() == expected
        np.testing.assert_array_equal(store.read().X, features("abcde"))
        assert store.verify().ok
        shutil.rmtree(home)
        count += 1
    assert count > 10


def test_a_store_can_be_made_where_the_power_failed_while_one_was_made(tmp_path, quick_path, monkeypatch):
    recorder = FaultyOs()
    monkeypatch.setattr(fsio, "os", recorder)
    FeatureStore(tmp_path / "s", create=True)
    monkeypatch.undo()
    for _, tree in cuts(str(tmp_path), recorder.record):
        home = quick_path / "state"
        home.mkdir()
        write_tree(tree, str(tmp_path), home)
        FeatureStore(home / "s", create=True).commit(fingerprint(), rows("a"), PROVENANCE)
        assert FeatureStore(home / "s").verify().ok
        shutil.rmtree(home)


PRIMITIVES = {
    "publish": (["tmp/"], lambda p: fsio.publish(p / "a", b"0123456789", tmp=p / "tmp"), {"a": b"0123456789"}),
    "replace": (["a"], lambda p: fsio.replace(p / "a", b"0123456789"), {"a": b"0123456789"}),
    "make_directory": ([], lambda p: fsio.make_directory(p / "x" / "y"), {"x": None, "x/y": None}),
    "make_directory below": (["x/"], lambda p: fsio.make_directory(p / "x" / "y", below=p), {"x": None, "x/y": None}),
    "move": (["a", "to/"], lambda p: fsio.move(p / "a", p / "to" / "b"), {"to/b": b"old", "a": ...}),
}


@pytest.mark.parametrize("name", PRIMITIVES)
def test_what_fsio_has_done_stays_done(tmp_path, monkeypatch, name):
    """Old or new meanwhile, new for good afterwards; without any one of its fsyncs this fails: see the next test."""
    assert not broken(tmp_path, monkeypatch, name, without=None)


@pytest.mark.parametrize("name", PRIMITIVES)
def test_no_fsync_can_be_left_out(tmp_path, monkeypatch, name):
    syncs = [i for i, call in enumerate(recorded(tmp_path, monkeypatch, name), 1) if call.name == "fsync"]
    assert syncs
    for number in syncs:
        shutil.rmtree(tmp_path / name)
        assert broken(tmp_path, monkeypatch, name, without=number), f"nothing needs fsync {number} of {name}"


def recorded(tmp_path, monkeypatch, name):
    before, act, _ = PRIMITIVES[name]
    home = tmp_path / name
    home.mkdir()
    for entry in before:
        (home / entry).mkdir() if entry.endswith("/") else (home / entry).write_bytes(b"old")
    recorder = FaultyOs()
    with monkeypatch.context() as patch:
        patch.setattr(fsio, "os", recorder)
        act(home)
    return recorder.record


def broken(tmp_path, monkeypatch, name, without):
    """States that are neither the old nor the new one, or not the new one after the end."""
    record = recorded(tmp_path, monkeypatch, name)
    before, _, after = PRIMITIVES[name]
    home = str(tmp_path / name)
    kept = [call for number, call in enumerate(record, 1) if number != without]
    old = {f"{home}/{entry.rstrip('/')}": None if entry.endswith("/") else b"old" for entry in before}
    # `below` promises levels that another process may have made and not synced
    unsure = {path for path in old if name.endswith("below")}
    disk = Disk(home, {path: content for path, content in old.items() if path not in unsure})
    for path in unsure:
        disk.apply(type(kept[0])("mkdir", (path,)))
    found = []
    for done in range(len(kept) + 1):
        if done:
            disk.apply(kept[done - 1])
        for tree in disk.states():
            new = all(tree.get(f"{home}/{path}", ...) == content for path, content in after.items())
            file = tree.get(f"{home}/a", ...)
            # a name never stands for half of its bytes
            whole = file in (..., b"old", b"0123456789")
            if not whole or (done == len(kept) and not new):
                found.append((done, tree))
    return found


@pytest.mark.parametrize("code", [5, 28])
def test_a_file_whose_fsync_failed_is_given_up_not_synced_again(tmp_path, monkeypatch, code):
    """The kernel may call a second fsync good without the data being there."""
    (tmp_path / "tmp").mkdir()
    recorder = FaultyOs(failing(3, code))
    monkeypatch.setattr(fsio, "os", recorder)
    with pytest.raises(StoreError):
        fsio.publish(tmp_path / "a", b"x", tmp=tmp_path / "tmp")
    assert [call.name for call in recorder.record] == ["open", "write", "unlink"]
