import gc
import threading
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from featstore import FeatureStore
from featstore.errors import FeaturesError, StoreDamagedError, StoreNotFoundError
from featstore.store.format.rows import Rows
from featstore.system import machine
from tests.support.store_inputs import PROVENANCE, digests, features, fingerprint, images, rows

FIELDS = ("ids", "paths", "classes", "dataset", "root", "failed", "groups", "about", "fingerprint")


def store_of(folder, names, images_of=None, dim=8, **changes):
    store = FeatureStore(folder / "s", create=True)
    store.put_imageset(images(names if images_of is None else images_of, **changes))
    if names:
        store.commit(fingerprint(), rows(names, dim), PROVENANCE)
    return store


def gathered(chunks, like):
    """The chunks of a pass put together in the order of their rows; each row must come once."""
    X, seen = np.full(like.X.shape, np.nan, np.float32), np.zeros(len(like), int)
    for numbers, part in chunks:
        assert part.dtype == np.float32 and part.flags.c_contiguous and len(part) == len(numbers)
        X[numbers] = part
        seen[numbers] += 1
    assert (seen == 1).all()
    return X


def threads():
    return [thread for thread in threading.enumerate() if thread.name == "featstore-read-ahead"]


def test_all_but_the_features_is_known_before_any_is_read(tmp_path):
    store = store_of(tmp_path, "abcd", "dcxba", splits=["train", "val", "test", "", "train"], problems="x")
    whole = store.read()
    [path.write_bytes(b"") for path in (tmp_path / "s").rglob("shards/*")]  # nothing is left to read
    with pytest.raises(StoreDamagedError, match="has 0 bytes"):
        store.iter()
    store = store_of(tmp_path / "b", "abcd", "dcxba", splits=["train", "val", "test", "", "train"], problems="x")
    stream = store.iter()
    for field in FIELDS:
        assert getattr(stream, field) == getattr(whole, field)
    for field in ("y", "splits", "digests"):
        np.testing.assert_array_equal(getattr(stream, field), getattr(whole, field))
    assert (len(stream), stream.width, stream.shape, stream.nbytes) == (4, 8, (4, 8), 128)
    assert stream.dtype == stream.stored_dtype == np.float32 and stream.failed == (("a/x.jpg", "permission denied"),)
    np.testing.assert_array_equal(stream.testing(), whole.testing())
    np.testing.assert_array_equal(stream.training(), whole.training())
    assert stream.labelled().all() and "4 x 8" in repr(stream)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_any_cut_of_any_store_gives_what_read_gives(tmp_path_factory, data):
    """Commits of any sizes, failures, other engines, a data set in another order, compaction, any chunk size."""
    store = FeatureStore(tmp_path_factory.mktemp("any") / "s", create=True)
    names = [str(i) for i in range(data.draw(st.integers(1, 60)))]
    dim = data.draw(st.sampled_from([1, 8, 3000, 40_000]))
    failed = set(data.draw(st.lists(st.sampled_from(names), max_size=5)))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(names)), max_size=4)))
    for start, end in zip([0, *cuts], [*cuts, len(names)], strict=True):
        way = data.draw(st.sampled_from(["eager", "compiled"]))
        store.commit(fingerprint(), rows(names[start:end], dim, failed), {"engine": way})
    if data.draw(st.booleans()):
        store.commit(fingerprint(), rows(sorted(failed), dim), PROVENANCE)  # tried again, with success
    store.put_imageset(images(data.draw(st.permutations(names))[: data.draw(st.integers(1, len(names)))]))
    stream, whole = store.iter(data.draw(st.none() | st.just("pets")), data.draw(st.integers(1, 70))), store.read()
    if data.draw(st.booleans()):
        store.compact()
        if data.draw(st.booleans()):
            store.gc(grace_seconds=-1)
    assert stream.ids == whole.ids and stream.failed == whole.failed
    for order in ("rows", "stored", "shuffled", "rows"):
        chunk = data.draw(st.none() | st.integers(1, 70))
        np.testing.assert_array_equal(gathered(stream.chunks(chunk, order=order, seed=5), whole), whole.X)
    some = data.draw(st.lists(st.integers(-len(whole), len(whole) - 1), max_size=80)) if len(whole) else []
    part = stream.subset(some)
    np.testing.assert_array_equal(gathered(part.chunks(order="shuffled"), whole.subset(some)), whole.subset(some).X)
    np.testing.assert_array_equal(part.read().X, whole.subset(some).X)
    assert part.read().ids == whole.subset(some).ids


def test_a_pass_is_in_the_order_of_the_rows_and_may_be_made_again(tmp_path):
    stream = store_of(tmp_path, [str(i) for i in range(50)]).iter(rows=7)
    for _ in range(2):
        numbers, parts = zip(*stream, strict=True)
        np.testing.assert_array_equal(np.concatenate(numbers), np.arange(50))
        assert [len(part) for part in parts] == [7] * 7 + [1]
    first, second = iter(stream), iter(stream)  # two at a time
    for (_, a), (_, b) in zip(first, second, strict=True):
        np.testing.assert_array_equal(a, b)


def test_chunks_are_the_callers_own(tmp_path):
    stream = store_of(tmp_path, "abcd").iter(rows=2)
    for _, X in stream:
        X[:] = 0
    np.testing.assert_array_equal(np.concatenate([X for _, X in stream]), features("abcd"))


