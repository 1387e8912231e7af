import io

import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st
from PIL import Image
from torchvision.transforms import v2

from classifiers.inspection.lossless_crop import FramedCrop, frame_side, to_bytes, to_tensor
from featstore.decoding.pixels.transform import TransformSpec
from featstore.errors import DecodeError, ImagesNotFoundError
from tests.support.pictures import texture


@settings(max_examples=40, deadline=None)
@given(st.integers(20, 120), st.integers(20, 120), st.integers(16, 48), st.integers(0, 13), st.integers(0, 99))
def test_a_saved_frame_shows_the_network_exactly_the_pixels_that_were_put_in(width, height, crop, more, seed):
    spec = TransformSpec(resize=crop + more, crop=crop)
    frame = FramedCrop.of(texture(seed, width, height), spec)
    assert frame.pixels.shape == (frame_side(spec), frame_side(spec), 3)
    meant = np.random.default_rng(seed).integers(0, 256, (crop, crop, 3)).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(frame.holding(meant).pixels).save(buffer, "PNG")
    # torchvision's own transform is the judge
    transform = v2.Compose([v2.Resize(spec.resize, antialias=True), v2.CenterCrop(spec.crop)])
    seen = np.asarray(transform(Image.open(buffer)))
    np.testing.assert_array_equal(seen, meant)


def test_the_crop_is_what_the_classifier_sees_of_the_original():
    spec = TransformSpec(resize=37, crop=32)
    rgb = texture(0, 83, 61)
    frame = FramedCrop.of(rgb, spec)
    np.testing.assert_array_equal(frame.crop, spec.apply(rgb))
    assert (frame.holding(frame.crop).pixels == frame.pixels).all()


def test_around_the_crop_the_frame_shows_the_same_picture():
    spec = TransformSpec(resize=40, crop=32)
    rgb = texture(1, 80, 80)
    whole = np.asarray(v2.Resize(40, antialias=True)(Image.fromarray(rgb)))
    np.testing.assert_array_equal(FramedCrop.of(rgb, spec).pixels, whole)


def test_a_missing_and_a_broken_file_are_named(tmp_path):
    spec = TransformSpec(resize=16, crop=16)
    with pytest.raises(ImagesNotFoundError, match=r"nowhere\.png cannot be read: No such file"):
        FramedCrop.open(tmp_path / "nowhere.png", spec)
    (tmp_path / "text.png").write_text("no picture")
    with pytest.raises(DecodeError, match=r"text\.png cannot be decoded"):
        FramedCrop.open(tmp_path / "text.png", spec)


def test_bytes_and_tensors_are_each_others_inverse():
    levels = np.arange(256, dtype=np.uint8).repeat(3).reshape(1, 16, 16, 3)
    tensor = to_tensor(levels)
    assert tensor.shape == (1, 3, 16, 16) and tensor.dtype == torch.float32 and float(tensor.max()) == 1
    np.testing.assert_array_equal(to_bytes(tensor), levels)
    assert torch.equal(tensor[0, 0].flatten(), torch.arange(256) / 255)
