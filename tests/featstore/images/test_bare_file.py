"""What stands beside the pixels of a file harms nothing: the decoder is asked again without it."""

import struct
import zlib

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from featstore.decoding.pixels.decode import decode
from featstore.errors import DecodeError
from featstore.images.bare_file import bare_files
from tests.support.pictures import encode, exif, png_chunk, texture

PICTURE = texture(11)
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
    for less in bare_files(name, head + data):
        assert len(less) <= len(head) + len(data)
