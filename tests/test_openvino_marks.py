import numpy as np
import pytest

from featstore.openvino_marks import mark_float32

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
