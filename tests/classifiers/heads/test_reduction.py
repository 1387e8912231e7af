import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.linear_model import Ridge

from classifiers.heads.reduction import Reduction
from classifiers.linalg import standardiser


@pytest.fixture(scope="module")
def digits():
    X, y = load_digits(return_X_y=True)
    return X[:240].astype(np.float32), y[:240]


def test_training_rows_get_the_scores_that_leaving_them_out_gives(digits):
    X, y = digits
    reduction = Reduction(rank=64, components=0)
    scores = reduction.fit_transform(X, y, 10, np.ones(len(y)))
    mean, gain = standardiser(X, np.ones(len(y)))
    Z = ((X - mean) * gain).astype(np.float64)
    singular = np.linalg.svd(Z, compute_uv=False)
    singular = singular[singular > 1e-4]
    alpha = reduction.ridge * np.mean(singular**2)
    target = np.eye(10)[y]
    for i in (0, 17, 100):
        rest = np.arange(len(y)) != i
        # The closed form leaves a row out of regression and mean, not out of the standardisation.
        left_out = Ridge(alpha=alpha).fit(Z[rest], target[rest]).predict(Z[i : i + 1])
        np.testing.assert_allclose(scores[i], left_out[0], atol=5e-3)


def test_new_rows_get_the_ridge_scores_and_components(digits):
    X, y = digits
    reduction = Reduction(rank=64, components=5)
    train = reduction.fit_transform(X[:200], y[:200], 10, np.ones(200))
    assert train.shape == (200, 15)
    new = reduction.transform(X[200:])
    mean, gain = standardiser(X[:200], np.ones(200))
    Z = ((X - mean) * gain).astype(np.float64)
    singular = np.linalg.svd(Z[:200], compute_uv=False)
    alpha = reduction.ridge * np.mean(singular[singular > 1e-4] ** 2)
    expected = Ridge(alpha=alpha).fit(Z[:200], np.eye(10)[y[:200]]).predict(Z[200:])
    np.testing.assert_allclose(new[:, :10], expected, atol=2e-3)
    np.testing.assert_allclose(reduction.transform(X[:200])[:, 10:], train[:, 10:], atol=1e-3)
    assert np.var(new[:, 10]) > np.var(new[:, 14])


def test_scores_of_training_rows_are_no_better_than_those_of_new_ones():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200, 500)).astype(np.float32)
    y = rng.integers(0, 2, 200)
    reduction = Reduction()
    scores = reduction.fit_transform(X, y, 2, np.ones(200))[:, 0]
    assert abs(((scores > 0.5) == (y == 0)).mean() - 0.5) < 0.15  # there is nothing to learn
    seen = reduction.transform(X)[:, 0]
    assert ((seen > 0.5) == (y == 0)).mean() > 0.8  # in-sample scores would say otherwise


def test_two_classes_need_one_score_and_the_seed_decides(digits):
    X, y = digits
    few = y < 2
    first = Reduction(components=3, seed=4).fit_transform(X[few], y[few], 2, np.ones(few.sum()))
    again = Reduction(components=3, seed=4).fit_transform(X[few], y[few], 2, np.ones(few.sum()))
    assert first.shape == (few.sum(), 4)
    np.testing.assert_array_equal(first, again)
