import numpy as np
import pytest
from sklearn.model_selection import LeaveOneOut, cross_val_predict
from sklearn.neighbors import KNeighborsClassifier

from classifiers.comparison import embedding
from classifiers.comparison.embedding import flat_map
from classifiers.comparison.evaluate import evaluate
from classifiers.validation.protocol import make_protocol
from tests.support.feature_sets import digits


@pytest.fixture(scope="module")
def judged():
    features = digits(300, split=0.6, classes=4)
    return features, evaluate("centroid", features, make_protocol(features), budget="quick")


def test_images_of_a_class_lie_together(judged):
    features, run = judged
    places = flat_map(features, run)
    assert places["image"] == features.testing().tolist()
    assert places["true"] == features.y[features.testing()].tolist()
    np.testing.assert_array_equal(places["predicted"], run.proba.argmax(axis=1))
    xy = np.stack([places["x"], places["y"]], axis=1)
    answers = cross_val_predict(KNeighborsClassifier(5), xy, places["true"], cv=LeaveOneOut())
    assert np.mean(answers == np.array(places["true"])) > 0.9
    assert flat_map(features, run) == places
    assert "t-SNE" in places["method"]


def test_of_many_images_some_are_drawn(judged, monkeypatch):
    monkeypatch.setattr(embedding, "MOST_IMAGES", 50)
    features, run = judged
    places = flat_map(features, run)
    assert len(places["image"]) == len(set(places["image"])) == 50
    assert set(places["image"]) <= set(features.testing().tolist())


def test_a_handful_of_images_has_no_map():
    features = digits(36, split=0.15, classes=2)
    run = evaluate("centroid", features, make_protocol(features, folds=2), budget="quick")
    assert flat_map(features, run) is None
