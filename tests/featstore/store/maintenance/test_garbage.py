import os
import time

import numpy as np
import pytest

from featstore import FeatureStore
from featstore.errors import StoreDamagedError
from featstore.store.maintenance import garbage
from featstore.store.maintenance.garbage import collect
from featstore.store.tables.feature_table import FeatureTable
from featstore.system import fsio
from tests.support.store_inputs import PROVENANCE, features, fingerprint, images, rows, tree

KEY = fingerprint().key


@pytest.fixture
def store(tmp_path):
    store = FeatureStore(tmp_path / "s", create=True)
    store.put_imageset(images("abcd"))
    for name in "abcd":
        store.commit(fingerprint(), rows(name), PROVENANCE)
    return store


def age(store, hours=2):
    for path in store.path.rglob("*"):
        if path.is_file():
            os.utime(path, (time.time() - 3600 * hours,) * 2)


def names(store, *folder):
    return sorted(p.name for p in store.path.joinpath(*folder).iterdir())


def test_what_the_last_two_manifests_name_is_kept(store):
    store.compact()
    age(store)
    store.gc()
    assert names(store, "features", KEY, "manifests") == ["00000004.json", "00000005.json"]
    assert len(names(store, "features", KEY, "shards")) == 5
    store.commit(fingerprint(), rows("e"), PROVENANCE)
    age(store)
    done = store.gc()
    assert len(names(store, "features", KEY, "shards")) == 2 and store.verify().ok
    assert len([name for name in done.files if "/shards/" in name]) == 4
    np.testing.assert_array_equal(FeatureStore(store.path).read().X, features("abcd"))


def test_the_young_are_spared(store):
    store.compact()
    store.commit(fingerprint(), rows("e"), PROVENANCE)
    (store.path / "tmp" / "x.part").write_bytes(b"x")
    before = tree(store.path)
    assert store.gc().files == [] and tree(store.path) == before
    assert collect(store.path, grace_seconds=0).files


def test_a_dry_run_says_the_same_and_removes_nothing(store):
    store.compact()
    store.commit(fingerprint(), rows("e"), PROVENANCE)
    (store.path / "tmp" / "x.part").write_bytes(b"x")
    age(store)
    before = tree(store.path)
    said = store.gc(dry_run=True)
    assert tree(store.path) == before
    assert store.gc() == said and said.bytes == sum(len(before[name][0]) for name in said.files) > 0
    assert tree(store.path) == {name: value for name, value in before.items() if name not in said.files}


def test_left_overs_of_killed_writers_go_the_quarantine_stays(store):
    for folder in ("tmp", "quarantine"):
        (store.path / folder / "x").write_bytes(b"x")
    age(store)
    assert "tmp/x" in store.gc().files
    assert names(store, "tmp") == [] and names(store, "quarantine") == ["x"]


def test_the_last_two_image_sets_stay(store):
    for last in "efg":
        store.put_imageset(images("abc" + last))
    age(store)
    store.gc()
    assert names(store, "images", "pets") == ["00000003.h5", "00000004.h5"]
    assert store.imageset().same_as(images("abcg"))


def test_claims_of_killed_writers_go_with_the_manifests_around_them(store):
    folder = store.path / "features" / KEY / "manifests"
    (folder / ("00000002.json" + fsio.CLAIM)).write_bytes(b"")
    (folder / ("00000009.json" + fsio.CLAIM)).write_bytes(b"")
    age(store)
    store.gc()
    assert names(store, "features", KEY, "manifests") == ["00000003.json", "00000004.json", "00000009.json.claim"]


@pytest.mark.parametrize("number", [3, 4])
def test_a_damaged_manifest_stops_it_before_anything_is_removed(store, number):
    store.compact()
    store.commit(fingerprint(), rows("e"), PROVENANCE)
    path = store.path / "features" / KEY / "manifests" / f"0000000{number + 2}.json"
    path.write_bytes(path.read_bytes()[:-3])
    age(store)
    before = tree(store.path)
    with pytest.raises(StoreDamagedError, match="run `featstore repair`"):
        store.gc()
    assert tree(store.path) == before


def test_a_damaged_image_set_stops_it(store):
    store.put_imageset(images("abe"))
    store.put_imageset(images("abf"))
    path = store.path / "images" / "pets" / "00000003.h5"
    path.write_bytes(path.read_bytes()[:-3])
    age(store)
    with pytest.raises(StoreDamagedError):
        store.gc()
    assert len(names(store, "images", "pets")) == 3


def orphan(store, monkeypatch):
    """A shard of e that was published by a writer killed before it could name it."""
    with monkeypatch.context() as patch:
        patch.setattr(FeatureTable, "put_manifest", lambda self, m: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            store.commit(fingerprint(), rows("e"), PROVENANCE)
    age(store)


def test_an_unnamed_shard_with_rows_that_nothing_else_holds_stays_until_something_does(store, monkeypatch):
    orphan(store, monkeypatch)
    (shard,) = store.gc().kept
    assert (store.path / shard).exists() and store.verify().unnamed_rows == 1
    store.repair()
    assert store.verify().unnamed == 0 and store.gc(dry_run=True).kept == []
    store.put_imageset(images("abcde"))
    np.testing.assert_array_equal(FeatureStore(store.path).read().X, features("abcde"))


def test_an_unnamed_shard_whose_rows_are_elsewhere_goes(store, monkeypatch):
    orphan(store, monkeypatch)
    store.commit(fingerprint(), rows("ef"), {"engine": "another"})
    age(store)
    done = store.gc()
    assert done.kept == [] and any("shards" in name for name in done.files) and store.verify().ok


def test_a_shard_named_in_the_moment_it_is_taken_is_put_back(store, monkeypatch):
    orphan(store, monkeypatch)
    monkeypatch.setattr(garbage, "only_there", lambda *_: (frozenset(), 0))  # a compaction may name what others hold
    writer, move, raced = FeatureStore(store.path), fsio.move, []

    def slow_move(path, target):
        if not raced:
            raced.append(path)
            writer.commit(fingerprint(), rows("e"), PROVENANCE)
        return move(path, target)

    monkeypatch.setattr(fsio, "move", slow_move)
    store.gc()
    monkeypatch.undo()
    assert raced and store.verify().ok and not names(store, "tmp")
    store.put_imageset(images("abcde"))
    np.testing.assert_array_equal(FeatureStore(store.path).read().X, features("abcde"))


def test_a_shard_named_after_it_was_taken_is_published_again_by_the_writer(store, monkeypatch):
    orphan(store, monkeypatch)
    monkeypatch.setattr(garbage, "only_there", lambda *_: (frozenset(), 0))
    writer, remove, raced = FeatureStore(store.path), fsio.remove, []

    def slow_remove(path):
        if not raced:
            raced.append(path)
            writer.commit(fingerprint(), rows("e"), PROVENANCE)
        return remove(path)

    monkeypatch.setattr(fsio, "remove", slow_remove)
    collect(store.path)
    monkeypatch.undo()
    assert raced and store.verify().ok
    store.put_imageset(images("abcde"))
    np.testing.assert_array_equal(FeatureStore(store.path).read().X, features("abcde"))


def test_what_a_killed_gc_had_taken_is_put_back_by_the_next(store):
    entry = store.table(KEY).snapshot().manifest.shards[0]
    path = store.path / "features" / KEY / "shards" / entry.file_name
    path.rename(store.path / "tmp" / f"{KEY}--{entry.file_name}.taken")
    age(store)
    FeatureStore(store.path).gc()
    assert path.exists() and store.verify().ok
