import errno
import threading

import numpy as np
import pytest

from featstore.errors import FeaturesError, StoreConflictError, StoreDamagedError, StoreWriteError
from featstore.store.format.rows import PASSING
from featstore.store.tables.feature_table import KEPT_MANIFESTS, FeatureTable, feature_keys
from featstore.store.tables.layout import MANIFESTS, SHARDS
from featstore.system import fsio
from tests.support.store_inputs import PROVENANCE, digests, features, fingerprint, rows, tree


@pytest.fixture
def table(tmp_path):
    return FeatureTable(tmp_path, fingerprint().key)


def commit(table, *args, provenance=PROVENANCE, **kwargs):
    table.commit(fingerprint(), rows(*args, **kwargs), provenance)


def read(table, names):
    _, at, X = table.read(digests(names))
    assert (at >= 0).all()
    return X


def test_committed_rows_are_read_by_another_process(table, tmp_path):
    commit(table, "abc")
    np.testing.assert_array_equal(read(FeatureTable(tmp_path, table.key), "cab"), features("cab"))


def test_the_fingerprint_lies_beside_the_rows(table):
    commit(table, "abc")
    found, dim = FeatureTable(table.store, table.key).fingerprint()
    assert found == fingerprint() and found.weights == "IMAGENET1K_V1" and dim == 8


def test_committing_the_same_rows_again_writes_nothing(table, tmp_path):
    commit(table, "abc", failed="b")
    before = tree(tmp_path)
    commit(FeatureTable(tmp_path, table.key), "bca", failed="b")
    assert tree(tmp_path) == before


def test_nothing_is_committed_for_no_rows(table, tmp_path):
    table.commit(fingerprint(), rows("a").take([]), PROVENANCE)
    assert tree(tmp_path) == {}


def test_many_rows_are_cut_into_shards(table):
    names = range(2500)
    commit(table, names, dim=2)
    manifest = table.snapshot().manifest
    assert [entry.rows for entry in manifest.shards] == [1024, 1024, 452] and manifest.number == 1
    np.testing.assert_array_equal(read(table, names), features(names, 2))


def test_wide_rows_are_cut_into_shards_by_bytes(table, monkeypatch):
    import featstore.store.tables.feature_table as module

    monkeypatch.setattr(module, "SHARD_BYTES", 8 * 4 * 3)
    commit(table, "abcdefg")
    assert [entry.rows for entry in table.snapshot().manifest.shards] == [3, 3, 1]


def test_only_new_rows_of_an_overlapping_commit_are_stored(table):
    commit(table, "abc")
    commit(table, "bcde")
    assert [entry.rows for entry in table.snapshot().manifest.shards] == [3, 2]
    np.testing.assert_array_equal(read(table, "abcde"), features("abcde"))


def test_a_passing_failure_is_replaced_by_features(table):
    commit(table, "ab", failed="a", status=PASSING)
    commit(table, "ab")
    assert (table.snapshot().manifest.rows, table.snapshot().manifest.failed) == (2, 0)
    np.testing.assert_array_equal(read(table, "ab"), features("ab"))


def test_conflicting_rows_are_an_alarm_and_nothing_is_written(table, tmp_path):
    commit(table, "ab")
    before = tree(tmp_path)
    with pytest.raises(StoreConflictError, match="Nothing was overwritten"):
        commit(table, "bc", salt="x")
    assert tree(tmp_path) == before


def test_rows_of_another_width_are_refused(table):
    commit(table, "ab")
    for again in (table, FeatureTable(table.store, table.key)):
        with pytest.raises(FeaturesError, match="rows of 9 numbers for feature set .*, which has 8 a row"):
            commit(again, "cd", dim=9)


def test_a_provenance_that_json_cannot_hold_is_refused(table):
    with pytest.raises(FeaturesError, match="JSON cannot hold"):
        commit(table, "ab", provenance={"x": float("nan")})
    with pytest.raises(FeaturesError, match="JSON cannot hold"):
        commit(table, "ab", provenance={"x": object()})


