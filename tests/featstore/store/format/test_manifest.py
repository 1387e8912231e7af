import dataclasses
import json
import os

import pytest

from featstore.errors import StoreDamagedError, StoreFormatError
from featstore.store.format.manifest import Manifest, numbered, numbered_name
from featstore.store.format.sealed import seal, unseal
from featstore.store.format.shard import encode
from tests.support.store_inputs import PROVENANCE, fingerprint, rows


def manifest() -> Manifest:
    f = fingerprint()
    entries = [
        encode(rows("ab"), f, PROVENANCE)[1],
        encode(rows("cd"), f, {"engine": "openvino"})[1],
        encode(rows("ef", failed="f"), f, PROVENANCE)[1],
    ]
    return Manifest(7, f.key, 6, rows=5, failed=1, shards=tuple(entries))


def read(data: bytes, number=7, key=None) -> Manifest:
    return Manifest.from_bytes(data, "7.json", number, key or fingerprint().key)


def test_round_trip():
    given = manifest()
    found = read(given.to_bytes())
    assert found.shards == given.shards and (found.number, found.parent, found.rows, found.failed) == (7, 6, 5, 1)
    assert found.dim == 8 and found.size == sum(entry.size for entry in given.shards)
    assert found.file_name == "00000007.json"


def test_each_provenance_is_written_once():
    given = manifest()
    document = json.loads(given.to_bytes())
    assert document["provenance"] == [PROVENANCE, {"engine": "openvino"}]
    assert [entry["provenance"] for entry in document["shards"]] == [0, 1, 0]
    assert given.provenance == (PROVENANCE, {"engine": "openvino"})


def test_a_manifest_of_rounded_features_has_format_2_and_older_versions_refuse_it_in_words():
    half = fingerprint(store_dtype="fp16")
    given = Manifest(7, half.key, 6, rows=2, failed=0, shards=(encode(rows("ab"), half, PROVENANCE)[1],))
    data = given.to_bytes()
    assert json.loads(data)["format"] == 2 and json.loads(manifest().to_bytes())["format"] == 1
    assert read(data, key=half.key).shards == given.shards
    with pytest.raises(StoreFormatError, match="7.json has format 2; this featstore reads up to format 1: upgrade"):
        unseal(data, "7.json", newest=1)  # what every version before this one does


def test_a_manifest_in_another_place_is_damage():
    with pytest.raises(StoreDamagedError, match="belongs elsewhere"):
        read(manifest().to_bytes(), number=8)
    with pytest.raises(StoreDamagedError, match="belongs elsewhere"):
        read(manifest().to_bytes(), key="0" * 16)


@pytest.mark.parametrize(
    "change",
    [
        {"shards": None},
        {"shards": [1]},
        {"provenance": []},
        {"provenance": {}},
        {"number": True},
        {"rows": -1},
        {"failed": "1"},
        {"parent": None},
    ],
    ids=str,
)
def test_a_sealed_document_that_is_no_manifest_is_damage(change):
    document = {k: v for k, v in json.loads(manifest().to_bytes()).items() if k not in ("sha256", "format")}
    with pytest.raises(StoreDamagedError, match="7.json is no"):
        read(seal({**document, **change}))


def test_one_shard_twice_or_of_another_width_is_damage():
    entry = manifest().shards[0]
    wide = encode(rows("gh", dim=9), fingerprint(), PROVENANCE)[1]
    for shards in ((entry, entry), (entry, wide)):
        with pytest.raises(StoreDamagedError, match="several widths, or one shard twice"):
            read(dataclasses.replace(manifest(), shards=shards).to_bytes())


def test_numbered_finds_numbers_and_claims_and_nothing_else(tmp_path):
    for name in ("00000001.json", "00000012.json", "00000013.json.claim", "7.json", "00000004.h5", "000000005.json",
                 "x.json", "00000099.json.part"):  # fmt: skip
        (tmp_path / name).write_bytes(b"")
    assert numbered(tmp_path, ".json").present == (1, 12) and numbered(tmp_path, ".json").highest == 13
    (tmp_path / "00000020.json").mkdir()
    os.mkfifo(tmp_path / "00000021.json")
    assert numbered(tmp_path, ".json").present == (1, 12, 20, 21), "a name that is taken counts, whatever it is"
    assert numbered(tmp_path, ".h5").present == (4,)
    assert numbered(tmp_path / "none", ".h5").highest == 0


def test_numbers_may_grow_beyond_eight_digits(tmp_path):
    (tmp_path / numbered_name(123456789, ".json")).write_bytes(b"")
    assert numbered(tmp_path, ".json").present == (123456789,)


def test_entries_that_are_known_are_taken_and_others_are_not():
    given = manifest()
    known = {entry.sha256: entry for entry in given.shards}
    found = Manifest.from_bytes(given.to_bytes(), "7.json", 7, fingerprint().key, known)
    assert all(entry is known[entry.sha256] for entry in found.shards)
    first = given.shards[0]
    for changes in ({"rows": 3}, {"provenance": {"engine": "another"}}, {"features_check": "0" * 64}):
        other = {first.sha256: object.__new__(type(first))}
        vars(other[first.sha256]).update({**vars(first), **changes})
        vars(other[first.sha256]).pop("_document", None)
        found = Manifest.from_bytes(given.to_bytes(), "7.json", 7, fingerprint().key, other)
        assert found.shards == given.shards and found.shards[0] is not other[first.sha256]
