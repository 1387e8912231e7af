import numpy as np
import pytest

from featstore.errors import StoreDamagedError
from featstore.store.format.rows import FAILED, OK, PASSING
from featstore.store.tables.feature_table import FeatureTable
from featstore.store.tables.layout import SHARDS
from tests.support.store_inputs import PROVENANCE, digests, features, fingerprint, rows


@pytest.fixture
def table(tmp_path):
    return FeatureTable(tmp_path, fingerprint().key)


def commit(table, *args, provenance=PROVENANCE, **kwargs):
    table.commit(fingerprint(), rows(*args, **kwargs), provenance)


def shard_path(table, number=0):
    snapshot = table.snapshot()
    return snapshot.folder / SHARDS / snapshot.manifest.shards[number].file_name


def flip(path, offset):
    data = bytearray(path.read_bytes())
    data[offset] ^= 4
    path.write_bytes(data)


def test_find_gives_positions_in_any_order_and_minus_one(table):
    commit(table, "abc")
    commit(table, "de")
    assert table.snapshot().find(digests("exca")).tolist() == [4, -1, 2, 0]
    assert table.snapshot().find(digests("")).tolist() == []


def test_find_in_an_empty_snapshot(table):
    assert table.snapshot().find(digests("ab")).tolist() == [-1, -1]


@pytest.mark.parametrize("wanted", [3, 400])
def test_find_agrees_with_a_dictionary_for_few_and_for_many(table, wanted):
    names = [f"i{n}" for n in range(500)]
    commit(table, names, dim=1)
    looked_for = [f"i{n}" for n in np.random.default_rng(0).integers(0, 1000, wanted)]
    place = {name: i for i, name in enumerate(names)}
    assert table.snapshot().find(digests(looked_for)).tolist() == [place.get(name, -1) for name in looked_for]


def test_features_count_before_failures_and_the_first_before_later_ones(table):
    commit(table, "ab", failed="ab", status=PASSING)
    commit(table, "a", failed="a", status=FAILED)
    commit(table, "b")
    snapshot = table.snapshot()
    assert snapshot.find(digests("ab")).tolist() == [2, 3] and snapshot.live().tolist() == [2, 3]
    assert snapshot.failures() == {digests("a")[0].tobytes(): "a cannot be decoded"}
    # all of the digests in their order, but with rows that were replaced: still the right ones
    assert snapshot.find(snapshot.digests).tolist() == [2, 3, 2, 3]


def test_gather_in_any_order_with_repeats(table):
    commit(table, "abc", failed="b")
    commit(table, "defg")
    snapshot = table.snapshot()
    at = snapshot.find(digests("gacgd"))
    np.testing.assert_array_equal(snapshot.gather(at), features("gacgd"))
    assert snapshot.gather(np.array([], dtype=np.int64)).shape == (0, 8)


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_gather_equals_plain_h5py(tmp_path, precision):
    import h5py

    f = fingerprint(precision=precision)
    table = FeatureTable(tmp_path, f.key)
    for names in ("abc", "def"):
        table.commit(f, rows(names), PROVENANCE)
    snapshot = table.snapshot()
    stored = []
    for entry in snapshot.manifest.shards:
        with h5py.File(snapshot.folder / SHARDS / entry.file_name) as file:
            stored.append(file["features"][:])
    np.testing.assert_array_equal(snapshot.gather(np.arange(6)), np.concatenate(stored).astype(np.float32))


def test_rows_come_with_everything(table):
    commit(table, "abc", failed="b")
    found = table.snapshot().rows(np.array([2, 1]))
    assert found.status.tolist() == [OK, FAILED] and found.reasons == ("", "b cannot be decoded")
    np.testing.assert_array_equal(found.X[0], features("c")[0])


@pytest.mark.parametrize("order", [slice(None), slice(None, None, -1)], ids=["straight", "scattered"])
def test_no_flipped_byte_of_a_shard_is_returned_as_data(table, order):
    commit(table, "ab", dim=2)
    path, entry = shard_path(table), table.snapshot().manifest.shards[0]
    features_block = entry.layout["features"]
    checked = {
        offset
        for start, length in [*entry.index_spans, (features_block.offset, features_block.nbytes)]
        for offset in range(start, start + length)
    }
    good = path.read_bytes()
    for offset in [*range(0, len(good), 7), *sorted(checked)[::2]]:
        flip(path, offset)
        if offset in checked:
            with pytest.raises(StoreDamagedError, match="those that were committed"):
                FeatureTable(table.store, table.key).read(digests("ab")[order])
        else:  # bytes that only the HDF5 library looks at
            _, _, X = FeatureTable(table.store, table.key).read(digests("ab")[order])
            np.testing.assert_array_equal(X, features("ab", 2)[order])
        path.write_bytes(good)


def test_a_shard_of_another_size_or_none_is_noticed_before_memory_is_taken(table):
    commit(table, "ab")
    snapshot, path = table.snapshot(), shard_path(table)
    path.write_bytes(path.read_bytes() + b"x")
    with pytest.raises(StoreDamagedError, match="bytes, expected"):
        snapshot.gather(np.arange(2))
    path.unlink()
    with pytest.raises(FileNotFoundError):
        snapshot.gather(np.arange(2))


def test_content_hash_depends_on_rows_not_on_shards_or_order(tmp_path):
    hashes = []
    for i, parts in enumerate((["abcd"], ["dc", "ba"], ["abc"], ["abcd"])):
        (tmp_path / str(i)).mkdir()
        table = FeatureTable(tmp_path / str(i), fingerprint().key)
        for names in parts:
            table.commit(fingerprint(), rows(names, failed="c" if i < 3 else ""), PROVENANCE)
        hashes.append(table.snapshot().content_sha256())
    assert hashes[0] == hashes[1] and len(set(hashes)) == 3
