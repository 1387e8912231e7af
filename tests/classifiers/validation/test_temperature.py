import numpy as np
import pytest
from scipy.optimize import minimize_scalar

from classifiers.validation.scores import log_losses
from classifiers.validation.temperature import MOST_LOGITS, as_logits, best_temperature, enough_rows, fit_slope, softmax


@pytest.mark.parametrize("k", [2, 5])
def test_the_slope_is_the_most_likely_one(k):
    random = np.random.default_rng(0)
    y = random.integers(0, k, 400)
    decision = random.normal(size=(400, k if k > 2 else 1))
    decision[np.arange(400), y if k > 2 else 0] += 1.0 if k > 2 else 2.0 * y - 1.0
    weight = random.uniform(0.5, 2.0, 400)

    def loss(log_slope):
        return weight @ log_losses(y, softmax(as_logits(decision, np.exp(log_slope))))

    best = minimize_scalar(loss, bounds=(-5, 5), method="bounded", options={"xatol": 1e-8}).x
    assert fit_slope(decision, y, weight) == pytest.approx(np.exp(best), rel=1e-5)


def test_two_classes_share_one_decision_value_evenly():
    assert as_logits(np.array([3.0, -1.0])).tolist() == [[-1.5, 1.5], [0.5, -0.5]]
    assert as_logits(np.array([[1.0, 2.0, 3.0]]), slope=2.0).tolist() == [[2.0, 4.0, 6.0]]


def test_extremes_stay_finite():
    p = softmax(np.array([[0.0, -np.inf, 1000.0]]))
    assert p.tolist() == [[0.0, 0.0, 1.0]]
    separable = np.array([-1.0, -1.0, 1.0, 1.0])
    assert fit_slope(separable, np.array([0, 0, 1, 1])) == pytest.approx(1e4, rel=1e-3)


def test_of_very_many_logits_an_even_selection_is_enough():
    assert enough_rows(100, 40_000) == slice(None)
    few = enough_rows(30_000, 10_000)
    assert len(few) == MOST_LOGITS // 10_000 and (few[0], few[-1]) == (0, 29_999) and (np.diff(few) > 0).all()
    assert enough_rows(3, 10 * MOST_LOGITS).tolist() == [0]


def test_the_temperature_has_the_least_log_loss():
    rng = np.random.default_rng(0)
    y = rng.integers(0, 4, 2000)
    logits = rng.normal(size=(2000, 4)) + 2 * np.eye(4)[y]
    found = best_temperature(7 * logits, y)

    def loss(temperature):
        return -np.log(softmax(7 * logits / temperature)[np.arange(2000), y]).mean()

    finest = min(np.linspace(0.5, 20, 400), key=loss)
    assert loss(found) - loss(finest) < 0.005


@pytest.mark.parametrize("size", [1e-3, 1.0, 30.0, 1e4])
def test_the_coarse_and_the_fine_search_find_what_trying_every_temperature_finds(size):
    rng = np.random.default_rng(int(size))
    for k, signal in ((2, 0.0), (3, 1.0), (10, 3.0), (50, 30.0)):
        y = rng.integers(0, k, 300)
        logits = size * (rng.normal(size=(300, k)) + signal * np.eye(k)[y])
        found = best_temperature(logits, y)
        scale = np.mean(logits.max(axis=1) - np.median(logits, axis=1))

        def loss(temperature, logits=logits, y=y, k=k):
            shares = np.maximum(np.log(np.maximum(softmax(logits / temperature), 1e-300)), np.log(1e-30))
            true = shares[np.arange(300), y]
            return -((1 - 1 / 302) * true + (shares.sum(axis=1) - true) / 302 / (k - 1)).mean()

        assert loss(found) <= min(map(loss, scale * np.geomspace(1e-4, 1e3, 71))) * (1 + 1e-5)
