import json

import numpy as np
import pytest
import torch

from classifiers.heads.registry import make_head
from classifiers.models.bundle import save_bundle
from classifiers.models.image_classifier import ImageClassifier
from classifiers.models.onnx_file import export_onnx
from featstore.backbone import Backbone
from featstore.errors import MissingExtraError, NoGradientError, OutputExistsError

onnxruntime = pytest.importorskip("onnxruntime", reason='ONNX export needs pip install "featstore[onnx]"')
pytest.importorskip("onnx", reason='ONNX export needs pip install "featstore[onnx]"')
pytest.importorskip("onnxscript", reason='ONNX export needs pip install "featstore[onnx]"')


def bundle(folder, name):
    backbone = Backbone("resnet18", "none", input_size=64, nodes=("layer2",))
    rng = np.random.default_rng(0)
    y = np.arange(30) % 3
    X = (rng.normal(size=(30, 128)) + y[:, None]).astype(np.float32)
    head = make_head(name, seed=0, budget="quick", cv=3).fit(X, y)
    fingerprint = backbone.fingerprints()["layer2"]
    save_bundle(folder / name, head, fingerprint, backbone.recipe(), ("ants", "bees", "wasps"), name=name)
    return folder / name


@pytest.mark.parametrize("head", ["logistic", "mlp"])
def test_the_runtime_gives_the_bundles_probabilities_for_any_batch(tmp_path, head):
    made = export_onnx(bundle(tmp_path, head), tmp_path / "model.onnx")
    assert made.largest_difference < 1e-4 and made.input_size == 64
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx", providers=["CPUExecutionProvider"])
    classifier = ImageClassifier.from_bundle(tmp_path / head)
    for count in (1, 5):
        pixels = torch.rand(count, 3, 64, 64)
        (found,) = session.run(None, {"pixels": pixels.numpy()})
        with torch.no_grad():
            expected = torch.softmax(classifier(pixels), 1).numpy()
        np.testing.assert_allclose(found, expected, atol=1e-4)
    about = json.loads(session.get_modelmeta().custom_metadata_map["featstore"])
    assert about["classes"] == ["ants", "bees", "wasps"] and about["transform"]["crop"] == 64
    with pytest.raises(OutputExistsError, match="`overwrite=True`"):
        export_onnx(tmp_path / head, tmp_path / "model.onnx")


def test_trees_have_no_graph(tmp_path):
    with pytest.raises(NoGradientError, match="heads that have: .*logistic"):
        export_onnx(bundle(tmp_path, "knn"), tmp_path / "model.onnx")
    assert not (tmp_path / "model.onnx").exists()


def test_what_is_not_installed_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"onnxscript, onnxruntime: pip install \"featstore\[onnx\]\""):
        export_onnx(tmp_path / "b", tmp_path / "model.onnx")
