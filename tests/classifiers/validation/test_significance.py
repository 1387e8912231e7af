import numpy as np
import pytest
from scipy.stats import binomtest
from sklearn.metrics import balanced_accuracy_score

from classifiers.validation.significance import bootstrap, bootstrap_counts, holm, mcnemar_exact, wilson


@pytest.mark.parametrize(("successes", "n"), [(0, 5), (5, 5), (1, 1), (81, 263), (143, 152), (3, 100000)])
@pytest.mark.parametrize("level", [0.9, 0.95, 0.99])
def test_wilson_agrees_with_scipy(successes, n, level):
    expected = binomtest(successes, n).proportion_ci(level, method="wilson")
    assert wilson(successes, n, level) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_wilson_says_0_and_1_exactly_and_nothing_without_trials():
    assert wilson(0, 7)[0] == 0.0
    assert wilson(7, 7)[1] == 1.0
    assert wilson(0, 0) == (0.0, 1.0)


def test_wilson_refuses_more_successes_than_trials():
    with pytest.raises(ValueError, match="6 successes in 5 trials"):
        wilson(6, 5)
    with pytest.raises(ValueError, match="level is 95"):
        wilson(1, 5, level=95)


@pytest.mark.parametrize(("b", "c"), [(0, 1), (3, 9), (9, 3), (20, 20), (0, 60), (400, 470)])
def test_mcnemar_is_the_exact_sign_test(b, c):
    assert mcnemar_exact(b, c) == pytest.approx(binomtest(b, b + c).pvalue, rel=1e-9)


def test_mcnemar_of_heads_that_never_differ_is_1():
    assert mcnemar_exact(0, 0) == 1.0
    with pytest.raises(ValueError, match="none below 0"):
        mcnemar_exact(-1, 2)


def test_holm_by_hand_and_in_the_order_given():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.8]) == pytest.approx([1.0, 1.0])
    assert len(holm([])) == 0
    with pytest.raises(ValueError, match="p-values in"):
        holm([0.5, float("nan")])


def test_holm_keeps_the_family_wise_error():
    rng = np.random.default_rng(0)
    wrong = sum(bool(np.any(holm(rng.random(20)) < 0.05)) for _ in range(2000))
    assert wrong / 2000 < 0.065


def test_bootstrap_of_the_mean_matches_the_normal_interval_and_its_seed():
    x = np.random.default_rng(1).normal(3.0, 2.0, 2500)
    low, high = bootstrap(x, seed=0, samples=4000)
    half = 1.96 * x.std() / 50
    assert (low, high) == pytest.approx((x.mean() - half, x.mean() + half), abs=0.006)
    assert bootstrap(x, seed=0) == bootstrap(x, seed=0) != bootstrap(x, seed=1)
    with pytest.raises(ValueError, match="shape"):
        bootstrap([], seed=0)


def test_bootstrap_of_counts_is_the_bootstrap_of_images():
    rng = np.random.default_rng(2)
    y = rng.integers(0, 3, 400)
    predicted = np.where(rng.random(400) < 0.7, y, rng.integers(0, 3, 400))
    pairs = np.bincount(y * 3 + predicted, minlength=9)

    def balanced(counts):
        matrix = counts.reshape(-1, 3, 3)
        return (np.einsum("bii->bi", matrix) / matrix.sum(axis=2)).mean(axis=1)

    ((low, high),) = bootstrap_counts(pairs, [balanced], seed=0, samples=3000)
    resampled = []
    for _ in range(3000):
        rows = rng.integers(0, 400, 400)
        resampled.append(balanced_accuracy_score(y[rows], predicted[rows]))
    assert (low, high) == pytest.approx(np.quantile(resampled, [0.025, 0.975]), abs=0.006)


def test_fewer_images_than_counts_widen_the_interval():
    def share(counts):
        return counts[:, 0] / counts.sum(axis=1)

    ((low, high),) = bootstrap_counts([700, 300], [share], seed=0)
    ((low5, high5),) = bootstrap_counts([700, 300], [share], seed=0, images=200)
    assert high5 - low5 == pytest.approx(np.sqrt(5) * (high - low), rel=0.1)
    with pytest.raises(ValueError, match="all counts are 0"):
        bootstrap_counts([0, 0], [share], seed=0)
