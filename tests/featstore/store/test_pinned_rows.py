import numpy as np
import pytest

from featstore.errors import StoreDamagedError, StoreError
from featstore.store.maintenance.compaction import compact
from featstore.store.maintenance.garbage import collect
from featstore.store.maintenance.repair import repair
from featstore.store.pinned_rows import PinnedRows
from featstore.store.tables import identity
from featstore.store.tables.feature_table import FeatureTable
from tests.support.store_inputs import PROVENANCE, digests, features, fingerprint, rows


@pytest.fixture
def table(tmp_path):
    identity.create(tmp_path)
    table = FeatureTable(tmp_path, fingerprint().key)
    for names in ("abc", "def", "ghi"):
        table.commit(fingerprint(), rows(names, failed="e"), PROVENANCE)
    return table


def pinned(table, names):
    snapshot = table.snapshot()
    return PinnedRows(table, snapshot, snapshot.find(digests(names)))


def lose_old_files(table):
    compact(table.store)
    for name in "xyz":  # `gc` keeps two states
        table.commit(fingerprint(), rows(name), PROVENANCE)
    assert collect(table.store, grace_seconds=-1).files


def test_rows_in_any_order(table):
    found = pinned(table, "ihgfdcba")
    assert len(found) == 8
    np.testing.assert_array_equal(found.take(np.array([3, 0, 3, 7])), features("fifa"))
    assert found.take(np.array([], dtype=np.int64)).shape == (0, 8)


def test_files_that_are_gone_are_found_at_once(table):
    found = pinned(table, "abc")
    found.check_files()
    for path in (table.folder / "shards").iterdir():
        path.unlink()
    with pytest.raises(FileNotFoundError):
        found.check_files()


@pytest.mark.parametrize("known", [False, True])
def test_a_store_that_was_compacted_and_collected_is_read_on(table, known):
    found = pinned(table, "igfdcba")
    if known:
        found.take(np.arange(7))
    before = found.layout[1]
    lose_old_files(table)
    np.testing.assert_array_equal(found.take(np.arange(7)), features("igfdcba"))
    assert not np.array_equal(found.layout[1], before)  # read where they lie now
    lose_old_files(table)  # and once more
    np.testing.assert_array_equal(found.take(np.array([6, 0])), features("ai"))


def test_rows_that_were_appended_later_do_not_show(table):
    found = pinned(table, "abc")
    table.commit(fingerprint(), rows("jkl"), PROVENANCE)
    np.testing.assert_array_equal(found.take(np.arange(3)), features("abc"))


def test_other_features_in_the_newest_state_are_never_mixed_in(table, tmp_path_factory):
    found = pinned(table, "abc")
    found.take(np.array([0]))
    # repair after a loss, and rows that another machine computed a little otherwise
    for path in (table.folder / "shards").iterdir():
        path.unlink()
    repair(table.store)
    table.commit(fingerprint(), rows("abcdefghi", failed="e", salt="other"), {"engine": "another"})
    with pytest.raises(StoreError, match="changed while they were read.*start again"):
        found.take(np.arange(3))


def test_rows_that_are_lost_are_an_error(table):
    found = pinned(table, "abc")
    for path in (table.folder / "shards").iterdir():
        path.unlink()
    with pytest.raises(StoreDamagedError, match="is missing; run `featstore repair`"):
        found.take(np.arange(3))
