"""Missing rows to shards: what is computed and what is not, counted by a plain engine and read back with h5py."""

import dataclasses
import json
import os
import time
from types import SimpleNamespace

import h5py
import numpy as np
import pytest
from hypothesis import given, strategies as st
from PIL import Image

from featstore.decoding import worker
from featstore.decoding.pixels.decode import decode
from featstore.decoding.pixels.transform import TransformSpec
from featstore.decoding.pool import DecodePool
from featstore.discovery.scanning import scan
from featstore.engines import factory
from featstore.errors import StoreConflictError
from featstore.extract import multi_device
from featstore.extract.multi_device import compute_on_devices
from featstore.extract.pipeline import ExtractionPlan, compute
from featstore.sources import reading
from featstore.sources.addresses import addresses
from featstore.store.feature_store import FeatureStore
from featstore.store.format.rows import Rows
from tests.support import store_inputs
from tests.support.archives import written
from tests.support.pictures import encode, texture, write_tree

SPEC = TransformSpec(resize=40, crop=32)
PRINTS = {node: store_inputs.fingerprint(node=node) for node in ("avgpool", "layer1")}
NETWORK = SimpleNamespace(widths={"avgpool": 3, "layer1": 6})
"""All that is asked of a backbone where the engine is a plain one."""


class Plain:
    """An engine in three lines of numpy: mean colours, and twice them; it notes what it was handed."""

    usual_batch_size = batch_size = 3
    error = None
    start = "as always"

    def __init__(self, **provenance):
        self.provenance = {"engine": "plain", "pillow": "1"} | provenance
        self.handed, self.closed, self.options = [], [], {}

    def __call__(self, backbone, **options):
        self.options = options
        return self

    def prepare(self):
        self.handed.clear()

    def submit(self, images):
        if self.error:
            raise self.error
        self.handed.append(len(images))
        means = images.mean(axis=(1, 2), dtype=np.float64).astype(np.float32)
        rows = {"avgpool": means, "layer1": np.hstack([means, -means])}
        return SimpleNamespace(result=lambda: rows, batch_size=self.batch_size)

    def close(self, finish=True):
        self.closed.append(finish)


@pytest.fixture
def plain(monkeypatch):
    machine = Plain()
    monkeypatch.setattr(factory, "make_engine", machine)
    return machine


@pytest.fixture
def images(tmp_path):
    return scan(write_tree(tmp_path / "pets"))


def plan_for(store, images, *, wanted=None, strict=False, nodes=("avgpool", "layer1")):
    prints = {node: PRINTS[node] for node in nodes}
    missing = {node: store.missing(fingerprint, images.digests) for node, fingerprint in prints.items()}
    wanted = np.logical_or.reduce(list(missing.values())) if wanted is None else wanted
    return ExtractionPlan(store, images, prints, missing, wanted, strict)


def computed(plan, told=None):
    with DecodePool(SPEC, workers=0) as decoders:
        return compute(NETWORK, plan, {"precision": "fp32"}, decoders, lambda *now: told is None or told.append(now))


def rows_of(store, node):
    """Digest -> (features, status, provenance), by h5py alone."""
    found = {}
    for path in sorted((store.path / "features" / PRINTS[node].key / "shards").glob("*.h5")):
        with h5py.File(path) as file:
            provenance = json.loads(next(iter(file.attrs.values())))["provenance"]
            for digest, x, status in zip(file["digest"][:], file["features"][:], file["status"][:], strict=True):
                found[digest.tobytes()] = (x, int(status), provenance)
    return found


def mean_colour(images, row):
    with open(images.absolute(row), "rb") as file:  # noqa: PTH123 - a path of bytes
        return SPEC.apply(decode(file.read())).mean(axis=(0, 1), dtype=np.float64).astype(np.float32)


def test_every_missing_row_is_decoded_computed_and_committed_under_its_own_digest(plain, images, tmp_path):
    store, told = FeatureStore(tmp_path / "s", create=True), []
    work = computed(plan_for(store, images), told)
    assert plain.handed == [3, 3, 2] and plain.closed == [True]
    assert plain.options == {"expected_rows": 8, "precision": "fp32"}
    for node, signs in (("avgpool", [1]), ("layer1", [1, -1])):
        rows = rows_of(store, node)
        assert len(rows) == 8 and work.start == "as always"
        for row in range(8):
            x, status, provenance = rows[images.digests[row].tobytes()]
            np.testing.assert_array_equal(x, np.concatenate([s * mean_colour(images, row) for s in signs]))
            assert status == 0 and provenance == work.provenance == plain.provenance
    assert told[0] == ("prepare", 0, 1, "building the engine") and told[1][:3] == ("prepare", 1, 1)
    assert [now[:3] for now in told[2:]] == [("extract", done, 8) for done in (3, 6, 8)]
    assert 0 <= work.waited <= work.seconds and not work.changed and not work.notes


