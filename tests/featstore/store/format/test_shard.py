import dataclasses
import hashlib
import io
import json

import h5py
import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from featstore.errors import FeaturesError, StoreDamagedError
from featstore.store.format.container import pack
from featstore.store.format.rows import FAILED, OK, PASSING, Rows
from featstore.store.format.shard import REASON_LIMIT, ShardEntry, decode, encode, parse_index
from tests.support.store_inputs import PROVENANCE, digests, features, fingerprint, rows


def test_plain_h5py_reads_a_shard(tmp_path):
    data, entry = encode(rows("abc", failed="b"), fingerprint(), PROVENANCE)
    (tmp_path / entry.file_name).write_bytes(data)
    with h5py.File(tmp_path / entry.file_name, "r") as file:
        np.testing.assert_array_equal(file["digest"][:], digests("abc"))
        assert file["status"][:].tolist() == [OK, FAILED, OK]
        np.testing.assert_array_equal(file["features"][:][[0, 2]], features("ac"))
        assert file["reason"][:].tolist() == [b"", b"b cannot be decoded", b""]
        said = json.loads(file.attrs["featstore"])
    assert said["fingerprint"] == fingerprint().to_json() and said["key"] == fingerprint().key
    assert said["provenance"] == PROVENANCE and (said["rows"], said["dim"], said["failed"]) == (3, 8, 1)


def test_a_shard_is_named_by_its_hash():
    data, entry = encode(rows("ab"), fingerprint(), PROVENANCE)
    assert entry.file_name == hashlib.sha256(data).hexdigest() + ".h5" and entry.size == len(data)


def test_decode_gives_back_rows_fingerprint_and_entry():
    given = rows("abc", failed="c", status=PASSING)
    data, entry = encode(given, fingerprint(), PROVENANCE)
    found, f, again = decode(bytes(data))
    assert f == fingerprint() and f.weights == "IMAGENET1K_V1" and again == entry
    np.testing.assert_array_equal(found.X, given.X)
    np.testing.assert_array_equal(found.digests, given.digests)
    assert found.status.tolist() == given.status.tolist() and found.reasons == given.reasons


def test_fp16_is_stored_as_it_is_and_bf16_exactly_in_float32():
    half, entry = encode(rows("ab"), fingerprint(precision="fp16"), {})
    assert entry.layout["features"].dtype == "<f2"
    np.testing.assert_array_equal(decode(bytes(half))[0].X, features("ab").astype(np.float16))
    bits = features("ab").view(np.uint32) & 0xFFFF0000  # bf16 is the upper half of float32
    given = Rows(digests("ab"), bits.view(np.float32), np.zeros(2, np.uint8), ("", ""))
    data, entry = encode(given, fingerprint(precision="bf16"), {})
    assert entry.layout["features"].dtype == "<f4"
    np.testing.assert_array_equal(decode(bytes(data))[0].X.view(np.uint32), bits)


def test_rounded_features_are_float16_in_a_shard_of_format_2():
    half = fingerprint(store_dtype="fp16")
    data, entry = encode(rows("ab"), half, PROVENANCE)
    whole, other = encode(rows("ab"), fingerprint(), PROVENANCE)
    assert (entry.format, other.format) == (2, 1) and entry.to_json()["format"] == 2 and "format" not in other.to_json()
    assert ShardEntry.from_json(entry.to_json(), PROVENANCE) == entry
    found, f, again = decode(bytes(data))
    assert f == half and again == entry and len(data) < len(whole)
    np.testing.assert_array_equal(found.X, features("ab").astype(np.float16).astype(np.float32))
    np.testing.assert_allclose(found.X, features("ab"), rtol=1 / 2048)
    with h5py.File(io.BytesIO(bytes(data))) as file:
        assert json.loads(file.attrs["featstore"])["format"] == 2 and file["features"].dtype == np.float16


@pytest.mark.parametrize("number", [0, 3, "1", None, True])
def test_an_entry_of_an_unknown_format_is_damage(number):
    document = encode(rows("ab"), fingerprint(), PROVENANCE)[1].to_json()
    with pytest.raises(StoreDamagedError, match=r"a shard of format .*, expected 1 or 2"):
        ShardEntry.from_json({**document, "format": number}, PROVENANCE)


def test_the_index_is_read_without_the_features():
    data, entry = encode(rows("abc", failed="b"), fingerprint(), {})
    parts = [bytes(data[o : o + n]) for o, n in entry.index_spans]
    index = parse_index(parts, entry)
    np.testing.assert_array_equal(index.digests, digests("abc"))
    assert index.status.tolist() == [OK, FAILED, OK] and index.reasons[1] == b"b cannot be decoded"
    parts[1] = b"\0\0\0"
    with pytest.raises(StoreDamagedError, match="not those that were committed"):
        parse_index(parts, entry)


