"""A saved classifier, judged on new labelled images."""

import dataclasses
import json

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, balanced_accuracy_score, log_loss

from classifiers.comparison.bundle_evaluation import evaluate_bundle
from classifiers.models.bundle import load_bundle
from classifiers.models.prediction import predict_images
from classifiers.models.trained_head import train
from classifiers.report.report import Report
from classifiers.report.report_data import check
from featstore.discovery.scanning import scan
from featstore.errors import FeaturesError
from featstore.extract import extract
from featstore.store.feature_store import FeatureStore
from tests.support.pictures import write_tree

NETWORK = {"backbone": "mobilenet_v3_small", "weights": "none", "input_size": 32}
RUN = {"engine": "eager", "workers": 0}


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    place = tmp_path_factory.mktemp("old")
    write_tree(place / "old", each=8)
    extract(place / "old", place / "s", **RUN, **NETWORK)
    train(FeatureStore(place / "s").read(), "logistic", budget="quick", folds=3).save(place / "b")
    return load_bundle(place / "b")


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    return scan(write_tree(tmp_path_factory.mktemp("new") / "new", each=7))


@pytest.fixture(scope="module")
def report(bundle, images):
    return evaluate_bundle(bundle, images, **RUN)


def test_the_figures_are_those_of_the_predictions(bundle, images, report):
    data = check(json.loads(json.dumps(report.data, allow_nan=False)))
    run = data["runs"][0]
    found = predict_images(bundle, [images.absolute(i) for i in range(len(images))], **RUN)
    assert [run["head"] for run in data["runs"]] == ["logistic", "majority"]
    assert run["accuracy"] == accuracy_score(images.labels, found.proba.argmax(axis=1))
    assert run["balanced_accuracy"] == pytest.approx(balanced_accuracy_score(images.labels, found.proba.argmax(axis=1)))
    assert run["log_loss"] == pytest.approx(log_loss(images.labels, found.proba), abs=1e-5)
    assert data["dataset"]["classes"] == list(bundle.classes) and data["dataset"]["test"] == len(images)
    assert data["runs"][1]["accuracy"] == 0.5
    assert data["bundle"]["dataset"] == "old" and data["bundle"]["train"] == 16


def test_every_rendering_says_that_nothing_was_fitted(report):
    for text in (report.to_text(), report.to_markdown(), report.to_html()):
        assert "nothing was fitted" in text and "14 images judged" in text
        assert "featstore train" not in text
    assert report.data["verdict"][0].startswith("Nothing can be told from 14 judged images: the bundle's head, ")
    assert isinstance(Report(report.data), Report)


def test_classes_are_matched_by_name_and_not_by_number(bundle, images, report):
    order = images.classes[::-1]
    other = dataclasses.replace(images, classes=order, labels=1 - images.labels)
    assert evaluate_bundle(bundle, other, **RUN).data["runs"][0]["confusion"] == report.data["runs"][0]["confusion"]


def test_a_class_that_the_bundle_does_not_know_is_refused_by_name(bundle, images):
    renamed = dataclasses.replace(images, classes=("Ants", "wasps"))
    with pytest.raises(
        FeaturesError,
        match=r"does not know 2 classes of the images: 'Ants' \(7 images, perhaps 'ants'\) and 'wasps' \(7 images\); "
        "it knows 'ants' and 'bees'",
    ):
        evaluate_bundle(bundle, renamed, **RUN)


def test_classes_without_images_unlabelled_and_broken_images_are_said(bundle, images, tmp_path):
    labels = np.where(images.labels == 1, -1, 0)
    data = evaluate_bundle(bundle, dataclasses.replace(images, labels=labels), **RUN).data
    said = [warning["text"] for warning in data["warnings"]]
    assert "7 images without a label took no part." in said
    assert "No image judges 1 class of the bundle: 'bees'; nothing is said about them." in said
    folder = write_tree(tmp_path / "old", each=3)
    (folder / "ants" / "broken.jpg").write_bytes(b"\xff\xd8\xff no more")
    unknowing = dataclasses.replace(bundle, trained_on=None)  # as written before bundles knew their images again
    data = evaluate_bundle(unknowing, scan(folder), **RUN).data
    said = " ".join(warning["text"] for warning in data["warnings"])
    assert "1 image could not be read, the first ants/broken.jpg: " in said
    assert "a data set of the same name, 'old'" in said
    assert data["features"][0]["failed"][0][0] == "ants/broken.jpg" and data["runs"][0]["n_test"] == 6


def test_where_the_images_have_a_test_part_it_alone_judges(bundle, images):
    splits = np.array(["train", "test"] * 7)
    data = evaluate_bundle(bundle, dataclasses.replace(images, splits=splits), **RUN).data
    assert data["runs"][0]["n_test"] == 7 and "judges 7 images of the test part of new once" in data["protocol"]["text"]


def test_images_that_cannot_judge_are_refused(bundle, images, tmp_path):
    with pytest.raises(FeaturesError, match=r"no image of 'new' has a label \(14 images found\)"):
        evaluate_bundle(bundle, dataclasses.replace(images, labels=np.full(14, -1)), **RUN)
    for name in ("ants", "bees"):
        (tmp_path / "x" / name).mkdir(parents=True)
        (tmp_path / "x" / name / "a.jpg").write_bytes(b"\xff\xd8\xff no more")
    with pytest.raises(FeaturesError, match=r"none of the 2 images that are to judge can be read; the first is ants/a"):
        evaluate_bundle(bundle, scan(tmp_path / "x"), **RUN)


def test_images_that_the_bundle_was_trained_on_are_counted_under_any_name(bundle, tmp_path):
    folder = write_tree(tmp_path / "renamed", each=7, seed=5000)
    assert not any("trained on" in w["text"] for w in evaluate_bundle(bundle, scan(folder), **RUN).data["warnings"])
    old = bundle.path.parent / "old"
    for i, file in enumerate(sorted(old.rglob("*.jpg"))[:3]):
        (folder / file.parent.name / f"another name {i}.jpg").write_bytes(file.read_bytes())
    said = [warning["text"] for warning in evaluate_bundle(bundle, scan(folder), **RUN).data["warnings"]]
    (told,) = [text for text in said if "trained on" in text]
    assert told.startswith("3 of 17 images are among those that the bundle was trained on, byte for byte")
