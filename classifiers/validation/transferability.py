"""Transferability scores: how well a feature set separates the labels, without training a classifier.

Each is known to be weak alone (mean rank correlation with the accuracy after fine-tuning about 0.4 to 0.7), so they are
evidence among other evidence, and meaningful only between feature sets of the same images.
"""

from __future__ import annotations

import numpy as np
import scipy.linalg
from numpy.typing import NDArray

from featstore.errors import FeaturesError


def _checked(X: NDArray[np.floating], y: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    if X.ndim != 2 or len(X) != len(y):
        raise FeaturesError(f"X has shape {X.shape} and y {y.shape}; expected (n, d) and (n,)")
    classes, codes = np.unique(y, return_inverse=True)
    if len(classes) < 2:
        raise FeaturesError(f"found {len(classes)} class in {len(y)} labels; transferability needs at least two")
    features = X.astype(np.float64)
    # Both scores are the same for features of another unit; squares of this one neither overflow nor vanish.
    features /= float(np.abs(features).max(initial=0.0)) or 1.0
    return features, codes.astype(np.int64)


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
    targets = np.eye(int(codes.max()) + 1)[codes]
    # The evidence depends on squared singular values, and on the targets in the space of left singular vectors: both
    # by the smaller Gram matrix, three times as fast as by an SVD.
    wide = d > n
    energy, vectors = np.linalg.eigh(features @ features.T if wide else features.T @ features)
    alive = energy > max(n, d) * np.finfo(np.float64).eps * energy[-1]
    energy, vectors = energy[alive], vectors[:, alive]
    shares = (vectors.T @ targets) ** 2 if wide else (vectors.T @ (features.T @ targets)) ** 2 / energy[:, None]
    evidences = []
    for target, projected in zip(targets.T, shares.T, strict=True):
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
        log_determinant = float(np.log1p(energy / ratio).sum()) if len(energy) else 0.0
        evidence = n * np.log(beta) - n * np.log(2 * np.pi) - beta * residual - alpha * weight_norm - log_determinant
        evidences.append(evidence / 2 / n)
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
    features, codes = _checked(X, y)
    n, d = features.shape
    features -= features.mean(axis=0)
    counts = np.bincount(codes)
    # The covariance of the class means is between.T @ between.
    share = np.eye(len(counts))[codes] / np.sqrt(n * counts)
    wide = d > n
    gram = features @ features.T if wide else features.T @ features
    variance = float(np.trace(gram)) / n
    if variance == 0:
        return 0.0
    shrinkage = _shrinkage(features, gram)
    # The class means lie in the span of the rows, so the rows' products can stand for those of the columns.
    between = gram @ share if wide else features.T @ share
    shrunk = gram * ((1 - shrinkage) / n)
    shrunk[np.diag_indices_from(shrunk)] += (shrinkage + 1e-12) * variance / d
    inverse = scipy.linalg.solve(shrunk, between, assume_a="pos", check_finite=False)
    return float((1 - shrinkage) * ((share if wide else between) * inverse).sum())


def _shrinkage(centred: NDArray[np.float64], gram: NDArray[np.float64]) -> float:
    """Ledoit and Wolf's, in [0, 1]; as `sklearn.covariance.ledoit_wolf_shrinkage`, from products that are there."""
    n, d = centred.shape
    variance, energy = float(np.trace(gram)) / n, float((gram**2).sum()) / n**2
    spread = energy - variance**2 / d
    noise = (float((np.einsum("ij,ij->i", centred, centred) ** 2).sum()) / n - energy) / n
    return 0.0 if d == 1 or noise <= 0 else min(noise / spread, 1.0) if spread > 0 else 1.0
