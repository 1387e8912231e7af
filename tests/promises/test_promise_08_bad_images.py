"""Promise 8: bad images never stop or shift a run: good rows are bit-identical to a run without the bad files."""

import numpy as np
import pytest

from featstore import FeatureStore
from tests.support.killing import run, store_digest
from tests.support.pictures import hostile, write_tree


@pytest.mark.parametrize("workers", [2, pytest.param(0, marks=pytest.mark.soak)])
def test_good_rows_among_hostile_files_are_those_of_a_run_without_them(tmp_path, workers):
    clean = write_tree(tmp_path / "clean", each=6)
    mixed = write_tree(tmp_path / "mixed", each=6)
    for number, (name, data) in enumerate(hostile().items()):
        (mixed / ("ants", "bees")[number % 2] / name).write_bytes(data)
    assert len(hostile()) >= 40
    assert run("extraction", clean, tmp_path / "a", workers=workers) == 0
    assert run("extraction", mixed, tmp_path / "b", workers=workers) == 0
    one, other = FeatureStore(tmp_path / "a").read(), FeatureStore(tmp_path / "b").read()
    assert one.ids == other.ids and len(one.X) == 12
    np.testing.assert_array_equal(one.X, other.X)
    skipped = FeatureStore(tmp_path / "b").imageset().skipped  # what is neither named like an image nor one
    assert len(other.failed) + len(skipped) == len(hostile())
    assert all(reason for _, reason in other.failed) and all(skip.reason for skip in skipped)
    assert FeatureStore(tmp_path / "b").verify().ok
    before = store_digest(tmp_path / "b")
    assert run("extraction", mixed, tmp_path / "b", workers=workers) == 0
    assert store_digest(tmp_path / "b") == before  # nothing is tried again, nothing moves


def test_the_public_hostile_set(shared_data, quick_path):
    """Every file of it: no crash, no hang, a reason for every failure, in processes of bounded memory."""
    assert run("extraction", shared_data / "odd", quick_path / "s", workers=2, seconds=200) == 0
    store = FeatureStore(quick_path / "s")
    listed, found = store.imageset(), store.read()
    assert len(listed) > 390 and len(found.X) + len(found.failed) == len(listed)
    assert all(reason for _, reason in found.failed) and all(skip.reason for skip in listed.skipped)
    assert np.isfinite(found.X).all() and store.verify().ok
