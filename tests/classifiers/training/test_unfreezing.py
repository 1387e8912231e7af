"""A network parted at a cut, against the network in one piece."""

import pytest
import torch
from torch import nn

from classifiers.models.image_classifier import ImageClassifier
from classifiers.training.unfreezing import UnfrozenNetwork
from featstore.backbone import Backbone
from featstore.errors import UnknownNameError


def classifier(name="mobilenet_v3_small", size=32, node="avgpool"):
    torch.manual_seed(0)
    backbone = Backbone(name, "none", input_size=size, nodes=(node,))
    return ImageClassifier(backbone, nn.Linear(backbone.widths[node], 3), ("a", "b", "c"))


@pytest.mark.parametrize(
    ("name", "node", "cut", "size"),
    [
        ("mobilenet_v3_small", "all", "", 32),
        ("mobilenet_v3_small", "head", "avgpool", 32),
        ("mobilenet_v3_small", "features.9", "features.8", 32),
        ("mobilenet_v2", "features.17", "features.16", 32),
        ("resnet18", "layer4", "layer3", 32),
        ("resnet18", "layer4.1", "layer4.0", 32),
        ("vgg11_bn", "features.25", "features.24", 32),
    ],
)
def test_bottom_and_top_together_are_the_network(name, node, cut, size):
    whole = classifier(name, size)
    unfrozen = UnfrozenNetwork(whole, node)
    x = torch.rand(2, 3, size, size)
    assert unfrozen.cut == cut
    assert torch.equal(unfrozen(unfrozen.lower(x)), whole(x))


def test_only_what_lies_behind_the_cut_is_trained_and_it_is_the_classifiers_own():
    whole = classifier("resnet18")
    unfrozen = UnfrozenNetwork(whole, "layer4")
    trained = {id(p) for p in unfrozen.parameters() if p.requires_grad}
    network = whole.backbone.network
    expected = {id(p) for name, p in network.named_parameters() if name.startswith("layer4.")}
    assert trained == expected | {id(p) for p in whole.head.parameters()}
    assert {name for block in unfrozen.blocks for name in block} == dict(unfrozen.top.named_parameters()).keys()
    assert len(unfrozen.blocks) == 2
    unfrozen(unfrozen.lower(torch.rand(2, 3, 32, 32))).sum().backward()
    assert network.layer4[0].conv1.weight.grad.abs().sum() > 0
    assert network.layer3[0].conv1.weight.grad is None


def test_blocks_are_in_the_order_of_the_network():
    blocks = UnfrozenNetwork(classifier("resnet18"), "all").blocks
    firsts = [block[0].split(".")[1] for block in blocks]
    order = ["conv1", "bn1", "layer1", "layer1", "layer2", "layer2", "layer3", "layer3", "layer4", "layer4"]
    assert firsts == order


def test_an_earlier_node_is_reopened_up_to_that_node_only():
    whole = classifier(node="features.6")
    unfrozen = UnfrozenNetwork(whole, "features.4")
    x = torch.rand(2, 3, 32, 32)
    assert torch.equal(unfrozen(unfrozen.lower(x)), whole(x))
    with pytest.raises(UnknownNameError, match=r"features\.9"):
        UnfrozenNetwork(whole, "features.9")


def test_batch_norm_statistics_stay_unless_they_are_to_adapt():
    whole = classifier()
    unfrozen = UnfrozenNetwork(whole, "features.9")
    before = {name: value.clone() for name, value in unfrozen.named_buffers()}
    values = unfrozen.lower(torch.rand(4, 3, 32, 32))
    unfrozen.set_training(adapt_statistics=False)
    unfrozen(values)
    assert all(torch.equal(value, before[name]) for name, value in unfrozen.named_buffers())
    unfrozen.set_training(adapt_statistics=True)
    unfrozen(values)
    changed = {name for name, value in unfrozen.named_buffers() if not torch.equal(value, before[name])}
    assert changed and not any(name.startswith("bottom") for name in changed)


def test_dropout_is_on_in_training():
    whole = classifier()
    whole.head = nn.Sequential(nn.Dropout(0.5), nn.Linear(576, 3))
    unfrozen = UnfrozenNetwork(whole, "head")
    values = unfrozen.lower(torch.rand(2, 3, 32, 32))
    unfrozen.set_training(adapt_statistics=False)
    assert not torch.equal(unfrozen(values), unfrozen(values))


def test_recalibrated_statistics_are_the_datas_and_change_nothing():
    whole = classifier("resnet18")
    unfrozen = UnfrozenNetwork(whole, "layer3")
    x = torch.rand(16, 3, 32, 32)
    values = unfrozen.lower(x)
    expected = whole(x)
    unfrozen.recalibrate([values[:8], values[8:]])
    unfrozen.eval()
    torch.testing.assert_close(unfrozen(values), expected, rtol=1e-3, atol=1e-4)
    norm = whole.backbone.network.layer3[0].bn1
    seen = whole.backbone.network.layer3[0].conv1(values)
    torch.testing.assert_close(norm.running_mean, seen.mean((0, 2, 3)), rtol=1e-3, atol=1e-5)
    torch.testing.assert_close(norm.running_var, seen.var((0, 2, 3), unbiased=False), rtol=1e-3, atol=1e-6)
    unfrozen.set_training(adapt_statistics=True)
    torch.testing.assert_close(unfrozen(values), expected, rtol=1e-2, atol=1e-2)


@pytest.mark.parametrize(
    ("node", "sentence"),
    [
        ("layer5", r"'layer5'; close matches: layer4"),
        ("avgpool", r"featstore nodes resnet18"),
        ("fc", r"unknown place to reopen resnet18"),
        ("layer4.0.conv2", r"skip connection leads around"),
    ],
)
def test_a_place_that_cannot_be_reopened_is_refused_with_the_ones_that_can(node, sentence):
    with pytest.raises(UnknownNameError, match=sentence):
        UnfrozenNetwork(classifier("resnet18"), node)
