"""16-bit samples: the largest is found, and N-bit samples in them become the 8-bit picture that they are."""

import numpy as np
import pytest
from PIL import Image

from featstore.decoding.pixels import deep_samples
from featstore.decoding.pixels.decode import decode, decode_picture
from featstore.errors import DecodeError
from tests.support.deep_pictures import deep_png, deep_tiff
from tests.support.pictures import encode, texture

PICTURE = texture(7, 30, 22)
GREY = PICTURE[..., :1]


def files(bits: int) -> dict[str, tuple[bytes, np.ndarray]]:
    """An 8-bit picture as `bits` of 16, in every way: name -> (file, what must come out)."""
    colour = PICTURE.astype(np.uint16) << (bits - 8) | 1
    grey = GREY.astype(np.uint16) << (bits - 8) | 1
    full = np.full_like(grey, 65535)
    alpha = np.full_like(grey, (1 << bits) - 1)
    flat = Image.fromarray(grey[..., 0])
    return {
        "grey.png": (deep_png(grey), GREY),
        "grey_alpha.png": (deep_png(np.dstack([grey, full])), GREY),
        "colour.png": (deep_png(colour), PICTURE),
        "interlaced.png": (deep_png(colour, interlaced=True), PICTURE),
        "alpha.png": (deep_png(np.dstack([colour, full])), PICTURE),
        "alpha_of_bits.png": (deep_png(np.dstack([colour, alpha])), PICTURE),
        "grey.tif": (encode(flat, "TIFF"), GREY),
        "grey_big_endian.tif": (encode(Image.fromarray(grey[..., 0].astype(">u2")), "TIFF"), GREY),
        "grey_lzw.tif": (encode(flat, "TIFF", compression="tiff_lzw"), GREY),
        "colour.tif": (deep_tiff(colour), PICTURE),
        "colour_big_endian.tif": (deep_tiff(colour, ">"), PICTURE),
        "colour_deflate.tif": (deep_tiff(colour, packed=True), PICTURE),
        "colour_deflate_big_endian.tif": (deep_tiff(colour, ">", packed=True), PICTURE),
        "planes.tif": (deep_tiff(colour, planes=True), PICTURE),
        "planes_big_endian.tif": (deep_tiff(colour, ">", planes=True), PICTURE),
        "grey.pgm": (b"P5\n30 22\n65535\n" + grey.astype(">u2").tobytes(), GREY),
        "colour.ppm": (b"P6 30 22 # a comment\n65535\n" + colour.astype(">u2").tobytes(), PICTURE),
        "grey.jp2": (encode(flat, "JPEG2000"), GREY),
    }


@pytest.mark.parametrize("bits", [9, 10, 12, 14, 16])
@pytest.mark.parametrize("name", files(12))
def test_bits_that_are_told_give_the_eight_bit_picture(name, bits):
    data, expected = files(bits)[name]
    found = decode(data, bit_depth=bits)
    np.testing.assert_array_equal(found, np.broadcast_to(expected, found.shape))


@pytest.mark.parametrize("bits", [10, 12, 14])
@pytest.mark.parametrize("name", files(12))
def test_dark_samples_are_remarked_with_the_largest_and_decoded_as_ever(name, bits):
    data, expected = files(bits)[name]
    picture = decode_picture(data)
    largest = (int(expected.max()) << (bits - 8)) | 1
    assert picture.remark == f"16-bit, all values at most {largest} of 65535"
    if name != "alpha_of_bits.png":  # whose alpha is low, too, so that white shines through
        assert abs(int(np.asarray(picture.image).max()) - (largest >> 8)) <= 1


@pytest.mark.parametrize("name", files(12))
def test_samples_that_use_the_range_and_black_pictures_are_not_remarked(name):
    assert decode_picture(files(16)[name][0]).remark == ""
    black = np.zeros((9, 9, 3), np.uint16)
    assert decode_picture(deep_png(black)).remark == decode_picture(deep_png(black[..., :1])).remark == ""


def test_values_above_the_depth_become_white_and_it_is_said():
    samples = np.array([[[0], [4080], [4096], [65535]]], np.uint16)
    picture = decode_picture(deep_png(samples), bit_depth=12)
    assert np.asarray(picture.image)[0, :, 0].tolist() == [0, 255, 255, 255]
    assert picture.remark == "16-bit, values up to 65535 cut off above 4095"


def test_eight_bit_files_and_those_that_say_their_depth_are_decoded_as_without():
    for data in (
        encode(PICTURE), encode(PICTURE, "PNG"), encode(PICTURE, "TIFF"),
        b"P5\n30 22\n4095\n" + (GREY.astype(">u2") << 4).tobytes(),
        encode(Image.fromarray(PICTURE[..., 0].astype(np.float32)), "TIFF"),
        encode(Image.fromarray(PICTURE[..., 0].astype(np.int32)), "TIFF"),
    ):  # fmt: skip
        np.testing.assert_array_equal(decode(data, bit_depth=12), decode(data))
        assert decode_picture(data, bit_depth=12).remark == ""


def test_what_cannot_be_taken_as_fewer_bits_is_refused_and_still_remarked_without():
    data = deep_tiff(PICTURE.astype(np.uint16) << 4, packed=True, planes=True)
    with pytest.raises(DecodeError, match=r"TIFF: 16-bit samples of several bands.*save the picture as a PNG"):
        decode(data, bit_depth=12)
    remark = decode_picture(data).remark
    assert remark.startswith("16-bit, all values at most ") and int(remark.split()[5]) < 4096


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("order", "<>")
def test_planes_of_sixteen_bits_keep_the_high_bytes(order, packed):
    samples = np.random.default_rng(0).integers(0, 65536, (22, 30, 3)).astype(np.uint16)
    data = deep_tiff(samples, order, packed=packed, planes=True)
    np.testing.assert_array_equal(decode(data), samples >> 8)


def test_large_files_are_not_decoded_twice_for_a_remark(monkeypatch):
    monkeypatch.setattr(deep_samples, "LARGE", 100)
    samples = np.full((20, 20, 3), 300, np.uint16)
    assert decode_picture(deep_png(samples)).remark == "16-bit, all values at most 511 of 65535"
    assert (decode(deep_png(samples), bit_depth=10) == 75).all()
