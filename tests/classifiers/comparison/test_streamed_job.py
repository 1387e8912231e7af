import dataclasses
import re

import numpy as np
import pytest

from classifiers.comparison import streamed_job as module
from classifiers.comparison.job import compare
from classifiers.comparison.streamed_job import compare_streamed
from classifiers.streamed import training as training_module
from featstore.errors import FeaturesError, UnknownNameError
from tests.support.feature_sets import feature_set

HEADS = ["logistic", "svm", "centroid", "knn"]


def planted(n=900, k=3, test=True, **changes):
    rng = np.random.default_rng(0)
    y = np.sort(np.arange(n) % k)
    X = (rng.standard_normal((n, 10)) + 0.9 * rng.standard_normal((k, 10))[y]).astype(np.float32)
    splits = np.where(rng.random(n) < 0.3, "test", "train") if test else np.full(n, "")
    return feature_set(X, y, splits=splits, **changes)


@pytest.fixture(scope="module")
def both():
    features = planted()
    options = {"seed": 0, "budget": "quick", "folds": 3}
    return compare_streamed(features, HEADS, **options).data, compare(features, HEADS, **options, references=False).data


def test_every_head_is_as_good_as_in_memory(both):
    streamed, memory = both
    for mine, its in zip(streamed["runs"], memory["runs"], strict=False):
        assert mine["head"] == its["head"] and mine["n_test"] == its["n_test"]
        assert mine["accuracy"] == pytest.approx(its["accuracy"], abs=0.02)
        assert mine["cv_accuracy"] == pytest.approx(its["cv_accuracy"], abs=0.02)


def test_the_report_says_what_it_lacks_and_what_it_is_about(both):
    streamed, memory = both
    assert streamed["dataset"] == memory["dataset"]
    assert streamed["features"] == memory["features"]
    assert streamed["protocol"]["streamed"] is True
    assert streamed["learning_curve"] is None and streamed["map"] is None and streamed["leaks"] is None
    (said,) = [warning["text"] for warning in streamed["warnings"] if warning["kind"] == "memory"]
    assert said.startswith("The features of 900 images were streamed. This report has no search for copies but")
    assert streamed["runs"][-1]["head"] == "majority"
    assert streamed["verdict"]


def test_large_parts_are_judged_on_a_stated_sample(monkeypatch):
    monkeypatch.setattr(module, "MOST_TESTED", 3 * 100)
    monkeypatch.setattr(training_module, "MOST_JUDGED", 3 * 200)
    data = compare_streamed(planted(), ["centroid", "logistic"], budget="quick", folds=3).data
    said = " ".join(warning["text"] for warning in data["warnings"])
    tested = int((planted().splits == "test").sum())
    assert f"Heads were judged on 100 of {tested} test images, drawn at random." in said
    logistic = data["runs"][1]
    assert logistic["n_test"] == 100 and len(logistic["predictions"]["image"]) == 100
    assert data["dataset"]["images"] == 900 and data["dataset"]["train"] == 900 - tested
    for run in data["runs"]:
        ids = [data["images"]["ids"][i] for i in run["predictions"]["image"]]
        labels = dict(zip(planted().ids, planted().y.tolist(), strict=True))
        assert run["predictions"]["true"] == [labels[name] for name in ids]


def test_heads_of_memory_learn_from_as_much_as_it_holds():
    features = planted()
    data = compare_streamed(features, ["centroid", "knn"], budget="quick", folds=3, memory=60_000).data
    knn = data["runs"][1]
    assert knn["n_train"] < 200
    assert f"knn learnt from {knn['n_train']} of" in " ".join(knn["notes"])
    refused = compare_streamed(features, ["centroid", "knn"], budget="quick", folds=3, memory=9_000).data
    assert refused["omitted"][0]["head"] == "knn" and "0.0 GB" in refused["omitted"][0]["reason"]


