"""Transferability scores: how well a feature set separates the labels, without training a classifier.

Each is known to be weak alone (mean rank correlation with the accuracy after fine-tuning about 0.4 to 0.7), so they are
evidence among other evidence, and meaningful only between feature sets of the same images.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from featstore.errors import FeaturesError


def _checked(X: NDArray[np.floating], y: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    if X.ndim != 2 or len(X) != len(y):
        raise FeaturesError(f"X has shape {X.shape} and y {y.shape}; expected (n, d) and (n,)")
    classes, codes = np.unique(y, return_inverse=True)
    if len(classes) < 2:
        raise FeaturesError(f"found {len(classes)} class in {len(y)} labels; transferability needs at least two")
    return X.astype(np.float64), codes.astype(np.int64)


def log_me(X: NDArray[np.floating], y: NDArray[np.int64], *, iterations: int = 50, tolerance: float = 1e-4) -> float:
    """LogME: the maximum log evidence, per image, of a Bayesian linear model of each one-vs-rest label.

    Parameters
    ----------
    X : ndarray of shape (n, d)
    y : ndarray of shape (n,), int64
    iterations : int
        Bound on the fixed-point updates of the two precisions.
    tolerance : float
        Relative change of the ratio of the precisions at which a class is done.

    Returns
    -------
    float
        Mean over classes; larger is better; comparable only for the same labels.

    References
    ----------
    You, Liu, Wang, Long: "LogME: Practical Assessment of Pre-trained Models for Transfer Learning", ICML 2021.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> y = np.arange(40) % 2
    >>> X = rng.normal(size=(40, 4)) + 3 * y[:, None]
    >>> log_me(X, y) > log_me(X, rng.permutation(y))
    True
    """
    features, codes = _checked(X, y)
    n, d = features.shape
    # Rows outnumbered by columns or not, the thin SVD holds all that the evidence depends on.
    left, singular, _ = np.linalg.svd(features, full_matrices=False)
    energy = singular**2
    evidences = []
    for code in range(int(codes.max()) + 1):
        target = (codes == code).astype(np.float64)
        projected = (left.T @ target) ** 2
        outside = max(float(target @ target - projected.sum()), 0.0)
        alpha, beta = 1.0, 1.0
        for _ in range(iterations):
            ratio = alpha / beta
            effective = float((energy / (energy + ratio)).sum())
            weight_norm = float((energy * projected / (energy + ratio) ** 2).sum())
            residual = float((projected * (ratio / (energy + ratio)) ** 2).sum()) + outside
            alpha = effective / (weight_norm + 1e-12)
            beta = max(n - effective, 1e-12) / (residual + 1e-12)
            if abs(alpha / beta - ratio) <= tolerance * ratio:
                break
        ratio = alpha / beta
        weight_norm = float((energy * projected / (energy + ratio) ** 2).sum())
        residual = float((projected * (ratio / (energy + ratio)) ** 2).sum()) + outside
        log_determinant = float(np.log(alpha + beta * energy).sum()) + (d - len(energy)) * np.log(alpha)
        evidence = (
            n * np.log(beta) + d * np.log(alpha) - n * np.log(2 * np.pi)
            - beta * residual - alpha * weight_norm - log_determinant
        ) / 2  # fmt: skip
        evidences.append(evidence / n)
    return float(np.mean(evidences))


def h_score(X: NDArray[np.floating], y: NDArray[np.int64]) -> float:
    """Shrunk H-score: the share of the features' variance that lies between the class means, summed over directions.

    Parameters
    ----------
    X : ndarray of shape (n, d)
    y : ndarray of shape (n,), int64

    Returns
    -------
    float
        At most the number of classes minus one; larger is better.

    References
    ----------
    Bao et al.: "An Information-Theoretic Approach to Transferability in Task Transfer Learning", ICIP 2019; the
    Ledoit-Wolf shrinkage of the covariance follows Ibrahim, Ponomareva, Mazumder: "Newer is not always better:
    Rethinking Transferability Metrics, their Peculiarities, Stability and Performance", 2021.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> y = np.arange(40) % 2
    >>> X = rng.normal(size=(40, 4)) + 3 * y[:, None]
    >>> h_score(X, y) > h_score(X, rng.permutation(y))
    True
    """
    from sklearn.covariance import ledoit_wolf_shrinkage

    features, codes = _checked(X, y)
    n, d = features.shape
    features = features - features.mean(axis=0)
    shrinkage = float(ledoit_wolf_shrinkage(features, assume_centered=True))
    counts = np.bincount(codes)
    means = np.zeros((len(counts), d))
    np.add.at(means, codes, features)
    means /= counts[:, None]
    between = means * np.sqrt(counts / n)[:, None]  # between.T @ between is the covariance of the class means
    _, singular, right = np.linalg.svd(features, full_matrices=False)
    variances = singular**2 / n
    floor = shrinkage * float(variances.sum()) / d
    inside = between @ right.T
    inverse = 1.0 / ((1 - shrinkage) * variances + floor + 1e-12)
    # The class means lie in the span of the rows, so directions outside it add nothing.
    return float((1 - shrinkage) * (inside**2 * inverse).sum())
