"""GroupingEffect: what it does to a cross-validated accuracy when images of one source are parted."""

from __future__ import annotations

import dataclasses

import numpy as np
import scipy.linalg
from numpy.typing import NDArray

from classifiers.linalg import power_scaled, standardised_kernel, standardiser
from classifiers.validation.significance import mcnemar_exact
from classifiers.validation.splits import stratified_folds
from featstore.errors import FeaturesError

_MOST_ROWS = 3000  # rows of the trial fits; their kernel is as large squared
_WORTH = 0.02  # accuracy that keeping groups together has to cost before it is called a leak
_LEVEL = 0.01


@dataclasses.dataclass(frozen=True)
class GroupingEffect:
    """What keeping groups on one side does to a cross-validated accuracy.

    Attributes
    ----------
    parted : float
        Accuracy, as a share, where groups of the same sizes are kept together at random: true groups end on both sides.
    kept : float
        Accuracy where the groups themselves are kept together.
    p : float
        Exact McNemar of the two.
    images : int
        Images judged.
    majority : float
        Share of them that always answering with the largest class gets right.

    Examples
    --------
    >>> GroupingEffect(parted=0.9, kept=0.7, p=1e-6, images=400, majority=0.5).leaks
    True
    """

    parted: float
    kept: float
    p: float
    images: int
    majority: float = 0.0

    @property
    def leaks(self) -> bool:
        """Whether parting the groups makes heads look better than they are.

        A trial that ends below the largest class says nothing: its groups leave too little to learn from.
        """
        return self.p < _LEVEL and self.parted - self.kept >= _WORTH and self.kept >= self.majority


def grouping_effect(
    X: NDArray[np.float32], y: NDArray[np.int64], groups: NDArray[np.int64], *, seed: int = 0
) -> GroupingEffect | None:
    """Measure what keeping groups together does to 5-fold cross-validation of a ridge classifier.

    The groups are compared with the same groups dealt out at random within each class, so that the sizes of groups and
    folds are not mistaken for an effect.

    Parameters
    ----------
    X : ndarray of shape (n, d), float32
    y : ndarray of shape (n,), int64
    groups : ndarray of shape (n,), int64
    seed : int

    Returns
    -------
    GroupingEffect or None
        None where groups or classes are too few for folds.

    References
    ----------
    Seber, G., Lee, A. (2003). Linear Regression Analysis, 2nd ed., chapter 10 (answers without a part of the rows, from
    the fit of all of them).
    """
    rng = np.random.default_rng(seed)
    if len(y) > _MOST_ROWS:  # whole groups, or there would be nothing left to see
        order = np.argsort(rng.permutation(int(groups.max()) + 1)[groups], kind="stable")
        kept = np.sort(order[:_MOST_ROWS])
        X, y, groups = X[kept], y[kept], groups[kept]
    dealt = groups.copy()
    for c in np.unique(y):
        own = np.flatnonzero(y == c)
        dealt[own] = groups[rng.permutation(own)]
    left = _unanswered(power_scaled(X))
    try:
        parted = _hits(left, y, dealt, seed)
        kept_together = _hits(left, y, groups, seed)
    except FeaturesError:
        return None
    both = (parted >= 0) & (kept_together >= 0)
    if not both.any():
        return None
    a, b = parted[both] == 1, kept_together[both] == 1
    p = mcnemar_exact(int((a & ~b).sum()), int((b & ~a).sum()))
    largest = float(np.bincount(np.unique(y[both], return_inverse=True)[1]).max() / max(both.sum(), 1))
    return GroupingEffect(float(a.mean()), float(b.mean()), p, int(both.sum()), largest)


def _unanswered(X: NDArray[np.float32]) -> NDArray[np.float32]:
    """What ridge leaves of any target, as a matrix (n, n): the inverse of the rows' kernel with 1 on its diagonal.

    It is made by way of the smaller of rows and features.
    """
    n, d = X.shape
    if n <= d:
        kernel = standardised_kernel(X)
        kernel[np.diag_indices(n)] += 1
        factor = scipy.linalg.cho_factor(kernel, lower=True, overwrite_a=True, check_finite=False)
        return np.asarray(scipy.linalg.cho_solve(factor, np.eye(n, dtype=np.float32), check_finite=False))
    mean, gain = standardiser(X, np.ones(n))
    rows = (X - mean) * (gain / np.sqrt(np.float32(d)))
    inner = rows.T @ rows
    inner[np.diag_indices(d)] += 1
    lower = scipy.linalg.cholesky(inner, lower=True, overwrite_a=True, check_finite=False)
    seen = scipy.linalg.solve_triangular(lower, rows.T, lower=True, check_finite=False)
    found = -(seen.T @ seen)
    found[np.diag_indices(n)] += 1
    return np.asarray(found, dtype=np.float32)


def _hits(left: NDArray[np.float32], y: NDArray[np.int64], groups: NDArray[np.int64], seed: int) -> NDArray[np.int8]:
    """1 where a ridge classifier that has not seen the row's group is right, 0 where wrong, -1 where none judges.

    One fit of all rows serves every fold: what it leaves of the answers of some rows tells what a fit without them
    says of them.
    """
    codes = np.unique(y, return_inverse=True)[1]
    target = np.eye(int(codes.max()) + 1, dtype=np.float32)[codes]
    target -= target.mean(axis=0)
    residual = left @ target
    out = np.full(len(y), -1, dtype=np.int8)
    for _, valid in stratified_folds(codes, 5, seed, groups):
        own = left[np.ix_(valid, valid)]
        scores = target[valid] - scipy.linalg.solve(own, residual[valid], assume_a="pos", check_finite=False)
        out[valid] = scores.argmax(axis=1) == codes[valid]
    return out
