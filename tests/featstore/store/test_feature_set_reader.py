import numpy as np
import pytest

from featstore import FeatureStore
from featstore.errors import FeaturesError, StoreNotFoundError
from featstore.store.feature_set_reader import failed_rows, make_feature_set, open_feature_stream
from featstore.store.tables.feature_table import FeatureTable
from featstore.store.tables.snapshot import Snapshot
from featstore.system import machine
from tests.support.store_inputs import PROVENANCE, digests, features, fingerprint, images, rows


@pytest.fixture
def snapshot(tmp_path):
    table = FeatureTable(tmp_path, fingerprint().key)
    table.commit(fingerprint(), rows("abcd", failed="c"), PROVENANCE)
    return table.snapshot()


def test_failed_rows_are_those_unreadable_and_those_that_failed(snapshot):
    given = images("xdca", problems="x")
    at = snapshot.find(given.digests)
    assert failed_rows(given, snapshot, at) == {0: "permission denied", 2: "c cannot be decoded"}


def test_a_feature_set_keeps_the_order_of_the_images(snapshot):
    given = images("dcba", splits=["train", "val", "train", "test"])
    good = np.array([True, False, True, True])
    data = make_feature_set(given, fingerprint(), good, features("dba"), {1: "c cannot be decoded"})
    assert data.ids == ("a/d.jpg", "a/b.jpg", "b/a.jpg") and data.splits.tolist() == ["train", "train", "test"]
    assert data.y.tolist() == [0, 0, 1] and data.failed == (("b/c.jpg", "c cannot be decoded"),)
    np.testing.assert_array_equal(data.digests, digests("dba"))


@pytest.mark.parametrize(
    "paths",
    [
        (b"a/plain.jpg", b"a/with space~.jpg"),
        (b"a/plain.jpg", "a/grün.jpg".encode()),
        (b"a/new\nline.jpg", b"a/\x7f.jpg"),
        (b"a/\xff\xfe.jpg", b"a/plain.jpg"),
        (b"a/" + "‮".encode() + b"gpj", b"a/b"),
    ],
    ids=ascii,
)
def test_ids_are_the_paths_as_the_image_set_displays_them(paths):
    given = images("ab", paths=paths)
    data = make_feature_set(given, fingerprint(), np.ones(2, bool), features("ab"), {})
    assert data.ids == tuple(given.display(row) for row in range(2)) and data.paths == paths


def test_an_empty_image_set(snapshot):
    given = images("")
    assert make_feature_set(given, fingerprint(), np.ones(0, bool), features(""), {}).ids == ()


def test_more_than_memory_holds_is_refused_before_a_feature_is_read(tmp_path, monkeypatch):
    store = FeatureStore(tmp_path / "s", create=True)
    store.put_imageset(images("abc"))
    store.commit(fingerprint(), rows("abc"), PROVENANCE)
    monkeypatch.setattr(machine, "available_memory", lambda: 1000)
    monkeypatch.setattr(Snapshot, "gather", lambda *_: pytest.fail("it read"))
    with pytest.raises(FeaturesError, match=r"reading 3 images of \d+ features needs about .* of memory, .* are free"):
        store.read()


def test_missing_rows_are_found_before_a_feature_is_read(tmp_path, monkeypatch):
    store = FeatureStore(tmp_path / "s", create=True)
    store.put_imageset(images("abc"))
    store.commit(fingerprint(), rows("ab"), PROVENANCE)
    monkeypatch.setattr(Snapshot, "gather", lambda *_: pytest.fail("it read"))
    with pytest.raises(StoreNotFoundError, match="1 of 3 images"):
        store.read()


def test_a_stream_starts_anew_where_gc_was_faster_than_its_look_at_the_files(tmp_path, monkeypatch):
    store = FeatureStore(tmp_path / "s", create=True)
    store.put_imageset(images("abcd"))
    for names in ("ab", "cd"):
        store.commit(fingerprint(), rows(names), PROVENANCE)
    table, (info,) = FeatureTable(store.path, fingerprint().key), store.features()
    old = table.snapshot()
    real, given_out = table.snapshot, []

    def snapshot():
        given_out.append(real() if given_out else old)
        return given_out[-1]

    monkeypatch.setattr(table, "snapshot", snapshot)
    store.compact()
    store.commit(fingerprint(), rows("e"), PROVENANCE)
    store.gc(grace_seconds=-1)
    stream = open_feature_stream(table, info, images("abcd"))
    assert len(given_out) > 1
    np.testing.assert_array_equal(stream.read().X, features("abcd"))
