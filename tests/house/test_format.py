"""docs/format.md against real stores: its code blocks are run, and what it says about files is looked up in them."""

import hashlib
import json
import re
from pathlib import Path

import h5py
import numpy as np
import pytest

from featstore import FeatureStore
from tests.support.store_inputs import PROVENANCE, digests, features, fingerprint, images, rows

TEXT = (Path(__file__).resolve().parents[2] / "docs" / "format.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", TEXT, re.S)
KEY = fingerprint().key


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    store = FeatureStore(tmp_path_factory.mktemp("format") / "s", create=True)
    store.put_imageset(images("abc"))
    store.commit(fingerprint(), rows("abc", dim=40_000, failed="b"), PROVENANCE)
    return store


@pytest.fixture(scope="module")
def entry(store):
    manifest = store.path / "features" / KEY / "manifests" / "00000001.json"
    return json.loads(manifest.read_bytes())["shards"][0]


def run(block, store, entry, **names):
    block = block.replace("STORE", str(store.path)).replace("<key>", KEY).replace("<sha256>", entry["sha256"])
    space = {"h5py": h5py, **names}
    exec(block, space)
    return space


def test_the_reader_of_shards(store, entry):
    found = run(BLOCKS[0], store, entry)
    np.testing.assert_array_equal(found["X"][found["ok"]], features("ac", 40_000))
    np.testing.assert_array_equal(found["digest"], digests("abc"))
    assert found["ok"].tolist() == [True, False, True] and found["about"]["fingerprint"] == fingerprint().to_json()


def test_the_checksum_of_features(store, entry):
    X = run(BLOCKS[0], store, entry)["X"]
    assert run(BLOCKS[1], store, entry, X=X)["features_check"] == entry["features_check"]


def test_the_reader_of_image_sets(store, entry):
    assert tuple(run(BLOCKS[2], store, entry)["paths"]) == images("abc").paths


def test_sealed_json_and_the_key_without_this_library(store):
    def canonical(document):
        return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()

    head = (store.path / "images" / "pets" / "00000001.h5").read_bytes()
    sealed = [path.read_bytes() for path in store.path.rglob("*.json")] + [head[:4096].rstrip(b" ")]
    assert len(sealed) == 4
    for data in sealed:
        document = json.loads(data)
        sha256 = document.pop("sha256")
        assert hashlib.sha256(canonical(document)).hexdigest() == sha256 and document["format"] == 1
        assert canonical({**document, "sha256": sha256}) + b"\n" == data
    assert json.loads(sealed[-1])["body_sha256"] == hashlib.sha256(head[4096:]).hexdigest()
    keyed = json.loads((store.path / "features" / KEY / "fingerprint.json").read_bytes())["fingerprint"]
    del keyed["weights"]
    assert hashlib.sha256(canonical(keyed)).hexdigest()[:16] == KEY


def test_the_manifest_says_where_the_arrays_lie(store, entry):
    data = (store.path / "features" / KEY / "shards" / f"{entry['sha256']}.h5").read_bytes()
    assert hashlib.sha256(data).hexdigest() == entry["sha256"] and len(data) == entry["bytes"]
    arrays = {}
    for name, (offset, dtype, shape) in entry["layout"].items():
        arrays[name] = np.frombuffer(data, dtype, int(np.prod(shape)), offset).reshape(shape)
    np.testing.assert_array_equal(arrays["features"][[0, 2]], features("ac", 40_000))
    index = b"".join(arrays[name].tobytes() for name in ("digest", "status", "reason"))
    assert hashlib.sha256(index).hexdigest() == entry["index_sha256"]


def test_every_file_of_a_store_is_described(store):
    kinds = {
        re.sub(r"[0-9a-f]{64}|[0-9a-f]{16}|[0-9]{8}", "N", str(p.relative_to(store.path)))
        for p in store.path.rglob("*.*")
    }
    assert kinds == {
        "store.json",
        "images/pets/N.h5",
        "features/N/fingerprint.json",
        "features/N/shards/N.h5",
        "features/N/manifests/N.json",
    }
