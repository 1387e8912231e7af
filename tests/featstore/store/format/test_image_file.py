import dataclasses
import io
import json

import h5py
import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from featstore.errors import StoreDamagedError, StoreFormatError
from featstore.images.image_set import ImageSet, Skipped
from featstore.store.format.container import unpack
from featstore.store.format.image_file import HEAD, decode_images, encode_images
from featstore.store.format.sealed import unseal
from tests.support.store_inputs import images


def test_round_trip_keeps_every_field():
    given = images("abcde", splits=["train", "val", "test", "", "train"], problems="c")
    found = decode_images(encode_images(given), "x")
    assert found.same_as(given) and found.skipped == given.skipped and found.problems[2] == "permission denied"
    assert isinstance(found.paths[0], bytes) and found.splits.tolist() == given.splits.tolist()


def test_unlabelled_images_groups_and_how_they_were_read():
    about = {"layout": "list", "notes": ["a column 'x' is not used"], "reading": {"unlabelled": True}}
    given = dataclasses.replace(
        images("abc"),
        labels=np.array([0, -1, 0]),
        classes=("x",),
        groups=("p1", "", "p\u00e9"),
        kinds=("", "JPEG", ""),
        about=about,
    )
    data = encode_images(given)
    assert decode_images(data, "x").same_as(given)
    assert json.loads(data[:HEAD])["format"] == 2
    with pytest.raises(StoreFormatError, match="x has format 2; this featstore reads up to format 1: upgrade"):
        unseal(data[:HEAD].rstrip(b" "), "x")  # what readers before unlabelled images said
    assert json.loads(encode_images(dataclasses.replace(given, labels=np.zeros(3, np.int64)))[:HEAD])["format"] == 1


def test_plain_h5py_reads_an_image_set():
    given = images("abc", splits=["train", "val", "train"])
    with h5py.File(io.BytesIO(encode_images(given)), "r") as file:
        np.testing.assert_array_equal(file["digest"][:], given.digests)
        ends = file["path_offset"][:]
        blob = file["path"][:].tobytes()
        assert tuple(blob[a:b] for a, b in zip(ends, ends[1:], strict=False)) == given.paths
        parts = file["part"][:].tobytes()
        assert parts == b"trainval" and file["split"][:].tolist() == [0, 1, 0]


def test_equal_sets_give_equal_bytes():
    assert encode_images(images("abc")) == encode_images(images("abc"))


def test_every_flipped_byte_is_noticed():
    data = encode_images(images("ab"))
    for i in range(len(data)):
        flipped = bytearray(data)
        flipped[i] ^= 0x10
        with pytest.raises((StoreDamagedError, StoreFormatError)):
            decode_images(bytes(flipped), "x")


@pytest.mark.parametrize("size", [0, 100, HEAD, -1])
def test_a_cut_off_file_is_damage(size):
    with pytest.raises(StoreDamagedError, match="x is damaged"):
        decode_images(encode_images(images("ab"))[:size], "x")


def test_the_hdf5_part_passes_the_guards():
    attribute, arrays, _ = unpack(encode_images(images("ab")))
    assert attribute["kind"] == "images" and arrays["label"].tolist() == [0, 1]


NAMES = st.binary(min_size=1, max_size=12).filter(lambda b: b"\0" not in b)
TEXTS = st.text(st.characters(exclude_characters="\0"), max_size=12)  # lone surrogates too


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(NAMES, TEXTS, st.sampled_from(["train", "val", "test", ""])), max_size=8),
    st.lists(st.tuples(NAMES, TEXTS, st.integers(-1, 2**62), st.integers(-1, 2**62)), max_size=3),
    TEXTS.filter(bool),
    st.binary(max_size=10),
)
def test_any_names_come_back(entries, skipped, name, root):
    n = len(entries)
    given = ImageSet(
        name=name,
        root=root,
        paths=tuple(path for path, _, _ in entries),
        digests=np.arange(n * 32, dtype=np.uint8).reshape(n, 32),
        sizes=np.full(n, 2**62),
        mtimes=np.full(n, -5),
        labels=np.arange(n),
        splits=np.array([split for _, _, split in entries], dtype="<U5"),
        classes=tuple(f"class {i} \udcff" for i in range(n)),
        problems=tuple(problem for _, problem, _ in entries),
        skipped=tuple(Skipped(*entry) for entry in skipped),
    )
    assert decode_images(encode_images(given), "x").same_as(given)
