import hashlib
import json

import pytest

from featstore.errors import FingerprintMismatchError
from featstore.fingerprint import Fingerprint
from tests.support.store_inputs import fingerprint


def test_key_is_the_hash_of_the_keyed_fields():
    f = fingerprint()
    keyed = {
        "backbone": "resnet18",
        "weights_sha256": f.weights_sha256,
        "node": "avgpool",
        "pool": "avg",
        "transform": {"resize": 256, "crop": 224, "mean": [0.485, 0.456, 0.406]},
        "decode": {"version": 1},
        "precision": "fp32",
    }
    text = json.dumps(keyed, sort_keys=True, separators=(",", ":"))
    assert f.key == hashlib.sha256(text.encode()).hexdigest()[:16]


@pytest.mark.parametrize(
    "change",
    [
        {"backbone": "resnet34"},
        {"weights_sha256": "0" * 64},
        {"node": "layer3"},
        {"pool": "max"},
        {"transform": {"resize": 256, "crop": 192, "mean": [0.485, 0.456, 0.406]}},
        {"decode": {"version": 2}},
        {"precision": "bf16"},
    ],
    ids=lambda change: next(iter(change)),
)
def test_every_keyed_field_changes_the_key(change):
    assert fingerprint(**change).key != fingerprint().key
    assert fingerprint(**change) != fingerprint()


def test_the_label_changes_neither_key_nor_equality():
    other = fingerprint(weights="file x.pth")
    assert other == fingerprint() and hash(other) == hash(fingerprint()) and other.key == fingerprint().key


def test_tuples_and_the_lists_that_json_makes_of_them_are_the_same():
    a = fingerprint(transform={"mean": (0.1, 0.2)})
    assert a == fingerprint(transform={"mean": [0.1, 0.2]})


def test_json_round_trip_keeps_everything():
    f = fingerprint(weights="file x.pth")
    again = Fingerprint.from_json(json.loads(json.dumps(f.to_json())))
    assert again == f and again.key == f.key and again.weights == "file x.pth"


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"weights_sha256": "abc"}, "weights_sha256 is 'abc', not 64 lower-case hex digits"),
        ({"precision": "fp64"}, "precision is 'fp64', not one of fp32, bf16, fp16"),
        ({"node": 3}, "node is 3, not a text"),
        ({"transform": [1]}, "transform is .* not a mapping"),
    ],
)
def test_a_malformed_fingerprint_is_refused(change, sentence):
    with pytest.raises(FingerprintMismatchError, match=sentence):
        fingerprint(**change)


def test_missing_and_unknown_fields_are_refused():
    document = fingerprint().to_json()
    document["colour"] = document.pop("node")
    with pytest.raises(FingerprintMismatchError, match=r"\['colour', 'node'\]"):
        Fingerprint.from_json(document)
    with pytest.raises(FingerprintMismatchError, match="not list"):
        Fingerprint.from_json([])


def test_what_the_network_sees_is_told_with_the_decode_rules_that_are_on():
    made = fingerprint(transform={"crop": 224, "bit_depth": 12, "allow_truncated": True, "jpeg_scaling": True})
    assert made.input == "224 px jpeg-scaling allow-truncated 12-bit"
    assert fingerprint(transform={"crop": 224}).input == "224 px"


def test_features_that_were_rounded_have_a_key_of_their_own():
    half = fingerprint(store_dtype="fp16")
    assert half == fingerprint().stored_as("fp16") and half.rounded and half.numbers == "fp32 rounded to fp16"
    assert half.key != fingerprint().key and half != fingerprint()
    keyed = json.dumps({**fingerprint().keyed, "store_dtype": "fp16"}, sort_keys=True, separators=(",", ":"))
    assert half.key == hashlib.sha256(keyed.encode()).hexdigest()[:16]
    again = Fingerprint.from_json(json.loads(json.dumps(half.to_json())))
    assert again == half and again.key == half.key
    assert fingerprint(precision="bf16", store_dtype="fp16").numbers == "bf16 rounded to fp16"


def test_what_was_not_rounded_says_nothing_of_it():
    assert "store_dtype" not in fingerprint().to_json() and fingerprint().numbers == "fp32"
    computed = fingerprint(precision="fp16")
    assert computed.store_dtype == "fp16" and not computed.rounded and "store_dtype" not in computed.to_json()
    assert computed.stored_as("fp32") == computed.stored_as("fp16") == computed


@pytest.mark.parametrize("document", [{"store_dtype": "fp32"}, {"store_dtype": "fp16", "precision": "fp16"}])
def test_one_feature_set_has_one_spelling(document):
    with pytest.raises(FingerprintMismatchError, match="names store_dtype though nothing was rounded"):
        Fingerprint.from_json({**fingerprint().to_json(), **document})


def test_an_unknown_type_is_refused():
    with pytest.raises(FingerprintMismatchError, match="store_dtype is 'int8', not one of fp32, fp16"):
        fingerprint(store_dtype="int8")
    with pytest.raises(FingerprintMismatchError, match="store_dtype is None, not a text"):
        Fingerprint.from_json({**fingerprint().to_json(), "store_dtype": None})
