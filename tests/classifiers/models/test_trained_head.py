"""One head, tuned and judged."""

import dataclasses

import numpy as np
import pytest

from classifiers.models.bundle import load_bundle
from classifiers.models.trained_head import full_proba, train
from featstore.errors import FeaturesError, UnknownNameError
from featstore.features import FeatureSet
from featstore.fingerprint import Fingerprint
from featstore.system import machine

FINGERPRINT = Fingerprint(
    "resnet18", "ab" * 32, "avgpool", "avg", {"resize": 256, "crop": 224}, {}, "fp32", "random (seed 3)"
)


def features(test="test", rows=90, noise=1.0):
    rng = np.random.default_rng(0)
    y = np.arange(rows) % 3
    X = rng.normal(size=(3, 8))[y] * 3 + rng.normal(size=(rows, 8)) * noise
    return FeatureSet(
        X=X.astype(np.float32),
        y=y.astype(np.int64),
        ids=tuple(f"{i // 6}_{i}.jpg" for i in range(rows)),
        classes=("a", "b", "c"),
        splits=np.where(np.arange(rows) < 60, "train", test) if test else np.full(rows, ""),
        digests=rng.integers(0, 256, (rows, 32), dtype=np.uint8),
        fingerprint=FINGERPRINT,
        dataset="letters",
        root=b"/",
        paths=tuple(str(i).encode() for i in range(rows)),
    )


def test_the_test_part_is_judged_and_the_rest_cross_validated():
    data = features(noise=4.0)
    trained = train(data, "logistic", budget="quick", folds=3)
    predicted = trained.head.predict(data.X[60:])
    summary = trained.summary()
    assert summary["accuracy"] == pytest.approx((predicted == data.y[60:]).mean())
    low, high = summary["accuracy_ci"]
    assert low < summary["accuracy"] < high
    oof = trained.head.oof_proba_.argmax(axis=1)
    assert summary["cv_accuracy"] == pytest.approx((oof == data.y[:60]).mean())
    assert (summary["train"], summary["test"], summary["dataset"]) == (60, 30, "letters")
    assert set(summary["params"]) == {"C"}


def test_test_rows_teach_nothing():
    data = features()
    other = features()
    other.X[60:] = 0
    a, b = (train(d, "logistic", budget="quick", folds=3).head for d in (data, other))
    np.testing.assert_array_equal(a.coef_, b.coef_)


def test_without_a_test_part_everything_trains_and_nothing_is_claimed():
    trained = train(features(test=""), "knn", budget="quick", folds=3)
    assert trained.scores is None
    summary = trained.summary()
    assert summary["accuracy"] is None and summary["train"] == 90 and summary["cv_accuracy"] > 0.8


def test_groups_stay_in_one_fold():
    data = features(noise=6.0)
    rng = np.random.default_rng(1)
    data.X[:] += rng.normal(size=(15, 8))[np.arange(90) // 6] * 5  # rows of one source are alike
    apart = train(data, "knn", budget="quick", folds=3, groups=r"^(\d+)_").summary()["cv_accuracy"]
    together = train(data, "knn", budget="quick", folds=3).summary()["cv_accuracy"]
    assert apart != together


def test_groups_can_be_found_as_compare_finds_them():
    data = features(noise=6.0)
    data.X[1::2] = data.X[::2] * np.float32(1.0001)  # every second row is a copy of the one before
    data.y[1::2] = data.y[::2]
    alone, together = (
        train(data, "knn", budget="quick", folds=3, groups=g).summary()["cv_accuracy"] for g in (None, "auto")
    )
    assert together < alone - 0.2


def test_a_bundle_predicts_what_the_head_predicts(tmp_path):
    data = features()
    trained = train(data, "svm", budget="quick", folds=3)
    trained.save(tmp_path / "b")
    bundle = load_bundle(tmp_path / "b")
    np.testing.assert_array_equal(bundle.predict_proba(data), trained.head.predict_proba(data.X))
    assert bundle.summary["cv_accuracy"] == trained.cv_accuracy
    assert bundle.recipe["weights"] == {
        "kind": "random", "label": "random (seed 3)", "sha256": "ab" * 32, "name": "", "seed": 3, "path": "",
    }  # fmt: skip


def test_one_class_and_an_unknown_head_are_refused():
    data = features()
    with pytest.raises(FeaturesError, match="one class only"):
        train(data.subset(data.y == 1))
    with pytest.raises(UnknownNameError, match="logistc.*logistic"):
        train(data, "logistc")


def test_a_class_that_only_the_test_part_has_has_probability_nought():
    class Head:
        classes_ = np.array([0, 2])

        def predict_proba(self, X):
            return np.tile([0.25, 0.75], (len(X), 1))

    np.testing.assert_array_equal(full_proba(Head(), np.zeros((2, 8)), 3), [[0.25, 0, 0.75]] * 2)
    data = features()
    keep = (data.y != 1) | (data.splits == "test")
    scores = train(data.subset(keep), "logistic", budget="quick", folds=3).scores
    assert scores.accuracy <= 2 / 3


def test_more_than_there_is_memory_for_is_refused_with_both_sizes(monkeypatch):
    monkeypatch.setattr(machine, "available_memory", lambda: 50_000)
    with pytest.raises(FeaturesError, match=r"training on \d+ images of \d+ features in .* needs about .* are free"):
        train(features(rows=600))


def test_images_without_a_label_are_left_out_and_counted():
    data = features()
    unlabelled = dataclasses.replace(data, y=np.where(np.arange(90) >= 60, -1, data.y))
    trained = train(unlabelled, "centroid", budget="quick", folds=3)
    assert trained.notes() == ["30 images of the test part without a label took no part."]
    assert trained.scores is None and trained.summary()["train"] == 60
    with pytest.raises(FeaturesError, match="no image of data set 'letters' has a label"):
        train(dataclasses.replace(data, y=np.full(90, -1)), "centroid")


def test_groups_of_the_data_stay_in_one_fold():
    data = dataclasses.replace(features(), groups=tuple(f"p{i // 6}" for i in range(90)))
    trained = train(data, "knn", budget="quick", folds=3)
    assert trained.notes() == [
        "The data name 15 groups of two or more images; images of one group stay on one side of every fold."
    ]
    same = train(features(), "knn", budget="quick", folds=3, groups=r"^(\d+)_")
    np.testing.assert_array_equal(trained.head.oof_proba_, same.head.oof_proba_)
