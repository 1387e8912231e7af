import json

import pytest
from click.testing import CliRunner

from featstore import FeatureStore
from featstore.errors import StoreFormatError, StoreNotFoundError
from featstore_scripts.info import info
from tests.support.store_inputs import PROVENANCE, fingerprint, images, rows


@pytest.fixture
def store(tmp_path):
    store = FeatureStore(tmp_path / "s", create=True)
    store.put_imageset(images("abcd", splits=["train", "train", "val", "val"], problems="d"))
    store.commit(fingerprint(), rows("abc", failed="c"), PROVENANCE)
    store.commit(fingerprint(node="layer3"), rows("abc", dim=3), {"engine": "openvino"})
    return store


def test_json_says_what_the_contract_says(store):
    document = json.loads(CliRunner().invoke(info, [str(store.path), "--json"]).stdout)
    (pets,) = document["datasets"]
    assert document["format"] == 1 and (pets["name"], pets["images"], pets["classes"]) == ("pets", 4, ["a", "b"])
    assert pets["splits"] == {"train": 2, "val": 2} and pets["skipped"] == 1
    assert pets["skipped_files"] == [{"path": "notes.txt", "reason": "no image"}]
    assert pets["failed"] == [
        {"path": "a/c.jpg", "reason": "c cannot be decoded", "features": [fingerprint().key]},
        {"path": "b/d.jpg", "reason": "permission denied", "features": []},
    ]
    features = {f["node"]: f for f in document["features"]}
    pooled = features["avgpool"]
    assert {
        name: pooled[name] for name in ("key", "backbone", "pool", "weights", "precision", "dim", "rows", "failed")
    } == {
        "key": fingerprint().key,
        "backbone": "resnet18",
        "pool": "avg",
        "weights": "IMAGENET1K_V1",
        "precision": "fp32",
        "dim": 8,
        "rows": 2,
        "failed": 1,
    }
    assert pooled["provenance"] == [PROVENANCE] and features["layer3"]["dim"] == 3
    shards = store.path / "features" / fingerprint().key / "shards"
    assert pooled["bytes"] == sum(path.stat().st_size for path in shards.iterdir())


def test_the_table_cuts_nothing_off(store):
    text = CliRunner().invoke(info, [str(store.path)]).stdout
    for part in ("pets", "train 2, val 2", fingerprint().key, "resnet18 layer3 avg fp32", "IMAGENET1K_V1"):
        assert part in text
    assert "a/c.jpg: c cannot be decoded" in text and "b/d.jpg: permission denied" in text
    assert "computed with engine eager, versions.torch 2.15" in text and "engine openvino" in text


def test_an_empty_store(tmp_path):
    FeatureStore(tmp_path / "s", create=True)
    result = CliRunner().invoke(info, [str(tmp_path / "s")])
    assert "no data set yet" in result.stdout and "no features yet" in result.stdout
    document = json.loads(CliRunner().invoke(info, [str(tmp_path / "s"), "--json"]).stdout)
    assert document["datasets"] == document["features"] == []


def test_no_store_is_one_error(tmp_path):
    assert isinstance(CliRunner().invoke(info, [str(tmp_path / "none")]).exception, StoreNotFoundError)
    assert isinstance(CliRunner().invoke(info, [str(tmp_path)]).exception, StoreFormatError)


def test_skipped_files_are_listed_with_their_reasons(store):
    out = CliRunner().invoke(info, [str(store.path)]).stdout
    assert "Left out of pets:\n  notes.txt: no image" in out


def test_a_damaged_newest_manifest_is_said(store):
    key = fingerprint().key
    store.commit(fingerprint(), rows("d"), PROVENANCE)
    newest = sorted((store.path / "features" / key / "manifests").iterdir())[-1]
    newest.write_bytes(newest.read_bytes()[:-9] + b"123456789")
    result = CliRunner().invoke(info, [str(store.path)])
    assert f"{key}: manifest 2 is damaged, so this is the state before; run `featstore repair" in result.stdout
    document = json.loads(CliRunner().invoke(info, [str(store.path), "--json"]).stdout)
    assert {f["key"]: f["damaged_manifests"] for f in document["features"]}[key] == [2]
