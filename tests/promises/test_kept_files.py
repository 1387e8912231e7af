"""Stores and a bundle that the first versions of each format wrote are kept in `tests/data`, and must open for ever."""

import shutil
from pathlib import Path

import numpy as np

from classifiers.models.bundle import load_bundle
from featstore import FeatureStore
from tests.support.feature_sets import digits
from tests.support.store_inputs import PROVENANCE, digests, features, fingerprint, rows, tree

DATA = Path(__file__).resolve().parents[1] / "data"
STORE = DATA / "store-format-1"


def test_the_kept_store_says_what_was_put_into_it():
    before = tree(STORE)
    store = FeatureStore(STORE)
    data = store.read(node="avgpool")
    np.testing.assert_array_equal(data.X, features("abcd"))
    assert data.paths == (b"a/\xff.jpg", b"b/new\nline.jpg", "a/ü.jpg".encode(), b"b/d.jpg")
    assert data.y.tolist() == [0, 1, 0, 1] and data.splits.tolist() == ["train"] * 4 and data.classes == ("a", "b")
    assert [reason for _, reason in data.failed] == ["e cannot be decoded", "permission denied"]
    half = store.read(node="layer3", partial=True)
    np.testing.assert_array_equal(half.X, features("abc", 3).astype(np.float16).astype(np.float32))
    assert store.missing(fingerprint(), digests("abcdex")).tolist() == [False] * 5 + [True]
    assert store.verify().ok and tree(STORE) == before


def test_work_goes_on_in_the_kept_store(tmp_path):
    shutil.copytree(STORE, tmp_path / "s")
    store = FeatureStore(tmp_path / "s")
    store.commit(fingerprint(), rows("e"), PROVENANCE)
    store.compact()
    store.gc(grace_seconds=-1)
    np.testing.assert_array_equal(store.read(node="avgpool").X, features("abcde"))
    assert store.verify().ok and not store.repair().moved


def test_the_kept_store_with_rounded_features_says_what_was_put_into_it(tmp_path):
    kept = DATA / "store-format-2"
    before = tree(kept)
    store = FeatureStore(kept)
    half = fingerprint(store_dtype="fp16")
    assert {info.key for info in store.features()} == {fingerprint().key, half.key}
    np.testing.assert_array_equal(store.read(store_dtype="fp32").X, features("abcd"))
    rounded = features("abcd").astype(np.float16).astype(np.float32)
    np.testing.assert_array_equal(store.read(store_dtype="fp16").X, rounded)
    np.testing.assert_array_equal(np.concatenate([X for _, X in store.iter(store_dtype="fp16", rows=3)]), rounded)
    assert store.verify().ok and tree(kept) == before
    shutil.copytree(kept, tmp_path / "s")
    store = FeatureStore(tmp_path / "s")
    store.commit(half, rows("e"), PROVENANCE)
    store.compact()
    store.gc(grace_seconds=-1)
    assert len(store.read(store_dtype="fp16")) == 5 and store.verify().ok and not store.repair().moved


def test_the_kept_bundle_predicts():
    data = digits(60, classes=3)
    assert (load_bundle(DATA / "bundle-format-1").predict_proba(data).argmax(axis=1) == data.y).mean() > 0.9
