"""A tuned network on disk, and its head."""

import json

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file
from torch import nn
from torchvision.models import mobilenet_v2

from classifiers.heads.registry import make_head
from classifiers.models.image_classifier import ImageClassifier
from classifiers.transfer.tuned_network import save_network, weights_path, with_layer
from featstore.backbone import Backbone


def changed(name, node="avgpool", classes=5):
    """A network with other parameters than those it was built from."""
    torch.manual_seed(0)
    backbone = Backbone(name, "none", input_size=32, nodes=(node,))
    classifier = ImageClassifier(backbone, nn.Linear(backbone.widths[node], classes), tuple("abcde"[:classes]))
    with torch.no_grad():
        for parameter in backbone.trunk.parameters():
            parameter.mul_(1.01)
    return classifier


@pytest.mark.parametrize(
    ("name", "node"),
    [
        ("mobilenet_v2", "avgpool"),
        ("resnet18", "avgpool"),
        ("mobilenet_v3_small", "avgpool"),
        ("mobilenet_v3_small", "features.6"),
        ("vgg11", "fc6"),
    ],
)
def test_the_file_makes_the_same_features(tmp_path, name, node):
    classifier = changed(name, node)
    backbone = save_network(classifier, tmp_path / "w.weights.safetensors", {"from": "none"})
    x = torch.rand(2, 3, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(backbone.trunk(x)[0], classifier.trunk(x)[0], rtol=0, atol=0)
    assert backbone.transform == classifier.transform and backbone.nodes == (node,)
    again = Backbone.from_recipe(backbone.recipe())
    assert again.weights.sha256 == backbone.weights.sha256 != classifier.backbone.weights.sha256


def test_where_torchvisions_last_layer_is_like_the_head_the_file_is_torchvisions(tmp_path):
    classifier = changed("mobilenet_v2")
    save_network(classifier, tmp_path / "w.weights.safetensors", {"from": "none"})
    network = mobilenet_v2(num_classes=5)
    network.load_state_dict(load_file(tmp_path / "w.weights.safetensors"))
    x = torch.rand(2, 3, 32, 32)
    with torch.no_grad():
        expected = network.eval()((x - classifier.mean) / classifier.std)
        torch.testing.assert_close(classifier(x), expected, rtol=1e-4, atol=1e-5)


def test_the_ends_of_other_networks_are_left_out(tmp_path):
    save_network(changed("mobilenet_v3_small"), tmp_path / "w.weights.safetensors", {"from": "none"})
    assert not any(name.startswith("classifier") for name in load_file(tmp_path / "w.weights.safetensors"))


def test_equal_networks_give_equal_files_that_say_where_they_come_from(tmp_path):
    for name in ("a", "b"):
        save_network(changed("mobilenet_v3_small"), tmp_path / name, {"from": "IMAGENET", "dataset": "x", "epoch": "3"})
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    with safe_open(tmp_path / "a", "pt") as file:
        assert json.loads(file.metadata()["featstore"])["from"] == "IMAGENET"


@pytest.mark.parametrize("classes", [2, 4])
@pytest.mark.parametrize("name", ["logistic", "svm"])
def test_a_trained_layer_becomes_a_head_with_its_probabilities(classes, name):
    rng = np.random.default_rng(0)
    y = np.arange(80) % classes
    X = (rng.normal(size=(classes, 6))[y] * 2 + rng.normal(size=(80, 6))).astype(np.float32)
    head = make_head(name, budget="quick", cv=3).fit(X, y)
    torch.manual_seed(0)
    layer = nn.Linear(6, classes)
    tuned = with_layer(head, layer, {"method": "fine-tuned"})
    with torch.no_grad():
        expected = torch.softmax(layer(torch.from_numpy(X)), dim=1).numpy()
    np.testing.assert_allclose(tuned.predict_proba(X), expected, atol=1e-6)
    assert (tuned.predict(X) == expected.argmax(axis=1)).all()
    assert tuned.certificate_ == {"method": "fine-tuned"} and tuned.best_params_ == head.best_params_


def test_the_weights_lie_beside_the_bundle(tmp_path):
    assert weights_path(tmp_path / "cells.bundle") == tmp_path / "cells.weights.safetensors"
    assert weights_path("cells").name == "cells.weights.safetensors"
