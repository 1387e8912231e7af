"""A document and arrays in one safetensors file; the reference reader is the safetensors library."""

import hashlib
import json
import os
import struct

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from classifiers.models import tensor_file
from featstore.errors import BundleError, BundleNotFoundError

FORMAT = tensor_file.FileFormat("thing", 1, BundleError, BundleNotFoundError, "make it again")
DOCUMENT = {"name": "Käfer <script>", "numbers": [1, 2.5, None], "nested": {"deep": True}}


def some_arrays():
    rng = np.random.default_rng(0)
    return {
        "weights": rng.normal(size=(3, 4)).astype(np.float32),
        "precise": rng.normal(size=5),
        "half": rng.normal(size=(2, 2)).astype(np.float16),
        "counts": np.arange(6).reshape(2, 3),
        "mask": np.array([True, False, True]),
        "text": np.frombuffer(b"tree\nversion=v4", dtype=np.uint8),
        "scalar": np.array(3.25),
        "empty": np.empty((0, 7), dtype=np.float32),
    }


def forged(header: dict, body: bytes = b"") -> bytes:
    head = json.dumps(header).encode()
    return struct.pack("<Q", len(head)) + head + body


def test_document_and_arrays_come_back_bit_for_bit(tmp_path):
    tensor_file.write(tmp_path / "a", FORMAT, DOCUMENT, some_arrays())
    document, arrays = tensor_file.read(tmp_path / "a", FORMAT)
    assert document == DOCUMENT
    assert arrays.keys() == some_arrays().keys()
    for name, array in some_arrays().items():
        assert arrays[name].dtype == array.dtype and arrays[name].shape == array.shape
        assert arrays[name].tobytes() == array.tobytes()


def test_any_safetensors_reader_opens_it(tmp_path):
    tensor_file.write(tmp_path / "a", FORMAT, DOCUMENT, some_arrays())
    for name, array in load_file(tmp_path / "a").items():
        np.testing.assert_array_equal(array, some_arrays()[name])
    with safe_open(tmp_path / "a", "np") as file:
        assert json.loads(file.metadata()["featstore"])["nested"] == {"deep": True}


def test_equal_content_gives_equal_bytes(tmp_path):
    arrays = some_arrays()
    tensor_file.write(tmp_path / "a", FORMAT, DOCUMENT, arrays)
    tensor_file.write(tmp_path / "b", FORMAT, dict(reversed(DOCUMENT.items())), dict(reversed(arrays.items())))
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_arrays_in_other_orders_and_byte_orders_are_saved_by_value(tmp_path):
    matrix = np.arange(12.0).reshape(3, 4)
    tensor_file.write(
        tmp_path / "a", FORMAT, {}, {"turned": matrix.T, "big": matrix.astype(">f8"), "part": matrix[:, ::2]}
    )
    _, arrays = tensor_file.read(tmp_path / "a", FORMAT)
    np.testing.assert_array_equal(arrays["turned"], matrix.T)
    np.testing.assert_array_equal(arrays["big"], matrix)
    np.testing.assert_array_equal(arrays["part"], matrix[:, ::2])


def test_every_flipped_byte_is_an_error_or_changes_nothing(tmp_path):
    arrays = {"a": np.arange(3, dtype=np.float32), "b": np.array([True, False])}
    tensor_file.write(tmp_path / "a", FORMAT, {"name": "x", "list": [1, 2]}, arrays)
    data = (tmp_path / "a").read_bytes()
    noticed = 0
    for position in range(len(data)):
        for flip in (0x01, 0x20, 0x80, 0xFF):
            changed = bytearray(data)
            changed[position] ^= flip
            try:
                document, found = tensor_file.decode(bytes(changed), FORMAT, "x")
            except BundleError:
                noticed += 1
                continue
            assert document == {"name": "x", "list": [1, 2]}
            assert {name: array.tolist() for name, array in found.items()} == {
                name: array.tolist() for name, array in arrays.items()
            }
    assert noticed > 3.5 * len(data)


@pytest.mark.parametrize("kept", [0, 4, 8, 60, -1])
def test_a_truncated_file_is_refused(tmp_path, kept):
    tensor_file.write(tmp_path / "a", FORMAT, DOCUMENT, some_arrays())
    data = (tmp_path / "a").read_bytes()
    with pytest.raises(BundleError, match="thing"):
        tensor_file.decode(data[:kept], FORMAT, "x")


def test_a_missing_file_a_folder_and_a_pipe_are_refused_at_once(tmp_path):
    with pytest.raises(BundleNotFoundError, match="no thing at"):
        tensor_file.read(tmp_path / "none", FORMAT)
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, tmp_path / "pipe"):
        with pytest.raises(BundleError, match="no regular file"):
            tensor_file.read(path, FORMAT)
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    with pytest.raises(BundleError):
        tensor_file.read(tmp_path / "loop", FORMAT)


def test_a_foreign_safetensors_file_is_refused(tmp_path):
    save_file({"a": np.zeros(3)}, tmp_path / "a")
    with pytest.raises(BundleError, match="is no thing"):
        tensor_file.read(tmp_path / "a", FORMAT)


