import dataclasses

import numpy as np
import pytest
from sklearn.linear_model import Ridge
from sklearn.preprocessing import StandardScaler

from classifiers.comparison.curves import layer_curve, learning_curve
from classifiers.comparison.evaluate import evaluate
from classifiers.validation.protocol import make_protocol
from tests.support.feature_sets import digits, feature_set


def test_more_images_help_and_the_intervals_count_each_once():
    features = digits(600, split=0.25)
    curve = learning_curve(features, make_protocol(features))
    points = curve["points"]
    sizes = [point["train"] for point in points]
    assert sizes == sorted(sizes) and sizes[-1] == 360
    assert points[-1]["accuracy"] > points[0]["accuracy"] + 0.03
    for point in points:
        low, high = point["accuracy_ci"]
        assert low < point["accuracy"] < high and point["n"] == 450
    assert f"from {sizes[-2]} to {sizes[-1]} training images" in curve["text"]


def test_the_last_point_is_a_ridge_classifier_on_the_folds():
    features = digits(300, split=0.2)
    protocol = make_protocol(features)
    rows, folds = protocol.outer[0][0], protocol.inner[0]
    Z = StandardScaler().fit_transform(features.X[rows].astype(np.float64))
    alive = Z.std(axis=0) > 0
    y, hits = features.y[rows], 0
    for train, valid in folds:
        # The curve standardises once, over all training rows, and leaves constant features at 0.
        model = Ridge(alpha=Z.shape[1], fit_intercept=False).fit(
            Z[train][:, alive], np.eye(10)[y[train]] - np.eye(10)[y[train]].mean(axis=0)
        )
        scores = model.predict(Z[valid][:, alive]) + np.eye(10)[y[train]].mean(axis=0)
        hits += (scores.argmax(axis=1) == y[valid]).sum()
    full = learning_curve(features, protocol)["points"][-1]["accuracy"]
    assert full == pytest.approx(hits / len(y), abs=2.1 / len(y))


def test_the_test_part_is_not_looked_at():
    features = digits(300, split=0.4)
    X = features.X.copy()
    X[features.testing()] = np.nan
    poisoned = feature_set(X, features.y, splits=features.splits)
    assert learning_curve(poisoned, make_protocol(features)) == learning_curve(features, make_protocol(features))


def test_large_sets_are_cut_and_it_is_said():
    features = digits(600)
    curve = learning_curve(features, make_protocol(features, protocol="cv"), most_rows=200)
    assert curve["points"][-1]["train"] <= 165
    assert "Only 200 of 600 training images were looked at." in curve["text"]


def test_too_few_sizes_make_no_curve():
    features = feature_set(np.random.default_rng(0).normal(size=(12, 3)), np.arange(12) % 4)
    assert learning_curve(features, make_protocol(features, protocol="cv", folds=2)) is None


def test_the_layer_curve_shows_the_best_head_of_each_node():
    deep, early = digits(300, split=0.3), digits(300, split=0.3, node="layer1")
    noise = np.random.default_rng(0).normal(size=early.X.shape).astype(np.float32)
    early = feature_set(noise, early.y, splits=early.splits, ids=early.ids, node="layer1")
    protocol = make_protocol(deep)
    runs = [
        evaluate(head, one, protocol, feature=i, budget="quick")
        for i, one in enumerate((deep, early))
        for head in ("knn", "centroid")
    ]
    runs.append(evaluate("majority", deep, protocol))
    curve = layer_curve([deep, early], runs)
    assert [point["node"] for point in curve] == ["layer1", "avgpool"]
    best = max(runs[:2], key=lambda run: run.cv_accuracy)
    assert (curve[1]["head"], curve[1]["accuracy"]) == (best.head, best.scores.accuracy)
    assert curve[0]["accuracy"] < 0.4
    assert layer_curve([deep], runs[:2]) is None
    other = dataclasses.replace(early, fingerprint=dataclasses.replace(early.fingerprint, weights_sha256="1" * 64))
    assert layer_curve([deep, other], runs) is None, "two networks"