@pytest.mark.parametrize("kind", ["zip", "tar", "tar.gz", "parquet"])
def test_rows_of_a_container_are_the_folders_read_from_front_to_back(plain, images, tmp_path, kind, monkeypatch):
    store = FeatureStore(tmp_path / "folder", create=True)
    computed(plan_for(store, images))
    order = list(images.paths)[::-1]
    files = {os.fsdecode(path): (tmp_path / "pets" / os.fsdecode(path)).read_bytes() for path in order}
    place = written(files, tmp_path / "packed", kind)
    packed = dataclasses.replace(images, root=os.fsencode(place))
    assert not plan_for(store, packed).wanted.any()
    other, read = FeatureStore(tmp_path / "packed" / "store", create=True), []
    monkeypatch.setattr(worker, "read", lambda address, *rest: read.append(address) or reading.read(address, *rest))
    computed(plan_for(other, packed))
    assert read == addresses([packed.root + b"/" + path for path in order])
    for node in PRINTS:
        expected, found = rows_of(store, node), rows_of(other, node)
        assert expected.keys() == found.keys()
        assert all(np.array_equal(expected[digest][0], found[digest][0]) for digest in expected)


def test_a_row_that_a_node_has_is_not_written_again_and_one_that_all_have_is_not_computed(plain, images, tmp_path):
    store = FeatureStore(tmp_path / "s", create=True)
    some = np.arange(8) < 5
    computed(plan_for(store, images, wanted=some, nodes=("avgpool",)))
    computed(plan_for(store, images, wanted=np.arange(8) < 2, nodes=("layer1",)))
    before = store_inputs.tree(store.path / "features")
    plan = plan_for(store, images)
    assert plan.rows().tolist() == [2, 3, 4, 5, 6, 7]
    computed(plan)
    assert sum(plain.handed) == 6
    assert {node: info.rows for node, info in zip(("avgpool", "layer1"), store.features(), strict=True)} == {
        "avgpool": 8, "layer1": 8,
    }  # fmt: skip
    after = store_inputs.tree(store.path / "features")
    shards = {name for name in before if name.endswith(".h5")}
    assert all(after[name] == before[name] for name in shards)
    new = {name for name in after if name.endswith(".h5")} - shards
    counts = []
    for name in new:
        with h5py.File(store.path / "features" / name) as file:
            counts.append(len(file["digest"]))
    assert sorted(counts) == [3, 6]
    assert not plan_for(store, images).wanted.any()


@given(st.lists(st.tuples(st.integers(0, 5), st.booleans()), min_size=1, max_size=30))
def test_of_any_images_with_the_same_bytes_one_is_computed(items):
    images = store_inputs.images([f"{i}" for i in range(len(items))])
    images.digests[:] = store_inputs.digests([content for content, _ in items])
    asked = {content for content, wanted in items if wanted}
    wanted = np.array([content in asked for content, _ in items])
    rows = ExtractionPlan(None, images, {}, {}, wanted, False).rows()
    assert [items[row][0] for row in rows] == list(dict.fromkeys(c for c, _ in items if c in asked))


def test_what_cannot_be_decoded_is_committed_as_failed_and_what_changed_is_not_committed(plain, images, tmp_path):
    place = tmp_path / "pets" / "ants" / "bad.jpg"
    place.write_bytes(b"no picture")
    images, store = scan(tmp_path / "pets"), FeatureStore(tmp_path / "s", create=True)
    bad = images.paths.index(b"ants/bad.jpg")
    plan = plan_for(store, images)
    with open(images.absolute(0), "ab") as file:  # noqa: PTH123 - a path of bytes
        file.write(b"more")
    work = computed(plan)
    rows = rows_of(store, "avgpool")
    assert work.changed == {images.digests[0].tobytes()} and images.digests[0].tobytes() not in rows
    x, status, _ = rows[images.digests[bad].tobytes()]
    assert status == 1 and not x.any() and len(rows) == 8 and sum(plain.handed) == 7
    assert store.failures(PRINTS["avgpool"])[images.digests[bad].tobytes()]


