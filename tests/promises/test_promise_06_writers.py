"""Promise 6: writers never corrupt each other: raced, and killed while they race, they leave what one run leaves."""

import random
import time

import numpy as np
import pytest

from featstore import FeatureStore
from featstore.errors import StoreConflictError
from featstore.store.tables.feature_table import FeatureTable
from tests.support.killing import agree, committed, run, start, store_digest
from tests.support.store_inputs import PROVENANCE, features, fingerprint, images, rows

KEY = fingerprint().key
NAMES = "abcdefghijkl"


def raced(place, races, seed):
    """Four writers of the same rows at once; some are killed; one more completes what is left."""
    assert run("race", place / "reference", 0) == 0
    FeatureStore(place / "reference").put_imageset(images(NAMES))
    reference, final = committed(place / "reference", KEY), store_digest(place / "reference")
    rng, kills = random.Random(seed), 0
    for number in range(races):
        path = place / str(number)
        writers = [start("race", path, rng.random()) for _ in range(4)]
        doomed = rng.sample(writers, rng.randint(0, 3))
        end = time.monotonic() + rng.uniform(0.02, 0.4)
        for writer in doomed:
            writer.join(max(0, end - time.monotonic()))
            kills += writer.exitcode is None
            writer.kill()
        for writer in writers:
            writer.join(60)
            assert writer.exitcode in ((0, -9) if writer in doomed else (0,))
        found = committed(path, KEY)
        agree(found, reference)
        assert len(doomed) == 4 or len(found) == len(NAMES)
        assert run("race", path, number) == 0
        FeatureStore(path).put_imageset(images(NAMES))
        assert store_digest(path) == final
        assert FeatureStore(path).verify().ok
    return kills


def test_four_writers_raced_and_killed_leave_one_digest(quick_path):
    raced(quick_path, races=5, seed=3)


@pytest.mark.soak
@pytest.mark.timeout(0)
def test_fifty_races_of_four_writers_with_kills(quick_path, capsys):
    kills = raced(quick_path, races=50, seed=4)
    with capsys.disabled():
        print(f"\n50 races, {kills} writers killed, one digest")


def test_who_is_overtaken_joins_the_other_writers_rows(tmp_path, monkeypatch):
    """The other writer commits between this one's look at the state and its manifest, at every attempt but the last."""
    store = FeatureStore(tmp_path / "s", create=True)
    store.put_imageset(images("abcdxyz"))
    original, others = FeatureTable.put_manifest, list("xyz")

    def put(self, manifest):
        if others:
            name = others.pop()
            with monkeypatch.context() as patch:
                patch.setattr(FeatureTable, "put_manifest", original)
                FeatureStore(store.path).commit(fingerprint(), rows(name), PROVENANCE)
        return original(self, manifest)

    monkeypatch.setattr(FeatureTable, "put_manifest", put)
    store.commit(fingerprint(), rows("abcd"), PROVENANCE)
    np.testing.assert_array_equal(FeatureStore(store.path).read().X, features("abcdxyz"))
    assert not others and store.verify().ok


def test_the_same_row_with_other_bits_is_an_alarm_and_nothing_is_written(tmp_path):
    store = FeatureStore(tmp_path / "s", create=True)
    store.put_imageset(images("ab"))
    store.commit(fingerprint(), rows("ab"), PROVENANCE)
    before = store_digest(store.path)
    with pytest.raises(StoreConflictError, match="stored with other numbers and the same provenance"):
        store.commit(fingerprint(), rows("bc", salt="x"), PROVENANCE)
    assert store_digest(store.path) == before
    np.testing.assert_array_equal(store.read().X, features("ab"))
