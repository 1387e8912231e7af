"""Standardising, principal axes and kernels, against numpy's SVD and scikit-learn's StandardScaler."""

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from sklearn.datasets import load_digits
from sklearn.preprocessing import StandardScaler

from classifiers import linalg
from classifiers.linalg import power_scaled, standardised_kernel, standardiser, truncated_svd

SEEDS = st.integers(0, 2**32 - 1)


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


def test_the_svd_is_that_of_lapack_for_what_matters():
    X = load_digits().data[:240].astype(np.float32)
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


@settings(max_examples=40, deadline=None)
@given(n=st.integers(2, 40), d=st.integers(1, 6), seed=SEEDS, chunk=st.integers(1, 50))
def test_any_weights_standardise_as_scikit_learn_does_however_many_rows_are_held_at_a_time(n, d, seed, chunk):
    rng = np.random.default_rng(seed)
    X = rng.normal(rng.uniform(-9, 9, d), rng.uniform(0.5, 4, d), (n, d)).astype(np.float32)
    weight = rng.uniform(0.1, 3, n)
    scaler = StandardScaler().fit(X.astype(np.float64), sample_weight=weight)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(linalg, "_CHUNK", chunk)
        mean, gain = standardiser(X, weight)
    assert mean.dtype == gain.dtype == np.float32 and mean.shape == gain.shape == (d,)
    np.testing.assert_allclose(mean, scaler.mean_, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(gain * scaler.scale_, 1.0, rtol=1e-5)


def test_a_row_without_weight_is_not_seen_and_only_shares_of_weight_count():
    X = np.random.default_rng(0).normal(size=(20, 3)).astype(np.float32)
    weight = np.arange(20) % 4 + 1.0
    expected = standardiser(X, weight)
    seen = np.vstack([X, np.full((1, 3), 1e9, np.float32)])
    for ours, theirs in zip(standardiser(seen, np.append(weight, 0) * 1000), expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-6)


@given(value=st.floats(-1e6, 1e6, width=32), n=st.integers(1, 50), seed=SEEDS)
def test_any_constant_feature_is_forgotten(value, n, seed):
    mean, gain = standardiser(np.full((n, 1), value, np.float32), np.random.default_rng(seed).uniform(0.1, 3, n))
    assert gain.tolist() == [0] and mean[0] == pytest.approx(value, rel=1e-6)


@settings(max_examples=40, deadline=None)
@given(n=st.integers(1, 12), d=st.integers(1, 12), seed=SEEDS, data=st.data())
def test_any_small_matrix_has_numpys_singular_values_and_best_approximation(n, d, seed, data):
    rank = data.draw(st.integers(1, min(n, d)))
    X = np.random.default_rng(seed).normal(size=(n, d)).astype(np.float32)
    U, s, V = truncated_svd(X, rank, iterations=4, seed=0)
    left, exact, right = np.linalg.svd(X.astype(np.float64), full_matrices=False)
    assert {part.dtype for part in (U, s, V)} == {np.dtype(np.float32)} and (np.diff(s) <= 0).all()
    np.testing.assert_allclose(s, exact[: len(s)], rtol=1e-3, atol=1e-4 * exact[0])
    assert len(s) == rank or exact[len(s)] < 1e-4 * exact[0]
    distance = np.linalg.norm(X - U * s @ V)
    np.testing.assert_allclose(distance, np.linalg.norm(exact[len(s) :]), atol=1e-3 * exact[0])


def test_the_largest_entry_of_each_component_is_positive_so_that_a_mirrored_matrix_has_the_same_ones():
    X = np.random.default_rng(0).normal(size=(30, 8)).astype(np.float32)
    U, s, V = truncated_svd(X, 4, iterations=4, seed=0)
    assert (V[np.arange(4), np.abs(V).argmax(axis=1)] > 0).all()
    U_mirrored, s_mirrored, V_mirrored = truncated_svd(-X, 4, iterations=4, seed=0)
    np.testing.assert_allclose(V_mirrored, V, atol=1e-4)
    np.testing.assert_allclose(U_mirrored, -U, atol=1e-4)
    np.testing.assert_allclose(s_mirrored, s, rtol=1e-5)


def test_the_seed_decides_the_svd_to_the_last_bit():
    X = np.random.default_rng(0).normal(size=(60, 40)).astype(np.float32)
    first, again, other = (truncated_svd(X, 3, iterations=0, seed=seed) for seed in (1, 1, 2))
    for ours, theirs in zip(first, again, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert not np.array_equal(first[1], other[1])


def test_power_iterations_bring_the_svd_nearer():
    X = np.random.default_rng(0).normal(size=(200, 100)).astype(np.float32)
    exact = np.linalg.svd(X.astype(np.float64), compute_uv=False)[:5]
    errors = [np.abs(truncated_svd(X, 5, iterations=n, seed=0)[1] - exact).max() for n in (0, 2, 8)]
    assert errors == sorted(errors, reverse=True) and errors[2] < 0.2 * errors[0]


def test_a_matrix_of_zeros_has_no_components():
    U, s, V = truncated_svd(np.zeros((6, 4), np.float32), 2, iterations=2, seed=0)
    assert (U.shape, s.shape, V.shape) == ((6, 0), (0,), (0, 4))


def test_the_kernel_is_that_of_scikit_learns_standardised_rows():
    X = np.random.default_rng(0).normal(3, 2, (40, 12)).astype(np.float32)
    Z = StandardScaler().fit_transform(X.astype(np.float64))
    kernel = standardised_kernel(X)
    assert kernel.dtype == np.float32
    np.testing.assert_allclose(kernel, Z @ Z.T / 12, atol=1e-4)
    assert np.trace(kernel) / 40 == pytest.approx(1.0, abs=1e-5)


def test_a_constant_feature_adds_nothing_to_the_kernel():
    X = np.random.default_rng(0).normal(size=(20, 3)).astype(np.float32)
    constant = np.hstack([X, np.full((20, 1), 7.0, np.float32)])
    np.testing.assert_allclose(standardised_kernel(constant), standardised_kernel(X) * 3 / 4, atol=1e-5)


def test_scaling_keeps_the_numbers():
    X = np.array([[3e38, -1.5], [2e-38, 0]], np.float32)
    scaled = power_scaled(X)
    assert 0.5 <= np.abs(scaled).max() < 1
    np.testing.assert_array_equal(scaled / scaled[0, 0], X / X[0, 0])
    np.testing.assert_array_equal(power_scaled(np.zeros((2, 2), np.float32)), np.zeros((2, 2)))