def test_strict_refuses_another_way_of_computing_and_adds_nothing(plain, images, tmp_path):
    store = FeatureStore(tmp_path / "s", create=True)
    computed(plan_for(store, images, wanted=np.arange(8) < 4))
    before = store_inputs.tree(store.path)
    computed(plan_for(store, images, wanted=np.arange(8) == 4, strict=True))  # the same way is no mixing
    plain.provenance |= {"engine_note": "another sentence about the same way", "weights_note": "and one more"}
    computed(plan_for(store, images, wanted=np.arange(8) == 5, strict=True))
    assert store_inputs.tree(store.path) != before
    before, plain.provenance = store_inputs.tree(store.path), plain.provenance | {"torch": "9", "engine": "other"}
    with pytest.raises(
        StoreConflictError,
        match=r"^feature set \S+ was made with another engine plain \(now other\), "
        r"torch none \(now 9\); `strict=True` refuses to mix them: extract into a new store",
    ):
        computed(plan_for(store, images, strict=True))  # fmt: skip
    assert store_inputs.tree(store.path) == before and plain.handed == [] and plain.closed[-1] is False
    computed(plan_for(store, images))
    assert {way["engine"] for _, _, way in rows_of(store, "avgpool").values()} == {"plain", "other"}


def test_what_went_wrong_first_is_told_after_what_was_done_is_committed(plain, images, tmp_path, monkeypatch):
    def fails(finish=True):
        plain.closed.append(finish)
        raise RuntimeError("cannot close either")

    store = FeatureStore(tmp_path / "s", create=True)
    monkeypatch.setattr(plain, "close", fails)

    def interrupt(stage, done, total, note):
        if done == 3:
            raise KeyboardInterrupt

    with DecodePool(SPEC, workers=0) as decoders, pytest.raises(KeyboardInterrupt):
        compute(NETWORK, plan_for(store, images), {}, decoders, interrupt)
    assert plain.closed == [False] and len(rows_of(store, "avgpool")) == 3
    plain.error = ValueError("broken")
    with pytest.raises(ValueError, match="broken"):
        computed(plan_for(store, images))


def test_a_smaller_batch_is_said_once_and_recorded_with_its_rows(plain, images, tmp_path, monkeypatch):
    really, store = plain.submit, FeatureStore(tmp_path / "s", create=True)

    def crowded(pixels):
        pending = really(pixels)
        if len(plain.handed) > 1:
            plain.batch_size, plain.provenance = 2, plain.provenance | {"batch_size": 2}
            return SimpleNamespace(result=pending.result, batch_size=2)
        return pending

    monkeypatch.setattr(plain, "submit", crowded)
    work = computed(plan_for(store, images))
    assert work.notes == ["memory holds 2 images at a time, not 3"] and work.provenance["batch_size"] == 2
    ways = [way.get("batch_size") for _, _, way in rows_of(store, "avgpool").values()]
    assert sorted(ways, key=str) == [2] * 5 + [None] * 3
    plain.batch_size = 3
    other = FeatureStore(tmp_path / "t", create=True)
    with pytest.raises(StoreConflictError, match="holds only 2 images at a time, and 3 were computed more at a time"):
        computed(plan_for(other, images, strict=True))


