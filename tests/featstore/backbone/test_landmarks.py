import pytest

from featstore.backbone.landmarks import landmarks, last_stage
from featstore.backbone.nodes import node_table
from featstore.errors import UnknownNameError


@pytest.mark.parametrize(
    ("backbone", "expected", "top"),
    [
        ("mobilenet_v2", ("features.10", "features.13", "features.16", "features.17", "avgpool"), "features.14"),
        ("resnet18", ("layer1", "layer2", "layer3", "avgpool"), "layer4"),
        ("vgg16", ("features.4", "features.9", "features.16", "features.23", "avgpool"), "features.24"),
    ],
)
def test_a_layer_curve_looks_at_the_ends_of_stages(backbone, expected, top):
    assert landmarks(backbone) == expected
    assert last_stage(backbone) == top
    assert {*expected, top} <= {node.node for node in node_table(backbone)}


def test_unknown_networks_are_named():
    with pytest.raises(UnknownNameError, match="resnet19"):
        landmarks("resnet19")
