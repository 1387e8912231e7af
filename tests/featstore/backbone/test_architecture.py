import pytest
import torch
from torch import nn
from torchvision import models

from featstore.backbone.architecture import NetworkHead, build_network, match_state_dict, random_state_dict
from featstore.backbone.copy_choice import MatchNotes
from featstore.errors import WeightsError

SMALL = "mobilenet_v3_small"


@pytest.fixture(scope="module")
def state():
    return random_state_dict(SMALL, 0)


def test_network_is_torchvisions_network_without_inplace_and_gradients():
    network = build_network("resnet18")
    reference = models.resnet18()
    assert {k: v.shape for k, v in network.state_dict().items()} == {
        k: v.shape for k, v in reference.state_dict().items()
    }
    assert any(getattr(module, "inplace", False) for module in reference.modules())
    assert not any(getattr(module, "inplace", False) for module in network.modules())
    assert not network.training
    assert not any(parameter.requires_grad for parameter in network.parameters())


def test_random_state_is_torchvisions_initialisation_with_its_own_seed(state):
    torch.manual_seed(0)
    reference = models.get_model(SMALL, weights=None).state_dict()
    assert all(torch.equal(state[key], reference[key]) for key in reference)
    assert any(not torch.equal(state[key], value) for key, value in random_state_dict(SMALL, 1).items())


def test_random_state_leaves_the_callers_random_numbers(state):
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    random_state_dict(SMALL, 0)
    assert torch.equal(torch.rand(3), expected)


def test_full_state_fits_unchanged(state):
    fitted, head, note = match_state_dict(SMALL, state, "x.pth")
    assert head == NetworkHead(1000) and note == MatchNotes()
    assert list(fitted) == list(state)
    assert all(torch.equal(fitted[key], state[key]) for key in state)


def test_half_precision_becomes_float32(state):
    halves = {key: value.half() if value.is_floating_point() else value for key, value in state.items()}
    fitted, _, _ = match_state_dict(SMALL, halves, "x.pth")
    assert {value.dtype for value in fitted.values()} == {torch.float32, torch.int64}


def test_missing_batch_counters_are_filled_in(state):
    old = {key: value for key, value in state.items() if not key.endswith("num_batches_tracked")}
    assert len(old) < len(state)
    fitted, _, note = match_state_dict(SMALL, old, "x.pth")
    assert list(fitted) == list(state) and note == MatchNotes(uncounted=len(state) - len(old))


def test_last_layer_of_another_width_fits(state):
    tuned = state | {"classifier.3.weight": torch.zeros(7, 1024), "classifier.3.bias": torch.zeros(7)}
    fitted, head, note = match_state_dict(SMALL, tuned, "x.pth")
    assert head == NetworkHead(7) and note == MatchNotes()
    build_network(SMALL, head).load_state_dict(fitted, assign=True)


def test_missing_last_layer_ends_the_network_before_it(state):
    cut = {key: value for key, value in state.items() if not key.startswith("classifier.3")}
    fitted, head, note = match_state_dict(SMALL, cut, "x.pth")
    assert head == NetworkHead(None, "classifier.3")
    assert "has no classifier of torchvision's form" in note.short
    network = build_network(SMALL, head)
    assert isinstance(network.get_submodule("classifier.3"), nn.Identity)
    network.load_state_dict(fitted, assign=True)


def test_foreign_classifier_is_left_out_and_said(state):
    own = {key: value for key, value in state.items() if not key.startswith("classifier.")}
    own |= {"classifier.0.weight": torch.zeros(5, 576), "classifier.0.bias": torch.zeros(5)}
    fitted, head, note = match_state_dict(SMALL, own, "x.pth")
    assert head == NetworkHead(None, "classifier")
    assert note.short.endswith("left out: classifier.0.weight, classifier.0.bias")
    assert not any(key.startswith("classifier") for key in fitted)


def test_state_of_another_backbone_names_what_differs_and_where_it_fits(state):
    with pytest.raises(
        WeightsError,
        match=r"^x.pth does not fit resnet18: \d+ tensors are missing \(conv1.weight, bn1.weight, ...\), "
        r"\d+ tensors are not expected \(features.0.0.weight, .*; it fits mobilenet_v3_small: use `backbone=",
    ):
        match_state_dict("resnet18", state, "x.pth")


def test_another_shape_is_named(state):
    with pytest.raises(
        WeightsError,
        match=r"1 tensor is of another shape \(features.0.0.weight is \(16, 3, 5, 5\), not \(16, 3, 3, 3\)\)",
    ):
        match_state_dict(SMALL, state | {"features.0.0.weight": torch.zeros(16, 3, 5, 5)}, "x.pth")


def test_state_of_nothing_known_says_what_was_expected(state):
    more = {"features.5.extra": torch.zeros(2)}
    with pytest.raises(
        WeightsError, match="1 tensor is not expected .features.5.extra.; expected the state dict of torchvision's"
    ):
        match_state_dict(SMALL, state | more, "x.pth")


def test_integer_weights_are_no_weights(state):
    broken = state | {"features.0.0.weight": torch.zeros(16, 3, 3, 3, dtype=torch.int64)}
    with pytest.raises(WeightsError, match=r"is int64 \(16, 3, 3, 3\), not \(16, 3, 3, 3\)"):
        match_state_dict(SMALL, broken, "x.pth")
