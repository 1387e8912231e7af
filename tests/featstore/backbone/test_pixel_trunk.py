import pytest
import torch
from torch import nn

from featstore.backbone.nodes import NetworkGraph
from featstore.backbone.pixel_trunk import PixelTrunk, fold_batch_norms
from tests.featstore.backbone.test_nodes import one_thread, seeded  # noqa: F401 - a fixture
from tests.support.engine_example import assert_same_features, example, images, torchvision_features


@pytest.fixture(scope="module")
def backbone(tmp_path_factory):
    return example(tmp_path_factory.mktemp("weights"))


def test_pixels_in_features_out_as_torchvision(backbone):
    pixels = images(3)
    with torch.inference_mode():
        found = [output.numpy() for output in PixelTrunk.of(backbone)(torch.from_numpy(pixels))]
    assert_same_features(found, torchvision_features(backbone, pixels))


def test_batch_norm_stays_where_its_convolution_is_asked_for():
    network = seeded("resnet18")
    for module in network.modules():
        if isinstance(module, nn.ReLU):
            module.inplace = False
    body = NetworkGraph(network).cut(network, ["conv1", "layer1"])
    x = torch.randn(1, 3, 32, 32)
    folded = fold_batch_norms(body)
    assert sum(isinstance(module, nn.BatchNorm2d) for module in folded.modules()) == 1
    assert sum(isinstance(module, nn.BatchNorm2d) for module in body.modules()) == 5
    with torch.inference_mode():
        expected, found = body(x), folded(x)
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4)
