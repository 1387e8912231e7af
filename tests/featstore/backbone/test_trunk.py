import pytest
import torch
from torch import nn
from torchvision.models.feature_extraction import create_feature_extractor

from featstore.backbone.architecture import build_network
from featstore.backbone.catalogue import lookup
from featstore.backbone.trunk import NetworkGraph, PixelTrunk, Pool, fold_batch_norms
from featstore.errors import UnknownNameError
from tests.support.engine_example import (
    assert_same_features,
    example,
    images,
    seeded,
    torchvision_features,
)

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.parametrize("name", ["resnet18", "resnext50_32x4d", "mobilenet_v2", "mobilenet_v3_small"])
def test_every_module_node_is_what_a_hook_on_the_eager_network_sees(name):
    reference = seeded(name)
    seen = {}

    def hook(path):
        def keep(module, args, output):
            seen.setdefault(path, output.clone())  # of the first call, before anything overwrites it

        return keep

    for path, module in reference.named_modules():
        if path:
            module.register_forward_hook(hook(path))
    x = torch.randn(2, 3, 64, 64)
    with torch.inference_mode():
        reference(x)

    network = build_network(name)
    graph = NetworkGraph(network)
    shapes = graph.shapes(network, 64)
    network.load_state_dict(reference.state_dict(), assign=True)
    assert set(seen) <= set(graph.nodes)
    with torch.inference_mode():
        values = graph.cut(network, seen)(x)
    for path, value in zip(seen, values, strict=True):
        torch.testing.assert_close(
            value, seen[path], rtol=1e-5, atol=1e-5, msg=lambda text, path=path: f"{path}: {text}"
        )
        assert shapes[path] == value.shape[1:]


def test_repeated_modules_and_operations_have_torchvisions_names():
    reference = seeded("resnet18")
    names = ["layer1.0.relu", "layer1.0.relu_1", "layer1.0.add", "layer2.1.add", "flatten"]
    x = torch.randn(1, 3, 64, 64)
    with torch.inference_mode():
        expected = create_feature_extractor(without_inplace(reference), names)(x)
        network = without_inplace(reference)
        found = NetworkGraph(network).cut(network, names)(x)
    for name, value in zip(names, found, strict=True):
        torch.testing.assert_close(value, expected[name], msg=lambda text, name=name: f"{name}: {text}")


def without_inplace(reference):
    network = build_network("resnet18")
    network.load_state_dict(reference.state_dict(), assign=True)
    return network


def test_cut_computes_nothing_behind_the_deepest_node():
    network = build_network("resnet50")
    body = NetworkGraph(network).cut(network, ["layer2", "conv1"])
    left = {path.partition(".")[0] for path, _ in body.named_modules() if path}
    assert left == {"conv1", "bn1", "relu", "maxpool", "layer1", "layer2"}
    assert all(node.op != "call_module" or node.target.split(".")[0] in left for node in body.graph.nodes)


@pytest.mark.parametrize(
    ("kind", "reference"),
    [
        ("avg", lambda x: x.reshape(2, 5, -1).mean(2)),
        ("max", lambda x: x.reshape(2, 5, -1).max(2)),
        ("gem", lambda x: (x.reshape(2, 5, -1).clip(1e-6) ** 3).mean(2) ** (1 / 3)),
        ("flatten", lambda x: x.reshape(2, -1)),
    ],
)
def test_pool_is_the_formula(kind, reference):
    x = torch.randn(2, 5, 4, 3)
    found = Pool(kind)(x.to(torch.bfloat16))
    assert found.dtype == torch.float32
    expected = reference(x.to(torch.bfloat16).double().numpy())
    torch.testing.assert_close(found, torch.tensor(expected, dtype=torch.float32), rtol=1e-5, atol=1e-6)


def test_gem_of_negative_values_is_finite():
    assert torch.isfinite(Pool("gem")(-torch.ones(1, 2, 3, 3))).all()


def test_unknown_node_offers_close_matches():
    with pytest.raises(
        UnknownNameError, match="unknown node of resnet18 'layer5'; close matches: layer4.*`featstore nodes resnet18`"
    ):
        NetworkGraph(build_network("resnet18")).find("layer5", lookup("resnet18"))


def test_fc6_is_a_node_of_vgg_alone():
    assert NetworkGraph(build_network("vgg11")).find("fc6", lookup("vgg11")) == "classifier.1"
    with pytest.raises(UnknownNameError, match="unknown node of resnet18 'fc6'"):
        NetworkGraph(build_network("resnet18")).find("fc6", lookup("resnet18"))


@pytest.fixture(scope="module")
def backbone(tmp_path_factory):
    return example(tmp_path_factory.mktemp("weights"))


def test_pixels_in_features_out_as_torchvision(backbone):
    pixels, network = images(3), PixelTrunk.of(backbone.trunk, backbone.transform)
    with torch.inference_mode():
        found = [output.numpy() for output in network(torch.from_numpy(pixels))]
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
