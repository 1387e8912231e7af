import numpy as np
import pytest
import torch
from torch import nn

from featstore.backbone.architecture import build_network
from featstore.backbone.catalogue import BACKBONES
from featstore.backbone.trunk import NetworkGraph
from featstore.engines.openvino_model import FUNCTIONS, MODULES, mark_float32, openvino_model
from featstore.errors import DeviceError
from tests.support.engine_example import (
    assert_same_features,
    coarse_images,
    delicate,
    example,
    images,
)

pytestmark = pytest.mark.usefixtures("one_thread")

openvino = pytest.importorskip("openvino", reason="needs OpenVINO: pip install 'featstore[openvino]'")


def run(backbone, pixels, hint="f32", precision="fp32"):
    model = openvino_model(backbone, len(pixels), precision)
    compiled = openvino.Core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": hint})
    found = compiled([pixels])
    return [np.array(found[i]) for i in range(len(backbone.nodes))]


def eager(backbone, pixels):
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in (backbone.transform.mean, backbone.transform.std))
    with torch.inference_mode():
        return [f.numpy() for f in backbone.trunk((torch.from_numpy(pixels).permute(0, 3, 1, 2) / 255 - mean) / std)]


@pytest.mark.parametrize("name", BACKBONES)
def test_every_operation_of_every_network_is_written_down(name):
    network = build_network(name)
    modules = dict(network.named_modules())
    for step in NetworkGraph(network).graph.nodes:
        if step.op == "call_module":
            assert type(modules[step.target]) in MODULES
        elif step.op not in ("placeholder", "output"):
            assert step.op == "call_function" and step.target in FUNCTIONS


@pytest.mark.parametrize("pool", ["avg", "max", "gem", "flatten"])
def test_every_pool_and_the_logits(tmp_path, pool):
    backbone = example(tmp_path, nodes=("features.3", "classifier", "avgpool"), pool=pool)
    assert_same_features(run(backbone, images(3)), eager(backbone, images(3)))


@pytest.mark.parametrize(
    ("name", "nodes"),
    [
        ("resnet18", ("fc", "layer1.0.bn1", "layer1.0.conv1", "layer1.0.add", "relu", "avgpool")),
        ("resnext50_32x4d", ("layer3", "avgpool")),
        ("mobilenet_v2", ("features.2", "classifier")),
        ("mobilenet_v3_large", ("features.6.block.2.mul", "classifier.0")),
    ],
)
def test_inner_nodes_of_every_family(tmp_path, name, nodes):
    backbone = example(tmp_path, name, nodes=nodes)
    assert_same_features(run(backbone, images(2)), eager(backbone, images(2)))


@pytest.mark.parametrize("input_size", [64, 250])
def test_vgg_at_sizes_where_its_adaptive_pool_matters(tmp_path, monkeypatch, input_size):
    # the two wide layers are of no interest here, and half a gigabyte
    monkeypatch.setattr("torchvision.models.vgg.VGG.__init__", narrow(torch.nn.Module.__init__))
    from featstore.backbone import Backbone

    backbone = Backbone("vgg11_bn", "none", nodes=("features", "classifier"), pool="flatten", input_size=input_size)
    pixels = np.random.default_rng(0).integers(0, 256, (1, input_size, input_size, 3), dtype=np.uint8)
    assert_same_features(run(backbone, pixels), eager(backbone, pixels))


def narrow(init):
    def construct(self, features, num_classes=1000, init_weights=True, dropout=0.5):
        init(self)
        self.features = features
        self.avgpool = nn.AdaptiveAvgPool2d((7, 7))
        self.classifier = nn.Sequential(
            nn.Linear(512 * 49, 16), nn.ReLU(True), nn.Dropout(), nn.Linear(16, num_classes)
        )

    return construct


def test_unknown_operation_is_one_sentence(tmp_path, monkeypatch):
    backbone = example(tmp_path)
    monkeypatch.delitem(MODULES, nn.Hardswish)
    with pytest.raises(DeviceError, match='does not know the operation Hardswish; use `engine="eager"`'):
        openvino_model(backbone, 1)


def test_the_backbone_stays_as_it_was(tmp_path):
    backbone = example(tmp_path)
    before = backbone.state_sha256()
    openvino_model(backbone, 1)
    assert backbone.state_sha256() == before
    assert any(isinstance(module, nn.BatchNorm2d) for module in backbone.trunk.modules())


def test_errors_in_bf16_are_a_fraction_of_those_of_plain_rounding():
    if "BF16" not in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        pytest.skip("needs a CPU with bf16 arithmetic")
    backbone, pixels = delicate(), coarse_images(6)
    expected = eager(backbone, pixels)[0]

    def distance(precision):
        found = run(backbone, pixels, "bf16", precision)[0]
        cosines = (found * expected).sum(1) / np.linalg.norm(found, axis=1) / np.linalg.norm(expected, axis=1)
        return 1 - cosines.min()

    assert 0 < distance("bf16") < 0.2 * distance("fp32")  # roundings of ours; the compiler's own, of fp32 weights


openvino = pytest.importorskip("openvino", reason="needs OpenVINO: pip install 'featstore[openvino]'")

WIDTH = 32


def model():
    """Three pointwise convolutions, named; the second multiplies by what bf16 cannot hold."""
    from openvino import opset13 as ops

    image = ops.parameter([1, WIDTH, 8, 8], np.float32, name="image")
    x = image
    for number in range(3):
        weight = np.eye(WIDTH, dtype=np.float32).reshape(WIDTH, WIDTH, 1, 1) * np.float32(1.003 if number == 1 else 1)
        x = ops.convolution(x, ops.constant(weight), [1, 1], [0, 0], [0, 0], [1, 1], name=f"layer {number}")
    return openvino.Model([x], [image], "three")


def test_only_what_is_marked_stays_in_float32():
    core = openvino.Core()
    if "BF16" not in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        pytest.skip("needs a CPU with bf16 arithmetic")
    one = np.ones((1, WIDTH, 8, 8), dtype=np.float32)

    def run(model):
        return core.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "bf16"})([one])[0].mean()

    assert run(model()) == 1.0  # 1.003 is nearer to 1 than to the next number
    assert run(mark_float32(model(), ["layer 0"])) == 1.0
    # its product, 1.003, is rounded where the third layer reads it, unless that one is marked, too
    assert abs(run(mark_float32(model(), ["layer 1", "layer 2"])) - 1.003) < 1e-5


def test_a_model_without_marks_is_the_same_one_and_a_marked_one_computes_the_same():
    plain = model()
    assert mark_float32(plain, []) is plain
    marked = mark_float32(plain, ["layer 1"])
    one = np.random.default_rng(0).standard_normal((1, WIDTH, 8, 8)).astype(np.float32)
    core = openvino.Core()
    found, expected = (
        core.compile_model(m, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})([one])[0] for m in (marked, plain)
    )
    assert np.array_equal(found, expected)
