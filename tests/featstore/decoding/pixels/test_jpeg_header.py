import io
import struct

import numpy as np
import pytest
from PIL import Image

from featstore.decoding.pixels.jpeg_header import JpegHeader, read_header
from tests.support.pictures import encode, exif, hostile, texture


@pytest.mark.parametrize("subsampling", [0, 1, 2])
@pytest.mark.parametrize("progressive", [False, True])
def test_plain_files_are_read(subsampling, progressive):
    data = encode(texture(1, 70, 50), subsampling=subsampling, progressive=progressive)
    assert read_header(data) == JpegHeader(70, 50, 1)
    assert read_header(data + b"and more") == JpegHeader(70, 50, 1)


@pytest.mark.parametrize("orientation", range(10))
@pytest.mark.parametrize("order", ["<", ">"])
def test_orientation_is_pillows(orientation, order):
    block = b"Exif\0\0" + {"<": b"II*\0", ">": b"MM\0*"}[order] + struct.pack(order + "I", 8)
    block += struct.pack(order + "H", 2) + struct.pack(order + "HHII", 256, 4, 1, 70)
    block += struct.pack(order + "HHIHH", 274, 3, 1, orientation, 0) + bytes(4)
    data = encode(texture(1), exif=block)
    seen = Image.open(io.BytesIO(data)).getexif().get(274)
    assert seen == orientation
    assert read_header(data).orientation == (seen if 1 <= seen <= 8 else 1)


def test_files_with_something_peculiar_are_left_to_a_careful_decoder():
    picture = texture(2)
    plain = encode(picture)
    dht = plain.index(b"\xff\xc0")
    tags = [struct.pack("<HHII", 274, 3, 1, orientation) for orientation in (6, 1)]
    twice = b"Exif\0\0II*\0" + struct.pack("<IH", 8, 2) + b"".join(tags) + bytes(4)
    peculiar = {
        "grey": encode(Image.fromarray(picture).convert("L")),
        "CMYK": encode(Image.fromarray(picture).convert("CMYK")),
        "RGB": encode(picture, keep_rgb=True),
        "no end": plain[:-2],
        "half": plain[: len(plain) // 2],
        "PNG": encode(picture, "PNG"),
        "arithmetic": plain[:dht] + b"\xff\xc9" + plain[dht + 2 :],
        "12 bits": plain[: dht + 4] + b"\x0c" + plain[dht + 5 :],
        "no pixels": plain[: dht + 5] + b"\0\0" + plain[dht + 7 :],
        "odd sampling": plain[: dht + 11] + b"\x41" + plain[dht + 12 :],
        "broken Exif": encode(picture, exif=b"Exif\0\0II*\0\xff\xff\xff\xff"),
        "no Exif": encode(picture, exif=b"Exif\0\0what is this"),
        "two orientations": encode(picture, exif=twice),
        "long Adobe block, RGB": plain[:2] + b"\xff\xee\0\x12Adobe\0\x64" + bytes(8) + b"\1" + plain[2:],
        "short Adobe block": plain[:2] + b"\xff\xee\0\x0dAdobe\0\x64\0\0\0\1" + plain[2:],
        "orientation in XMP": plain[:2] + xmp(b'<x tiff:Orientation="6"/>') + plain[2:],
    }
    assert {name for name, data in peculiar.items() if read_header(data) is not None} == set()
    assert read_header(plain[:2] + xmp(b"<x/>") + plain[2:]) == JpegHeader(64, 48)
    long_block = plain[:2] + b"\xff\xee\0\x12Adobe\0\x64" + bytes(4) + b"\1" + bytes(4) + plain[2:]
    assert read_header(long_block) == JpegHeader(64, 48)
    assert read_header(encode(picture, exif=exif(3))) == JpegHeader(64, 48, 3)


def xmp(body):
    block = b"http://ns.adobe.com/xap/1.0/\0" + body
    return b"\xff\xe1" + struct.pack(">H", len(block) + 2) + block


def test_no_byte_makes_it_fail():
    rng = np.random.default_rng(0)
    plain = encode(texture(3), exif=exif(6), progressive=True)
    end = plain.index(b"\xff\xda")
    for _ in range(3000):
        data = bytearray(plain[: rng.integers(1, len(plain) + 1)])
        for at in rng.integers(0, min(end, len(data)), 3):
            data[at] = rng.integers(256)
        header = read_header(bytes(data))
        assert header is None or (1 <= header.orientation <= 8 and header.width > 0 and header.height > 0)
    for data in hostile().values():
        read_header(data)