def test_tuples_in_a_provenance_are_the_lists_they_are_read_as(table):
    commit(table, "ab", provenance={"x": (1, 2)})
    commit(table, "cd", provenance={"x": [1, 2]})
    assert table.snapshot().manifest.provenance == ({"x": [1, 2]},)


def test_a_writer_that_is_overtaken_joins_what_the_other_wrote(table, monkeypatch):
    rival, original, raced = FeatureTable(table.store, table.key), FeatureTable.put_manifest, []

    def put(self, manifest):
        if self is table and not raced:
            raced.append(manifest.number)
            commit(rival, "bcx")
        return original(self, manifest)

    monkeypatch.setattr(FeatureTable, "put_manifest", put)
    commit(table, "abc")
    assert raced and table.snapshot().manifest.number == 2
    assert table.snapshot().manifest.rows == 4 and len(table.snapshot().digests) == 4
    np.testing.assert_array_equal(read(table, "abcx"), features("abcx"))


def test_an_overtaken_writer_notices_a_conflict(table, monkeypatch):
    rival, original = FeatureTable(table.store, table.key), FeatureTable.put_manifest

    def put(self, manifest):
        if self is table:
            commit(rival, "b", salt="x")
        return original(self, manifest)

    monkeypatch.setattr(FeatureTable, "put_manifest", put)
    with pytest.raises(StoreConflictError):
        commit(table, "abc")


def test_a_commit_under_a_number_that_others_left_behind_is_committed_anew(table, monkeypatch):
    commit(table, "a")
    rival, original, raced = FeatureTable(table.store, table.key), FeatureTable.put_manifest, []

    def put(self, manifest):
        if self is table and not raced:
            raced.append(manifest.number)
            for name in "xyz":
                commit(rival, name)
            for number in (1, 2, 3):  # and somebody removed old manifests
                (self.folder / MANIFESTS / f"0000000{number}.json").unlink()
        return original(self, manifest)

    monkeypatch.setattr(FeatureTable, "put_manifest", put)
    commit(table, "b")
    assert raced == [2] and table.snapshot().manifest.number == 5
    np.testing.assert_array_equal(read(FeatureTable(table.store, table.key), "abxyz"), features("abxyz"))


def test_threads_that_commit_at_once_lose_nothing(table):
    def work(number):
        mine = FeatureTable(table.store, table.key)
        for i in range(6):
            commit(mine, [f"{number}-{i}", f"shared-{i}"], dim=2)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    names = [f"{n}-{i}" for n in range(4) for i in range(6)] + [f"shared-{i}" for i in range(6)]
    np.testing.assert_array_equal(read(table, names), features(names, 2))
    assert table.snapshot().manifest.rows == len(names) == len(table.snapshot().digests)


def test_a_shard_left_by_a_killed_writer_is_used_and_made_young(table, monkeypatch):
    import os

    class Killed(BaseException):
        pass

    def kill(self, manifest):
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(FeatureTable, "put_manifest", kill)
        with pytest.raises(Killed):
            commit(table, "ab")
    (orphan,) = (table.folder / SHARDS).iterdir()
    os.utime(orphan, (1, 1))
    commit(FeatureTable(table.store, table.key), "ab")
    assert orphan.stat().st_mtime > 1e9
    np.testing.assert_array_equal(read(table, "ab"), features("ab"))


def test_a_damaged_file_under_a_shards_name_goes_to_quarantine(table, monkeypatch):
    commit(table, "ab")
    (path,) = (table.folder / SHARDS).iterdir()
    good = path.read_bytes()
    (table.folder / MANIFESTS / "00000001.json").unlink()
    path.write_bytes(b"rotten")
    commit(FeatureTable(table.store, table.key), "ab")
    assert path.read_bytes() == good
    (kept,) = (table.store / "quarantine").iterdir()
    assert kept.read_bytes() == b"rotten"


