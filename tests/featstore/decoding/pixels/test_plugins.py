"""Every format by its own plugin, sizes looked at first; hostile bytes harm no process."""

import hashlib
import io
import os
import struct
import tracemalloc

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st
from PIL import AvifImagePlugin, Image

from featstore.decoding.pixels import plugins
from featstore.decoding.pixels.decode import decode, decode_picture
from featstore.decoding.pixels.plugins import MAX_FRAMES, available, gif_frames, lacking, open_image
from featstore.decoding.pool import DecodePool
from featstore.errors import DecodeError
from tests.support.pictures import encode, exif, texture
from tests.support.pool_inputs import SPEC, gather

PICTURE = texture(11)
WRITERS = {"AVIF": "AVIF", "JPEG 2000": "JPEG2000", "HEIC": "HEIF"}


@pytest.fixture(scope="module", autouse=True)
def heif_writer():
    try:
        import pillow_heif

        pillow_heif.register_heif_opener()
    except ImportError:
        pass


def written(name: str, picture: np.ndarray | Image.Image = PICTURE, **options: object) -> bytes:
    if not available(name):
        pytest.skip(f"no decoder of {name} here")
    if name != "JPEG 2000":
        options.setdefault("quality", 95)
    try:
        return encode(picture, WRITERS[name], **options)
    except (OSError, KeyError, RuntimeError) as error:
        pytest.skip(f"no encoder of {name} here: {error}")


@pytest.mark.parametrize("name", WRITERS)
def test_later_formats_are_decoded(name):
    found = decode(written(name))
    assert found.shape == PICTURE.shape
    assert np.abs(found.astype(int) - PICTURE).mean() < 6  # JPEG 2000 is lossless here, the others are not
    if name == "JPEG 2000":
        np.testing.assert_array_equal(found, PICTURE)
        np.testing.assert_array_equal(decode(written(name, no_jp2=True)), PICTURE)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("name", ["AVIF", "HEIC"])
def test_orientation_is_applied_exactly_once(name, orientation):
    expected = decode(encode(PICTURE, "PNG", exif=exif(orientation)))
    found = decode(written(name, exif=exif(orientation)))
    assert found.shape == expected.shape
    assert np.abs(found.astype(int) - expected).mean() < 6


def test_alpha_of_an_avif_is_composited_on_white():
    clear = np.dstack([PICTURE, np.zeros(PICTURE.shape[:2], np.uint8)])
    assert decode(written("AVIF", Image.fromarray(clear))).min() > 250


def test_twelve_bits_of_jpeg_2000_are_scaled_from_their_own_range():
    data = written("JPEG 2000", Image.fromarray(PICTURE[..., 0].astype(np.uint16) << 8))
    np.testing.assert_array_equal(decode(data)[..., 0], PICTURE[..., 0])


def enlarged(name: str) -> bytes:
    """A small file whose header announces 30,000 x 30,000 pixels."""
    data = written(name)
    if name == "JPEG 2000":
        siz = struct.pack(">II", 64, 48)
        assert data.count(siz) == 2  # the image and its one tile
        return data.replace(siz, struct.pack(">II", 30000, 30000))
    at = data.index(b"ispe") + 8
    return data[:at] + struct.pack(">II", 30000, 30000) + data[at + 8 :]


@pytest.mark.parametrize("name", WRITERS)
def test_sizes_beyond_the_limit_are_refused_before_anything_is_allocated(name, monkeypatch):
    data = enlarged(name)
    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", lambda *_: pytest.fail("decoded"))
    tracemalloc.start()
    with pytest.raises(DecodeError, match=f"{name}: 30000 x 30000 pixels, more than the 100,000,000"):
        open_image(name, data)
    assert tracemalloc.get_traced_memory()[1] < 10 << 20
    tracemalloc.stop()


