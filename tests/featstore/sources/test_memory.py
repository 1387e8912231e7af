import hashlib
import io
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from featstore.decoding.decode import decode
from featstore.errors import ImageSetError
from featstore.sources.memory import Spool, ppm
from featstore.sources.reading import read

RNG = np.random.default_rng(0)


def png(image):
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


@pytest.mark.parametrize("mode", ["1", "L", "P", "LA", "PA", "RGB", "RGBA"])
def test_a_pillow_image_decodes_as_its_file_would(mode):
    rgba = Image.fromarray(RNG.integers(0, 256, (7, 9, 4), dtype=np.uint8), "RGBA")
    image = rgba.convert("RGB").convert(mode) if mode in ("1", "P", "L") else rgba.convert(mode)
    expected = decode(png(image)) if mode != "PA" else decode(ppm(image.convert("RGBA")))
    assert np.array_equal(decode(ppm(image)), expected)


def test_arrays_come_back_bit_for_bit():
    rgb = RNG.integers(0, 256, (5, 8, 3), dtype=np.uint8)
    assert np.array_equal(decode(ppm(rgb)), rgb)
    assert np.array_equal(decode(ppm(rgb[::-1, ::2])), rgb[::-1, ::2])
    assert np.array_equal(decode(ppm(rgb[:, :, 0])), np.repeat(rgb[:, :, :1], 3, axis=2))
    assert ppm(rgb[:, :, :1]) == ppm(rgb[:, :, 0])
    clear = np.dstack([rgb, np.zeros((5, 8), np.uint8)])
    assert (decode(ppm(clear)) == 255).all()


@pytest.mark.parametrize(
    ("picture", "match"),
    [
        (np.zeros((4, 4, 3), np.float32), r"float32 values; uint8 is wanted.*transform=None"),
        (np.zeros((4, 4, 3), np.int64), r"int64 values; uint8 is wanted.*astype"),
        (np.zeros((3, 8, 9), np.uint8), r"shape \(3, 8, 9\).*channels come last"),
        (np.zeros((4, 4, 2), np.uint8), r"shape \(4, 4, 2\); expected"),
        (np.zeros((0, 4), np.uint8), "has no pixels"),
        (Image.new("F", (2, 2)), "mode F.*uint8 is wanted"),
        (Image.new("I;16", (2, 2)), "mode I;16"),
        ("a.jpg", "a path in place of a picture"),
        (None, "NoneType in place of a picture"),
    ],
)
def test_what_is_no_picture_of_uint8_is_refused_with_what_to_do(picture, match):
    with pytest.raises(ImageSetError, match=match):
        ppm(picture)


def test_the_digest_is_that_of_the_ppm_bytes_and_other_processes_can_read_them():
    with Spool() as spool:
        places = [spool.add(data) for data in (b"one", b"", b"three" * 1000)]
        code = f"""
import hashlib
from featstore.sources.reading import read
print(hashlib.sha256(read({places[2].address()!r}, 10**6)).hexdigest())
"""
        told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
        assert told == hashlib.sha256(b"three" * 1000).hexdigest()
        assert [read(place.address(), 10**6) for place in places] == [b"one", b"", b"three" * 1000]
    with pytest.raises(OSError):
        read(places[0].address(), 10**6)


def test_nothing_is_left_behind(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr(os.path, "exists", lambda path: False)  # as where there is no /proc
    with Spool() as spool:
        place = spool.add(b"hello")
        assert Path(os.fsdecode(spool.path)).parent == tmp_path and read(place.address(), 9) == b"hello"
    assert list(tmp_path.iterdir()) == []
