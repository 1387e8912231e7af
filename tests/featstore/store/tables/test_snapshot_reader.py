import pytest

from featstore.errors import StoreDamagedError, StoreFormatError
from featstore.store.tables.feature_table import FeatureTable
from featstore.store.tables.layout import MANIFESTS, SHARDS
from featstore.store.tables.snapshot_reader import load_index, load_snapshot
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
    (table.folder / MANIFESTS / "00000003.json").write_text('{"format": 2}')
    with pytest.raises(StoreFormatError, match="has format 2"):
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
    from featstore.store.tables import snapshot_reader

    last = load_snapshot(table.folder, KEY)
    assert load_snapshot(table.folder, KEY, last) is last
    table.commit(fingerprint(), rows("ef"), PROVENANCE)
    read = []
    monkeypatch.setattr(
        snapshot_reader, "parse_index", lambda parts, entry: read.append(entry) or original(parts, entry)
    )
    from featstore.store.format.shard import parse_index as original

    newer = load_snapshot(table.folder, KEY, last)
    assert len(read) == 1 and newer.manifest.number == 3 and len(newer.digests) == 6


def test_a_state_that_moves_on_while_it_is_read_is_read_again(table, monkeypatch):
    from featstore.store.tables import snapshot_reader

    original, moved = snapshot_reader.load_manifest, []

    def load(folder, key, number):
        if not moved:
            moved.append(number)
            FeatureTable(table.store, KEY).commit(fingerprint(), rows("ef"), PROVENANCE)
            (folder / MANIFESTS / "00000002.json").unlink()  # as a later writer or gc does
        return original(folder, key, number)

    monkeypatch.setattr(snapshot_reader, "load_manifest", load)
    assert load_snapshot(table.folder, KEY).manifest.number == 3


def test_load_index_reads_a_shard_once(table):
    entry = load_snapshot(table.folder, KEY).manifest.shards[0]
    known = {}
    index = load_index(table.folder, entry, known)
    (table.folder / SHARDS / entry.file_name).unlink()
    assert load_index(table.folder, entry, known) is index
