"""Every rule of decoding, and that hostile bytes end in a DecodeError."""

import io
import json
import struct
import threading
import warnings
import zlib

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from PIL import Image, ImageFile, features

from featstore.decoding.pixels import plugins
from featstore.decoding.pixels.decode import LATER_FORMATS, RULES, decode, decode_image, decode_picture, outdated
from featstore.errors import DecodeError
from featstore.images import formats
from tests.support.pictures import encode, exif, gif, hostile, png, png_chunk, texture, tiff

PICTURE = texture(11)  # (48, 64, 3)
GREY = PICTURE[..., 0]


@pytest.mark.parametrize("format", ["PNG", "BMP", "TIFF", "PPM"])
def test_lossless_formats_give_the_pixels_back(format):
    result = decode(encode(PICTURE, format))
    assert result.dtype == np.uint8
    np.testing.assert_array_equal(result, PICTURE)


def test_lossless_webp_gives_the_pixels_back():
    np.testing.assert_array_equal(decode(encode(PICTURE, "WEBP", lossless=True)), PICTURE)


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"subsampling": 0, "quality": 95}])
def test_jpeg_is_what_pillow_reads(options):
    data = encode(PICTURE, "JPEG", **options)
    np.testing.assert_array_equal(decode(data), np.asarray(Image.open(io.BytesIO(data)).convert("RGB")))


def test_real_photographs_are_what_pillow_reads(shared_data):
    for path in sorted((shared_data / "hymenoptera" / "val").rglob("*.jpg"))[::10]:
        np.testing.assert_array_equal(decode(path.read_bytes()), np.asarray(Image.open(path).convert("RGB")))


