import json

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from scipy.optimize import minimize_scalar
from sklearn.metrics import log_loss

from classifiers.validation.calibration import Calibration, fit_calibration


def predictions(n=2000, k=4, sharpness=1.0, seed=0):
    """Probabilities that are right as often as they say at sharpness 1, too sure above, too careful below."""
    rng = np.random.default_rng(seed)
    logits = 1.5 * rng.normal(size=(n, k))
    true = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    y = np.array([rng.choice(k, p=p) for p in true])
    said = np.exp(sharpness * logits)
    return said / said.sum(axis=1, keepdims=True), y


@pytest.mark.parametrize("sharpness", [0.3, 3.0])
def test_the_temperature_is_the_one_that_was_planted(sharpness):
    proba, y = predictions(sharpness=sharpness)
    calibration = fit_calibration(proba, y, method="temperature")
    assert calibration.temperature == pytest.approx(sharpness, rel=0.12)

    def loss(log_temperature):
        tempered = proba ** (1 / np.exp(log_temperature))
        return log_loss(y, tempered / tempered.sum(axis=1, keepdims=True))

    assert np.exp(minimize_scalar(loss).x) == pytest.approx(calibration.temperature, rel=1e-3)
    assert calibration.after < calibration.before
    fresh, truth = predictions(sharpness=sharpness, seed=1)
    assert log_loss(truth, calibration.apply(fresh)) < log_loss(truth, fresh) - 0.01


def test_what_is_calibrated_is_left_alone():
    proba, y = predictions()
    calibration = fit_calibration(proba, y)
    assert calibration.method == "none"
    np.testing.assert_array_equal(calibration.apply(proba), proba)


def test_isotonic_is_chosen_where_no_temperature_helps():
    rng = np.random.default_rng(0)
    top = rng.uniform(0.5, 1, 4000)
    right = rng.random(4000) < np.where(top < 0.8, 0.6, 0.75)  # sure or not: two steps
    proba = np.stack([top, 1 - top], axis=1)
    calibration = fit_calibration(proba, np.where(right, 0, 1))
    assert calibration.method == "isotonic"
    low, high = calibration.apply(np.array([[0.7, 0.3], [0.97, 0.03]]))[:, 0]
    assert (low, high) == (pytest.approx(0.6, abs=0.06), pytest.approx(0.75, abs=0.06))


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 6), st.sampled_from(["temperature", "isotonic"]), st.floats(0.05, 20))
def test_no_calibration_changes_an_answer(seed, k, method, sharpness):
    proba, y = predictions(120, k, sharpness, seed)
    proba[:10] = 1 / k  # ties
    proba[10:20] = np.eye(k)[np.arange(10) % k]  # certainty
    calibrated = fit_calibration(proba, y, method=method).apply(proba)
    np.testing.assert_array_equal(calibrated.argmax(axis=1), proba.argmax(axis=1))
    np.testing.assert_allclose(calibrated.sum(axis=1), 1, atol=1e-9)
    assert (calibrated >= 0).all()


def test_few_predictions_teach_nothing():
    proba, y = predictions(29, sharpness=5)
    calibration = fit_calibration(proba, y)
    assert calibration.method == "none" and calibration.before is None
    assert json.loads(json.dumps(calibration.to_json()))["log_loss_before"] is None
    assert fit_calibration(np.empty((0, 3)), np.empty(0, np.int64)).method == "none"


def test_an_unknown_method_is_refused():
    with pytest.raises(ValueError, match="method is 'platt', expected one of auto, none, temperature, isotonic"):
        fit_calibration(*predictions(50), method="platt")
    assert Calibration().apply(np.array([[0.25, 0.75]])).tolist() == [[0.25, 0.75]]
