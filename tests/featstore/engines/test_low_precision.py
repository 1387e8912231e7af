import pytest
import torch
from torch import nn
from torch.nn import functional

from featstore.backbone.trunk import PixelTrunk
from featstore.engines import low_precision
from featstore.engines.low_precision import KEPT, inference_module, layer_precisions, precision_provenance
from tests.support.engine_example import (
    assert_same_features,
    coarse_images,
    delicate,
    example,
    images,
    torchvision_features,
)

pytestmark = pytest.mark.usefixtures("one_thread")

CPU = torch.device("cpu")


@pytest.fixture
def backbone(tmp_path):
    return example(tmp_path)


def cosine(found, expected):
    return float(functional.cosine_similarity(found.double(), expected.double(), dim=1).min())


def features(module, pixels):
    with torch.inference_mode():
        return module(torch.from_numpy(pixels))


def test_float32_gives_the_same_features_and_leaves_the_backbone_alone(backbone):
    before = backbone.state_sha256()
    module = inference_module(backbone, "fp32", CPU)
    assert not any(isinstance(part, nn.BatchNorm2d) for part in module.modules())
    found = [output.numpy() for output in features(module, images(3))]
    assert_same_features(found, torchvision_features(backbone, images(3)))
    inference_module(backbone, "bf16", CPU)
    assert backbone.state_sha256() == before == backbone.weights.sha256
    assert {parameter.dtype for parameter in backbone.trunk.parameters()} == {torch.float32}
    assert precision_provenance(backbone, "fp32") == {}


@pytest.mark.parametrize("precision, dtype", [("bf16", torch.bfloat16), ("fp16", torch.float16)])
def test_half_precision_computes_in_it_and_returns_float32(backbone, precision, dtype):
    module = inference_module(backbone, precision, CPU)
    weights = [value.dtype for name, value in module.trunk.named_parameters() if name.endswith("weight")]
    assert weights.count(dtype) > len(weights) / 2
    found = [output.numpy() for output in features(module, images(3))]
    assert all(output.dtype == "float32" for output in found)
    assert_same_features(found, torchvision_features(backbone, images(3)), largest=0.1, cosine=0.999)


def test_errors_are_a_fraction_of_those_of_plain_rounding():
    backbone, pixels = delicate(), coarse_images(6)
    expected = features(PixelTrunk.of(backbone.trunk, backbone.transform), pixels)[0]
    rough = PixelTrunk(inference_module(backbone, "fp32", CPU).trunk, backbone.transform.mean, backbone.transform.std)
    x = torch.from_numpy(pixels).float() * rough.scale + rough.shift
    with torch.inference_mode():
        plain = rough.trunk.bfloat16()(x.permute(0, 3, 1, 2).bfloat16())[0]
    found = features(inference_module(backbone, "bf16", CPU), pixels)[0]
    assert precision_provenance(backbone, "bf16") == {"float32_layers": 0}
    assert 0 < 1 - cosine(found, expected) < 0.2 * (1 - cosine(plain, expected))


@pytest.mark.parametrize("needed, kept", [(-1.0, 0), (1.1, KEPT[-1])])
def test_no_more_layers_stay_in_float32_than_needed(backbone, monkeypatch, needed, kept):
    monkeypatch.setattr(low_precision, "COSINE", needed)
    how = layer_precisions(backbone, "bf16")
    convolutions = [name for name, part in how.body.named_modules() if isinstance(part, nn.Conv2d)]
    assert how.kept == kept
    assert [name for name in convolutions if name not in how.low] == convolutions[:kept]
    before = dict(backbone.trunk.body.named_modules())
    for name in convolutions:
        weight = how.body.get_submodule(name).weight
        representable = torch.equal(weight.bfloat16().float(), weight)
        assert representable == (name in how.low)
        assert before[name].weight.shape == weight.shape


def test_the_choice_is_made_once_for_a_backbone_and_once_for_a_machine(tmp_path, backbone, monkeypatch):
    monkeypatch.setattr(low_precision, "COSINE", 1.1)
    first = layer_precisions(backbone, "bf16")
    assert layer_precisions(backbone, "bf16") is first
    monkeypatch.setattr(low_precision, "_cosine", None)  # nothing is compared any more
    again = layer_precisions(example(tmp_path), "bf16")
    assert again.kept == first.kept == KEPT[-1] and again.low == first.low
    for name in again.low:
        assert torch.equal(again.body.get_submodule(name).weight, first.body.get_submodule(name).weight)
