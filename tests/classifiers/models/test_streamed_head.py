import numpy as np
import pytest

from classifiers.models import streamed_head as module
from classifiers.models.streamed_head import train_streamed
from classifiers.models.trained_head import train
from featstore.errors import FeaturesError, UnknownNameError
from tests.classifiers.comparison.test_streamed_job import planted


@pytest.mark.parametrize("name", ["centroid", "logistic"])
def test_it_is_the_head_that_training_in_memory_gives(name):
    features = planted()
    streamed, memory = (fit(features, name, budget="quick", folds=3) for fit in (train_streamed, train))
    assert streamed.scores.accuracy == pytest.approx(memory.scores.accuracy, abs=0.02)
    assert streamed.cv_accuracy == pytest.approx(memory.cv_accuracy, abs=0.02)
    assert streamed.summary().keys() == memory.summary().keys()
    assert streamed.summary()["train"] == memory.summary()["train"]


def test_of_many_test_images_a_stated_part_judges(monkeypatch):
    monkeypatch.setattr(module, "BLOCK", 50)
    trained = train_streamed(planted(), "centroid", budget="quick", folds=3)
    assert trained.scores.n == trained.summary()["test"] == 50
    low, high = trained.summary()["accuracy_ci"]
    assert high - low > 0.04  # of 50 images, not of all
    assert any(note.startswith("The head was judged on 50 of") for note in trained.notes())


def test_what_it_cannot_do_is_refused():
    with pytest.raises(UnknownNameError, match="centroids"):
        train_streamed(planted(), "centroids")
    with pytest.raises(FeaturesError, match="copies among all pairs"):
        train_streamed(planted(), "centroid", groups="auto")
    with pytest.raises(FeaturesError, match="images of one class only"):
        train_streamed(planted(k=1), "centroid")


def test_images_with_nan_are_named():
    features = planted()
    row = int(features.training()[3])
    features.X[row, 0] = np.inf
    with pytest.raises(FeaturesError, match=f"'{features.ids[row]}'"):
        train_streamed(features, "centroid", folds=3)