@pytest.mark.parametrize(("least", "divisor"), [(None, 1), (202, 1), (201, 2), (100, 4), (7, 8)])
def test_jpeg_is_scaled_as_far_as_both_sides_keep_the_pixels(least, divisor):
    smooth = np.asarray(Image.fromarray(texture(3)).resize((640, 402), Image.Resampling.BICUBIC))
    data = encode(smooth, "JPEG", quality=95)
    found = decode(data, least)
    assert found.shape == (-(-402 // divisor), -(-640 // divisor), 3)
    reference = Image.open(io.BytesIO(data)).reduce(divisor)  # the mean of each square of pixels
    assert np.abs(found.astype(int) - np.asarray(reference)).mean() < 2


def test_scaled_jpeg_is_turned_upright_and_other_formats_stay_whole():
    picture = np.asarray(Image.fromarray(PICTURE).resize((640, 400)))
    turned = io.BytesIO()
    tags = Image.Exif()
    tags[274] = 6
    Image.fromarray(picture).save(turned, "JPEG", exif=tags)
    assert decode(turned.getvalue(), 100).shape == (160, 100, 3)
    assert decode(encode(picture, "PNG"), 100).shape == (400, 640, 3)


def test_array_and_image_are_the_same_pixels():
    data = encode(PICTURE)
    np.testing.assert_array_equal(np.asarray(decode_image(data)), decode(data))
    assert decode_image(data).mode == "RGB"


def upright(stored: np.ndarray, orientation: int) -> np.ndarray:
    """What the EXIF standard means by each orientation, without Pillow."""
    if orientation in (5, 6, 7, 8):
        stored = stored.transpose(1, 0, 2)
    vertical = orientation in (3, 4, 7, 8)
    horizontal = orientation in (2, 3, 6, 7)
    return stored[:: -1 if vertical else 1, :: -1 if horizontal else 1]


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("format", ["PNG", "WEBP", "TIFF", "JPEG"])
def test_exif_orientation_is_applied(format, orientation):
    options = {"lossless": True} if format == "WEBP" else {}
    stored = decode(encode(PICTURE, format, **options))
    result = decode(encode(PICTURE, format, exif=exif(orientation), **options))
    np.testing.assert_array_equal(result, upright(stored, orientation))


def test_orientation_tags_of_the_public_test_set(shared_data):
    folder = shared_data / "odd" / "exif_orientation"
    for kind in ("Landscape", "Portrait"):
        reference = decode((folder / f"{kind}_1.jpg").read_bytes()).astype(int)
        for orientation in range(9):
            result = decode((folder / f"{kind}_{orientation}.jpg").read_bytes())
            assert result.shape == reference.shape
            assert np.abs(result - reference).mean() < 8  # compressed anew after turning


@pytest.mark.parametrize("tag", [0, 9, 65535])
def test_orientation_out_of_range_means_upright(tag):
    np.testing.assert_array_equal(decode(encode(PICTURE, "PNG", exif=exif(tag))), PICTURE)


@pytest.mark.parametrize(
    "block", [b"Exif\0\0", b"Exif\0\0MM\0*\xff\xff\xff\xff", b"Exif\0\0II*\0\x08\0\0\0\xff\xff", b"\0" * 9]
)
def test_broken_exif_means_upright(block):
    np.testing.assert_array_equal(decode(encode(PICTURE, "PNG", exif=block)), PICTURE)


def test_sixteen_bit_grey_png_is_scaled_not_clipped():
    values = np.linspace(0, 65535, 48 * 64).astype(np.uint16).reshape(48, 64)
    result = decode(encode(Image.fromarray(values), "PNG"))
    np.testing.assert_array_equal(result, np.repeat((values // 256).astype(np.uint8)[..., None], 3, axis=2))


@pytest.mark.parametrize("order", ["<", ">"])
def test_sixteen_bit_grey_tiff_is_scaled_in_both_byte_orders(order):
    values = np.linspace(0, 65535, 48 * 64).astype(np.uint16).reshape(48, 64)
    image = Image.fromarray(values.astype(f"{order}u2"))
    np.testing.assert_array_equal(decode(encode(image, "TIFF"))[..., 1], values // 256)


def test_sixteen_bit_pgm_is_scaled():
    values = np.linspace(0, 65535, 48 * 64).astype(np.uint16).reshape(48, 64)
    data = b"P5\n64 48\n65535\n" + values.astype(">u2").tobytes()
    np.testing.assert_array_equal(decode(data)[..., 2], values // 256)


def test_twelve_bit_tiff_is_scaled_from_its_own_range():
    values = np.linspace(0, 4095, 8 * 8).astype(np.uint16).reshape(8, 8)
    pairs = values.reshape(-1, 2).astype(np.uint32)
    packed = np.stack([pairs[:, 0] >> 4, (pairs[:, 0] & 15) << 4 | pairs[:, 1] >> 8, pairs[:, 1] & 255], axis=1)
    tags = {
        256: (4, 1, 8),
        257: (4, 1, 8),
        258: (3, 1, 12),
        259: (3, 1, 1),
        262: (3, 1, 1),
        277: (3, 1, 1),
        278: (4, 1, 8),
    }
    tags |= {279: (4, 1, 96), 273: (4, 1, 8 + 2 + 12 * 9 + 4)}
    np.testing.assert_array_equal(decode(tiff(tags, packed.astype(np.uint8).tobytes()))[..., 0], values >> 4)


def test_sixteen_bit_colour_png_keeps_the_high_bytes():
    samples = np.random.default_rng(0).integers(0, 65536, (5, 4, 3))
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in samples)
    np.testing.assert_array_equal(decode(png(4, 5, rows, depth=16)), samples // 256)


@pytest.mark.parametrize("dtype", [np.int32, np.float32])
def test_wide_integers_and_floats_are_stretched(dtype):
    values = (GREY.astype(np.float64) * 1000 - 70_000).astype(dtype)
    result = decode(encode(Image.fromarray(values), "TIFF"))[..., 0].astype(float)
    low, high = values.min(), values.max()
    np.testing.assert_allclose(result, (values.astype(float) - low) * 255 / (float(high) - low), atol=0.51)
    assert result.min() == 0 and result.max() == 255


def test_constant_float_image_is_black():
    assert not decode(encode(Image.fromarray(np.full((4, 4), 3.5, np.float32)), "TIFF")).any()


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_float_image_that_is_not_finite_is_refused(value):
    values = np.zeros((4, 4), np.float32)
    values[1, 1] = value
    with pytest.raises(DecodeError, match="not a finite number"):
        decode(encode(Image.fromarray(values), "TIFF"))


def on_white(rgb: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    weight = alpha[..., None] / 255.0
    return rgb * weight + 255 * (1 - weight)


@pytest.mark.parametrize("format", ["PNG", "WEBP", "TIFF"])
def test_alpha_is_composited_on_white(format):
    alpha = texture(12)[..., 1]
    options = {"lossless": True, "exact": True} if format == "WEBP" else {}
    data = encode(np.dstack([PICTURE, alpha]), format, **options)
    np.testing.assert_allclose(decode(data), on_white(PICTURE, alpha), atol=1)


def test_opaque_alpha_changes_nothing_and_transparent_is_white():
    opaque = np.dstack([PICTURE, np.full_like(GREY, 255)])
    np.testing.assert_array_equal(decode(encode(opaque, "PNG")), PICTURE)
    assert (decode(encode(np.dstack([PICTURE, np.zeros_like(GREY)]), "PNG")) == 255).all()


def test_grey_with_alpha_is_composited_on_white():
    alpha = texture(12)[..., 1]
    data = encode(Image.fromarray(np.dstack([GREY, alpha]), "LA"), "PNG")
    np.testing.assert_allclose(decode(data), on_white(np.repeat(GREY[..., None], 3, axis=2), alpha), atol=1)


def test_palette_is_resolved_and_its_transparent_entry_is_white():
    palette = Image.fromarray(PICTURE).quantize(16)
    colours = np.asarray(palette.convert("RGB"))
    index = np.asarray(palette)
    np.testing.assert_array_equal(decode(encode(palette, "PNG")), colours)
    expected = np.where((index == 3)[..., None], 255, colours)
    np.testing.assert_array_equal(decode(encode(palette, "PNG", transparency=3)), expected)
    np.testing.assert_array_equal(decode(encode(palette, "GIF", transparency=3)), expected)


def test_palette_with_partial_transparency():
    palette = Image.fromarray(PICTURE).quantize(4)
    alphas = np.array([0, 100, 200, 255])
    data = encode(palette, "PNG", transparency=bytes(alphas.tolist()))
    expected = on_white(np.asarray(palette.convert("RGB")), alphas[np.asarray(palette)])
    np.testing.assert_allclose(decode(data), expected, atol=1)


def test_colour_key_transparency_is_white():
    picture = PICTURE.copy()
    picture[:10] = (1, 2, 3)
    data = encode(Image.fromarray(picture), "PNG", transparency=(1, 2, 3))
    expected = picture.copy()
    expected[(picture == (1, 2, 3)).all(axis=-1)] = 255
    np.testing.assert_array_equal(decode(data), expected)


def test_colour_key_of_a_sixteen_bit_png_is_ignored():
    rows = b"".join(b"\0" + struct.pack(">6H", 0, 0, 0, 256, 256, 256) for _ in range(2))
    result = decode(png(2, 2, rows, depth=16, extra=png_chunk(b"tRNS", bytes(6))))
    np.testing.assert_array_equal(result[0], [[0, 0, 0], [1, 1, 1]])


def test_one_bit_images_are_black_and_white():
    bits = GREY > 128
    for format in ("PNG", "BMP", "TIFF", "PPM"):
        np.testing.assert_array_equal(decode(encode(Image.fromarray(bits), format))[..., 0], bits * 255)


def test_cmyk_jpeg_is_converted_and_not_inverted():
    cmyk = Image.fromarray(PICTURE).convert("CMYK")
    result = decode(encode(cmyk, "JPEG", quality=98, subsampling=0)).astype(int)
    assert np.abs(result - np.asarray(cmyk.convert("RGB"))).mean() < 4
    np.testing.assert_array_equal(decode(encode(cmyk, "TIFF")), np.asarray(cmyk.convert("RGB")))


@pytest.mark.parametrize("format", ["GIF", "WEBP", "PNG", "TIFF"])
def test_first_frame_of_an_animation(format):
    frames = [Image.fromarray(np.full((20, 30, 3), c, np.uint8)) for c in (10, 130, 240)]
    options = {"lossless": True} if format == "WEBP" else {}
    data = encode(frames[0], format, save_all=True, append_images=frames[1:], **options)
    assert Image.open(io.BytesIO(data)).n_frames == 3
    np.testing.assert_array_equal(decode(data), np.full((20, 30, 3), 10))


def test_first_picture_of_an_mpo():
    first, second = Image.fromarray(PICTURE), Image.fromarray(255 - PICTURE)
    data = encode(first, "MPO", save_all=True, append_images=[second])
    np.testing.assert_array_equal(decode(data), np.asarray(Image.open(io.BytesIO(data)).convert("RGB")))


def test_colour_profile_is_ignored():
    from PIL import ImageCms

    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("XYZ")).tobytes()
    np.testing.assert_array_equal(decode(encode(PICTURE, "PNG", icc_profile=profile)), PICTURE)


def test_lab_is_refused_with_a_remedy():
    lab = (
        Image.fromarray(PICTURE, "LAB")
        if Image.__version__ < "11"
        else Image.frombytes("LAB", (64, 48), PICTURE.tobytes())
    )
    with pytest.raises(DecodeError, match=r"TIFF: colours in CIE L\*a\*b\*.*convert it to RGB"):
        decode(encode(lab, "TIFF"))


@pytest.mark.parametrize("name", hostile())
def test_hostile_bytes_are_refused_with_one_short_line(name):
    with pytest.raises(DecodeError) as caught:
        decode(hostile()[name])
    reason = str(caught.value)
    assert 5 < len(reason) < 250 and reason.isprintable() and " at 0x" not in reason


def test_there_are_many_hostile_files():
    assert len(hostile()) >= 40


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("page.jpg", "not a supported image: HTML"),
        ("empty.jpg", "not a supported image: an empty file"),
        ("photo.heic", "^HEIC"),
        ("huge.png", "PNG: 2147483647 x 2147483647 pixels, more than the 100,000,000 that are decoded"),
        ("huge.webp", "WebP: 16777216 x 16777216 pixels, more than"),
        ("no_end.jpg", "JPEG: image file is truncated"),
    ],
)
def test_reasons_say_what_is_wrong(name, reason):
    with pytest.raises(DecodeError, match=reason):
        decode(hostile()[name])


def test_decompression_bomb_just_above_the_cap_is_refused_before_decoding():
    side = 10_001
    bomb = png(side, side, b"\0" + bytes(side), depth=1, colour=0)
    with pytest.raises(DecodeError, match="10001 x 10001 pixels, more than"):
        decode(bomb)


def test_extension_plays_no_part_and_neither_does_trailing_rubbish():
    np.testing.assert_array_equal(decode(encode(PICTURE, "PNG") + b"rubbish" * 100), PICTURE)


@pytest.mark.parametrize("format", ["JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP", "PPM"])
def test_truncated_at_any_byte_is_an_error_or_the_whole_picture(format):
    data = encode(PICTURE, format)
    whole = decode(data)
    refused = 0
    for length in range(0, len(data), max(1, len(data) // 60)):
        try:
            np.testing.assert_array_equal(
                decode(data[:length]), whole
            )  # all pixels were there, only the trailer is gone
        except DecodeError:
            refused += 1
    assert refused > 40


@pytest.mark.parametrize("progressive", [False, True])
def test_jpeg_cut_within_its_data_is_never_accepted(progressive):
    data = encode(PICTURE, "JPEG", progressive=progressive)
    for length in range(data.index(b"\xff\xda"), len(data) - 2):
        with pytest.raises(DecodeError):
            decode(data[:length])


SOURCES = {
    **{f: encode(PICTURE, f) for f in ("JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP", "PPM")},
    "progressive": encode(PICTURE, "JPEG", progressive=True, exif=exif(6)),
    "tiff_lzw": encode(PICTURE, "TIFF", compression="tiff_lzw"),
    "rgba": encode(np.dstack([PICTURE, GREY]), "PNG"),
}


@settings(max_examples=400, deadline=None)
@given(
    source=st.sampled_from(sorted(SOURCES)),
    edits=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=8),
    early=st.booleans(),
)
def test_any_bytes_changed_end_in_a_picture_or_a_decode_error(source, edits, early):
    data = bytearray(SOURCES[source])
    span = min(len(data), 200) if early else len(data)  # headers are where the harm is
    for where, value in edits:
        data[int(where * span)] = value
    try:
        result = decode(bytes(data))
    except DecodeError:
        return
    assert result.dtype == np.uint8 and result.ndim == 3 and result.shape[2] == 3


def test_public_hostile_files_end_in_a_picture_or_a_decode_error(shared_data, capfd):
    good = bad = 0
    for path in sorted((shared_data / "odd").rglob("*")):
        if path.is_file():
            try:
                result = decode(path.read_bytes())
                assert result.ndim == 3 and result.shape[2] == 3 and result.size
                good += 1
            except DecodeError as error:
                assert str(error)
                bad += 1
    assert good > 150 and bad > 150
    capfd.readouterr()  # libtiff writes its complaints to standard error


def test_pillows_switches_are_overruled_and_left_as_they_were(monkeypatch):
    truncated = encode(PICTURE)[:-30]
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        filters = list(warnings.filters)
        with pytest.raises(DecodeError, match="truncated"):
            decode(truncated)
        np.testing.assert_array_equal(decode(encode(PICTURE, "PNG")), PICTURE)
        assert warnings.filters == filters
    assert ImageFile.LOAD_TRUNCATED_IMAGES is True and Image.MAX_IMAGE_PIXELS == 10


def test_warnings_that_the_user_made_errors_do_not_change_the_result():
    data = bytearray(encode(PICTURE, "TIFF"))
    data = tiff(
        {
            256: (4, 1, 4),
            257: (4, 1, 4),
            258: (3, 1, 8),
            262: (3, 1, 1),
            273: (4, 1, 150),
            277: (3, 1, 1),
            305: (2, 999, 10**6),
        },
        bytes(64),
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = outcome(bytes(data))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert outcome(bytes(data)) == expected


def outcome(data: bytes) -> bytes | str:
    try:
        return decode(data).tobytes()
    except DecodeError as error:
        return str(error)


def test_threads_share_the_switches(monkeypatch):
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    truncated, wrong = encode(PICTURE)[:-30], []

    def work() -> None:
        for _ in range(60):
            if not isinstance(outcome(truncated), str):
                wrong.append(1)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong and ImageFile.LOAD_TRUNCATED_IMAGES is True


def test_lack_of_memory_is_told_apart(monkeypatch):
    def full(*_: object) -> None:
        raise MemoryError

    monkeypatch.setitem(plugins.PLUGINS, "PNG", full)
    with pytest.raises(DecodeError, match="PNG: not enough memory") as caught:
        decode(encode(PICTURE, "PNG"))
    assert isinstance(caught.value.__cause__, MemoryError)


@pytest.mark.parametrize(
    "error",
    [
        struct.error("x"),
        zlib.error("x"),
        SyntaxError("x"),
        OverflowError("x"),
        EOFError(),
        RecursionError("x"),
        ZeroDivisionError(),
    ],
)
def test_whatever_a_plugin_raises_becomes_a_decode_error(monkeypatch, error):
    def broken(*_: object) -> None:
        raise error

    monkeypatch.setitem(plugins.PLUGINS, "PNG", broken)
    with pytest.raises(DecodeError, match="^PNG: "):
        decode(encode(PICTURE, "PNG"))


def test_rules_are_plain_json_and_state_a_version():
    assert json.loads(json.dumps(RULES)) == RULES
    assert RULES["version"] == 1 and RULES["background"] == [255, 255, 255]


def test_gif_helper_makes_a_gif_that_can_be_read():
    data = gif(
        8,
        8,
        b",\0\0\0\0\x08\0\x08\0\0" + encode(Image.new("P", (8, 8)), "GIF").split(b",\0\0\0\0\x08\0\x08\0\0")[1][:-1],
    )
    assert decode(data).shape == (8, 8, 3)


def test_rules_are_as_ever_so_that_keys_stay():
    from featstore.decoding.pixels.transform import TransformSpec
    from featstore.fingerprint import Fingerprint

    assert RULES["formats"] == ["JPEG", "PNG", "WebP", "BMP", "GIF", "TIFF", "PPM"]
    assert set(LATER_FORMATS) == set(formats.FORMATS) - set(RULES["formats"])
    keys = [
        Fingerprint("resnet50", "0" * 64, "avgpool", "none", spec.to_json(), RULES, "fp32", "x").key
        for spec in (TransformSpec(256, 224), TransformSpec(232, 224, jpeg_scaling=True))
    ]
    assert keys == ["7552625b4fd0aed4", "097387c4eb2fc800"]  # as before there were other formats and options


@pytest.mark.parametrize("format", ["JPEG", "PNG", "GIF", "BMP", "TIFF", "PPM"])
def test_truncated_file_is_decoded_as_far_as_it_goes_where_asked_for(format):
    data = encode(PICTURE, format, **({"interlace": 0} if format == "GIF" else {}))
    cut = data[: len(data) * 3 // 4]
    with pytest.raises(DecodeError):
        decode(cut)
    picture = decode_picture(cut, allow_truncated=True)
    assert picture.remark.startswith("cut short or damaged, decoded as far as it goes (")
    whole, found = decode(data), np.asarray(picture.image)
    assert found.shape == whole.shape
    half = slice(36, None) if format == "BMP" else slice(0, 12)  # which begins with the lowest line
    np.testing.assert_array_equal(found[half], whole[half])
    assert decode_picture(data, allow_truncated=True).remark == ""


@pytest.mark.parametrize("format", ["WEBP", "AVIF"])
def test_formats_that_are_not_decoded_in_part_fail_all_the_same(format):
    data = encode(PICTURE, format)
    with pytest.raises(DecodeError):
        decode(data[: len(data) // 2], allow_truncated=True)


@pytest.mark.parametrize("name", hostile())
def test_hostile_bytes_end_also_where_truncated_files_are_taken(name):
    try:
        picture = decode_picture(hostile()[name], allow_truncated=True)
    except DecodeError as error:
        assert str(error).isprintable()
    else:
        assert picture.remark and len({tuple(p) for p in np.asarray(picture.image).reshape(-1, 3)}) > 1


def test_file_of_which_nothing_can_be_decoded_fails_although_it_may_be_cut():
    data = encode(PICTURE, "PNG")
    with pytest.raises(DecodeError, match="truncated"):
        decode(data[: data.index(b"IDAT") + 6], allow_truncated=True)
    data = encode(PICTURE)
    with pytest.raises(DecodeError, match="Truncated"):
        decode(data[: data.index(b"\xff\xda") + 4], allow_truncated=True)


def test_threads_that_want_truncated_files_and_others_do_not_disturb_each_other():
    truncated, wrong = encode(PICTURE)[:-400], []

    def work(allowed: bool) -> None:
        for _ in range(40):
            try:
                decode(truncated, allow_truncated=allowed)
                wrong.extend([] if allowed else [allowed])
            except DecodeError:
                wrong.extend([allowed] if allowed else [])

    threads = [threading.Thread(target=work, args=(number % 2 == 0,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong and ImageFile.LOAD_TRUNCATED_IMAGES is False


@pytest.mark.parametrize(
    ("format", "remark"),
    [("GIF", "frames"), ("WEBP", "frames"), ("PNG", "frames"), ("TIFF", "pages"), ("MPO", "")],
)
def test_files_with_several_pictures_are_remarked(format, remark):
    frames = [Image.fromarray(np.full((20, 30, 3), c, np.uint8)) for c in (10, 130, 240)]
    data = encode(frames[0], format, save_all=True, append_images=frames[1:])
    assert decode_picture(data).remark == (remark and f"the first of 3 {remark}")
    assert decode_picture(encode(frames[0], format)).remark == ""


TAGS = {256: (4, 1, 8), 257: (4, 1, 8), 258: (3, 1, 8), 259: (3, 1, 1), 262: (3, 1, 1), 273: (4, 1, 200)}
TAGS |= {277: (3, 1, 1), 278: (4, 1, 8), 279: (4, 1, 64)}


@pytest.mark.parametrize(
    ("tags", "reason"),
    [
        ({277: (3, 1, 13)}, "^TIFF: 13 samples a pixel, expected 1 to 4; save three of them as an RGB picture"),
        ({258: (3, 1, 64), 339: (3, 1, 3)}, "^TIFF: 1 floating-point sample of 64 bits a pixel; save it with 8 or 16"),
        ({50706: (1, 4, 1), 259: (3, 1, 60000)}, "^TIFF: a DNG raw camera file, develop it to JPEG or TIFF first"),
    ],
)
def test_tiff_that_is_refused_is_named_for_what_it_is(tags, reason, capfd):
    with pytest.raises(DecodeError, match=reason):
        decode(tiff(TAGS | tags, bytes(400)))
    capfd.readouterr()


@pytest.mark.parametrize(
    ("tags", "what"),
    [
        ({254: (4, 1, 1)}, "a file whose first page is a smaller version of another one"),
        ({50706: (1, 4, 1)}, "a DNG raw camera file"),
    ],
)
def test_preview_is_not_taken_for_the_picture_in_silence(tags, what):
    picture = decode_picture(tiff(TAGS | tags, bytes(400)))
    assert picture.remark == f"only the preview of 8 x 8 pixels in {what}"


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (bytes(128) + b"DICM" + bytes(99), "DICOM; convert it to PNG with its window applied"),
        (b"<?xml version='1.0'?><!-- drawn --><svg>", "SVG; draw it as a PNG first"),
        (b"version https://git-lfs.github.com/spec/v1\n", "Git LFS pointer; fetch the file itself with `git lfs pull`"),
        (b"\0\0\0\x18ftypisom" + bytes(20), "MP4 video; save frames of it as JPEG first"),
    ],
)
def test_what_is_no_picture_is_named_with_the_way_out(data, reason):
    with pytest.raises(DecodeError, match=f"^not a supported image: {reason}"):
        decode(data)


@pytest.mark.parametrize(
    ("reason", "expected"),
    [
        ("not a supported image: AVIF", features.check("avif")),
        ("not a supported image: JPEG 2000", features.check("jpg_2000")),
        ("not a supported image: HTML", False),
        ("PNG: Too much memory used in text chunks: 67108865>MAX_TEXT_MEMORY", True),
        ("PNG: broken PNG file (bad header checksum in b'tEXt')", True),
        ("PNG: broken PNG file (bad header checksum in b'IDAT')", False),
        ("AVIF: Failed to decode frame 0: Truncated data", False),
    ],
)
def test_reasons_that_are_none_any_more_are_known(reason, expected):
    assert outdated(reason) is bool(expected)
