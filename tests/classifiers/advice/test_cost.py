import torch

from classifiers.advice.cost import Cost, measure
from featstore.backbone import Backbone


def test_what_is_measured_leaves_the_network_as_it_was():
    backbone = Backbone("mobilenet_v3_small", "none", input_size=32)
    before = {name: tensor.clone() for name, tensor in backbone.network.state_dict().items()}
    whole = measure(backbone, 3, "all", torch.device("cpu"))
    top = measure(backbone, 3, "features.9", torch.device("cpu"))
    assert whole.seconds_per_image > 0 and whole.frozen_seconds_per_image == 0
    assert top.seconds_per_image > 0 and top.frozen_seconds_per_image > 0
    assert all(torch.equal(t, before[n]) for n, t in backbone.network.state_dict().items())
    assert not any(p.requires_grad or p.grad is not None for p in backbone.network.parameters())


def test_a_cost_adds_up():
    assert Cost(0.01, 0.004, "cpu").of(100, epochs=10, views=2) == {
        "seconds": 10.8, "epochs": 10, "seconds_per_epoch": 1.0, "device": "cpu",
    }  # fmt: skip
