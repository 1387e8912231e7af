"""Every format by its own plugin: sizes are looked at first, what stands beside the pixels harms nothing."""

import hashlib
import io
import os
import struct
import tracemalloc
import zlib

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st
from PIL import AvifImagePlugin, Image

from featstore.decoding import plugins
from featstore.decoding.decode import decode, decode_picture
from featstore.decoding.plugins import MAX_FRAMES, available, bare, gif_frames, lacking, open_image
from featstore.decoding.pool import DecodePool
from featstore.errors import DecodeError
from tests.support.pictures import encode, exif, png_chunk, texture
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
        open_image(name, data, 100_000_000)
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
        open_image("HEIC", heic, 1000)
    assert not available("HEIC") and "pip install -U Pillow" in lacking("AVIF")


def test_first_picture_of_a_sequence_is_taken_and_the_others_are_counted():
    frames = [Image.fromarray(np.full((20, 30, 3), c, np.uint8)) for c in (10, 130, 240)]
    picture = decode_picture(written("AVIF", frames[0], save_all=True, append_images=frames[1:]))
    assert picture.remark == "the first of 3 frames" and np.asarray(picture.image).max() < 20
    picture = decode_picture(written("HEIC", frames[0], save_all=True, append_images=frames[1:]))
    assert picture.remark == "the main one of 3 pictures" and np.asarray(picture.image).max() < 20


CLEAN = encode(PICTURE, "PNG")
LARGE = zlib.compress(bytes(5 << 20))
CHUNKS = {
    "text that unpacks to more": png_chunk(b"zTXt", b"a\0\0" + LARGE),
    "international text that does": png_chunk(b"iTXt", b"a\0\1\0\0\0" + LARGE),
    "profile that does": png_chunk(b"iCCP", b"a\0\0" + LARGE),
    "profile packed in an unknown way": png_chunk(b"iCCP", b"a\0\7" + LARGE),
    "many texts": b"".join(png_chunk(b"tEXt", b"k%d\0" % i + bytes(1 << 20)) for i in range(66)),
    "text with a wrong checksum": png_chunk(b"tEXt", b"k\0v")[:-1] + b"\0",
    "short gamma": png_chunk(b"gAMA", b"k"),
    "short chromaticities": png_chunk(b"cHRM", b"k"),
    "broken animation": png_chunk(b"acTL", b"\0") + png_chunk(b"fcTL", b"\0"),
    "broken EXIF": png_chunk(b"eXIf", b"MM\0*\xff\xff\xff\xff"),
    "EXIF with a wrong checksum": png_chunk(b"eXIf", exif(6)[6:])[:-1] + b"\0",
    "thousands of chunks": png_chunk(b"teSt", b"") * 5000,
}


@pytest.mark.parametrize("what", CHUNKS)
def test_what_stands_beside_the_pixels_of_a_png_fails_no_picture(what):
    at = CLEAN.index(b"IDAT") - 4
    np.testing.assert_array_equal(decode(CLEAN[:at] + CHUNKS[what] + CLEAN[at:]), PICTURE)


@pytest.mark.parametrize("tells", ["chunk", "packed text", "XMP"])
def test_orientation_counts_also_where_a_text_is_left_out(tells):
    block = exif(6)
    hexed = b"\nexif\n%8d\n" % len(block) + block.hex().encode()
    xmp = b'<x:xmpmeta><rdf:Description tiff:Orientation="6"/></x:xmpmeta>'
    chunk = {
        "chunk": png_chunk(b"eXIf", block[6:]),
        "packed text": png_chunk(b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(hexed)),
        "XMP": png_chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + xmp),
    }[tells]
    at = CLEAN.index(b"IDAT") - 4
    bomb = CHUNKS["text that unpacks to more"]
    turned = decode(CLEAN[:at] + chunk + CLEAN[at:])
    assert turned.shape == (64, 48, 3)
    np.testing.assert_array_equal(decode(CLEAN[:at] + chunk + bomb + CLEAN[at:]), turned)


def segment(kind: int, body: bytes) -> bytes:
    return bytes([0xFF, kind]) + struct.pack(">H", len(body) + 2) + body


@pytest.mark.parametrize(
    "beside",
    [
        segment(0xE0, b"JFIF"), segment(0xEE, b"Adobe"), segment(0xE1, b"Exif\0\0MM\0*\xff\xff\xff\xff"),
        segment(0xED, b"Photoshop 3.0\x008BIM\x04\x04\xff"), segment(0xE2, b"ICC_PROFILE\0"), segment(0xE1, b""),
        segment(0xE2, b"MPF\0\xff\xff"), segment(0xE5, bytes(65500)) * 60, segment(0xFE, b""),
    ],
)  # fmt: skip
def test_what_stands_beside_the_pixels_of_a_jpeg_fails_no_picture(beside):
    data = encode(PICTURE)
    np.testing.assert_array_equal(decode(data[:2] + beside + data[2:]), decode(data))
    if not beside.startswith(b"\xff\xe1\x00\x10"):  # of two EXIF blocks the first one counts
        turned = encode(PICTURE, exif=exif(6))
        assert decode(turned[:2] + beside + turned[2:]).shape == (64, 48, 3)


@pytest.mark.parametrize("orientation", [1, 6])
def test_what_stands_behind_the_pixels_of_a_webp_fails_no_picture(orientation):
    options = {"lossless": True, "icc_profile": b"x" * 50, "exif": exif(orientation)}
    expected = decode(encode(PICTURE, "PNG", exif=exif(orientation)))
    data = encode(PICTURE, "WEBP", **options)
    np.testing.assert_array_equal(decode(data), expected)
    behind = b"XMP " + struct.pack("<I", 5000) + b"cut short"
    size = struct.pack("<I", len(data) + len(behind) - 8)
    np.testing.assert_array_equal(decode(data[:4] + size + data[8:] + behind), expected)
    with pytest.raises(DecodeError):
        decode(data[: len(data) // 2])


@settings(max_examples=300, deadline=None)
@given(data=st.binary(max_size=300), name=st.sampled_from(["PNG", "JPEG", "WebP"]))
def test_taking_any_bytes_apart_ends(data, name):
    head = {"PNG": CLEAN[:8], "JPEG": b"\xff\xd8\xff", "WebP": b"RIFF\0\0\0\0WEBPVP8X"}[name]
    for less in bare(name, head + data):
        assert len(less) <= len(head) + len(data)


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