def test_another_kind_and_a_newer_format_are_refused(tmp_path):
    other = tensor_file.FileFormat("other", 1, BundleError, BundleNotFoundError, "make it again")
    newer = tensor_file.FileFormat("thing", 2, BundleError, BundleNotFoundError, "make it again")
    tensor_file.write(tmp_path / "a", other, {}, {})
    with pytest.raises(BundleError, match="is no thing; make it again"):
        tensor_file.read(tmp_path / "a", FORMAT)
    tensor_file.write(tmp_path / "a", newer, {}, {})
    with pytest.raises(BundleError, match="format 2.*reads up to format 1.*upgrade"):
        tensor_file.read(tmp_path / "a", FORMAT)


META = {"featstore": "{}", "sha256": "0"}


@pytest.mark.parametrize(
    "data",
    [
        struct.pack("<Q", 1 << 62) + b"{}",
        struct.pack("<Q", 200_000) + b"[" * 200_000,
        forged({"__metadata__": META, "a": {"dtype": "F32", "shape": [1 << 40], "data_offsets": [0, 1 << 42]}}),
        forged({"__metadata__": META, "a": {"dtype": "F32", "shape": [-1], "data_offsets": [0, -4]}}),
        forged({"__metadata__": META, "a": {"dtype": "O", "shape": [1], "data_offsets": [0, 8]}}, b"12345678"),
        forged({"__metadata__": META, "a": {"dtype": ["F32"], "shape": [1], "data_offsets": [0, 4]}}, b"1234"),
        forged({"__metadata__": META, "a": {"dtype": "U8", "shape": [4], "data_offsets": [1, 5]}}, b"12345"),
        forged({"__metadata__": META, "a": {"dtype": "U8", "shape": [4], "data_offsets": [0, 4]}}, b"12345"),
        forged({"__metadata__": META, "a": {"dtype": "U8", "shape": [True], "data_offsets": [0, 1]}}, b"1"),
        forged({"__metadata__": META, "a": {"dtype": "U8", "shape": [1] * 99, "data_offsets": [0, 1]}}, b"1"),
        forged({"__metadata__": META, "a": "text"}),
        forged({"__metadata__": META, "a": {}}),
        forged({"__metadata__": {**META, "more": ""}}),
        forged({"__metadata__": {"featstore": 3, "sha256": ""}}),
        forged([1, 2]),
        forged({}),
        b"",
        b"\x80\x04cos\nsystem\n(S'true'\ntR.",
    ],
)
def test_hostile_headers_are_refused(data):
    with pytest.raises(BundleError, match="make it again"):
        tensor_file.decode(data, FORMAT, "x")


def test_a_header_that_names_an_array_twice_is_refused():
    entry = '{"dtype":"U8","shape":[1],"data_offsets":[0,1]}'
    head = f'{{"__metadata__":{json.dumps(META)},"a":{entry},"a":{entry}}}'.encode()
    with pytest.raises(BundleError, match="twice"):
        tensor_file.decode(struct.pack("<Q", len(head)) + head + b"1", FORMAT, "x")


def test_a_document_nested_too_deeply_is_refused_although_its_hash_is_right():
    text = b"[" * 100_000
    total = hashlib.sha256(struct.pack("<Q", len(text)) + text).hexdigest()
    data = forged({"__metadata__": {"featstore": text.decode(), "sha256": total}})
    with pytest.raises(BundleError, match="no JSON"):
        tensor_file.decode(data, FORMAT, "x")


def test_arrays_of_objects_cannot_be_saved(tmp_path):
    with pytest.raises(TypeError, match="plain numbers"):
        tensor_file.write(tmp_path / "a", FORMAT, {}, {"a": np.array([{}], dtype=object)})
    assert not list(tmp_path.iterdir())


def test_the_kind_of_a_file_is_told_by_its_header(tmp_path):
    tensor_file.write(tmp_path / "a", FORMAT, DOCUMENT, some_arrays())
    assert tensor_file.kind(tmp_path / "a") == "thing"
    (tmp_path / "link").symlink_to(tmp_path / "a")
    assert tensor_file.kind(tmp_path / "link") == "thing"


@pytest.mark.parametrize(
    "data",
    [
        b"", b"\xff" * 7, b"\xff" * 100, forged({}), forged([]), forged({"__metadata__": {}}),
        forged({"__metadata__": 3}), forged({"__metadata__": {"featstore": "no json"}}),
        forged({"__metadata__": {"featstore": "[]"}}),
        forged({"__metadata__": {"featstore": "[" * 100_000}}),
    ],
)  # fmt: skip
def test_any_other_file_is_of_no_kind(data, tmp_path):
    (tmp_path / "a").write_bytes(data)
    assert tensor_file.kind(tmp_path / "a") == ""


def test_what_is_no_regular_file_is_of_no_kind(tmp_path):
    assert tensor_file.kind(tmp_path) == tensor_file.kind(tmp_path / "none") == ""
    os.mkfifo(tmp_path / "pipe")
    assert tensor_file.kind(tmp_path / "pipe") == ""
