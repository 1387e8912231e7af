"""Trees as ONNX-ML nodes answer as the head does."""

import numpy as np
import pytest
from hypothesis import given, strategies as st

from classifiers.heads.registry import make_head
from classifiers.models.onnx_trees import append_trees, at_most
from tests.support.head_checks import digits

onnx = pytest.importorskip("onnx", reason='ONNX export needs pip install "featstore[onnx]"')
onnxruntime = pytest.importorskip("onnxruntime", reason='ONNX export needs pip install "featstore[onnx]"')


def session(name, head):
    from onnx import TensorProto, helper

    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", head.n_features_in_])
    features = helper.make_tensor_value_info("features", TensorProto.FLOAT, ["batch", head.n_features_in_])
    graph = helper.make_graph([helper.make_node("Identity", ["x"], ["features"])], "g", [x], [features])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    append_trees(model, name, *head.get_state())
    onnx.checker.check_model(model)
    return onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])


@pytest.mark.parametrize("budget", ["quick", "normal"])
@pytest.mark.parametrize("classes", [2, 4])
@pytest.mark.parametrize("name", ["forest", "lightgbm"])
def test_the_runtime_walks_the_same_trees(name, classes, budget):
    X, y = digits(200, classes)
    head = make_head(name, seed=0, budget=budget, cv=2).fit(X, y)
    new = np.asarray(X + np.random.default_rng(1).normal(size=X.shape), dtype=np.float32)
    (found,) = session(name, head).run(["probabilities"], {"x": new})
    apart = np.abs(found - head.predict_proba(new)).max(axis=1)
    assert (apart > 1e-4).sum() <= 2 and np.median(apart) < 1e-5


def test_rows_on_a_threshold_go_where_they_went():
    X = np.repeat(np.array([[0.1], [0.2], [0.30000001], [0.4]], np.float32), 10, axis=0)
    y = np.repeat([0, 0, 1, 1], 10)
    head = make_head("forest", seed=0, budget="normal", cv=2).fit(X, y)
    line = np.sort(np.nextafter(X.repeat(3), np.tile([-1, 0.15, 1], 40).astype(np.float32)))[:, None]
    (found,) = session("forest", head).run(["probabilities"], {"x": line})
    np.testing.assert_allclose(found, head.predict_proba(line), atol=1e-6)


@given(st.floats(-(2.0**100), 2.0**100), st.floats(-(2.0**100), 2.0**100, width=32))
def test_no_float32_lies_between_a_threshold_and_its_float32(threshold, value):
    assert (value <= threshold) == (value <= at_most(threshold))
