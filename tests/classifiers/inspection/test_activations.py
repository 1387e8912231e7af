from functools import lru_cache

import numpy as np
import pytest
import torch
from torchvision import models

from classifiers.inspection.activations import Activation, ActivationRecorder, usual_nodes
from classifiers.inspection.lossless_crop import to_tensor
from featstore.backbone import Backbone
from featstore.backbone.architecture import build_network
from featstore.backbone.catalogue import BACKBONES
from featstore.backbone.trunk import NetworkGraph
from featstore.errors import UnknownNameError
from tests.support.pictures import texture

torch.set_num_threads(1)
PICTURE = texture(0, 64, 64)


@pytest.mark.parametrize(
    ("name", "nodes"),
    [
        ("vgg16", ["features.0", "features.1", "features.4", "features.30"]),
        ("resnet18", ["conv1", "layer1", "layer3.0.conv2", "layer4"]),
        ("mobilenet_v2", ["features.0", "features.1.conv", "features.18", "classifier.1"]),
    ],
)
def test_maps_equal_hooks_on_torchvisions_eager_model(name, nodes):
    backbone = network(name)
    eager = getattr(models, name)().eval()
    eager.load_state_dict(backbone.network.state_dict())
    kept = {}
    for node in nodes:
        # a copy, because VGG's in-place ReLUs overwrite what a hook saw
        eager.get_submodule(node).register_forward_hook(lambda _m, _i, out, node=node: kept.update({node: out.clone()}))
    spec = backbone.transform
    mean, std = (np.array(values, dtype=np.float32) for values in (spec.mean, spec.std))
    with torch.no_grad():
        eager(torch.from_numpy(((PICTURE / np.float32(255) - mean) / std).transpose(2, 0, 1)[None]))
    seen = ActivationRecorder(backbone, nodes)(to_tensor(PICTURE[None]))
    assert [activation.node for activation in seen] == nodes
    for activation in seen:
        expected = kept[activation.node][0].numpy()
        assert activation.values.dtype == np.float32 and activation.values.shape == expected.shape
        np.testing.assert_allclose(activation.values, expected, atol=1e-5 * max(1, np.abs(expected).max()))


@lru_cache(maxsize=3)
def network(name: str) -> Backbone:
    """With random weights; VGG-16's take seconds to draw."""
    return Backbone(name, "none", input_size=64)


def test_what_lies_behind_the_deepest_node_is_not_computed():
    recorder = ActivationRecorder(network("vgg16"), ["features.2"])
    assert not any(name.startswith("classifier") for name, _ in recorder.body.named_modules())


def test_the_usual_nodes_are_there_in_every_network():
    for name in BACKBONES:  # on the meta device: nothing is drawn or computed
        known = NetworkGraph(build_network(name)).nodes
        assert len(usual_nodes(name)) == 4 and set(usual_nodes(name)) <= set(known)
    assert usual_nodes("vgg16")[0] == "features.0"


def test_an_unknown_node_is_refused_with_close_matches():
    with pytest.raises(UnknownNameError, match="unknown node of resnet18 'layer9'; close matches: layer"):
        ActivationRecorder(network("resnet18"), ["layer9"])


def maps() -> Activation:
    values = np.zeros((5, 4, 6), dtype=np.float32)
    values[3], values[1, 0, 0], values[4] = 2.0, -90.0, -1.0
    return Activation("layer1", values)


def test_the_strongest_channels_come_first_and_silent_ones_are_counted():
    assert maps().strongest(3).tolist() == [1, 3, 4]
    assert maps().silent == 2


def test_the_grid_holds_the_image_and_each_map_between_its_own_ends():
    drawn = maps().picture(np.full((24, 24, 3), 200, dtype=np.uint8), maps=2)
    assert drawn.dtype == np.uint8 and drawn.shape[2] == 3
    from classifiers.report.figures.raster import coloured

    low, high = coloured(np.array([[0.0, 1.0]]))[0]
    for colour in (low, high, (200, 200, 200)):  # channel 1 is high but for one low place
        assert (drawn == np.array(colour)).all(2).any()
    assert drawn.shape[1] > drawn.shape[0] * 0.5


def test_more_maps_make_a_larger_grid():
    image = np.zeros((24, 24, 3), dtype=np.uint8)
    assert maps().picture(image, maps=5).size > maps().picture(image, maps=1).size


def test_a_vector_is_drawn_too():
    drawn = Activation("fc6", np.arange(50, dtype=np.float32)).picture(np.zeros((64, 64, 3), dtype=np.uint8))
    assert drawn.shape[1] > 2 * 224
