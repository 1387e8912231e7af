"""A network of which is known what its features are: built once, and only where that is needed."""

import pytest

from featstore.backbone import Backbone
from featstore.engines.deferred_backbone import DeferredBackbone, deferred_backbone, feature_specs
from featstore.errors import FingerprintMismatchError, UnknownNameError

REQUEST = {"weights": "none", "nodes": ("avgpool", "features.3"), "input_size": 64}


class Builder:
    def __init__(self):
        self.calls = 0

    def __call__(self):
        self.calls += 1
        return Backbone("mobilenet_v3_small", **REQUEST)


def test_the_first_time_it_is_built_and_then_it_is_known():
    first, again = Builder(), Builder()
    one = deferred_backbone("mobilenet_v3_small", "fp32", REQUEST, first)
    two = deferred_backbone("mobilenet_v3_small", "fp32", REQUEST, again)
    assert (first.calls, again.calls) == (1, 0)
    assert one.specs == two.specs and one.transform == two.transform and one.by_name and two.by_name
    assert two.nodes == ("avgpool", "features.3") and two.widths == {"avgpool": 576, "features.3": 24}
    assert two.transform == two.backbone.transform and two.backbone is two.backbone and again.calls == 1
    assert one.backbone is one.backbone and first.calls == 1
    assert feature_specs(two.backbone, "fp32") == two.specs


def test_another_precision_is_another_question():
    builder = Builder()
    for precision in ("fp32", "bf16"):
        network = deferred_backbone("mobilenet_v3_small", precision, REQUEST, builder)
        assert {f.precision for f in network.specs.fingerprints.values()} == {precision}
    assert builder.calls == 2


def test_a_network_that_is_there_may_be_another_than_its_name_says():
    backbone = Builder()()
    network = DeferredBackbone.of(backbone, "fp32")
    assert network.backbone is backbone and not network.by_name


def test_an_unknown_name_is_the_usual_error():
    with pytest.raises(UnknownNameError, match="unknown backbone 'resnet19'"):
        deferred_backbone("resnet19", "fp32", REQUEST, lambda: Backbone("resnet19"))


def test_weights_that_were_replaced_before_the_network_was_built_are_refused():
    announced = feature_specs(Builder()(), "fp32")
    network = DeferredBackbone(announced, lambda: Backbone("mobilenet_v3_small", **REQUEST, seed=1))
    with pytest.raises(FingerprintMismatchError, match="changed while they were used.*run the command again"):
        _ = network.backbone
