import numpy as np
import pytest

from classifiers.validation.extrapolate import extrapolate
from featstore.errors import FeaturesError

SIZES = [20, 40, 80, 160, 320]


def test_a_power_law_is_recovered():
    accuracies = [1 - (0.1 + 0.9 * n**-0.5) for n in SIZES]
    (there,) = extrapolate(SIZES, accuracies, [10**7] * 5, [1280])
    assert there.accuracy == pytest.approx(1 - (0.1 + 0.9 * 1280**-0.5), abs=0.003)
    assert there.low <= there.accuracy <= there.high
    assert there.high - there.low < 0.02


def test_a_flat_curve_stays_flat_and_few_images_widen_the_interval():
    few, many = (extrapolate(SIZES, [0.8] * 5, [count] * 5, [640])[0] for count in (50, 5000))
    assert many.accuracy == pytest.approx(0.8, abs=0.01)
    assert few.high - few.low > 3 * (many.high - many.low)


def test_the_interval_covers_the_truth_about_as_often_as_it_says():
    rng = np.random.default_rng(1)
    hits = 0
    for trial in range(60):
        floor, scale, exponent = rng.uniform(0, 0.3), rng.uniform(0.3, 1.5), rng.uniform(0.3, 0.9)
        error = [min(0.95, floor + scale * n**-exponent) for n in SIZES]
        seen = [1 - rng.binomial(300, e) / 300 for e in error]
        (there,) = extrapolate(SIZES, seen, [300] * 5, [640], seed=trial)
        hits += there.low <= 1 - (floor + scale * 640**-exponent) <= there.high
    assert hits >= 50


def test_predictions_stay_accuracies_and_never_fall_with_more_images():
    out = extrapolate(SIZES, [0.2, 0.5, 0.8, 0.95, 0.999], [100] * 5, [640, 10**6])
    assert all(0 <= p.low <= p.accuracy <= p.high <= 1 for p in out)
    assert out[1].accuracy >= out[0].accuracy


def test_two_points_are_no_curve():
    with pytest.raises(FeaturesError, match="2 points cannot be extended; three are needed"):
        extrapolate([10, 20], [0.5, 0.6], [100, 100], [40])
