import pytest

from featstore.backbone.architecture import build_network
from featstore.backbone.catalogue import BACKBONES, aliases, lookup
from featstore.backbone.nodes import node_table


@pytest.mark.parametrize("name", BACKBONES)
def test_the_table_is_what_the_network_itself_says(name):
    """Shapes, order and kinds are data; the graph of torchvision's network is where they are read off."""
    known = {*aliases(lookup(name)), *(path for path, _ in build_network(name).named_modules())}
    for size in (224, 97) if lookup(name).parameters < 30e6 else (97,):
        traced = node_table(name, input_size=size, every=True)
        outer = [row for row in traced if row.node in known and row.node.count(".") < 2]
        assert node_table(name, input_size=size) == outer


@pytest.mark.parametrize("name", ["vgg13_bn", "resnet34", "mobilenet_v2", "mobilenet_v3_large"])
def test_table_begins_with_the_default_features(name):
    first = node_table(name)[0]
    assert first.node == "avgpool"
    assert first.pooled_width == lookup(name).width


def test_table_of_vgg_has_its_map_and_its_wide_layers():
    rows = {row.node: row for row in node_table("vgg16")}
    assert rows["features"].shape == (512, 7, 7) and rows["features"].flat_width == 25088
    assert rows["fc6"].shape == rows["fc7"].shape == (4096,)
    assert rows["classifier"].shape == (1000,)


def test_table_is_in_the_order_of_computing_and_follows_the_input_size():
    rows = node_table("resnet18", input_size=64)
    order = [row.node for row in rows]
    assert (
        order.index("conv1")
        < order.index("layer1.0")
        < order.index("layer1")
        < order.index("layer4")
        < order.index("fc")
    )
    assert {row.node: row.shape for row in rows}["layer4"] == (512, 2, 2)


def test_every_node_is_listed_on_demand():
    brief, full = node_table("mobilenet_v3_small"), node_table("mobilenet_v3_small", every=True)
    nodes = [row.node for row in full]
    assert {row.node for row in brief} < set(nodes) and len(nodes) == len(set(nodes))
    assert {"features.1.block.1.mul", "features.12.0"} <= set(nodes)
