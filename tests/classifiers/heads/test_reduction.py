import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.linear_model import Ridge

from classifiers.heads.reduction import Reduction
from classifiers.linalg import standardiser, truncated_svd


@pytest.fixture(scope="module")
def digits():
    X, y = load_digits(return_X_y=True)
    return X[:240].astype(np.float32), y[:240]


def test_standardiser_is_mean_and_deviation_and_forgets_constants():
    X = np.random.default_rng(0).normal(5, 3, (5000, 4)).astype(np.float32)
    X[:, 2] = 7.1
    mean, gain = standardiser(X, np.ones(5000))
    np.testing.assert_allclose(mean, X.mean(axis=0, dtype=np.float64), rtol=1e-6)
    np.testing.assert_allclose(1 / gain[[0, 1, 3]], X.astype(np.float64).std(axis=0)[[0, 1, 3]], rtol=1e-5)
    assert gain[2] == 0


def test_a_weight_is_a_repetition():
    X = np.random.default_rng(0).normal(size=(30, 3)).astype(np.float32)
    weight = np.arange(30) % 3 + 1.0
    repeated = standardiser(np.repeat(X, weight.astype(int), axis=0), np.ones(int(weight.sum())))
    for ours, theirs in zip(standardiser(X, weight), repeated, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)


def test_the_svd_is_that_of_lapack_for_what_matters(digits):
    X, _ = digits
    X = X - X.mean(axis=0)
    U, s, V = truncated_svd(X, 10, iterations=4, seed=0)
    exact_U, exact_s, exact_V = np.linalg.svd(X.astype(np.float64), full_matrices=False)
    np.testing.assert_allclose(s, exact_s[:10], rtol=1e-3)
    np.testing.assert_allclose(U.T @ U, np.eye(10), atol=1e-5)
    np.testing.assert_allclose(V @ V.T, np.eye(10), atol=1e-5)
    np.testing.assert_allclose(np.abs((V * exact_V[:10]).sum(axis=1)), 1.0, atol=1e-2)
    np.testing.assert_allclose(np.abs((U * exact_U[:, :10]).sum(axis=0)), 1.0, atol=1e-2)
    # The same rows in another order, twice each: the same components, not their negatives.
    _, again, W = truncated_svd(np.vstack([X[::-1], X]), 10, iterations=4, seed=0)
    np.testing.assert_allclose(again, s * np.sqrt(2), rtol=1e-3)
    np.testing.assert_allclose((V * W).sum(axis=1), 1.0, atol=1e-2)


def test_ranks_that_are_not_there_are_left_out():
    X = np.outer(np.arange(1.0, 9.0), np.ones(6)).astype(np.float32)
    U, s, V = truncated_svd(X, 5, iterations=2, seed=0)
    assert (U.shape, s.shape, V.shape) == ((8, 1), (1,), (1, 6))


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
