import json

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, log_loss

from classifiers.comparison.evaluate import evaluate
from classifiers.validation.protocol import make_protocol
from featstore.errors import FeaturesError
from tests.support.feature_sets import digits, feature_set


@pytest.fixture(scope="module")
def features():
    return digits(400, split=0.3)


def test_a_run_is_what_training_by_hand_gives(features):
    protocol = make_protocol(features)
    run = evaluate("knn", features, protocol, budget="quick", calibrate=False)
    from classifiers.heads.registry import make_head

    train, test = protocol.outer[0]
    head = make_head("knn", budget="quick", cv=protocol.inner[0]).fit(features.X[train], features.y[train])
    np.testing.assert_array_equal(run.proba, head.predict_proba(features.X[test]))
    np.testing.assert_array_equal(run.rows, test)
    np.testing.assert_array_equal(run.oof_rows, train)
    np.testing.assert_allclose(run.oof_proba, head.oof_proba_)
    assert run.params == head.best_params_ and run.cv_results and run.n_train == 280
    row = run.to_dict()
    predicted = head.predict(features.X[test])
    assert row["accuracy"] == accuracy_score(features.y[test], predicted)
    assert row["log_loss"] == pytest.approx(log_loss(features.y[test], run.proba))
    assert row["cv_accuracy"] == accuracy_score(features.y[train], head.oof_proba_.argmax(axis=1))
    assert np.array(row["confusion"]).sum() == 120
    assert row["predictions"]["predicted"] == predicted.tolist()
    assert row["predictions"]["image"] == test.tolist()
    json.dumps(row, allow_nan=False)


def test_every_interval_holds_its_number(features):
    row = evaluate("centroid", features, make_protocol(features), budget="quick").to_dict()
    for name in ("accuracy", "top3_accuracy", "balanced_accuracy", "macro_f1", "log_loss", "brier", "cv_accuracy"):
        low, high = row[f"{name}_ci"]
        assert low <= row[name] <= high
    assert sum(entry["count"] for entry in row["reliability"]) == row["n_test"] == 120
    assert [entry["name"] for entry in row["per_class"]] == list(features.classes)


def test_calibration_helps_and_changes_no_answer(features):
    protocol = make_protocol(features)
    raw = evaluate("forest", features, protocol, budget="quick", calibrate=False)
    calibrated = evaluate("forest", features, protocol, budget="quick")
    assert calibrated.calibration.method != "none"
    np.testing.assert_array_equal(raw.proba.argmax(axis=1), calibrated.proba.argmax(axis=1))
    assert calibrated.scores.log_loss < raw.scores.log_loss - 0.05
    assert (
        calibrated.to_dict()["calibration"]["log_loss_after"] < calibrated.to_dict()["calibration"]["log_loss_before"]
    )


def test_nested_cross_validation_judges_each_image_once_a_repeat(features):
    protocol = make_protocol(features, protocol="cv", repeats=2, folds=3)
    run = evaluate("centroid", features, protocol, budget="quick")
    assert len(run.rows) == 800 and run.scores.n == 800 and run.scores.images == 400
    assert len(run.right) == 400
    row = run.to_dict()
    assert row["n_test"] == 400 and row["repeats"] == 2 and len(row["predictions"]["image"]) == 400
    low, high = row["accuracy_ci"]
    assert high - low > 1.9 * 1.96 * np.sqrt(row["accuracy"] * (1 - row["accuracy"]) / 400)
    assert len(run.oof_rows) == 400


def test_no_judged_image_was_seen_in_training(features):
    protocol = make_protocol(features, protocol="cv", folds=4)
    noise = np.random.default_rng(0).normal(size=(400, 30)).astype(np.float32)
    run = evaluate("knn", features, protocol, budget="quick", X=noise)
    assert run.scores.accuracy < 0.25  # a head that had seen the image would know its neighbour


def test_classes_that_training_lacks_get_no_probability(features):
    y = features.y.copy()
    splits = np.where(y == 9, "test", features.splits)
    with_gap = feature_set(features.X, y, splits=splits)
    run = evaluate("centroid", with_gap, make_protocol(with_gap), budget="quick")
    assert run.proba[:, 9].max() < 1e-9 and run.proba.shape[1] == 10


def test_weights_of_classes_go_by_name(features):
    few = features.subset(features.y < 2)
    few = feature_set(few.X, few.y, splits=few.splits, classes=("zero", "one"))
    plain_run = evaluate("centroid", few, make_protocol(few), budget="quick", calibrate=False)
    tilted = evaluate(
        "centroid", few, make_protocol(few), budget="quick", calibrate=False, class_weight={"zero": 1, "one": 1e6}
    )
    assert tilted.proba[:, 1].mean() > plain_run.proba[:, 1].mean()


def test_what_a_head_refuses_is_said(features):
    one = feature_set(features.X[:40], np.repeat([0, 1], [30, 10]), splits=["train"] * 30 + ["test"] * 10)
    with pytest.raises(FeaturesError, match="all 30 images are of one class, '0'"):
        evaluate("knn", one, make_protocol(one), budget="quick")


def test_linear_heads_are_not_behind_scikit_learn(features):
    protocol = make_protocol(features)
    train, test = protocol.outer[0]
    run = evaluate("logistic", features, protocol)
    alive = features.X[train].std(axis=0) > 0
    scale = features.X[train][:, alive].std(axis=0)
    theirs = LogisticRegression(C=0.1, max_iter=2000).fit(features.X[train][:, alive] / scale, features.y[train])
    hits = (theirs.predict(features.X[test][:, alive] / scale) == features.y[test]).sum()
    assert run.scores.hits >= hits - 2


def test_progress_goes_up_to_one(features):
    seen = []
    protocol = make_protocol(features, protocol="cv", folds=3)
    run = evaluate("centroid", features, protocol, budget="quick", progress=lambda *told: seen.append(told))
    shares = [share for share, _ in seen]
    assert shares == sorted(shares) and shares[-1] == 1.0
    # Three outer folds and all images: each tells every candidate and its end.
    assert len(seen) == 4 * (len(run.cv_results) + 1)
    assert seen[0][1].startswith("scale total, shrink 0: ") and seen[0][1].endswith(" %")


def test_a_path_tells_each_C(features):
    seen = []
    run = evaluate(
        "logistic", features, make_protocol(features), budget="quick", progress=lambda *told: seen.append(told)
    )
    assert len(seen) == len(run.cv_results) + 1 and seen[0][1].startswith("C 0.0001: ")


def test_weighed_classes_leave_the_most_frequent_class_the_majority():
    features = digits(200, classes=2)
    rare = np.flatnonzero(features.y == 0)[:20]
    features = features.subset(np.concatenate([rare, np.flatnonzero(features.y == 1)]))
    plan = make_protocol(features, folds=3)
    usual, weighed = (evaluate("majority", features, plan, class_weight=weight) for weight in (None, "balanced"))
    assert usual.scores.accuracy == weighed.scores.accuracy == (features.y == 1).mean()
