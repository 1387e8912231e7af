import numpy as np
import pytest

from featstore.errors import StoreConflictError
from featstore.store.format.rows import FAILED, PASSING
from featstore.store.format.shard import encode
from featstore.store.tables.commit import next_manifest, rows_to_add
from featstore.store.tables.feature_table import FeatureTable
from tests.support.store_inputs import PROVENANCE, fingerprint, rows


@pytest.fixture
def table(tmp_path):
    table = FeatureTable(tmp_path, fingerprint().key)
    table.commit(fingerprint(), rows("abc", failed="c", status=PASSING), PROVENANCE)
    table.commit(fingerprint(), rows("d", failed="d"), PROVENANCE)
    return table


def fresh(table, given, provenance=PROVENANCE, own=frozenset()):
    return rows_to_add(table.snapshot(), given, provenance, set(own)).tolist()


def test_only_rows_that_are_not_there_are_fresh(table):
    assert fresh(table, rows("axb")) == [False, True, False]


def test_features_replace_failures_and_lasting_failures_passing_ones(table):
    assert fresh(table, rows("cd")) == [True, True]
    assert fresh(table, rows("cd", failed="cd", status=FAILED)) == [True, False]
    assert fresh(table, rows("cd", failed="cd", status=PASSING)) == [False, False]
    assert fresh(table, rows("a", failed="a")) == [False]


def test_other_bits_of_the_same_provenance_are_an_alarm(table):
    with pytest.raises(StoreConflictError, match="2 rows of feature set .* other numbers .* Nothing was overwritten"):
        fresh(table, rows("ab", salt="x"))


def test_one_flipped_bit_is_enough_for_the_alarm_and_a_minus_zero_too(table):
    given = rows("ab")
    given.X.view(np.uint32)[1, 3] ^= 1
    with pytest.raises(StoreConflictError, match="1 rows"):
        fresh(table, given)


def test_other_bits_of_another_provenance_give_way_to_the_first(table):
    assert fresh(table, rows("ab", salt="x"), {"engine": "openvino"}) == [False, False]


def test_extended_names_new_shards_once_and_counts_every_digest_once(table):
    snapshot = table.snapshot()
    assert (snapshot.manifest.rows, snapshot.manifest.failed) == (2, 2)
    given = rows("cxyz", failed="z")
    _, entry = encode(given, fingerprint(), PROVENANCE)
    manifest = next_manifest(snapshot, given, [entry, snapshot.manifest.shards[0]])
    assert manifest.shards == (*snapshot.manifest.shards, entry)
    assert (manifest.number, manifest.parent, manifest.rows, manifest.failed) == (3, 2, 5, 2)
