import numpy as np
import pytest
from sklearn.covariance import LedoitWolf
from sklearn.datasets import load_digits

from classifiers.validation.transferability import h_score, log_me
from featstore.errors import FeaturesError


def evidence_by_definition(X, y, alpha, beta):
    """log p(y | X) of y ~ N(0, X X^T / alpha + I / beta), straight from the Gaussian density."""
    covariance = X @ X.T / alpha + np.eye(len(y)) / beta
    sign, log_determinant = np.linalg.slogdet(covariance)
    return -0.5 * (y @ np.linalg.solve(covariance, y) + log_determinant + len(y) * np.log(2 * np.pi))


@pytest.mark.parametrize("shape", [(40, 6), (25, 60)])
def test_log_me_is_the_largest_gaussian_evidence(shape):
    rng = np.random.default_rng(0)
    X = rng.normal(size=shape)
    y = (X[:, 0] + 0.5 * rng.normal(size=len(X)) > 0).astype(np.int64)
    grid = np.exp(np.linspace(-6, 8, 57))
    best = [max(evidence_by_definition(X, (y == c).astype(float), a, b) for a in grid for b in grid) for c in (0, 1)]
    assert log_me(X, y) == pytest.approx(np.mean(best) / len(y), abs=0.02)


def test_h_score_is_the_trace_of_its_definition():
    X, y = load_digits(return_X_y=True)
    X, y = X[:300], y[:300]
    centred = X - X.mean(axis=0)
    covariance = LedoitWolf(assume_centered=True).fit(centred)
    means = np.stack([centred[y == c].mean(axis=0) for c in range(10)])[y]
    expected = (1 - covariance.shrinkage_) * np.trace(
        np.linalg.solve(covariance.covariance_ + 1e-12 * np.eye(64), means.T @ means / len(y))
    )
    assert h_score(X, y) == pytest.approx(expected, rel=1e-6)
    assert h_score(X, y) <= 9


@pytest.mark.parametrize("score", [log_me, h_score])
def test_informative_features_score_above_noise_and_shuffled_labels(score):
    X, y = load_digits(return_X_y=True)
    X, y = X[:400], y[:400]
    rng = np.random.default_rng(0)
    assert score(X, y) > score(X, rng.permutation(y))
    assert score(X, y) > score(rng.normal(size=X.shape), y)


@pytest.mark.parametrize("score", [log_me, h_score])
def test_one_class_is_refused(score):
    with pytest.raises(FeaturesError, match="needs at least two"):
        score(np.ones((4, 2)), np.zeros(4, dtype=np.int64))
    with pytest.raises(FeaturesError, match="expected"):
        score(np.ones((4, 2)), np.zeros(3, dtype=np.int64))


@pytest.mark.parametrize("score", [log_me, h_score])
@pytest.mark.parametrize("shape", [(40, 6), (25, 60)])
def test_another_unit_changes_nothing_and_features_of_zeros_tell_nothing(score, shape):
    X, y = np.random.default_rng(0).normal(size=shape).astype(np.float32), np.arange(shape[0]) % 2
    assert score(np.ldexp(X, 63), y) == score(np.ldexp(X, -100), y) == score(X, y)
    assert score(np.zeros(shape), y) <= score(np.ones(shape), y) + 1e-9
    assert np.isfinite(score(np.zeros(shape), y))


def test_h_score_shrinks_as_scikit_learn_does_where_columns_outnumber_rows():
    X, y = np.random.default_rng(0).normal(size=(30, 80)), np.arange(30) % 3
    centred = X - X.mean(axis=0)
    covariance = LedoitWolf(assume_centered=True).fit(centred)
    means = np.stack([centred[y == c].mean(axis=0) for c in range(3)])[y]
    expected = (1 - covariance.shrinkage_) * np.trace(np.linalg.solve(covariance.covariance_, means.T @ means / 30))
    assert h_score(X, y) == pytest.approx(expected, rel=1e-6)