def test_an_entry_survives_json_with_its_provenance_apart():
    _, entry = encode(rows("ab"), fingerprint(), PROVENANCE)
    assert ShardEntry.from_json(json.loads(json.dumps(entry.to_json())), PROVENANCE) == entry


@pytest.mark.parametrize(
    "change",
    [
        {"rows": 0},
        {"rows": 3},
        {"rows": True},
        {"dim": 9},
        {"bytes": 10},
        {"bytes": -1},
        {"sha256": "../../etc/passwd"},
        {"sha256": "A" * 64},
        {"index_sha256": None},
        {"layout": {}},
        {"layout": None},
    ],
    ids=str,
)
def test_an_entry_that_cannot_be_true_is_damage(change):
    _, entry = encode(rows("ab"), fingerprint(), {})
    with pytest.raises(StoreDamagedError):
        ShardEntry.from_json({**entry.to_json(), **change}, {})


def test_long_and_odd_reasons_are_kept_as_far_as_they_fit():
    reasons = ("ü" * 400, "a\0b", "\udcff lone surrogate", "")
    given = Rows(digests("abcd"), features("abcd"), np.array([1, 1, 1, 0], np.uint8), reasons)
    found = decode(bytes(encode(given, fingerprint(), {})[0]))[0].reasons
    assert found[0].startswith("ü" * 200) and found[0].endswith("...") and len(found[0].encode()) <= REASON_LIMIT
    assert found[1:] == ("a\\0b", "\\udcff lone surrogate", "")


def test_no_rows_and_a_provenance_that_cannot_be_stored_are_refused():
    with pytest.raises(FeaturesError, match="at least one row"):
        encode(rows("a").take([]), fingerprint(), {})
    with pytest.raises(FeaturesError, match="cannot be stored"):
        encode(rows("a"), fingerprint(), {"x": "y" * 100_000})
    with pytest.raises(FeaturesError, match="cannot be stored"):
        encode(rows("a"), fingerprint(), {"x": float("nan")})


def forged(arrays=None, **changes) -> bytes:
    """A well-formed container with a shard's contents changed."""
    import featstore.store.format.container as container

    data, _ = encode(rows("ab", failed="b"), fingerprint(), {})
    attribute, old, _ = container.unpack(bytes(data))
    return bytes(pack({**old, **(arrays or {})}, {**attribute, **changes})[0])


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (lambda: forged(format=3), "format 3, expected 1 or 2"),
        (lambda: forged(format=2), "says format 2 and holds 1"),
        (lambda: forged(rows=3), "a shard with"),
        (lambda: forged(key="0" * 16), "says key '0000000000000000'"),
        (lambda: forged(failed=0), "says failed 0 and holds 1"),
        (lambda: forged(dtype="<f2"), "says dtype '<f2'"),
        (lambda: forged(fingerprint={}), "no shard"),
        (lambda: forged(provenance=None), "a shard with"),
        (lambda: forged({"features": np.ones((2, 8), "<f4")}), "do not allow"),
        (lambda: forged({"features": np.full((2, 8), np.nan, "<f4")}), "do not allow"),
        (lambda: forged({"features": np.zeros((2, 8), "<f2")}), "do not allow"),
        (lambda: forged({"digest": digests("aa")}), "a row twice"),
        (lambda: forged({"status": np.array([0, 7], np.uint8)}), "status 7"),
        (lambda: forged({"status": np.zeros(3, np.uint8)}), "a shard with status"),
    ],
)
def test_a_shard_that_contradicts_itself_is_damage(data, sentence):
    with pytest.raises(StoreDamagedError, match=sentence):
        decode(data())


def test_a_shard_that_lacks_an_array_is_damage():
    data, _ = encode(rows("ab"), fingerprint(), {})
    memory = io.BytesIO(bytes(data))
    with h5py.File(memory, "r+") as file:
        del file["status"]
    with pytest.raises(StoreDamagedError):
        decode(memory.getvalue())


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.integers(0, 2), min_size=1, max_size=30),
    st.integers(1, 40),
    st.sampled_from(["fp32", "fp16"]),
    st.text(max_size=30),
)
def test_any_rows_come_back(status, dim, precision, reason):
    names = range(len(status))
    given_rows = Rows(digests(names), features(names, dim), np.array(status, np.uint8), tuple(reason for _ in names))
    data, entry = encode(given_rows, fingerprint(precision=precision), {})
    found, _, again = decode(bytes(data))
    settled = given_rows.settled("<f2" if precision == "fp16" else "<f4")
    np.testing.assert_array_equal(found.X, settled.X)
    assert found.status.tolist() == status and again == entry
    assert dataclasses.replace(entry, size=entry.size + 1) != entry
