"""Promise 12: stale features are noticed: other content, another time, other weights, another transform."""

import os

import numpy as np
import pytest

from featstore import FeatureStore
from featstore.backbone import Backbone
from featstore.errors import StoreNotFoundError
from tests.support.killing import run
from tests.support.pictures import encode, texture, write_tree
from tests.support.store_inputs import PROVENANCE, digests, fingerprint, rows


@pytest.fixture
def extracted(quick_path):
    folder = write_tree(quick_path / "set", each=3)
    assert run("extraction", folder, quick_path / "s") == 0
    return folder, quick_path / "s", folder / "ants" / "001.jpg"


def altered(path):
    """Other bytes of the same length."""
    data = path.read_bytes()
    other = encode(texture(77, 40, 36), quality=30)
    path.write_bytes(other[: len(data)].ljust(len(data), b"\0"))
    assert path.read_bytes() != data


def rows_of(store):
    return dict(zip(FeatureStore(store).read().ids, FeatureStore(store).read().X, strict=True))


def test_changed_content_with_the_same_size_and_time_is_found_with_content(extracted, quick_path):
    folder, store, victim = extracted
    before, time = rows_of(store), victim.stat()
    altered(victim)
    os.utime(victim, ns=(time.st_atime_ns, time.st_mtime_ns))
    said = quick_path / "said"
    assert run("command", ["verify", str(store)], said) == 0
    assert run("command", ["verify", str(store), "--content", str(folder)], said) == 1
    assert "changed: ants/001.jpg (size and time are as before)" in said.read_text()
    assert (
        "run `featstore extract" in said.read_text() and "--content` to bring the store up to date" in said.read_text()
    )
    assert run("command", ["extract", str(folder), "-s", str(store), "-j", "0", "--content"], said) == 0
    assert "computed 1, cached 5" in said.read_text()
    after = rows_of(store)
    assert not np.array_equal(after["ants/001.jpg"], before["ants/001.jpg"])
    assert all(np.array_equal(after[name], x) for name, x in before.items() if name != "ants/001.jpg")
    assert run("command", ["verify", str(store), "--content", str(folder)], said) == 0


def test_a_changed_time_is_enough_for_another_look(extracted, quick_path):
    folder, store, victim = extracted
    altered(victim)
    assert run("command", ["extract", str(folder), "-s", str(store), "-j", "0"], quick_path / "said") == 0
    assert "computed 1, cached 5" in (quick_path / "said").read_text()


def test_a_touched_file_with_the_same_bytes_costs_nothing(extracted, quick_path):
    folder, store, victim = extracted
    os.utime(victim, ns=(1, 1))
    assert run("command", ["extract", str(folder), "-s", str(store), "-j", "0"], quick_path / "said") == 0
    assert "computed 0, cached 6" in (quick_path / "said").read_text()


@pytest.mark.parametrize(
    "change",
    [
        {"weights_sha256": "0" * 64}, {"transform": {"resize": 256, "crop": 224}}, {"decode": {"version": 2}},
        {"node": "layer3"}, {"pool": "max"}, {"precision": "bf16"}, {"backbone": "resnet34"},
    ],
    ids=lambda change: next(iter(change)),
)  # fmt: skip
def test_whatever_the_numbers_depend_on_has_features_of_its_own(tmp_path, change):
    store = FeatureStore(tmp_path / "s", create=True)
    store.commit(fingerprint(), rows("ab"), PROVENANCE)
    assert fingerprint(**change).key != fingerprint().key
    assert store.missing(fingerprint(**change), digests("ab")).all()
    assert not store.missing(fingerprint(), digests("ab")).any()


def test_real_networks_with_other_weights_or_another_size_have_other_keys(extracted):
    _, store, _ = extracted
    keys = {
        Backbone("resnet18", "none", input_size=size, seed=seed).fingerprints("fp32")["avgpool"].key
        for size, seed in ((32, 0), (32, 1), (64, 0))
    }
    assert len(keys) == 3
    (other,) = [key for key in keys if key in {i.key for i in FeatureStore(store).features()}]
    for key in keys - {other}:
        with pytest.raises(StoreNotFoundError):
            FeatureStore(store).read(key=key)
