import numpy as np
import pytest
import torch

from featstore.backbone.trunk import PixelTrunk
from featstore.engines.parity import check, check_images
from featstore.errors import DeviceError
from tests.support.engine_example import example

pytestmark = pytest.mark.usefixtures("one_thread")


class Shifted:
    """The right features, spoilt by a function."""

    name = "shifted"
    batch_size = 1

    def __init__(self, backbone, spoil):
        self.network, self.spoil = PixelTrunk.of(backbone.trunk, backbone.transform), spoil

    def submit(self, images):
        with torch.inference_mode():
            self.outputs = [self.spoil(output.numpy()) for output in self.network(torch.from_numpy(images))]
        return self

    def result(self):
        return self.outputs


@pytest.fixture(scope="module")
def backbone(tmp_path_factory):
    return example(tmp_path_factory.mktemp("weights"))


def test_right_features_pass(backbone):
    check(Shifted(backbone, lambda f: f * np.float32(1 + 1e-6)), backbone, "fp32")
    check(Shifted(backbone, lambda f: f.astype(np.float16).astype(np.float32)), backbone, "fp16")


@pytest.mark.parametrize(
    "spoil",
    [
        lambda f: f * np.float32(1.001),
        lambda f: f[:, ::-1],
        lambda f: f + np.float32(0.01) * np.abs(f).max(),
        lambda f: np.full_like(f, np.nan),
        lambda f: np.zeros_like(f),
    ],
)
def test_other_features_are_refused(backbone, spoil):
    with pytest.raises(DeviceError, match="the engine shifted in fp32 gives other features .* at node avgpool"):
        check(Shifted(backbone, spoil), backbone, "fp32")


def test_bf16_may_differ_more_but_not_at_will(backbone):
    check(Shifted(backbone, lambda f: f * np.float32(1.01)), backbone, "bf16")
    sentence = r"cosine -?0.*, at least 0\.999 is.*; bf16 is too coarse for this network with these weights"
    with pytest.raises(DeviceError, match=sentence):
        check(Shifted(backbone, lambda f: f[:, ::-1]), backbone, "bf16")


def test_check_images_are_two_different_full_range_pictures():
    pictures = check_images(48)
    assert pictures.shape == (2, 48, 48, 3) and pictures.dtype == np.uint8
    assert all(picture.min() == 0 and picture.max() == 255 for picture in pictures)
    assert np.array_equal(pictures, check_images(48))
