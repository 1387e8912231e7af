import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from featstore import FeatureStore
from featstore.errors import StoreDamagedError, StoreError, StoreFormatError, StoreNotFoundError
from featstore.store.maintenance.repair import repair
from featstore.store.tables.feature_table import FeatureTable
from tests.support.store_inputs import PROVENANCE, digests, features, fingerprint, images, rows, tree

KEY = fingerprint().key


@pytest.fixture
def store(tmp_path):
    store = FeatureStore(tmp_path / "s", create=True)
    store.put_imageset(images("abcd"))
    store.commit(fingerprint(), rows("ab"), PROVENANCE)
    store.commit(fingerprint(), rows("cd"), PROVENANCE)
    return store


def damage(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def manifest(store, number):
    return store.path / "features" / KEY / "manifests" / f"{number:08d}.json"


def shards(store):
    return [store.path / "features" / KEY / "shards" / e.file_name for e in store.table(KEY).snapshot().manifest.shards]


def test_a_sound_store_is_left_as_it_is(store):
    before = tree(store.path)
    done = repair(store.path)
    assert not done.moved and not done.rebuilt and not done.advice and not done.lost_rows
    assert tree(store.path) == before


def test_any_one_damaged_file_leaves_a_store_that_verifies(store):
    for name in tree(store.path):
        copy = store.path.parent / "copy"
        shutil.copytree(store.path, copy)
        bad = bytearray((copy / name).read_bytes())
        bad[len(bad) // 2] ^= 1
        (copy / name).write_bytes(bad)
        done = repair(copy)
        assert [moved.path for moved in done.moved] == [name]
        (kept,) = (copy / "quarantine").iterdir()
        assert kept.read_bytes() == bad
        assert FeatureStore(copy).verify().ok, name
        shutil.rmtree(copy)


def test_manifests_are_rebuilt_from_the_shards_and_nothing_is_lost(store):
    for number in (1, 2):
        damage(manifest(store, number))
    done = repair(store.path)
    assert done.rebuilt == [f"features/{KEY}/manifests/00000003.json"] and not done.lost_rows
    np.testing.assert_array_equal(FeatureStore(store.path).read().X, features("abcd"))


def test_lost_manifests_are_rebuilt_too(store):
    shutil.rmtree(store.path / "features" / KEY / "manifests")
    assert FeatureStore(store.path).missing(fingerprint(), digests("abcd")).all()
    repair(store.path)
    np.testing.assert_array_equal(FeatureStore(store.path).read().X, features("abcd"))


def test_a_damaged_shard_is_named_no_more_and_its_rows_are_to_be_computed_again(store):
    damage(shards(store)[0])
    done = repair(store.path)
    assert done.lost_rows == {KEY: 2} and "run `featstore extract`" in done.advice[0]
    again = FeatureStore(store.path)
    assert again.missing(fingerprint(), digests("abcd")).tolist() == [True, True, False, False]
    again.commit(fingerprint(), rows("ab"), PROVENANCE)
    np.testing.assert_array_equal(again.read().X, features("abcd"))


def test_all_shards_damaged_leaves_an_empty_feature_set_that_can_be_filled_again(store):
    for path in shards(store):
        damage(path)
    assert repair(store.path).lost_rows == {KEY: 4}
    again = FeatureStore(store.path)
    assert again.features() == [] and again.verify().ok
    again.commit(fingerprint(), rows("abcd"), PROVENANCE)
    np.testing.assert_array_equal(again.read().X, features("abcd"))


def test_rows_of_a_shard_that_no_manifest_names_are_taken_in(store, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(FeatureTable, "put_manifest", lambda self, m: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            store.commit(fingerprint(), rows("ef", failed="f"), PROVENANCE)
    assert repair(store.path).rebuilt == [f"features/{KEY}/manifests/00000003.json"]
    again = FeatureStore(store.path)
    assert not again.missing(fingerprint(), digests("abcdef")).any() and again.verify().ok


def test_shards_that_compaction_replaced_are_not_taken_in_again(store):
    store.compact()
    before = tree(store.path)
    assert not repair(store.path).rebuilt and tree(store.path) == before


def test_a_fingerprint_is_rebuilt_from_a_shard(store):
    path = store.path / "features" / KEY / "fingerprint.json"
    good = path.read_bytes()
    path.unlink()
    assert repair(store.path).rebuilt == [f"features/{KEY}/fingerprint.json"]
    assert path.read_bytes() == good


def test_a_lost_identity_is_made_anew(store):
    (store.path / "store.json").unlink()
    assert repair(store.path).rebuilt == ["store.json"]
    assert FeatureStore(store.path).uuid != store.uuid
    np.testing.assert_array_equal(FeatureStore(store.path).read().X, features("abcd"))


def test_a_damaged_image_set_gives_way_to_the_one_before(store):
    store.put_imageset(images("abc"))
    damage(store.path / "images" / "pets" / "00000002.h5")
    done = repair(store.path)
    assert len(done.advice) == 1 and done.advice[0].startswith("data set 'pets' is back at its image set 1; run")
    np.testing.assert_array_equal(FeatureStore(store.path).read().X, features("abcd"))


def test_a_shard_that_a_killed_gc_took_is_put_back(store):
    path = shards(store)[0]
    path.rename(store.path / "tmp" / f"{KEY}--{path.name}.taken")
    done = repair(store.path)
    assert done.rebuilt == [f"features/{KEY}/shards/{path.name}"] and not done.lost_rows
    np.testing.assert_array_equal(FeatureStore(store.path).read().X, features("abcd"))


def test_repair_while_a_writer_is_faster(store, monkeypatch):
    original, raced = FeatureTable.put_manifest, []
    damage(manifest(store, 2))

    def put(self, new):
        if not raced:
            raced.append(new.number)
            monkeypatch.setattr(FeatureTable, "put_manifest", original)
            FeatureStore(store.path).commit(fingerprint(), rows("cdef"), PROVENANCE)
        return original(self, new)

    monkeypatch.setattr(FeatureTable, "put_manifest", put)
    repair(store.path)
    store.put_imageset(images("abcdef"))
    np.testing.assert_array_equal(FeatureStore(store.path).read().X, features("abcdef"))
    assert FeatureStore(store.path).verify().ok


def test_repairing_twice_changes_nothing_more(store):
    damage(shards(store)[1])
    damage(manifest(store, 2))
    repair(store.path)
    before = tree(store.path)
    done = repair(store.path)
    assert tree(store.path) == before and not done.moved and not done.rebuilt


def test_what_is_no_store_is_not_touched(tmp_path):
    with pytest.raises(StoreNotFoundError):
        repair(tmp_path / "none")
    (tmp_path / "holiday.jpg").write_bytes(b"x")
    with pytest.raises(StoreFormatError):
        repair(tmp_path)
    assert list(tree(tmp_path)) == ["holiday.jpg"]


@pytest.mark.parametrize("ending", ["", ".claim"])
@pytest.mark.parametrize("kind", ["file", "folder"])
def test_what_bears_the_highest_possible_number_stops_writers_in_a_sentence_and_goes(store, ending, kind):
    """No number could follow it: without a limit, writers would look for one for ever and drop what counts."""
    for place in (manifest(store, 999999999999999), store.path / "images" / "pets" / "999999999999999.h5"):
        stray = place.with_name(place.name + ending)
        stray.touch() if kind == "file" else stray.mkdir()
    before = tree(store.path)
    writer = FeatureStore(store.path)
    with pytest.raises(StoreDamagedError, match="highest possible number.*run `featstore repair`"):
        writer.commit(fingerprint(), rows("e"), PROVENANCE)
    with pytest.raises(StoreDamagedError):
        writer.put_imageset(images("abcde"))
    assert before.items() <= tree(store.path).items()
    assert [problem.mendable for problem in writer.verify().problems].count(True) >= 2
    done = repair(store.path)
    assert sum("999999999999999" in moved.path for moved in done.moved) == 2 and not done.lost_rows
    store = FeatureStore(store.path)
    store.commit(fingerprint(), rows("f"), PROVENANCE)
    store.put_imageset(images("abcdef"))
    np.testing.assert_array_equal(store.read().X, features("abcdef"))
    assert store.verify().ok


PLACES = ["tmp", "quarantine", "features", "images", "images/pets"]
PLACES += [f"features/{KEY}{below}" for below in ("", "/shards", "/manifests")]


@pytest.mark.parametrize("place", PLACES)
def test_a_file_where_a_folder_belongs_is_reported_and_gives_way(store, place):
    folder = store.path / place
    folder.rename(store.path.parent / "aside")
    folder.write_bytes(b"in the way")
    (problem,) = store.verify().problems
    assert (problem.path, problem.what, problem.mendable) == (place, "is no folder", True)
    assert repair(store.path).moved[0].path.removesuffix(".stray") == place
    assert folder.is_dir() and FeatureStore(store.path).verify().ok
    assert any(kept.is_file() and kept.read_bytes() == b"in the way" for kept in (store.path / "quarantine").iterdir())


def test_a_folder_without_permission_is_said_in_a_sentence(store, monkeypatch):
    lstat = os.lstat

    def refuse(path, **options):
        if Path(os.fsdecode(path)).parent == store.path / "features":
            raise PermissionError(13, "Permission denied", os.fspath(path))
        return lstat(path, **options)

    monkeypatch.setattr(os, "lstat", refuse)
    for work in (store.verify, lambda: repair(store.path), store.compact, store.gc):
        with pytest.raises(StoreError, match="features.* cannot be read: there is no permission to"):
            work()
