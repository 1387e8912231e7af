import json

import numpy as np
import pytest
import torch
from PIL import Image

from classifiers.inspection.ideal import IdealSettings
from classifiers.inspection.ideal_files import ideal_image
from classifiers.models.image_classifier import ImageClassifier
from featstore.errors import OutputExistsError, UnknownNameError
from tests.support.small_classifiers import CLASSES, save_tint_bundle, small_classifier, write_image

torch.set_num_threads(1)
QUICK = IdealSettings(steps=24, views=2, jitter=2)


@pytest.fixture(scope="module")
def classifier():
    return small_classifier(side=32)


@pytest.fixture(scope="module")
def found(classifier, tmp_path_factory):
    others = [small_classifier(side=32, seed=5)]
    return ideal_image(classifier, 1, tmp_path_factory.mktemp("ideal"), settings=QUICK, others=others, notes=["a note"])


def said(classifier, path) -> np.ndarray:
    with torch.no_grad():
        return classifier(classifier.open([path])).softmax(1)[0].numpy()


def test_the_probability_is_that_of_the_saved_file_through_the_classifiers_transform(classifier, found):
    document = found.to_json()
    assert document["class"] == "dogs"
    assert document["probability"] == pytest.approx(said(classifier, document["saved"])[1], abs=1e-5)
    without = said(classifier, document["files"]["without_variation"])[1]
    assert document["probability_without_variation"] == pytest.approx(without, abs=1e-5)


def test_the_variation_is_that_of_the_saved_files(found):
    document = found.to_json()
    for key, file in (("total_variation", "saved"), ("total_variation_without", "without_variation")):
        picture = np.asarray(Image.open(document["files"][file]).convert("RGB")) / 255
        expected = np.abs(np.diff(picture, axis=0)).sum() + np.abs(np.diff(picture, axis=1)).sum()
        assert document[key] == pytest.approx(expected, rel=1e-6)
    assert document["total_variation"] < document["total_variation_without"]


def test_a_second_network_gives_its_opinion(found):
    other = small_classifier(side=32, seed=5)
    calm = said(other, found.files["saved"])
    (opinion,) = found.to_json()["others"]
    assert opinion["probability"] == pytest.approx(calm[1], abs=1e-5)
    assert opinion["rank"] == 1 + (calm > calm[1]).sum() and opinion["says"] == CLASSES[calm.argmax()]
    wild = said(other, found.files["without_variation"])[1]
    assert opinion["probability_without_variation"] == pytest.approx(wild, abs=1e-5)


def test_the_report_on_disk_is_the_one_returned(found):
    document = json.loads(found.files["json"].read_text())
    assert document == json.loads(json.dumps(found.to_json()))
    assert document["format"] == 1 and "a note" in document["notes"] and document["settings"]["steps"] == 24


def test_the_strip_holds_every_step_of_both_searches(found):
    strip = np.asarray(Image.open(found.files["strip"]).convert("RGB"))
    last = found.with_variation.strip[-1][1]
    windows = np.lib.stride_tricks.sliding_window_view(strip[:, :, 0], last.shape[:2])
    for result in (found.with_variation, found.without_variation):
        assert (windows == result.strip[-1][1][:, :, 0]).all((2, 3)).any()
    assert strip.shape[1] >= len(found.with_variation.strip) * last.shape[1]
    assert min(Image.open(found.files["loss"]).size) > 300


def test_a_class_that_was_not_reached_is_said(classifier, tmp_path):
    barely = IdealSettings(steps=1, views=1)
    report = ideal_image(classifier, 0, tmp_path, settings=barely)
    assert report.with_variation.probability < 0.9
    assert any("the class reached only" in note and "`steps`" in note for note in report.notes)


def test_it_starts_from_an_image_file(classifier, tmp_path):
    path = write_image(tmp_path / "start.png")
    report = ideal_image(classifier, 0, tmp_path / "out", settings=IdealSettings(steps=1, views=1), start=path)
    begun = report.with_variation.strip[0][1][2:34, 2:34]
    seen = (classifier.open([path])[0].permute(1, 2, 0).numpy() * 255).round()
    assert np.abs(begun - seen).mean() < 2


def test_nothing_is_computed_or_overwritten_where_files_are_there(classifier, found):
    def never(*_call):
        raise AssertionError("computed")

    with pytest.raises(OutputExistsError, match=r"ideal-dogs\.png exists already"):
        ideal_image(classifier, 1, found.files["saved"].parent, settings=QUICK, progress=never)


def test_a_second_network_must_know_the_class(classifier, tmp_path):
    other = ImageClassifier.from_bundle(save_tint_bundle(tmp_path / "b"))
    with pytest.raises(UnknownNameError, match="class of .* on mobilenet_v3_small .* 'dogs'; .* by the same name"):
        ideal_image(classifier, 1, tmp_path / "out", settings=QUICK, others=[other])
    assert not (tmp_path / "out").exists()
