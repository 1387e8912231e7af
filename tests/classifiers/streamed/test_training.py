import numpy as np
import pytest

from classifiers.streamed import training as module
from classifiers.streamed.feature_rows import ArrayRows
from classifiers.streamed.training import StreamedTraining
from featstore.errors import FeaturesError

X = np.arange(40, dtype=np.float32).reshape(20, 2)
Y = np.arange(20) % 2


def test_one_class_only_is_refused():
    with pytest.raises(FeaturesError, match="all 20 images are of one class, '1'; expected two classes or more"):
        StreamedTraining.of(ArrayRows(X), np.ones(20, int), 3)


def test_labels_of_another_number_are_refused():
    with pytest.raises(FeaturesError, match=r"y has shape \(19,\), expected \(20,\)"):
        StreamedTraining.of(ArrayRows(X), Y[:-1], 3)


def test_masks_say_who_trains_and_who_judges():
    training = StreamedTraining.of(ArrayRows(X), Y, 4)
    assert (training.masks[:-1] ^ training.held[:-1]).all()
    assert training.masks[-1].all() and not training.held[-1].any()
    assert (training.held.sum(axis=0) == 1).all()


def test_what_is_too_much_is_sampled_by_the_seed(monkeypatch):
    monkeypatch.setattr(module, "SAMPLE_BYTES", 5 * 4 * 2)
    monkeypatch.setattr(module, "MOST_JUDGED", 2 * 7)
    training = StreamedTraining.of(ArrayRows(X), Y, 4, seed=1)
    assert len(training.sample) == 5 and len(training.judged) == 7
    assert np.array_equal(training.sample_X, X[training.sample])
    assert np.array_equal(training.judged, StreamedTraining.of(ArrayRows(X), Y, 4, seed=1).judged)


def test_the_first_pass_is_made_once():
    training = StreamedTraining.of(ArrayRows(X), Y, 4)
    assert training.sums is training.sums and training.passes == 1
