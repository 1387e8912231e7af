"""UsualAgreement: how far pictures of a class agree that are no copies: forms, pages, frames of one camera."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from classifiers.linalg import power_scaled

_DRAWN = 40  # pairs of a class that are compared
_ALTOGETHER = 1000  # and of all classes
_FEWEST = 10  # pairs that tell something of a class
_LOW = 0.05  # quantile of the disagreement of such pairs
_BEYOND = 0.5  # of that, a copy may disagree by at most so much
_AMONG = 6  # so many are drawn for each that is compared
_COPIES = 1 / 3  # of the drawn pairs, the most alike in features, that may be copies: a class has three sources or more


@dataclass(frozen=True, eq=False)
class UsualAgreement:
    """By how much two pictures may disagree and still be one, by class.

    Attributes
    ----------
    limit : ndarray of shape (classes + 1,), float32
        Largest share in [0, 1] of the structure that copies may not have in common; the last one holds where no class
        is known.

    Examples
    --------
    >>> usual = UsualAgreement(np.array([0.5, 0.04, 0.3], np.float32))
    >>> y, pairs = np.array([0, 0, 1]), np.array([[0, 1], [1, 2]])
    >>> usual.exceeded(np.array([0.9, 0.9], np.float32), pairs, y).tolist()
    [True, False]
    """

    limit: NDArray[np.float32]

    def exceeded(
        self, agreement: NDArray[np.float32], pairs: NDArray[np.int64], y: NDArray[np.int64]
    ) -> NDArray[np.bool_]:
        """Whether pairs of rows agree clearly further than other pictures of their classes do."""
        limits = self.limit[y[pairs]].min(axis=1)
        return np.asarray(1 - agreement <= limits, dtype=np.bool_)


def usual_agreement(
    X: NDArray[np.float32],
    y: NDArray[np.int64],
    candidates: NDArray[np.int64],
    agreement_of: Callable[[NDArray[np.int64]], NDArray[np.float32]],
    *,
    seed: int = 0,
) -> UsualAgreement:
    """Compare pictures of one class that are no copies of each other, as their features show.

    What such pictures have in common (a template, a background, a regular material) says nothing of one source. A copy
    has to agree further: it may disagree by half as much as the twentieth most agreeing of such pairs at most.

    Parameters
    ----------
    X : ndarray of shape (n, d), float32
        Features.
    y : ndarray of shape (n,), int64
        Classes; below 0 where unknown, such rows are left out.
    candidates : ndarray of shape (m, 2), int64
        Pairs that may be copies, the smaller row first; none of them is drawn.
    agreement_of : callable
        From pairs of rows to the agreement of their pixels, in [-1, 1].
    seed : int

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> X, y = rng.normal(size=(40, 8)).astype(np.float32), np.arange(40) % 2
    >>> def forms_and_photographs(pairs):  # forms agree in their lines
    ...     return np.where(y[pairs[:, 0]] == 0, 0.9, 0.1).astype(np.float32)
    >>> usual_agreement(X, y, np.empty((0, 2), np.int64), forms_and_photographs).limit.round(2)
    array([0.05, 0.45, 0.05], dtype=float32)
    """
    rng = np.random.default_rng(seed)
    classes = int(y.max(initial=-1)) + 1
    counts = np.bincount(y[y >= 0], minlength=classes)
    most = int(np.clip(_ALTOGETHER // max(int((counts > 1).sum()), 1), 1, _DRAWN))
    X = power_scaled(X)
    mean, taken = X.mean(axis=0), candidates[:, 0] * len(X) + candidates[:, 1]
    drawn = []
    for number in np.flatnonzero(counts > 1).tolist():
        own = np.flatnonzero(y == number)
        pairs = np.sort(own[rng.integers(0, len(own), (_AMONG * most, 2))], axis=1)
        pairs = np.unique(pairs[pairs[:, 0] < pairs[:, 1]], axis=0).astype(np.int64)
        pairs = pairs[~np.isin(pairs[:, 0] * len(X) + pairs[:, 1], taken)]
        a, b = X[pairs[:, 0]] - mean, X[pairs[:, 1]] - mean
        lengths = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
        cosine = np.einsum("ij,ij->i", a, b) / np.maximum(lengths, 1e-12)
        others = np.argsort(cosine, kind="stable")[: round((1 - _COPIES) * len(pairs))]
        drawn.append(pairs[others[-most:]])
    limit = np.full(classes + 1, _BEYOND, dtype=np.float32)
    found = np.concatenate(drawn) if drawn else np.empty((0, 2), dtype=np.int64)
    if not len(found):
        return UsualAgreement(limit)
    disagreement = 1 - agreement_of(found)
    limit[:] = _BEYOND * np.quantile(disagreement, _LOW)
    for number in range(classes):
        of_class = disagreement[y[found[:, 0]] == number]
        if len(of_class) >= _FEWEST:
            limit[number] = _BEYOND * np.quantile(of_class, _LOW)
    return UsualAgreement(limit)
