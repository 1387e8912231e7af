import json

import numpy as np
import pytest
import torch

from classifiers.heads.registry import make_head
from classifiers.models.bundle import load_bundle, save_bundle
from classifiers.models.bundle_network import open_backbone
from classifiers.models.image_classifier import ImageClassifier
from classifiers.models.onnx_file import export_onnx
from featstore.backbone import Backbone
from featstore.errors import MissingExtraError, NoGradientError, OutputExistsError

onnxruntime = pytest.importorskip("onnxruntime", reason='ONNX export needs pip install "featstore[onnx]"')
pytest.importorskip("onnx", reason='ONNX export needs pip install "featstore[onnx]"')
pytest.importorskip("onnxscript", reason='ONNX export needs pip install "featstore[onnx]"')


def backbone_scale(backbone):
    """Mean of each feature over random images, (128,)."""
    with torch.no_grad():
        (features,) = backbone.trunk(torch.rand(8, 3, 64, 64, generator=torch.Generator().manual_seed(1)) * 4 - 2)
    return features.numpy().mean(axis=0)


def bundle(folder, name, classes=3):
    backbone = Backbone("resnet18", "none", input_size=64, nodes=("layer2",))
    rng = np.random.default_rng(0)
    y = np.arange(30) % classes
    # spread as the network's own features are, so that different images get different answers
    own = np.abs(rng.normal(size=(30, 128))) * backbone_scale(backbone)
    X = (own * (1 + 0.3 * y[:, None])).astype(np.float32)
    head = make_head(name, seed=0, budget="quick", cv=3).fit(X, y)
    fingerprint = backbone.fingerprints()["layer2"]
    save_bundle(folder / name, head, fingerprint, backbone.recipe(), ("ants", "bees", "wasps")[:classes], name=name)
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


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("head", ["lightgbm", "forest", "knn", "svm-rbf"])
def test_heads_without_gradients_give_the_probabilities_of_their_features(tmp_path, head, classes):
    made = export_onnx(bundle(tmp_path, head, classes), tmp_path / "model.onnx")
    assert made.largest_difference < 1e-4 and len(made.classes) == classes
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx", providers=["CPUExecutionProvider"])
    assert [output.name for output in session.get_outputs()] == ["probabilities"]
    loaded = load_bundle(tmp_path / head)
    backbone = open_backbone(loaded)
    mean, std = (torch.tensor(part).view(1, 3, 1, 1) for part in (backbone.transform.mean, backbone.transform.std))
    for count in (1, 6):
        pixels = torch.rand(count, 3, 64, 64)
        (found,) = session.run(None, {"pixels": pixels.numpy()})
        with torch.no_grad():
            (features,) = backbone.trunk((pixels - mean) / std)
        expected = loaded.predict_proba(features.numpy())
        assert found.shape == (count, classes)
        far = np.abs(found - expected).max(axis=1) > 1e-4
        assert far.sum() <= count // 6  # a feature on a threshold


def test_a_reference_is_no_head_to_export(tmp_path):
    with pytest.raises(NoGradientError, match="heads that have: .*logistic"):
        export_onnx(bundle(tmp_path, "majority"), tmp_path / "model.onnx")
    assert not (tmp_path / "model.onnx").exists()


def test_what_is_not_installed_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"onnxscript, onnxruntime: pip install \"featstore\[onnx\]\""):
        export_onnx(tmp_path / "b", tmp_path / "model.onnx")
