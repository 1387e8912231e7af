import json

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from classifiers.models.image_classifier import ImageClassifier
from featstore.backbone import Backbone
from featstore.errors import ImagesNotFoundError, NoGradientError, UnknownNameError
from featstore_scripts.activations import activations
from tests.support.small_classifiers import save_tint_bundle, write_image

torch.set_num_threads(1)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("look")
    save_tint_bundle(folder / "tints.bundle")
    save_tint_bundle(folder / "knn.bundle", "knn")
    write_image(folder / "images" / "a.png", 0)
    write_image(folder / "images" / "b.png", 1)
    return folder


def run(*arguments, ok=True):
    result = CliRunner().invoke(activations, [str(argument) for argument in arguments])
    if ok:
        assert result.exit_code == 0, (result.output, result.exception)
    return result


def test_a_bundle_gives_maps_grad_cam_page_and_arrays(place, tmp_path):
    result = run(
        place / "images", "--bundle", place / "tints.bundle", "--node", "features.0", "--node", "features.1",
        "--save-npz", "-o", tmp_path, "-q", "--json",
    )  # fmt: skip
    document = json.loads(result.stdout)
    assert [r["image"].split("/")[-1] for r in document["results"]] == ["a.png", "b.png"]
    classifier = ImageClassifier.from_bundle(place / "tints.bundle")
    for look in document["results"]:
        assert [node["node"] for node in look["nodes"]] == ["features.0", "features.1"]
        assert look["gradcam"]["class"] in ("red", "blue")
        image = classifier.open([look["image"]])
        with torch.no_grad():
            expected = classifier.backbone.network.features[0]((image - classifier.mean) / classifier.std)[0].numpy()
            said = classifier(image).softmax(1)[0]
        np.testing.assert_allclose(np.load(look["npz"])["features.0"], expected, atol=1e-5)
        assert look["gradcam"]["probability"] == pytest.approx(float(said.max()), abs=1e-4)
    assert document["page"] == str(tmp_path / "activations.html")
    assert len(list(tmp_path.iterdir())) == 1 + 2 * 4


def test_the_class_of_grad_cam_can_be_named(place, tmp_path):
    result = run(
        place / "images" / "a.png", "--bundle", place / "tints.bundle", "--class", "Blue", "--node", "features.0",
        "-o", tmp_path, "-q",
    )  # fmt: skip
    assert "Grad-CAM for blue, probability" in result.stdout
    assert "features.0 16x16x16" in result.stdout


def test_random_weights_give_maps_and_say_why_there_is_no_grad_cam(place, tmp_path):
    result = run(
        place / "images" / "a.png", "--backbone", "mobilenet_v3_small", "--weights", "none", "--input-size", 64,
        "-o", tmp_path, "-q",
    )  # fmt: skip
    assert "note: the weights are random" in result.stdout and "Grad-CAM for" not in result.stdout
    assert len(list(tmp_path.glob("*.png"))) == 4


def test_an_imagenet_head_gives_grad_cam(place, tmp_path):
    torch.save(Backbone("mobilenet_v3_small", "none", seed=3).network.state_dict(), tmp_path / "w.pth")
    result = run(
        place / "images" / "a.png", "--backbone", "mobilenet_v3_small", "--weights", tmp_path / "w.pth",
        "--input-size", 64, "--class", "egyptian cat", "-o", tmp_path / "out", "-q",
    )  # fmt: skip
    assert "Grad-CAM for Egyptian cat" in result.stdout


def test_a_head_without_gradients_shows_maps_unless_a_class_is_asked_for(place, tmp_path):
    common = (place / "images" / "a.png", "--bundle", place / "knn.bundle", "--node", "features.0", "-q")
    assert "'knn' has no gradients" in run(*common, "-o", tmp_path / "a").stdout
    assert "note" not in run(*common, "-o", tmp_path / "b", "--no-cam").stdout
    failure = run(*common, "-o", tmp_path / "c", "--class", "red", ok=False).exception
    assert isinstance(failure, NoGradientError) and "logistic" in str(failure)


def test_bad_input_is_refused(place, tmp_path):
    image, bundle = place / "images" / "a.png", ("--bundle", place / "tints.bundle")
    failure = run(image, *bundle, "--node", "features.91", "-o", tmp_path, ok=False).exception
    assert isinstance(failure, UnknownNameError) and "close matches: features.9" in str(failure)
    failure = run(image, *bundle, "--class", "greed", "-o", tmp_path, ok=False).exception
    assert isinstance(failure, UnknownNameError) and "unknown class 'greed'" in str(failure)
    failure = run(place / "nowhere.png", *bundle, "-o", tmp_path, ok=False).exception
    assert isinstance(failure, ImagesNotFoundError)
    assert run(image, *bundle, "--no-cam", "--class", "red", "-o", tmp_path, ok=False).exit_code == 2
    assert run("-o", tmp_path, ok=False).exit_code == 2


def test_grad_cam_on_a_real_network_finds_the_animal(shared_data, shared_weights, tmp_path):
    cat = sorted((shared_data / "cats_dogs" / "test" / "cats").iterdir())[0]
    result = run(
        cat, "--backbone", "mobilenet_v2", "--weights", shared_weights, "--node", "features.0", "--save-npz",
        "-o", tmp_path, "-q", "--json",
    )  # fmt: skip
    (look,) = json.loads(result.stdout)["results"]
    assert "cat" in look["gradcam"]["class"].lower()
    heat = np.load(look["npz"])["gradcam"]
    assert heat.shape == (7, 7) and heat.max() == 1 and 0.02 < heat.mean() < 0.6
