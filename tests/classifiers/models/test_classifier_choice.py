import pytest
import torch

from classifiers.models.classifier_choice import cached_backbone, open_classifier, open_for_inspection, open_named
from featstore.backbone import Backbone
from featstore.errors import (
    BundleNotFoundError,
    NoGradientError,
    UnknownNameError,
    WeightsError,
    WeightsNotFoundError,
)
from tests.support.small_classifiers import save_tint_bundle


@pytest.fixture(scope="module")
def bundles(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bundles")
    return {head: save_tint_bundle(folder / f"{head}.bundle", head) for head in ("logistic", "knn")}


@pytest.fixture(scope="module")
def small_weights(tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "small.pth"
    torch.save(Backbone("mobilenet_v3_small", "none", seed=3).network.state_dict(), path)
    return path


def test_a_bundle_or_an_imagenet_head_is_opened(bundles, small_weights):
    assert open_classifier(bundles["logistic"]).classes == ("blue", "red")
    network = open_classifier(backbone="mobilenet_v3_small", weights=small_weights, input_size=64)
    assert network.classes[285] == "Egyptian cat" and network.transform.crop == 64
    assert network.description == "mobilenet_v3_small (file small.pth), 1000 classes"


def test_a_head_without_gradients_is_refused_by_naming_those_that_have_them(bundles):
    with pytest.raises(NoGradientError, match="'knn' has no gradients; heads that have: .*logistic"):
        open_classifier(bundles["knn"])


def test_feature_maps_need_no_classifier(bundles, small_weights):
    network, classifier, note = open_for_inspection(bundles["knn"])
    assert classifier is None and network.name == "mobilenet_v3_small" and "'knn' has no gradients" in note
    with pytest.raises(NoGradientError):
        open_for_inspection(bundles["knn"], must_classify=True)
    network, classifier, note = open_for_inspection(bundles["logistic"])
    assert classifier.backbone is network and note == ""
    network, classifier, note = open_for_inspection(backbone="mobilenet_v3_small", weights="none")
    assert classifier is None and "the weights are random" in note
    assert open_for_inspection(backbone="mobilenet_v3_small", weights=small_weights)[1] is not None


def test_weights_without_an_imagenet_head_still_show_feature_maps(tmp_path):
    state = Backbone("mobilenet_v3_small", "none").network.state_dict()
    path = tmp_path / "trunk.pth"
    torch.save({key: value for key, value in state.items() if not key.startswith("classifier")}, path)
    _, classifier, note = open_for_inspection(backbone="mobilenet_v3_small", weights=path)
    assert classifier is None and "do not end in ImageNet's 1000 classes" in note
    with pytest.raises(WeightsError, match="1000 classes"):
        open_for_inspection(backbone="mobilenet_v3_small", weights=path, must_classify=True)


def test_a_second_opinion_is_named_three_ways(bundles, small_weights, tmp_path, monkeypatch):
    assert open_named(f"mobilenet_v3_small={small_weights}").backbone.name == "mobilenet_v3_small"
    assert open_named(str(bundles["logistic"])).classes == ("blue", "red")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr("featstore.backbone.weights.fetch", _unreachable)
    with pytest.raises(WeightsNotFoundError, match='`weights="FILE"`'):
        open_named("resnet18")
    with pytest.raises(UnknownNameError, match="unknown network or bundle 'resnet81'; close matches: resnet18"):
        open_named("resnet81")


def _unreachable(*_arguments, **_options):
    raise OSError("no network in tests")


def test_another_network_is_at_hand_only_where_its_weights_are(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    assert cached_backbone("mobilenet_v2") is None
    folder = tmp_path / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    (folder / "resnet34-b627a593.pth").touch()
    assert cached_backbone("mobilenet_v2") == "resnet34"
    assert cached_backbone("resnet34") is None


def test_a_missing_bundle_is_named():
    with pytest.raises(BundleNotFoundError, match="nowhere"):
        open_classifier("nowhere.bundle")
