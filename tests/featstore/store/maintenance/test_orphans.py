import pytest

from featstore import FeatureStore
from featstore.errors import StoreNotFoundError
from featstore.store.maintenance.orphans import only_there, worth_naming
from featstore.store.tables.feature_table import FeatureTable
from featstore.store.tables.layout import has_shards
from tests.support.store_inputs import PROVENANCE, fingerprint, images, rows

KEY = fingerprint().key


@pytest.fixture
def table(tmp_path):
    """Three shards: of a and b, of b and c, of a alone; then one more of d."""
    table = FeatureTable(FeatureStore(tmp_path / "s", create=True).path, KEY)
    table.commit(fingerprint(), rows("ab"), PROVENANCE)
    for number, letters in enumerate(("bc", "a", "d")):
        other = FeatureTable(FeatureStore(tmp_path / f"{number}", create=True).path, KEY)
        other.commit(fingerprint(), rows(letters), PROVENANCE)
        (shard,) = (other.folder / "shards").iterdir()
        (table.folder / "shards" / shard.name).write_bytes(shard.read_bytes())
    return table


def unnamed(table):
    named = {entry.file_name for entry in table.snapshot().manifest.shards}
    return {path.name for path in (table.folder / "shards").iterdir()} - named


def test_only_shards_with_rows_of_their_own_count(table):
    files, count = only_there(table.folder, KEY, table.snapshot().manifest.shards, unnamed(table))
    assert len(files) == 2 and count == 2  # c and d; a is there already
    assert files < unnamed(table)


def test_damaged_ones_hold_nothing(table):
    for name in unnamed(table):
        (table.folder / "shards" / name).write_bytes(b"x")
    assert only_there(table.folder, KEY, table.snapshot().manifest.shards, unnamed(table)) == (frozenset(), 0)


def test_features_are_worth_more_than_a_failure(tmp_path, table):
    failed = FeatureTable(FeatureStore(tmp_path / "failed", create=True).path, KEY)
    failed.commit(fingerprint(), rows("a", failed="a"), PROVENANCE)
    bad, good = failed.snapshot().manifest.shards[0], table.snapshot().manifest.shards[0]
    (table.folder / "shards" / bad.file_name).write_bytes((failed.folder / "shards" / bad.file_name).read_bytes())
    both = {entry.sha256: entry for entry in (bad, good)}
    assert worth_naming(table.folder, KEY, [good], both).manifest.shards == (good,)
    state = worth_naming(table.folder, KEY, [bad], both).manifest
    assert state.shards == (bad, good) and (state.rows, state.failed) == (2, 0)


def test_a_store_whose_manifests_are_lost_says_that_repair_helps(table):
    store = FeatureStore(table.store)
    store.put_imageset(images("abcd"))
    for path in (table.folder / "manifests").iterdir():
        path.unlink()
    assert has_shards(table.store)
    assert store.verify().unnamed_rows == 4
    with pytest.raises(
        StoreNotFoundError, match=r"holds no features yet; run `featstore extract .* or `featstore repair"
    ):
        FeatureStore(table.store).read()
    store.repair()
    assert len(FeatureStore(table.store).read().X) == 4


def test_an_empty_store_has_no_shards(tmp_path):
    store = FeatureStore(tmp_path / "s", create=True)
    store.put_imageset(images("ab"))
    assert not has_shards(store.path)
    with pytest.raises(StoreNotFoundError, match="holds no features yet; run `featstore extract [^`]*`$"):
        store.read()