def test_parts_and_subsets(tmp_path):
    store = store_of(tmp_path, "abcd", splits=["train", "test", "train", "val"])
    stream = store.iter(split="train")
    assert stream.ids == ("a/a.jpg", "a/c.jpg") and stream.subset([True, False]).ids == ("a/a.jpg",)
    np.testing.assert_array_equal(stream.subset([-1]).read().X, features("c"))
    np.testing.assert_array_equal(store.iter().part("val").read().X, features("d"))
    with pytest.raises(FeaturesError, match="the index goes from 2 to 2; the feature set has 2 rows"):
        stream.subset([2])
    with pytest.raises(FeaturesError, match="no images of the part 'old' with features; it has test, train, val"):
        store.iter(split="old")
    with pytest.raises(FeaturesError, match="it has none: its images have no parts"):
        store_of(tmp_path / "b", "abcd").iter(split="train")


def test_an_empty_choice(tmp_path):
    stream = store_of(tmp_path, "abcd").iter().subset([])
    assert list(stream) == [] and stream.read().X.shape == (0, 8) and list(stream.chunks(order="shuffled")) == []


def test_missing_rows_are_refused_as_in_read(tmp_path):
    store = store_of(tmp_path, "ab", "abc")
    with pytest.raises(StoreNotFoundError, match="1 of 3 images"):
        store.iter()
    assert store.iter(partial=True).failed == store.read(partial=True).failed


@pytest.mark.parametrize("rows", [0, -3])
def test_chunks_of_no_rows_are_refused(tmp_path, rows):
    store = store_of(tmp_path, "ab")
    with pytest.raises(FeaturesError, match=f"chunks of {rows} rows"):
        store.iter(rows=rows)
    with pytest.raises(FeaturesError, match=f"chunks of {rows} rows"):
        store.iter().chunks(rows)
    with pytest.raises(FeaturesError, match="'sorted' was asked for; expected one of rows, stored, shuffled"):
        store.iter().chunks(order="sorted")


def test_wide_rows_make_smaller_chunks(tmp_path):
    assert store_of(tmp_path, "ab", dim=8).iter().chunk_rows == 8192
    assert store_of(tmp_path / "b", "ab", dim=25_088).iter().chunk_rows == (64 << 20) // (4 * 25_088)


def test_a_damaged_byte_ends_the_pass_before_its_chunk(tmp_path):
    store = store_of(tmp_path, [str(i) for i in range(3000)])  # three shards
    stream, whole = store.iter(rows=500), store.read()
    shard = store.table(fingerprint().key).snapshot().manifest.shards[1]
    path = tmp_path / "s" / "features" / fingerprint().key / "shards" / shard.file_name
    data = bytearray(path.read_bytes())
    data[shard.layout["features"].offset + 20_000] ^= 1
    path.write_bytes(data)
    given_out = []
    with pytest.raises(StoreDamagedError, match="not those that were committed"):
        for numbers, X in stream:
            np.testing.assert_array_equal(X, whole.X[numbers])
            given_out.append(len(X))
    assert sum(given_out) == 1000 and not threads()


def test_a_store_that_is_compacted_and_collected_in_the_middle_of_a_pass(tmp_path):
    store = store_of(tmp_path, [str(i) for i in range(3000)])
    stream, whole = store.iter(rows=100), store.read()
    X = np.zeros_like(whole.X)
    for number, (numbers, part) in enumerate(stream):
        X[numbers] = part
        if number == 3:
            store.compact()
            store.commit(fingerprint(), rows("xy"), PROVENANCE)
            assert len(store.gc(grace_seconds=-1).files) > 2
    np.testing.assert_array_equal(X, whole.X)
    np.testing.assert_array_equal(gathered(stream.chunks(order="shuffled"), whole), whole.X)


def test_memory_is_two_chunks_and_some_buffers(tmp_path):
    n, dim, chunk = 20_000, 256, 1000  # 20 MB in chunks of 1 MB
    store = FeatureStore(tmp_path / "s", create=True)
    names = [str(i) for i in range(n)]
    store.put_imageset(images(names))
    X = np.random.default_rng(0).random((n, dim), dtype=np.float32)
    store.commit(fingerprint(), Rows(digests(names), X, np.zeros(n, np.uint8), ("",) * n), PROVENANCE)
    store.compact()
    stream = store.iter(rows=chunk)
    del X
    for order in ("rows", "stored", "shuffled"):
        gc.collect()
        tracemalloc.start()
        for _ in stream.chunks(order=order):
            pass
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        # two chunks, for a moment a third, 1 MiB to read into, and the plan of a pass (some numbers a row)
        assert peak < 3 * chunk * dim * 4 + (1 << 20) + 100 * n


def test_read_asks_for_memory_first(tmp_path, monkeypatch):
    stream = store_of(tmp_path, "abc").iter()
    monkeypatch.setattr(machine, "available_memory", lambda: 1000)
    with pytest.raises(FeaturesError, match="reading 3 images of 8 features needs about .*; read fewer of them"):
        stream.read()


def test_a_pass_that_is_left_early_leaves_no_thread(tmp_path):
    stream = store_of(tmp_path, [str(i) for i in range(500)]).iter(rows=10)
    for numbers, _ in stream:
        if numbers[0] >= 100:
            break
    del numbers
    gc.collect()
    assert not threads()
    passing = stream.chunks()
    next(passing)
    passing.close()
    assert not threads()
