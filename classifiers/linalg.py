"""Linear algebra that heads and checks share: standardising, principal axes, kernels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.extmath import randomized_range_finder

_CHUNK = 4096  # rows held in float64 at a time
_TINIEST = 1e-37  # deviation whose inverse float32 can hold


def power_scaled(X: NDArray[np.float32]) -> NDArray[np.float32]:
    """Features times the power of two that makes the largest about 1: the same numbers, safe to be squared.

    Parameters
    ----------
    X : ndarray, float32
        Finite.

    Examples
    --------
    >>> power_scaled(np.array([3e20, -1e20], np.float32)).round(3)
    array([ 0.508, -0.169], dtype=float32)
    """
    exponent = int(np.frexp(np.abs(X).max(initial=0))[1])
    for part in (-exponent // 2, -exponent - -exponent // 2):  # one factor might be too large for float32 itself
        X = X * np.ldexp(np.float32(1), part)
    return np.asarray(X, dtype=np.float32)


def standardiser(
    X: NDArray[np.float32], weight: NDArray[np.float64]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """What makes features comparable.

    Parameters
    ----------
    X : ndarray of shape (n, d), float32
    weight : ndarray of shape (n,), float64

    Returns
    -------
    mean : ndarray of shape (d,), float32
    gain : ndarray of shape (d,), float32
        One over the standard deviation; 0 for a feature that is constant but for rounding.

    Examples
    --------
    >>> mean, gain = standardiser(np.array([[0, 5], [4, 5]], np.float32), np.ones(2))
    >>> mean, gain
    (array([2., 5.], dtype=float32), array([0.5, 0. ], dtype=float32))
    """
    share = weight / weight.sum()
    mean, variance = np.zeros(X.shape[1]), np.zeros(X.shape[1])
    for at in range(0, len(X), _CHUNK):
        mean += share[at : at + _CHUNK] @ X[at : at + _CHUNK].astype(np.float64)
    for at in range(0, len(X), _CHUNK):
        variance += share[at : at + _CHUNK] @ (X[at : at + _CHUNK] - mean) ** 2
    deviation = np.sqrt(variance)
    alive = deviation > np.maximum(1e-6 * np.abs(mean), _TINIEST)
    gain = np.divide(1.0, deviation, out=np.zeros_like(deviation), where=alive)
    return mean.astype(np.float32), gain.astype(np.float32)


def truncated_svd(
    X: NDArray[np.float32], rank: int, *, iterations: int, seed: int
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """Randomised SVD; the small problem is solved by its Gram matrix in float64, five times as fast as by an SVD.

    Parameters
    ----------
    X : ndarray of shape (n, d), float32
    rank : int
        At most min(n, d).
    iterations : int
        Power iterations; more are more exact.
    seed : int

    Returns
    -------
    U : ndarray of shape (n, r), float32
        r is the rank asked for, or the number of singular values above 1e-5 of the largest.
    s : ndarray of shape (r,), float32
    V : ndarray of shape (r, d), float32

    References
    ----------
    Halko, N., Martinsson, P., Tropp, J. (2011). Finding structure with randomness. SIAM Review 53.

    Examples
    --------
    >>> X = np.outer([1, 2, 3], [1, 1]).astype(np.float32)  # of rank 1
    >>> U, s, V = truncated_svd(X, 2, iterations=2, seed=0)
    >>> s.shape, np.allclose(U * s @ V, X, atol=1e-5)
    ((1,), True)
    """
    found = randomized_range_finder(X, size=min(rank + 10, *X.shape), n_iter=iterations, random_state=seed)
    small = found.T @ X
    squares, vectors = np.linalg.eigh(small.astype(np.float64) @ small.T.astype(np.float64))
    squares, vectors = squares[::-1][:rank], vectors[:, ::-1][:, :rank]
    alive = squares > 1e-10 * max(float(squares[0]), 1e-60)
    s, vectors = np.sqrt(squares[alive]).astype(np.float32), vectors[:, alive].astype(np.float32)
    right = (vectors / s).T @ small
    # Either sign would do; the largest entry decides, so that the same data in other rows give the same components.
    sign = np.sign(right[np.arange(len(right)), np.abs(right).argmax(axis=1)])
    return found @ (vectors * sign), s, right * sign[:, None]


def standardised_kernel(X: NDArray[np.float32]) -> NDArray[np.float32]:
    """Products of the standardised rows, (n, n) float32; 1 on the diagonal on average.

    Examples
    --------
    >>> kernel = standardised_kernel(np.random.default_rng(0).normal(size=(50, 8)).astype(np.float32))
    >>> kernel.shape, round(float(np.trace(kernel)) / 50, 3)
    ((50, 50), 1.0)
    """
    mean, gain = standardiser(X, np.ones(len(X)))
    rows = (X - mean) * gain
    return np.asarray(rows @ rows.T / rows.shape[1], dtype=np.float32)
