import json
import re

import numpy as np
import pytest
import torch
from PIL import Image

from classifiers.inspection.activation_report import draw_activations
from classifiers.inspection.activations import ActivationRecorder
from classifiers.inspection.gradcam import GradCam
from featstore.errors import DecodeError, OutputExistsError, UnknownNameError
from tests.support.small_classifiers import CLASSES, small_classifier, write_image

torch.set_num_threads(1)
NODES = ("features.0", "features.2")


@pytest.fixture(scope="module")
def classifier():
    return small_classifier(side=64)


@pytest.fixture(scope="module")
def seen(classifier, tmp_path_factory):
    folder = tmp_path_factory.mktemp("insight")
    paths = [write_image(folder / name / "a.png", seed) for seed, name in enumerate(("one", "two"))]
    results, failed, page = draw_activations(
        classifier.backbone, classifier, paths, NODES, folder / "out", save_npz=True
    )
    assert not failed
    return paths, results, page


def test_the_arrays_are_the_networks(classifier, seen):
    paths, results, _ = seen
    for path, result in zip(paths, results, strict=True):
        image = classifier.open([path])
        arrays = np.load(result.files["npz"])
        assert set(arrays) == {"input", "gradcam", *NODES}
        np.testing.assert_array_equal(arrays["input"], (image[0].permute(1, 2, 0).numpy() * 255).round())
        for activation in ActivationRecorder(classifier.backbone, NODES)(image):
            np.testing.assert_array_equal(arrays[activation.node], activation.values)


def test_grad_cam_is_for_the_class_that_the_classifier_is_surest_of(classifier, seen):
    paths, results, _ = seen
    for path, result in zip(paths, results, strict=True):
        image = classifier.open([path])
        with torch.no_grad():
            said = classifier(image).softmax(1)[0]
        assert result.heat_class == CLASSES[int(said.argmax())]
        assert result.heat.probability == pytest.approx(float(said.max()), abs=1e-5)
        np.testing.assert_array_equal(result.heat.heat, GradCam(classifier)(image, int(said.argmax())).heat)


def test_images_of_one_name_get_files_of_their_own(seen):
    _, results, _ = seen
    files = [path for result in results for path in result.files.values()]
    assert len(set(files)) == len(files) == 8 and all(path.stat().st_size > 200 for path in files)
    assert min(Image.open(results[0].files["node features.0"]).size) > 200


def test_the_page_holds_everything_and_fetches_nothing(seen):
    _, _, page = seen
    html = page.read_text()
    assert html.count("data:image/png") == 6
    for heading in ("a.png: Grad-CAM", "a.png: features.0", "a.png: features.2"):
        assert f"<h2>{heading}</h2>" in html
    assert "16 maps of 32x32" in html
    assert not re.search(r"""(src|href)=["'](?!data:)""", html)


def test_the_json_is_plain(seen):
    _, results, _ = seen
    document = json.loads(json.dumps(results[0].to_json(), allow_nan=False))
    assert [node["node"] for node in document["nodes"]] == list(NODES)
    assert document["nodes"][0]["shape"] == [16, 32, 32] and document["gradcam"]["class"] in CLASSES


def test_another_class_and_node_can_be_asked_for(classifier, seen, tmp_path):
    paths, _, _ = seen
    (result,), _, _ = draw_activations(
        classifier.backbone, classifier, paths[:1], NODES[:1], tmp_path, target=2, cam_node="features.1"
    )
    expected = GradCam(classifier, "features.1")(classifier.open(paths[:1]), 2)
    assert result.heat_class == CLASSES[2] and "npz" not in result.files
    np.testing.assert_array_equal(result.heat.heat, expected.heat)


def test_without_a_classifier_there_are_only_maps(classifier, seen, tmp_path):
    paths, _, _ = seen
    (result,), _, page = draw_activations(classifier.backbone, None, paths[:1], NODES, tmp_path)
    assert result.heat is None and result.to_json()["gradcam"] is None
    assert "Grad-CAM" not in page.read_text()


def test_failures_are_listed_and_nothing_is_overwritten(classifier, seen, tmp_path):
    paths, _, page = seen
    (tmp_path / "broken.jpg").write_bytes(b"\xff\xd8\xff")
    results, failed, _ = draw_activations(
        classifier.backbone, None, [bytes(tmp_path / "broken.jpg"), paths[0]], NODES[:1], tmp_path / "out"
    )
    assert len(results) == 1 and failed[0][0].endswith("broken.jpg")
    with pytest.raises(DecodeError, match=r"broken\.jpg"):
        draw_activations(classifier.backbone, None, [bytes(tmp_path / "broken.jpg")], NODES[:1], tmp_path / "none")
    with pytest.raises(OutputExistsError, match=r"activations\.html exists already"):
        draw_activations(classifier.backbone, None, paths, NODES, page.parent)
    with pytest.raises(UnknownNameError, match="features.99"):
        draw_activations(classifier.backbone, None, paths, ["features.99"], tmp_path / "never")
    assert not (tmp_path / "never").exists()
