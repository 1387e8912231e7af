"""What a network's features were last time, read only while nothing has changed."""

import os

import pytest

from featstore.backbone import fingerprint_cache
from featstore.backbone.fingerprint_cache import (
    FeatureSpecs,
    find_feature_specs,
    load_feature_specs,
    save_feature_specs,
)
from featstore.decoding.pixels import decode
from featstore.system.user_cache import cache_folder
from tests.support.store_inputs import fingerprint

REQUEST = {"weights": "file.pth", "nodes": ("avgpool",), "pool": "avg", "input_size": None, "seed": 0}
SEEN = fingerprint(decode=decode.RULES)
KNOWN = FeatureSpecs({"avgpool": SEEN}, {"avgpool": 512}, "x.pth: left out: a", "x.pth: all of it")


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "featstore"


@pytest.fixture
def weights(tmp_path):
    file = tmp_path / "file.pth"
    file.write_bytes(b"weights")
    save_feature_specs("resnet18", "fp32", REQUEST, KNOWN, file)
    return file


def test_the_same_request_gets_the_same_answer(weights, cache):
    found = load_feature_specs("resnet18", "fp32", REQUEST)
    assert found == KNOWN and found.fingerprints["avgpool"].key == KNOWN.fingerprints["avgpool"].key
    assert cache_folder() == cache and len(list(cache.rglob("*.json"))) == 1


@pytest.mark.parametrize(
    ("backbone", "precision", "change"),
    [
        ("resnet34", "fp32", {}),
        ("resnet18", "bf16", {}),
        ("resnet18", "fp32", {"nodes": ("layer3",)}),
        ("resnet18", "fp32", {"pool": "max"}),
        ("resnet18", "fp32", {"input_size": 64}),
        ("resnet18", "fp32", {"seed": 1}),
        ("resnet18", "fp32", {"weights": "other.pth"}),
    ],
)
def test_another_request_gets_none(weights, backbone, precision, change):
    assert load_feature_specs(backbone, precision, {**REQUEST, **change}) is None


def test_a_changed_weights_file_is_noticed_also_with_its_old_time(weights):
    status = os.stat(weights)
    weights.write_bytes(b"WEIGHTS")
    os.utime(weights, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert load_feature_specs("resnet18", "fp32", REQUEST) is None


def test_any_request_tells_of_features_and_weights_that_are_the_same(weights, tmp_path):
    assert find_feature_specs(SEEN, weights) == KNOWN
    assert find_feature_specs(fingerprint(node="layer1", decode=decode.RULES), weights) is None
    assert find_feature_specs(fingerprint(weights_sha256="f" * 64, decode=decode.RULES), weights) is None
    assert find_feature_specs(SEEN, None) is None
    copy = tmp_path / "copy.pth"
    copy.write_bytes(weights.read_bytes())
    assert find_feature_specs(SEEN, copy) is None
    weights.write_bytes(b"others!")
    assert find_feature_specs(SEEN, weights) is None


def test_rules_of_decoding_that_are_gone_tell_nothing(weights, monkeypatch):
    monkeypatch.setattr(decode, "RULES", {**decode.RULES, "version": 99})
    assert find_feature_specs(SEEN, weights) is None


def test_other_versions_tell_nothing_of_features(weights, monkeypatch):
    monkeypatch.setattr(fingerprint_cache, "version", lambda name: "99.0")
    assert find_feature_specs(SEEN, weights) is None


@pytest.mark.parametrize("damage", [b"", b"{}", b"[]", b"\xff"])
def test_damaged_entries_tell_nothing_of_features(weights, cache, damage):
    next(cache.rglob("*.json")).write_bytes(damage)
    assert find_feature_specs(SEEN, weights) is None


def test_a_link_that_leads_to_another_file_now_is_noticed(tmp_path, cache):
    first, second, link = tmp_path / "a.pth", tmp_path / "b.pth", tmp_path / "latest.pth"
    first.write_bytes(b"weights")
    second.write_bytes(b"others!")
    link.symlink_to(first)
    asked = {**REQUEST, "weights": str(link)}
    save_feature_specs("resnet18", "fp32", asked, KNOWN, link)
    made = KNOWN.fingerprints["avgpool"]
    assert load_feature_specs("resnet18", "fp32", asked) == KNOWN and find_feature_specs(made, first) is not None
    link.unlink()
    link.symlink_to(second)  # the first one is still there, unchanged
    assert load_feature_specs("resnet18", "fp32", asked) is None
    assert find_feature_specs(made, first) is None and find_feature_specs(made, second) is None


def test_a_weights_file_that_is_gone_is_noticed(weights):
    weights.unlink()
    assert load_feature_specs("resnet18", "fp32", REQUEST) is None


def test_other_decode_rules_or_another_folder_get_none(weights, monkeypatch, tmp_path):
    monkeypatch.setattr(decode, "RULES", {**decode.RULES, "version": 99})
    assert load_feature_specs("resnet18", "fp32", REQUEST) is None
    monkeypatch.undo()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert load_feature_specs("resnet18", "fp32", REQUEST) == KNOWN
    monkeypatch.chdir(tmp_path)  # a relative name means another file there
    assert load_feature_specs("resnet18", "fp32", REQUEST) is None


@pytest.mark.parametrize("damage", [b"", b"{}", b"[]", b"null", b"\xff\xfe", b'{"path":null,"file":null}'])
def test_a_damaged_entry_is_none(weights, cache, damage):
    next(cache.rglob("*.json")).write_bytes(damage)
    assert load_feature_specs("resnet18", "fp32", REQUEST) is None


def test_a_cache_folder_that_cannot_be_written_is_no_failure(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    save_feature_specs("resnet18", "fp32", REQUEST, KNOWN, None)
    assert load_feature_specs("resnet18", "fp32", REQUEST) is None
