import numpy as np
import pytest

import featstore.store.maintenance.compaction as module
from featstore import FeatureStore
from featstore.errors import StoreDamagedError
from featstore.store.format.rows import PASSING
from featstore.store.tables.feature_table import FeatureTable
from tests.support.store_inputs import PROVENANCE, features, fingerprint, images, rows, tree

KEY = fingerprint().key


@pytest.fixture
def store(tmp_path):
    store = FeatureStore(tmp_path / "s", create=True)
    store.put_imageset(images("abcdef"))
    for name in "abcdef":
        store.commit(fingerprint(), rows(name, failed="d"), PROVENANCE)
    return store


def test_small_shards_become_one_and_nothing_else_changes(store):
    before, content = store.read(), store.table(KEY).snapshot().content_sha256()
    done = store.compact()
    assert (done.before, done.after) == ({KEY: 6}, {KEY: 1})
    again = FeatureStore(store.path)
    after = again.read()
    np.testing.assert_array_equal(after.X, before.X)
    assert after.ids == before.ids and after.failed == before.failed == (("b/d.jpg", "d cannot be decoded"),)
    assert again.table(KEY).snapshot().content_sha256() == content and again.verify().ok


def test_old_shards_stay_for_readers_at_work(store):
    snapshot = store.table(KEY).snapshot()
    store.compact()
    np.testing.assert_array_equal(snapshot.gather(np.array([0, 5])), features("af"))


def test_compacting_twice_changes_nothing(store):
    store.compact()
    before = tree(store.path)
    assert store.compact().after == {KEY: 1} and tree(store.path) == before


def test_shards_grow_to_the_target_only(store, monkeypatch):
    monkeypatch.setattr(module, "TARGET_ROWS", 4)
    store.compact()
    assert [entry.rows for entry in store.table(KEY).snapshot().manifest.shards] == [4, 2]


def test_every_provenance_keeps_its_own_shards(store):
    for name in "ghij":
        store.commit(fingerprint(), rows(name), {"engine": "openvino"} if name in "gi" else PROVENANCE)
    store.compact()
    shards = store.table(KEY).snapshot().manifest.shards
    assert [(entry.rows, entry.provenance) for entry in shards] == [(8, PROVENANCE), (2, {"engine": "openvino"})]
    store.put_imageset(images("abcdefghij"))
    np.testing.assert_array_equal(FeatureStore(store.path).read().X, features("abcefghij"))


def test_replaced_rows_are_left_out(tmp_path):
    store = FeatureStore(tmp_path, create=True)
    store.commit(fingerprint(), rows("ab", failed="ab", status=PASSING), PROVENANCE)
    store.commit(fingerprint(), rows("ab"), PROVENANCE)
    store.compact()
    (entry,) = store.table(KEY).snapshot().manifest.shards
    assert entry.rows == 2 and store.table(KEY).snapshot().status.tolist() == [0, 0]


def test_fp16_keeps_its_bits(tmp_path):
    store = FeatureStore(tmp_path, create=True)
    f = fingerprint(precision="fp16")
    for name in "ab":
        store.commit(f, rows(name), PROVENANCE)
    store.compact()
    found = store.table(f.key).snapshot()
    np.testing.assert_array_equal(found.gather(np.arange(2)), features("ab").astype(np.float16))
    assert found.manifest.shards[0].layout["features"].dtype == "<f2"


def test_rows_committed_meanwhile_are_kept(store, monkeypatch):
    original, raced = FeatureTable.put_manifest, []

    def put(self, manifest):
        if not raced:
            raced.append(manifest.number)
            FeatureStore(store.path).commit(fingerprint(), rows("g"), PROVENANCE)
        return original(self, manifest)

    monkeypatch.setattr(FeatureTable, "put_manifest", put)
    store.compact()
    store.put_imageset(images("abcefg"))
    assert [entry.rows for entry in store.table(KEY).snapshot().manifest.shards] == [6, 1]
    np.testing.assert_array_equal(FeatureStore(store.path).read().X, features("abcefg"))


def test_two_compactions_at_once(store, monkeypatch):
    original, raced = FeatureTable.put_manifest, []

    def put(self, manifest):
        if not raced:
            raced.append(manifest.number)
            FeatureStore(store.path).commit(fingerprint(), rows("g"), PROVENANCE)
            FeatureStore(store.path).compact()
        return original(self, manifest)

    monkeypatch.setattr(FeatureTable, "put_manifest", put)
    store.compact()
    assert [entry.rows for entry in store.table(KEY).snapshot().manifest.shards] == [7]
    assert FeatureStore(store.path).verify().ok


def test_damage_is_never_copied(store):
    path = store.path / "features" / KEY / "shards" / store.table(KEY).snapshot().manifest.shards[2].file_name
    data = bytearray(path.read_bytes())
    data[-10] ^= 1
    path.write_bytes(data)
    before = len(list(path.parent.iterdir()))
    with pytest.raises(StoreDamagedError):
        store.compact()
    assert store.table(KEY).snapshot().manifest.number == 6 and len(list(path.parent.iterdir())) == before


def test_an_old_state_is_not_compacted_where_the_newest_manifest_is_damaged(store):
    newest = sorted((store.path / "features" / fingerprint().key / "manifests").iterdir())[-1]
    newest.write_bytes(newest.read_bytes()[:-9] + b"123456789")
    before = {path: path.read_bytes() for path in store.path.rglob("*") if path.is_file()}
    with pytest.raises(StoreDamagedError, match="manifest [0-9]+ of feature set .* is damaged; run `featstore repair"):
        FeatureStore(store.path).compact()
    assert {path: path.read_bytes() for path in store.path.rglob("*") if path.is_file()} == before
