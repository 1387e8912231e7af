import hashlib
import json

import pytest
from hypothesis import given, strategies as st

from featstore.errors import StoreDamagedError, StoreFormatError
from featstore.store.format.sealed import FORMAT, seal, unseal
from featstore.system.canonical_json import canonical_json


def test_round_trip():
    document = {"a": [1, 2.5, "é"], "b": {"c": None}}
    assert unseal(seal(document), "x") == document


def test_a_sealed_document_is_plain_json_with_its_format():
    assert json.loads(seal({"a": 1}))["format"] == FORMAT


def test_every_flipped_bit_is_noticed():
    data = seal({"a": [1, 2], "name": "x"})
    for i in range(len(data)):
        for bit in range(8):
            flipped = bytearray(data)
            flipped[i] ^= 1 << bit
            with pytest.raises((StoreDamagedError, StoreFormatError)):
                unseal(bytes(flipped), "x")


@pytest.mark.parametrize("data", [b"", b"[]\n", b"{}\n", b"[" * 100_000, b'{"a": NaN}', b"\xff", b"1" * 5000])
def test_other_bytes_are_damage(data):
    with pytest.raises(StoreDamagedError, match=r"manifest.json is damaged .* run `featstore repair`"):
        unseal(data, "manifest.json")


def test_another_spelling_of_the_same_json_is_damage():
    spelled = json.dumps(json.loads(seal({"a": 1})), indent=1).encode()
    with pytest.raises(StoreDamagedError, match="does|do not have the hash"):
        unseal(spelled, "x")


def test_a_newer_format_is_said_to_be_one_whatever_else_it_holds():
    with pytest.raises(StoreFormatError, match=f"has format {FORMAT + 1}; this featstore reads up to format {FORMAT}"):
        unseal(json.dumps({"format": FORMAT + 1, "new": True}).encode(), "x")


def test_a_changed_format_number_is_damage_not_a_newer_format():
    data = seal({"a": 1}).replace(b'"format":1', b'"format":3')
    with pytest.raises(StoreDamagedError, match="do not have the hash"):
        unseal(data, "x")


@given(st.dictionaries(st.text(), st.recursive(st.none() | st.integers() | st.text(), lambda inner: st.lists(inner))))
def test_the_bytes_are_those_of_canonical_json(document):
    document = {name: value for name, value in document.items() if name not in ("format", "sha256")}
    body = {**document, "format": 1}
    sha256 = hashlib.sha256(canonical_json(body)).hexdigest()
    assert seal(document) == canonical_json({**body, "sha256": sha256}) + b"\n"
    assert unseal(seal(document), "it") == document
