import numpy as np
import pytest

from featstore.errors import StoreConflictError, StoreDamagedError, StoreFormatError
from featstore.store.format.rows import FAILED, PASSING
from featstore.store.format.shard import encode
from featstore.store.tables.feature_table import FeatureTable
from featstore.store.tables.layout import MANIFESTS, SHARDS
from featstore.store.tables.versions import load_index, load_snapshot, next_manifest, rows_to_add
from tests.support.store_inputs import PROVENANCE, digests, fingerprint, rows

KEY = fingerprint().key


@pytest.fixture
def table(tmp_path):
    table = FeatureTable(tmp_path, KEY)
    for names in ("ab", "cd"):
        table.commit(fingerprint(), rows(names), PROVENANCE)
    return table


def damage(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def test_the_highest_manifest_is_the_state(table):
    snapshot = load_snapshot(table.folder, KEY)
    assert snapshot.manifest.number == 2 and snapshot.highest == 2 and snapshot.damaged == ()
    assert snapshot.find(digests("abcd")).tolist() == [0, 1, 2, 3]


def test_no_folder_is_an_empty_state(tmp_path):
    snapshot = load_snapshot(tmp_path / "none", KEY)
    assert snapshot.manifest.number == 0 and len(snapshot.digests) == 0


def test_a_damaged_manifest_is_passed_over_and_named(table):
    damage(table.folder / MANIFESTS / "00000002.json")
    snapshot = load_snapshot(table.folder, KEY)
    assert snapshot.manifest.number == 1 and snapshot.damaged == (2,) and snapshot.highest == 2


def test_no_intact_manifest_is_an_error_not_an_empty_state(table):
    for number in (1, 2):
        damage(table.folder / MANIFESTS / f"0000000{number}.json")
    with pytest.raises(StoreDamagedError, match="all 2 manifests .* are damaged; run `featstore repair`"):
        load_snapshot(table.folder, KEY)


def test_a_manifest_of_a_newer_version_is_not_passed_over(table):
    (table.folder / MANIFESTS / "00000003.json").write_text('{"format": 3}')
    with pytest.raises(StoreFormatError, match="has format 3"):
        load_snapshot(table.folder, KEY)


def test_a_damaged_index_is_an_error(table):
    entry = load_snapshot(table.folder, KEY).manifest.shards[0]
    path = table.folder / SHARDS / entry.file_name
    data = bytearray(path.read_bytes())
    data[entry.layout["digest"].offset] ^= 1
    path.write_bytes(data)
    with pytest.raises(StoreDamagedError, match="its rows are not those that were committed; run `featstore repair`"):
        load_snapshot(table.folder, KEY)


def test_a_missing_shard_is_an_error(table):
    entry = load_snapshot(table.folder, KEY).manifest.shards[0]
    (table.folder / SHARDS / entry.file_name).unlink()
    with pytest.raises(StoreDamagedError, match=f"{entry.file_name} is missing; run `featstore repair`"):
        load_snapshot(table.folder, KEY)


def test_only_what_is_new_is_read(table, monkeypatch):
    from featstore.store.tables import versions

    last = load_snapshot(table.folder, KEY)
    assert load_snapshot(table.folder, KEY, last) is last
    table.commit(fingerprint(), rows("ef"), PROVENANCE)
    read = []
    monkeypatch.setattr(versions, "parse_index", lambda parts, entry: read.append(entry) or original(parts, entry))
    from featstore.store.format.shard import parse_index as original

    newer = load_snapshot(table.folder, KEY, last)
    assert len(read) == 1 and newer.manifest.number == 3 and len(newer.digests) == 6


def test_a_state_that_moves_on_while_it_is_read_is_read_again(table, monkeypatch):
    from featstore.store.tables import versions

    original, moved = versions.load_manifest, []

    def load(folder, key, number, known):
        if not moved:
            moved.append(number)
            FeatureTable(table.store, KEY).commit(fingerprint(), rows("ef"), PROVENANCE)
            (folder / MANIFESTS / "00000002.json").unlink()  # as a later writer or gc does
        return original(folder, key, number)

    monkeypatch.setattr(versions, "load_manifest", load)
    assert load_snapshot(table.folder, KEY).manifest.number == 3


def test_load_index_reads_a_shard_once(table):
    entry = load_snapshot(table.folder, KEY).manifest.shards[0]
    known = {}
    index = load_index(table.folder, entry, known)
    (table.folder / SHARDS / entry.file_name).unlink()
    assert load_index(table.folder, entry, known) is index


@pytest.fixture
def table_with_rows(tmp_path):
    table_with_rows = FeatureTable(tmp_path, fingerprint().key)
    table_with_rows.commit(fingerprint(), rows("abc", failed="c", status=PASSING), PROVENANCE)
    table_with_rows.commit(fingerprint(), rows("d", failed="d"), PROVENANCE)
    return table_with_rows


def fresh(table_with_rows, given, provenance=PROVENANCE, own=frozenset()):
    return rows_to_add(table_with_rows.snapshot(), given, provenance, set(own)).tolist()


def test_only_rows_that_are_not_there_are_fresh(table_with_rows):
    assert fresh(table_with_rows, rows("axb")) == [False, True, False]


def test_features_replace_failures_and_lasting_failures_passing_ones(table_with_rows):
    assert fresh(table_with_rows, rows("cd")) == [True, True]
    assert fresh(table_with_rows, rows("cd", failed="cd", status=FAILED)) == [True, False]
    assert fresh(table_with_rows, rows("cd", failed="cd", status=PASSING)) == [False, False]
    assert fresh(table_with_rows, rows("a", failed="a")) == [False]


def test_other_bits_of_the_same_provenance_are_an_alarm(table_with_rows):
    with pytest.raises(StoreConflictError, match="2 rows of feature set .* other numbers .* Nothing was overwritten"):
        fresh(table_with_rows, rows("ab", salt="x"))


def test_one_flipped_bit_is_enough_for_the_alarm_and_a_minus_zero_too(table_with_rows):
    given = rows("ab")
    given.X.view(np.uint32)[1, 3] ^= 1
    with pytest.raises(StoreConflictError, match="1 rows"):
        fresh(table_with_rows, given)


def test_other_bits_of_another_provenance_give_way_to_the_first(table_with_rows):
    assert fresh(table_with_rows, rows("ab", salt="x"), {"engine": "openvino"}) == [False, False]


def test_extended_names_new_shards_once_and_counts_every_digest_once(table_with_rows):
    snapshot = table_with_rows.snapshot()
    assert (snapshot.manifest.rows, snapshot.manifest.failed) == (2, 2)
    given = rows("cxyz", failed="z")
    _, entry = encode(given, fingerprint(), PROVENANCE)
    manifest = next_manifest(snapshot, given, [entry, snapshot.manifest.shards[0]])
    assert manifest.shards == (*snapshot.manifest.shards, entry)
    assert (manifest.number, manifest.parent, manifest.rows, manifest.failed) == (3, 2, 5, 2)
