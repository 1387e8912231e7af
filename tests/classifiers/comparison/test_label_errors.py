"""Suspected wrong labels: flipped ones come first, with the right suggestion."""

import dataclasses

import numpy as np
import pytest

from classifiers.comparison.evaluate import evaluate
from classifiers.comparison.label_errors import wrong_labels
from classifiers.validation.protocol import make_protocol
from tests.support.feature_sets import digits


@pytest.fixture(scope="module")
def flipped():
    clean = digits(600, split=0.25)
    rng = np.random.default_rng(1)
    rows = rng.choice(600, 30, replace=False)
    y = clean.y.copy()
    y[rows] = (y[rows] + rng.integers(1, 10, 30)) % 10
    features = dataclasses.replace(clean, y=y)
    runs = [
        evaluate(head, features, make_protocol(features), budget="quick") for head in ("knn", "centroid", "majority")
    ]
    return features, runs, set(rows.tolist()), clean.y


def test_flipped_labels_come_first_with_the_right_suggestion(flipped):
    features, runs, rows, truth = flipped
    found = wrong_labels(features, runs)
    first = [suspect["image"] for suspect in found["suspects"][:60]]
    assert len(rows & set(first)) >= 27
    suspected = [s for s in found["suspects"] if s["suspected"]]
    assert found["threshold_count"] == len(suspected)
    right = [truth[s["image"]] == s["suggested"] for s in suspected if s["image"] in rows]
    assert len(right) >= 20 and np.mean(right) > 0.9
    assert sum(s["image"] in rows for s in suspected) > 0.6 * len(suspected)


def test_training_and_judged_images_are_both_listed_by_margin(flipped):
    features, runs, _, _ = flipped
    found = wrong_labels(features, runs)
    assert found["images"] == 600 == len(found["suspects"])
    scores = [s["score"] for s in found["suspects"]]
    assert scores == sorted(scores, reverse=True)
    for s in found["suspects"]:
        assert s["label"] == features.y[s["image"]] != s["suggested"]
        assert s["score"] == pytest.approx(s["share_suggested"] - s["share_label"], abs=2e-5)


def test_weak_heads_and_references_are_not_asked(flipped):
    features, runs, _, _ = flipped
    assert wrong_labels(features, runs)["heads"] == ["knn"] or wrong_labels(features, runs)["heads"] == [
        "knn",
        "centroid",
    ]
    noise = np.random.default_rng(0).normal(size=features.X.shape).astype(np.float32)
    weak = evaluate("knn", features, make_protocol(features), budget="quick", name="weak", X=noise)
    assert "weak" not in wrong_labels(features, [*runs, weak])["heads"]
    assert wrong_labels(features, [runs[2]]) is None


def test_the_list_ends_somewhere(flipped, monkeypatch):
    features, runs, _, _ = flipped
    monkeypatch.setattr("classifiers.comparison.label_errors.MOST", 10)
    assert len(wrong_labels(features, runs)["suspects"]) == 10


def test_rows_set_aside_are_not_suspected(flipped):
    features, runs, _, _ = flipped
    aside = features.testing()
    found = wrong_labels(features, runs, aside=aside)
    assert found["images"] == 600 - len(aside)
    assert not {s["image"] for s in found["suspects"]} & set(aside.tolist())