def test_a_codestream_larger_than_the_box_around_it_is_refused():
    data = written("JPEG 2000")
    at = data.index(b"\xff\x4f\xff\x51") + 8
    lying = data[:at] + struct.pack(">II", 40000, 40000) + data[at + 8 :]
    with pytest.raises(DecodeError, match="40000 x 40000 pixels, more than the 100,000,000"):
        decode(lying)
    with pytest.raises(DecodeError, match="no codestream"):
        decode(data[:60])


@pytest.mark.skipif(os.name != "posix", reason="worker processes need POSIX")
@pytest.mark.parametrize("name", WRITERS)
def test_flipped_and_cut_bytes_fail_one_image_and_no_process(name, tmp_path):
    whole = written(name)
    with DecodePool(SPEC, workers=1, seconds_per_image=20) as pool:

        @settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
        @given(
            edits=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), max_size=6),
            early=st.booleans(),
            kept=st.floats(0, 1),
        )
        def tried(edits, early, kept):
            data = bytearray(whole[: int(len(whole) * kept)] if not edits else whole)
            span = min(len(data), 300) if early else len(data)
            for where, value in edits:
                if span:
                    data[int(where * span)] = value
            path = tmp_path / "x"
            path.write_bytes(data)
            _, status, reasons = gather(pool, [(os.fsencode(path), hashlib.sha256(data).digest())])
            assert status[0] in (0, 1), reasons
            assert bool(status[0]) == bool(reasons[0]) and reasons[0].isprintable()

        tried()
        assert pool.replaced == 0


@pytest.mark.parametrize("name", ["AVIF", "HEIC"])
def test_decoders_use_one_thread_and_their_options_are_left_as_they_were(name, monkeypatch):
    data = written(name)
    module = AvifImagePlugin if name == "AVIF" else pytest.importorskip("pillow_heif.options")
    option = next(iter(plugins._OPTIONS[name]))
    before = getattr(module, option)
    seen = []
    kind = plugins._LATER[name]()
    whole = kind._open

    def watched(self):
        seen.append(getattr(module, option))
        whole(self)

    monkeypatch.setattr(kind, "_open", watched)
    decode(data)
    assert seen == [1] and getattr(module, option) == before


def test_missing_decoder_is_said_with_the_way_to_it(monkeypatch):
    heic = b"\0\0\0\x18ftypheic" + bytes(100)
    monkeypatch.setitem(plugins._LATER, "HEIC", lambda: None)
    with pytest.raises(DecodeError, match=r"^HEIC needs the package pillow-heif.*pip install featstore\[heic\]"):
        decode(heic)
    with pytest.raises(DecodeError, match="HEIC needs"):
        open_image("HEIC", heic)
    assert not available("HEIC") and "pip install -U Pillow" in lacking("AVIF")


def test_first_picture_of_a_sequence_is_taken_and_the_others_are_counted():
    frames = [Image.fromarray(np.full((20, 30, 3), c, np.uint8)) for c in (10, 130, 240)]
    picture = decode_picture(written("AVIF", frames[0], save_all=True, append_images=frames[1:]))
    assert picture.remark == "the first of 3 frames" and np.asarray(picture.image).max() < 20
    picture = decode_picture(written("HEIC", frames[0], save_all=True, append_images=frames[1:]))
    assert picture.remark == "the main one of 3 pictures" and np.asarray(picture.image).max() < 20


@pytest.mark.parametrize("count", [1, 2, 7])
def test_frames_of_a_gif_are_counted_as_pillow_counts_them(count):
    frames = [Image.fromarray(texture(i)) for i in range(count)]
    data = encode(frames[0], "GIF", save_all=True, append_images=frames[1:], comment=b"made here")
    assert gif_frames(data) == count
    assert 0 <= gif_frames(data[: len(data) // 2]) <= count and gif_frames(data[:9]) == 0
    with Image.open(io.BytesIO(data)) as image:
        assert image.n_frames == count


def test_counting_frames_ends():
    block = b",\0\0\0\0\1\0\1\0\0\2\0"
    assert gif_frames(b"GIF89a\1\0\1\0\0\0\0" + block * (MAX_FRAMES + 9)) == MAX_FRAMES
