"""Rows are gathered into shards and committed in the background."""

import numpy as np
import pytest

from featstore import FeatureStore
from featstore.errors import StoreWriteError
from featstore.extract import writer as file
from featstore.extract.writer import RowWriter
from tests.support.store_inputs import PROVENANCE, digests, features, fingerprint, images

NAMES = [f"i{i:03d}" for i in range(40)]
A, B = fingerprint(), fingerprint(node="layer3")


@pytest.fixture
def store(tmp_path):
    store = FeatureStore(tmp_path / "s", create=True)
    store.put_imageset(images(NAMES))
    return store


def add(writer, names, status=None, wanted=None):
    status = np.zeros(len(names), dtype=np.uint8) if status is None else np.array(status, dtype=np.uint8)
    reasons = tuple("broken" if s else "" for s in status)
    good = [name for name, s in zip(names, status, strict=True) if s == 0]
    outputs = {"avgpool": features(good), "layer3": features(good, dim=3)}
    every = np.ones(len(names), dtype=bool)
    writer.add(digests(names), status, reasons, outputs, wanted or {"avgpool": every, "layer3": every})


def writing(store):
    return RowWriter(store, {"avgpool": A, "layer3": B}, {"avgpool": 8, "layer3": 3}, PROVENANCE)


def test_rows_of_every_node_arrive_in_a_shard_each(store):
    with writing(store) as writer:
        add(writer, NAMES[:25])
        add(writer, NAMES[25:])
    np.testing.assert_array_equal(store.read(key=A.key).X, features(NAMES))
    np.testing.assert_array_equal(store.read(key=B.key).X, features(NAMES, dim=3))
    assert len(list(store.path.glob("features/*/shards/*.h5"))) == 2


def test_a_full_shard_is_committed_before_the_end(store, monkeypatch):
    monkeypatch.setattr(file, "SHARD_ROWS", 10)
    with writing(store) as writer:
        for start in range(0, 40, 10):
            add(writer, NAMES[start : start + 10])
        assert len(list(store.path.glob("features/*/manifests/*.json"))) >= 2  # the first commits have settled
    assert len(list(store.path.glob(f"features/{A.key}/shards/*.h5"))) == 4
    assert not store.missing(A, digests(NAMES)).any()


def test_failed_rows_keep_their_place_and_changed_ones_are_never_stored(store):
    with writing(store) as writer:
        add(writer, NAMES[:4], status=[0, 1, 3, 2])
    assert store.missing(A, digests(NAMES[:4])).tolist() == [False, False, True, False]
    assert set(store.failures(A)) == {digests([NAMES[i]]).tobytes() for i in (1, 3)}
    kept = store.read(key=A.key, partial=True)
    np.testing.assert_array_equal(kept.X, features(NAMES[:1]))


def test_only_what_a_node_lacks_is_stored(store):
    mask = np.array([True, False, True])
    with writing(store) as writer:
        add(writer, NAMES[:3], wanted={"avgpool": mask, "layer3": ~mask})
    assert store.missing(A, digests(NAMES[:3])).tolist() == [False, True, False]
    assert store.missing(B, digests(NAMES[:3])).tolist() == [True, False, True]


def test_an_interrupt_commits_what_was_gathered(store):
    with pytest.raises(KeyboardInterrupt), writing(store) as writer:
        add(writer, NAMES[:7])
        raise KeyboardInterrupt
    assert store.missing(A, digests(NAMES)).sum() == 33


def test_a_failed_commit_is_raised(store, monkeypatch):
    def full(*_):
        raise StoreWriteError("the disk is full")

    monkeypatch.setattr(FeatureStore, "commit", full)
    monkeypatch.setattr(file, "SHARD_ROWS", 5)
    with pytest.raises(StoreWriteError, match="the disk is full"), writing(store) as writer:
        for start in range(0, 40, 5):
            add(writer, NAMES[start : start + 5])
