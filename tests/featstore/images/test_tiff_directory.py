"""What a TIFF's directory says, against Pillow; and that broken ones end."""

import struct

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from PIL import Image

from featstore.images.tiff_directory import MAX_PAGES, TiffDirectory, count_pages
from tests.support.deep_pictures import deep_tiff
from tests.support.pictures import encode, texture, tiff


@pytest.mark.parametrize(
    ("data", "bits", "samples"),
    [
        (encode(texture(), "TIFF"), (8, 8, 8), 3),
        (encode(texture()[..., 0], "TIFF"), (8,), None),
        (encode(texture(), "TIFF", big_tiff=True), (8, 8, 8), 3),
        (encode(texture(), "TIFF", compression="tiff_lzw"), (8, 8, 8), 3),
        (deep_tiff(np.zeros((48, 64, 3), np.uint16), ">"), (16, 16, 16), 3),
    ],
)
def test_first_directory_is_what_was_written(data, bits, samples):
    page = TiffDirectory.first(data)
    assert (page.width, page.height, page.bits, page.samples) == (64, 48, bits, samples)
    assert (page.sample_format, page.reduced, page.camera) == (1, False, "")
    assert count_pages(data) == 1


def test_floats_say_so():
    page = TiffDirectory.first(encode(Image.fromarray(np.zeros((4, 4), np.float32)), "TIFF"))
    assert page.sample_format == 3 and page.bits == (32,)


@pytest.mark.parametrize("big", [False, True])
def test_pages_are_counted_but_for_smaller_versions_and_masks(big):
    frames = [Image.fromarray(texture(i)) for i in range(5)]
    data = encode(frames[0], "TIFF", save_all=True, append_images=frames[1:], big_tiff=big)
    assert count_pages(data) == 5
    pages = b"".join(struct.pack("<HHHIII", 1, 254, 4, 1, kind, at) for kind, at in ((0, 26), (1, 44), (4, 62), (0, 0)))
    assert count_pages(b"II*\0" + struct.pack("<I", 8) + pages) == 2


def test_chains_that_bite_their_tail_or_are_endless_end():
    assert count_pages(b"II*\0" + struct.pack("<IHI", 8, 0, 8)) == 1
    endless = b"".join(struct.pack("<HI", 0, 8 + 6 * (i + 1)) for i in range(MAX_PAGES + 50))
    assert count_pages(b"II*\0" + struct.pack("<I", 8) + endless) == MAX_PAGES


@pytest.mark.parametrize(
    ("tags", "camera"),
    [
        ({256: (4, 1, 8), 50706: (1, 4, 1)}, "a DNG raw camera file"),
        ({254: (4, 1, 1), 271: (2, 4, int.from_bytes(b"SONY", "little")), 330: (4, 1, 99)}, "by its maker ARW"),
        ({254: (4, 1, 0), 271: (2, 4, int.from_bytes(b"SONY", "little")), 330: (4, 1, 99)}, ""),
    ],
)
def test_raw_camera_files_are_known(tags, camera):
    found = TiffDirectory.first(tiff(tags)).camera
    assert camera in found and bool(found) == bool(camera)
    assert TiffDirectory.first(b"II*\0\x10\0\0\0CR\2\0" + bytes(4) + struct.pack("<HHHII", 1, 256, 4, 1, 8)).camera == (
        "a CR2 raw camera file"
    )


@settings(max_examples=300, deadline=None)
@given(head=st.sampled_from([b"II*\0", b"MM\0*", b"II+\0\x08\0\0\0", b"MM\0+\0\x08\0\0"]), data=st.binary(max_size=200))
def test_any_bytes_end(head, data):
    page = TiffDirectory.first(head + data)
    assert page is None or isinstance(page.bits, tuple)
    assert 0 <= count_pages(head + data) <= MAX_PAGES
