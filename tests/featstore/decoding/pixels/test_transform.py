"""The transform is torchvision's own, bit for bit."""

import dataclasses
import json

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from PIL import Image

from featstore.decoding.pixels import transform
from featstore.decoding.pixels.transform import TransformSpec
from tests.support.pictures import texture

SPEC = TransformSpec(resize=256, crop=224)
SIZES = [
    (256, 256),
    (224, 224),
    (500, 375),
    (375, 500),
    (333, 500),
    (257, 256),
    (640, 481),
    (1, 1),
    (3, 700),
    (700, 3),
    (30, 40),
]


def torchvision_transform(spec: TransformSpec, picture: np.ndarray) -> np.ndarray:
    functional = pytest.importorskip("torchvision.transforms.functional")
    mode = functional.InterpolationMode(spec.interpolation)
    resized = functional.resize(Image.fromarray(picture), [spec.resize], interpolation=mode, antialias=True)
    return np.asarray(functional.center_crop(resized, [spec.crop]))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic", "nearest"])
def test_same_bits_as_torchvision(size, interpolation):
    spec = dataclasses.replace(SPEC, interpolation=interpolation)
    picture = texture(7, *size)
    result = spec.apply(picture)
    assert result.shape == (224, 224, 3) and result.dtype == np.uint8
    np.testing.assert_array_equal(result, torchvision_transform(spec, picture))


@settings(max_examples=200, deadline=None)
@given(
    width=st.integers(1, 150),
    height=st.integers(1, 150),
    resize=st.integers(1, 60),
    crop=st.integers(1, 60),
    seed=st.integers(0, 9),
)
def test_same_bits_as_torchvision_for_any_sizes_also_where_it_pads(width, height, resize, crop, seed):
    spec = TransformSpec(resize, crop)
    picture = texture(seed, width, height)
    np.testing.assert_array_equal(spec.apply(picture), torchvision_transform(spec, picture))


def test_image_smaller_than_the_crop_is_padded_with_black():
    result = TransformSpec(resize=10, crop=14).apply(np.full((10, 10, 3), 200, np.uint8))
    assert (result[2:12, 2:12] == 200).all()
    assert result.sum() == 200 * 10 * 10 * 3


@pytest.mark.parametrize(("width", "height"), [(1, 400), (400, 1), (2, 300)])
def test_long_thin_image_is_cut_before_it_is_resized_and_stays_within_a_grey_level(monkeypatch, width, height):
    picture = texture(3, width, height)
    whole = SPEC.apply(picture)
    monkeypatch.setattr(transform, "MAX_RESIZED_PIXELS", 1000)
    assert np.abs(SPEC.apply(picture).astype(int) - whole).max() <= 1


@pytest.mark.parametrize("shape", [(1, 60000, 3), (60000, 1, 3)])
def test_extreme_aspect_ratio_needs_little_memory(shape):
    resource = pytest.importorskip("resource")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    result = SPEC.apply(np.full(shape, 90, np.uint8))  # resized whole it would hold 4 billion pixels
    assert (result == 90).all()
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 300_000  # KiB


def test_extreme_aspect_ratio_that_is_also_padded():
    result = TransformSpec(resize=8, crop=16).apply(np.full((1, 9_000_000, 3), 90, np.uint8))
    assert (result[4:12] == 90).all() and not result[:4].any() and not result[12:].any()


def test_other_input_size_keeps_the_ratio():
    assert SPEC.resized(224) == SPEC
    assert SPEC.resized(160) == dataclasses.replace(SPEC, resize=183, crop=160)
    assert TransformSpec(232, 224).resized(448).resize == 464


def test_json_round_trip_is_exact_and_plain():
    spec = TransformSpec(232, 224, "bicubic", True, (0.1, 0.2, 0.3), (1, 2, 3))
    document = json.loads(json.dumps(spec.to_json()))
    assert document["mean"] == [0.1, 0.2, 0.3]
    assert TransformSpec.from_json(document) == spec
    assert hash(TransformSpec.from_json(document)) == hash(spec)


def test_scaled_jpeg_is_part_of_the_document_only_where_it_is_on():
    scaled = dataclasses.replace(SPEC, jpeg_scaling=True)
    assert "jpeg_scaling" not in SPEC.to_json() and SPEC.min_side is None
    assert TransformSpec.from_json(json.loads(json.dumps(scaled.to_json()))) == scaled != SPEC
    assert scaled.min_side == 2 * SPEC.resize and scaled.resized(160).jpeg_scaling


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"resize": 0}, "at least 1 pixel"),
        ({"crop": -3}, "at least 1 pixel"),
        ({"interpolation": "cubic"}, "'cubic' is not known; use one of nearest"),
        ({"antialias": False}, "always antialiases"),
        ({"std": (0.0, 1.0, 1.0)}, "std above 0"),
        ({"mean": (0.5, 0.5)}, "3 numbers each"),
        ({"jpeg_scaling": 2}, "jpeg_scaling is 2, neither true nor false"),
    ],
)
def test_fields_out_of_range_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(SPEC, **change)


@pytest.mark.parametrize(
    "array", [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 4), np.uint8), np.zeros((4, 4, 3), np.float32)]
)
def test_arrays_that_are_no_image_are_refused(array):
    with pytest.raises(ValueError, match="uint8 array of shape"):
        SPEC.apply(array)


def test_bit_depth_and_truncated_files_are_part_of_the_document_only_where_they_are_on():
    assert not {"bit_depth", "allow_truncated"} & set(SPEC.to_json())
    assert SPEC.decode_options == {"min_side": None, "bit_depth": None, "allow_truncated": False}
    for change in ({"bit_depth": 12}, {"allow_truncated": True}):
        other = dataclasses.replace(SPEC, **change)
        assert TransformSpec.from_json(json.loads(json.dumps(other.to_json()))) == other != SPEC
        assert other.to_json() == SPEC.to_json() | change
        assert other.decode_options == SPEC.decode_options | change


@pytest.mark.parametrize("depth", [8, 17, 12.0, "12", True])
def test_bit_depth_out_of_range_is_refused(depth):
    with pytest.raises(ValueError, match="bit_depth is .*; expected a whole number from 9 to 16, or None"):
        dataclasses.replace(SPEC, bit_depth=depth)