@pytest.mark.parametrize(("workers", "each"), [(8, 4), (3, 1), (1, 1), (0, 0), (None, 3)])
def test_devices_share_the_decoders_and_their_results_are_one(workers, each, images, tmp_path, monkeypatch):
    store = FeatureStore(tmp_path / "s", create=True)
    plan = plan_for(store, images, wanted=np.arange(8) < 6, nodes=("avgpool",))
    seen = []

    def run(devices, call, report, *, target):
        seen.append((list(devices), call))
        time.sleep(0.01)
        names = [images.digests[row].tobytes() for row in range(4)]  # two of the six files changed meanwhile
        rows = store_inputs.rows(names, dim=3)
        rows.digests[:] = images.digests[:4]
        store.commit(PRINTS["avgpool"], rows, store_inputs.PROVENANCE)
        way = {"engine": "plain", "engine_note": "a slower one"}
        remarks = [{"path": images.display(2), "text": "the first of 2 pages"}]
        return [{"preparation_seconds": 0.0, "waiting_for_data": 0.5, "provenance": {}, "remarks": []},
                {"preparation_seconds": 0.002, "waiting_for_data": 0.1, "provenance": way,
                 "remarks": remarks}]  # fmt: skip

    monkeypatch.setattr(multi_device, "extract_on_devices", run)
    monkeypatch.setattr(multi_device, "usable_cores", lambda: 6)
    told = []
    work = compute_on_devices(
        ["cpu", "cpu"], plan, {"workers": workers, "data": "d"}, lambda *now: told.append(now), target="x:y"
    )
    assert seen == [(["cpu", "cpu"], {"workers": each, "data": "d"})]
    assert told == [("prepare", 0, 1, "building the engines of 2 devices")]
    assert work.preparation == 0.002 and work.waited == pytest.approx(0.3 * work.seconds)
    assert work.provenance == {"engine": "plain", "engine_note": "a slower one", "devices": ["cpu", "cpu"]}
    assert work.notes == ["a slower one"]
    assert work.changed == {images.digests[row].tobytes() for row in (4, 5)}
    assert work.remarks == {images.digests[2].tobytes(): "the first of 2 pages"}


@pytest.mark.skipif(os.name != "posix", reason="needs processes")
def test_decoding_processes_give_the_same_bytes_as_none(plain, images, tmp_path):
    stores = [FeatureStore(tmp_path / name, create=True) for name in "st"]
    computed(plan_for(stores[0], images))
    with DecodePool(SPEC, workers=1) as decoders:
        compute(NETWORK, plan_for(stores[1], images), {}, decoders, lambda *now: None)
    first, second = (rows_of(store, "layer1") for store in stores)
    assert first.keys() == second.keys()
    for digest, (x, _, _) in first.items():
        np.testing.assert_array_equal(x, second[digest][0])


def failed_before(store, images, reasons):
    """Commit failures as an earlier version left them: row -> reason."""
    for row, reason in reasons.items():
        for fingerprint in PRINTS.values():
            width = NETWORK.widths[fingerprint.node]
            rows = Rows(
                images.digests[row : row + 1], np.zeros((1, width), np.float32), np.ones(1, np.uint8), (reason,)
            )
            store.commit(fingerprint, rows, {"engine": "plain", "pillow": "1"})


def test_failures_that_are_none_any_more_are_computed_where_retried(plain, images, tmp_path):
    store = FeatureStore(tmp_path / "s", create=True)
    reasons = {
        0: "PNG: Decompressed data too large for PngImagePlugin.MAX_TEXT_CHUNK",
        1: "JPEG: image file is truncated",
    }
    failed_before(store, images, reasons)
    for retry, wanted in ((False, range(2, 8)), (True, (0, *range(2, 8)))):
        plan = ExtractionPlan.of(store, images, PRINTS, retry_failed=retry, share=(0, 1), strict=False)
        assert np.flatnonzero(plan.wanted).tolist() == list(wanted)
    assert computed(plan).failures == {}
    found = rows_of(store, "avgpool")[images.digests[0].tobytes()]
    assert list(store.failures(PRINTS["avgpool"])) == [images.digests[1].tobytes()] and found is not None
    plan = ExtractionPlan.of(store, images, PRINTS, retry_failed=True, share=(0, 1), strict=False)
    assert not plan.wanted.any()


def test_remarks_and_fresh_reasons_are_collected_and_remarks_are_no_reasons(plain, tmp_path):
    write_tree(tmp_path / "pets")
    frames = [Image.fromarray(texture(i)) for i in range(2)]
    (tmp_path / "pets" / "ants" / "pages.tif").write_bytes(
        encode(frames[0], "TIFF", save_all=True, append_images=frames[1:])
    )
    (tmp_path / "pets" / "bees" / "bad.jpg").write_bytes(b"no picture")
    images, store = scan(tmp_path / "pets"), FeatureStore(tmp_path / "s", create=True)
    work = computed(plan_for(store, images))
    digest = {name: images.digests[images.paths.index(name)].tobytes() for name in (b"ants/pages.tif", b"bees/bad.jpg")}
    assert work.remarks == {digest[b"ants/pages.tif"]: "the first of 2 pages"}
    assert work.failures == {digest[b"bees/bad.jpg"]: "not a supported image: text"}
    assert list(store.failures(PRINTS["avgpool"])) == [digest[b"bees/bad.jpg"]]