def test_a_shard_that_gc_took_before_it_was_named_is_published_again(table, monkeypatch):
    original = FeatureTable.put_manifest

    def put(self, manifest):
        done = original(self, manifest)
        for path in (self.folder / SHARDS).iterdir():
            path.unlink()
        monkeypatch.setattr(FeatureTable, "put_manifest", original)
        return done

    monkeypatch.setattr(FeatureTable, "put_manifest", put)
    commit(table, "ab")
    np.testing.assert_array_equal(read(FeatureTable(table.store, table.key), "ab"), features("ab"))


def test_old_manifests_are_dropped(table):
    for i in range(KEPT_MANIFESTS + 4):
        commit(table, [i], dim=1)
    numbers = sorted(int(p.stem) for p in (table.folder / MANIFESTS).iterdir())
    assert numbers == list(range(5, KEPT_MANIFESTS + 5))
    np.testing.assert_array_equal(read(table, range(20)), features(range(20), 1))


def test_a_refusing_disk_is_an_error_and_the_next_attempt_completes(table, monkeypatch):
    commit(table, "a")
    original = fsio.publish

    def refuse(path, data, **options):
        if path.suffix == ".json":
            raise StoreWriteError("the disk is full") from OSError(errno.ENOSPC, "")
        return original(path, data, **options)

    with monkeypatch.context() as patch:
        patch.setattr(fsio, "publish", refuse)
        with pytest.raises(StoreWriteError, match="disk is full"):
            commit(table, "ab")
    np.testing.assert_array_equal(read(FeatureTable(table.store, table.key), "a"), features("a"))
    commit(table, "ab")
    np.testing.assert_array_equal(read(table, "ab"), features("ab"))


def test_a_disk_that_does_not_give_back_what_it_took_is_an_error_not_a_loop(table, monkeypatch):
    original = FeatureTable.put_manifest

    def put(self, manifest):
        done = original(self, manifest)
        (self.folder / MANIFESTS / manifest.file_name).unlink()
        return done

    monkeypatch.setattr(FeatureTable, "put_manifest", put)
    with pytest.raises(StoreWriteError, match="what was written does not read back"):
        commit(table, "ab")


def test_reading_goes_on_when_compact_and_gc_change_the_shards_meanwhile(table, monkeypatch):
    from featstore.store.maintenance.compaction import compact
    from featstore.store.tables.identity import create
    from featstore.store.tables.snapshot import Snapshot

    create(table.store)
    commit(table, "ab")
    commit(table, "cd")
    table.snapshot()
    original, raced = Snapshot.gather, []

    def gather(self, positions):
        if not raced:
            raced.append(1)
            compact(table.store)
            for entry in self.manifest.shards:
                (self.folder / SHARDS / entry.file_name).unlink()
        return original(self, positions)

    monkeypatch.setattr(Snapshot, "gather", gather)
    np.testing.assert_array_equal(read(table, "dcba"), features("dcba"))


def test_a_missing_shard_that_nothing_explains_is_damage(table):
    commit(table, "ab")
    table.snapshot()
    (path,) = (table.folder / SHARDS).iterdir()
    path.unlink()
    with pytest.raises(StoreDamagedError, match="is missing; run `featstore repair`"):
        table.read(digests("ab"))


def test_a_damaged_fingerprint_is_an_error(table):
    commit(table, "ab")
    (table.folder / "fingerprint.json").write_bytes(b"{}")
    with pytest.raises(StoreDamagedError, match="fingerprint.json is damaged"):
        commit(FeatureTable(table.store, table.key), "cd")


def test_a_fingerprint_in_another_ones_place_is_damage(table, tmp_path):
    commit(table, "ab")
    other = FeatureTable(tmp_path, "0" * 16)
    other.folder.mkdir()
    (other.folder / "fingerprint.json").write_bytes((table.folder / "fingerprint.json").read_bytes())
    with pytest.raises(StoreDamagedError, match=f"belongs to key {table.key}"):
        other.fingerprint()


def test_feature_keys_passes_other_folders_over(table, tmp_path):
    commit(table, "ab")
    (tmp_path / "features" / "notes").mkdir()
    assert feature_keys(tmp_path) == [table.key] and feature_keys(tmp_path / "none") == []
