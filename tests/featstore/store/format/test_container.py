import io
import subprocess
import sys
import time

import h5py
import numpy as np
import pytest

from featstore.errors import StoreDamagedError
from featstore.store.format.container import ATTRIBUTE_LIMIT, Block, pack, unpack, view

ARRAYS = {
    "digest": np.arange(64, dtype=np.uint8).reshape(2, 32),
    "reason": np.array([b"", b"no image"]),
    "features": np.linspace(0, 1, 14, dtype=np.float32).reshape(2, 7),
    "half": np.linspace(0, 1, 4).astype("<f2").reshape(2, 2),
    "empty": np.empty(0, dtype="<i8"),
}


@pytest.mark.parametrize("head", [0, 512, 4096])
def test_plain_h5py_reads_what_was_packed(head):
    data, _ = pack(ARRAYS, {"a": 1}, head=head)
    with h5py.File(io.BytesIO(bytes(data)), "r") as file:
        assert set(file) == set(ARRAYS) and file.attrs["featstore"] == b'{"a":1}'
        for name, array in ARRAYS.items():
            np.testing.assert_array_equal(file[name][()], array)
            assert file[name].fletcher32 or not array.size


@pytest.mark.parametrize("head", [0, 4096])
def test_views_show_the_arrays_where_the_layout_says(head):
    data, layout = pack(ARRAYS, {}, head=head)
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(view(data, layout[name]), array)
        assert layout[name].offset >= head or not array.size


@pytest.mark.parametrize("head", [0, 4096])
def test_unpack_gives_back_attribute_arrays_and_layout(head):
    data, layout = pack(ARRAYS, {"a": [1]}, head=head)
    attribute, arrays, found = unpack(bytes(data))
    assert attribute == {"a": [1]} and found == layout
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(arrays[name], array)


def test_bytes_are_the_same_in_another_process_at_another_time():
    program = (
        "import sys, numpy as np; from featstore.store.format.container import pack;"
        "sys.stdout.buffer.write(pack({'x': np.arange(6, dtype='<f4')}, {'a': 1})[0])"
    )
    here, _ = pack({"x": np.arange(6, dtype="<f4")}, {"a": 1})
    time.sleep(1.1)  # HDF5 keeps times in seconds
    there = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True).stdout
    assert here == there


def test_a_description_that_is_too_long_is_refused():
    with pytest.raises(ValueError, match=f"expected at most {ATTRIBUTE_LIMIT}"):
        pack(ARRAYS, {"a": "x" * ATTRIBUTE_LIMIT})


def test_a_view_never_reaches_beyond_the_file():
    with pytest.raises(StoreDamagedError, match="ends at byte 14 of a file of 13"):
        view(b"x" * 13, Block(10, "<f4", (1,)))


@pytest.mark.parametrize(
    "document",
    [
        [0, "<f4"],
        [0, "|O", [3]],
        [0, "<c8", [3]],
        [-1, "<f4", [3]],
        [True, "<f4", [3]],
        [0, "<f4", [1 << 60]],
        [0, "<f4", [1, 1, 1]],
        [0, 4, [3]],
        [0, "<f4", 3],
        {"offset": 0},
    ],
)
def test_a_malformed_layout_is_damage(document):
    with pytest.raises(StoreDamagedError):
        Block.from_json(document)


def hostile(build) -> bytes:
    memory = io.BytesIO()
    with h5py.File(memory, "w", libver=("v110", "v110")) as file:
        file.attrs["featstore"] = np.bytes_(b"{}")
        build(file)
    return memory.getvalue()


def virtual(file):
    layout = h5py.VirtualLayout(shape=(3,), dtype="<f4")
    layout[:] = h5py.VirtualSource("/etc/passwd", "x", shape=(3,))
    file.create_virtual_dataset("x", layout)


def attribute(value):
    def build(file):
        file.attrs["featstore"] = value

    return build


@pytest.mark.parametrize(
    ("build", "sentence"),
    [
        (lambda f: f.__setitem__("x", h5py.SoftLink("/y")), "soft or external link"),
        (lambda f: f.__setitem__("x", h5py.ExternalLink("/etc/passwd", "/y")), "soft or external link"),
        (virtual, "not one chunk|not allowed"),
        (lambda f: f.create_dataset("x", (3,), "<f4", external=[("/etc/passwd", 0, 12)]), "in another file"),
        (lambda f: f.create_dataset("x", data=np.zeros(9, "<f4"), chunks=(9,), compression="gzip"), "filtered"),
        (lambda f: f.create_dataset("x", data=np.zeros(9, "<f4"), chunks=(3,), fletcher32=True), "in one piece"),
        (lambda f: f.create_dataset("x", (1 << 40,), "<f4", chunks=(1 << 20,), fletcher32=True), "in one piece"),
        (lambda f: f.create_dataset("x", data=np.zeros(9, "<f4")), "not one chunk"),
        (lambda f: f.create_dataset("x", data="text"), "is of type"),
        (lambda f: f.create_dataset("x", data=np.zeros(3, "<c8"), chunks=(3,), fletcher32=True), "is of type"),
        (lambda f: f.create_dataset("x", data=h5py.Empty("f")), "is of type|no dataset"),
        (lambda f: f.create_group("x"), "no dataset"),
        (lambda f: f.attrs.__setitem__("more", 1), "expected one"),
        (attribute("variable length"), "expected fixed-length bytes"),
        (attribute(np.bytes_(b"{")), "is no JSON"),
        (attribute(np.bytes_(b"[1]")), "no JSON object"),
        (attribute(np.bytes_(b"[" * 50_000)), "is no JSON"),
    ],
)
def test_hostile_files_are_refused_and_open_nothing_else(build, sentence):
    data = hostile(build)
    opened = []
    sys.addaudithook(lambda event, args: opened.append(args[0]) if event == "open" else None)
    with pytest.raises(StoreDamagedError, match=sentence):
        unpack(data)
    assert "/etc/passwd" not in opened


@pytest.mark.parametrize("data", [b"", b"x" * 1000, b"\x89HDF\r\n\x1a\n" + b"\0" * 500])
def test_bytes_that_are_no_hdf5_are_damage(data):
    with pytest.raises(StoreDamagedError, match="no HDF5 file"):
        unpack(data)


def test_data_that_differs_between_hdf5_and_its_place_is_damage():
    data, layout = pack({"x": np.arange(9, dtype="<f4")}, {})
    data[layout["x"].offset] ^= 1
    with pytest.raises(StoreDamagedError):  # the checksum of the chunk
        unpack(bytes(data))
