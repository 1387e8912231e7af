"""Promise 7: a flipped bit is never returned as data: a typed error or the same data, for every byte there is."""

import shutil
import time
import warnings

import numpy as np
import pytest

from classifiers.heads.registry import make_head
from classifiers.models.bundle import load_bundle, save_bundle
from featstore import FeatureStore
from featstore.errors import BundleError, FeatstoreError
from tests.support.feature_sets import feature_set
from tests.support.store_inputs import PROVENANCE, fingerprint, images, rows, tree

SECONDS = 1.0


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    store = FeatureStore(tmp_path_factory.mktemp("flip") / "s", create=True)
    store.put_imageset(images("abc"))
    store.commit(fingerprint(), rows("ab", dim=2), PROVENANCE)
    store.commit(fingerprint(), rows("cd", dim=2, failed="d"), PROVENANCE)
    return store.path


def said(path):
    """All that a store says."""
    store = FeatureStore(path)
    data, pictures = store.read(), store.imageset()
    lists = [pictures.paths, pictures.classes, pictures.labels.tolist(), pictures.skipped, pictures.root, data.failed]
    infos = [(f.fingerprint.to_json(), f.dim, f.rows, f.failed, f.bytes, f.provenance) for f in store.features()]
    return [
        data.X.tobytes(),
        data.ids,
        data.y.tolist(),
        data.classes,
        data.digests.tobytes(),
        *lists,
        infos,
        store.uuid,
        store.failures(fingerprint()),
    ]


def shards(path):
    return FeatureStore(path).table(fingerprint().key).snapshot().manifest.shards


def flipped(path, place, step):
    """Flip every `step`th byte, and all of the rows', one at a time; how many flips, and how many errors."""
    copy = place / "copy"
    shutil.copytree(path, copy)
    expected, flips, errors, slowest = said(copy), 0, 0, 0.0
    blocks = {entry.file_name: entry.layout.values() for entry in shards(copy)}
    for name, (data, _) in tree(copy).items():
        offsets = set(range(flips % step, len(data), step))
        for block in blocks.get(name.rpartition("/")[2], ()):
            size = np.dtype(block.dtype).itemsize * int(np.prod(block.shape))
            offsets |= set(range(block.offset, block.offset + size))
        for offset in sorted(offsets):
            (copy / name).write_bytes(data[:offset] + bytes([data[offset] ^ (1 << offset % 8)]) + data[offset + 1 :])
            began = time.monotonic()
            try:
                assert said(copy) == expected, (name, offset)
            except FeatstoreError:
                errors += 1
            slowest = max(slowest, time.monotonic() - began)
            flips += 1
        (copy / name).write_bytes(data)
    assert slowest < SECONDS
    return flips, errors


def test_bytes_of_a_store_flipped_one_at_a_time(small, quick_path):
    flips, errors = flipped(small, quick_path, 41)
    assert flips > 300 and errors > 100


@pytest.mark.soak
@pytest.mark.timeout(0)
def test_every_byte_of_a_store_flipped(small, quick_path, capsys):
    flips, errors = flipped(small, quick_path, 1)
    with capsys.disabled():
        print(f"\n{flips} bytes flipped, {errors} typed errors, the rest the same data")


def test_verify_names_the_file_of_every_flip(small, quick_path):
    copy = quick_path / "copy"
    shutil.copytree(small, copy)
    for name, (data, _) in tree(copy).items():
        for offset in range(0, len(data), max(1, len(data) // 5)):
            (copy / name).write_bytes(data[:offset] + bytes([data[offset] ^ 255]) + data[offset + 1 :])
            assert [problem.path for problem in FeatureStore.verify(_Unopened(copy)).problems] == [name]
        (copy / name).write_bytes(data)


class _Unopened:
    """A store that cannot be opened because its `store.json` is damaged."""

    def __init__(self, path):
        self.path = path


@pytest.mark.parametrize("step", [23, pytest.param(1, marks=[pytest.mark.soak, pytest.mark.timeout(0)])])
def test_bytes_of_a_bundle_flipped_one_at_a_time(tmp_path, step):
    rng = np.random.default_rng(0)
    y = np.arange(40) % 2
    data = feature_set(rng.normal(size=(40, 3)) + y[:, None], y)
    head = make_head("centroid", budget="quick", cv=3).fit(data.X, data.y)
    recipe = {"format": 1, "backbone": "resnet18", "weights": {"kind": "random"}, "nodes": ["avgpool"]}
    save_bundle(tmp_path / "b", head, data, recipe, data.classes, name="centroid")
    good, expected = (tmp_path / "b").read_bytes(), load_bundle(tmp_path / "b").predict_proba(data)
    errors = 0
    for offset in range(0, len(good), step):
        (tmp_path / "b").write_bytes(good[:offset] + bytes([good[offset] ^ (1 << offset % 8)]) + good[offset + 1 :])
        began = time.monotonic()
        try:
            np.testing.assert_array_equal(load_bundle(tmp_path / "b").predict_proba(data), expected)
        except BundleError:
            errors += 1
        assert time.monotonic() - began < SECONDS
    assert errors > len(good) // step * 0.8


@pytest.mark.soak
@pytest.mark.timeout(0)
def test_shards_with_changed_bytes_and_a_right_name_do_not_crash_the_check(tmp_path, capsys):
    """What a hostile hand makes: damage that the hash agrees with reaches the HDF5 library, under guards."""
    import hashlib
    import multiprocessing

    from featstore.store.format.shard import encode

    data, _ = encode(rows("abc", dim=3), fingerprint(), PROVENANCE)
    good, seen = bytes(data), {"error": 0, "same": 0, "crash": 0}
    rng = np.random.default_rng(0)
    warnings.simplefilter("ignore")
    context = multiprocessing.get_context("fork")
    for _ in range(40):
        changed = []
        for _ in range(100):
            some = bytearray(good)
            for at in rng.integers(0, min(len(good), 6000), rng.integers(1, 4)):
                some[at] = rng.integers(0, 256)
            changed.append(bytes(some))
        process = context.Process(target=_check_all, args=(changed, tmp_path))
        process.start()
        process.join(120)
        seen["crash"] += process.exitcode != 0
        process.kill()
    with capsys.disabled():
        print(f"\n4000 forged shards in 40 processes: {seen['crash']} processes crashed")
    assert not seen["crash"] and hashlib.sha256(good).hexdigest()


def _check_all(changed, folder):
    import hashlib

    from featstore.store.maintenance.shard_check import check_shard

    for data in changed:
        path = folder / f"{hashlib.sha256(data).hexdigest()}.h5"
        path.write_bytes(data)
        try:
            check_shard(path, None, fingerprint().key)
        except FeatstoreError:
            continue
        finally:
            path.unlink()