def test_what_it_takes_is_said_first():
    said = []
    compare_streamed(planted(), ["centroid"], budget="quick", folds=3, said=said.append)
    assert len(said) == 1 and said[0].startswith("Streaming 0.0 GB of features") and "passes over them" in said[0]


def test_without_a_test_part_a_quarter_is_held_out():
    data = compare_streamed(planted(test=False), ["centroid"], budget="quick", folds=3).data
    assert data["protocol"]["name"] == "holdout" and data["dataset"]["test"] == 225


def test_rows_without_a_label_take_no_part():
    features = planted()
    y = features.y.copy()
    y[::9] = -1
    data = compare_streamed(dataclasses.replace(features, y=y), ["centroid", "logistic"], budget="quick", folds=3).data
    assert data["dataset"]["images"] == int((y >= 0).sum())


def test_images_with_nan_are_named():
    features = planted()
    row = int(features.training()[50])
    features.X[row, 2] = np.nan
    with pytest.raises(FeaturesError, match=rf"NaN or infinity \('{features.ids[row]}'\)"):
        compare_streamed(features, ["centroid"], budget="quick", folds=3)


def test_one_class_only_is_refused():
    features = planted(k=1)
    with pytest.raises(FeaturesError, match="are of one class, .*; expected two or more"):
        compare_streamed(features, ["centroid"], budget="quick", folds=3)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [({"protocol": "cv"}, "once more for each fold"), ({"groups": "auto"}, "copies among all pairs of images")],
)
def test_what_streaming_cannot_do_is_refused(options, sentence):
    with pytest.raises(FeaturesError, match=sentence):
        compare_streamed(planted(), ["centroid"], budget="quick", folds=3, **options)


def test_an_unknown_head_is_refused():
    with pytest.raises(UnknownNameError, match="logistik"):
        compare_streamed(planted(), ["logistik"])


def test_test_images_that_are_training_images_are_a_leak_and_can_be_left_out():
    features = planted()
    train, test = features.training(), features.testing()
    digests = features.digests.copy()
    digests[test[:40]] = digests[train[:40]]
    copied = dataclasses.replace(features, digests=digests)
    data = compare_streamed(copied, ["centroid"], budget="quick", folds=3).data
    (leak,) = [warning["text"] for warning in data["warnings"] if warning["kind"] == "leak"]
    share = 100 * 40 / len(test)
    assert leak.startswith(f"40 test images ({share:.1f} %) are also in the training part, byte for byte")
    data = compare_streamed(copied, ["centroid"], budget="quick", folds=3, drop_leaks=True).data
    assert not [warning for warning in data["warnings"] if warning["kind"] == "leak"]
    assert data["protocol"]["dropped"] == 40


def test_groups_are_told_of_all_images_not_of_those_that_are_kept(monkeypatch):
    monkeypatch.setattr(module, "MOST_TESTED", 3 * 20)
    monkeypatch.setattr(training_module, "MOST_JUDGED", 3 * 20)
    groups = tuple(f"g{i // 3}" for i in range(900))
    features = dataclasses.replace(planted(), groups=groups)
    data = compare_streamed(features, ["centroid"], budget="quick", folds=3).data
    assert data["protocol"]["n_groups"] == data["protocol"]["groups_of_the_data"] == 300
    assert "300 groups" in data["protocol"]["text"]
    (leak,) = [warning["text"] for warning in data["warnings"] if warning.get("of") == "groups"]
    whole = compare(features, ["centroid"], budget="quick", folds=3, references=False).data
    assert leak in [warning["text"] for warning in whole["warnings"]]


def test_nan_in_the_test_part_is_found_before_any_head_is_fitted(monkeypatch):
    monkeypatch.setattr(module, "evaluate_streamed", lambda *given, **more: pytest.fail("a head was fitted"))
    features = planted()
    features.X[features.testing()[5], 2] = np.nan
    with pytest.raises(FeaturesError, match=re.escape(repr(features.ids[features.testing()[5]]))):
        compare_streamed(features, ["centroid"], budget="quick", folds=3)
