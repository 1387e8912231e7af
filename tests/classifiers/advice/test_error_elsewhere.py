"""The error on images of another kind, guessed without their labels."""

import numpy as np
import pytest
from sklearn.linear_model import RidgeClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import Normalizer, StandardScaler

from classifiers.advice.error_elsewhere import error_elsewhere
from classifiers.validation.splits import stratified_folds
from tests.support.feature_sets import digits


@pytest.fixture(scope="module")
def parts():
    all_digits = digits(1200)
    return all_digits.X[:600], all_digits.y[:600], all_digits.X[600:], all_digits.y[600:]


def true_error(X, y, other, labels):
    """Of a ridge classifier by scikit-learn."""
    scaled = make_pipeline(StandardScaler(), Normalizer(), RidgeClassifier(alpha=1.0)).fit(X, y)
    return float((scaled.predict(other) != labels).mean())


def test_it_grows_with_the_true_error_as_the_images_get_worse(parts):
    X, y, other, labels = parts
    folds, found, true = stratified_folds(y, 5, 0), [], []
    for noise in (0.0, 0.3, 0.6, 1.0, 2.0):
        worse = (other + np.random.default_rng(0).normal(0, noise, other.shape)).astype(np.float32)
        found.append(error_elsewhere(X, y, folds, worse).there)
        true.append(true_error(X, y, worse, labels))
    assert found == sorted(found) and true == sorted(true)
    assert found[0] == pytest.approx(true[0], abs=0.03)
    assert true[-1] > found[-1] > 0.4  # a guess from below, which knows that most is lost


def test_the_same_kind_of_images_has_the_same_error(parts):
    X, y, other, _ = parts
    found = error_elsewhere(X, y, stratified_folds(y, 5, 0), other)
    assert found.there == pytest.approx(found.here, abs=0.03)


def test_a_sample_is_enough(parts, monkeypatch):
    X, y, other, _ = parts
    monkeypatch.setattr("classifiers.advice.error_elsewhere.MOST_ROWS", 200)
    found = error_elsewhere(X, y, stratified_folds(y, 5, 0), other)
    assert found == error_elsewhere(X, y, stratified_folds(y, 5, 0), other)
    assert 0 <= found.there < 0.2


def test_a_head_that_is_wrong_more_often_here_is_so_elsewhere(parts):
    X, y, other, _ = parts
    worse = (other + np.random.default_rng(0).normal(0, 0.6, other.shape)).astype(np.float32)
    folds = stratified_folds(y, 5, 0)
    own = error_elsewhere(X, y, folds, worse)
    assert error_elsewhere(X, y, folds, worse, error=own.here) == own
    found = [error_elsewhere(X, y, folds, worse, error=error) for error in (0.0, 0.05, 0.2, 0.5, 1.0)]
    assert [one.here for one in found] == [0.0, 0.05, 0.2, 0.5, 1.0]
    there = [one.there for one in found]
    assert there == sorted(there) and there[-1] > 0.95
