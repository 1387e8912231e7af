"""FeatureRows: features that are looked at in chunks, as often as asked, because they do not fit in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from featstore.errors import FeaturesError


class FeatureRows(Protocol):
    """What the streamed heads ask of features; a `featstore.store.FeatureStream` offers it."""

    @property
    def width(self) -> int:
        """Features a row."""

    def __len__(self) -> int:
        """Rows."""

    def chunks(self, *, order: str = "rows", seed: int = 0) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float32]]]:
        """Row numbers (m,) and features (m, d) float32, until every row was there once.

        "rows" is the order of rows, "stored" the fastest one, "shuffled" another one for each seed.
        """

    def subset(self, index: Any) -> FeatureRows:
        """Some of the rows, in the order given."""


class ArrayRows:
    """An array in memory, looked at as features that are not.

    Parameters
    ----------
    X : ndarray of shape (n, d), float32

    Examples
    --------
    >>> rows = ArrayRows(np.zeros((5, 3), np.float32))
    >>> [(numbers.tolist(), X.shape) for numbers, X in rows.chunks(3)]
    [([0, 1, 2], (3, 3)), ([3, 4], (2, 3))]
    """

    def __init__(self, X: NDArray[np.float32]) -> None:
        self.X = X

    @property
    def width(self) -> int:
        """Features a row."""
        return int(self.X.shape[1])

    def __len__(self) -> int:
        return len(self.X)

    def chunks(
        self, rows: int | None = None, *, order: str = "rows", seed: int = 0
    ) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float32]]]:
        """As `FeatureRows.chunks`."""
        numbers = np.arange(len(self.X))
        if order == "shuffled":
            numbers = np.random.default_rng(seed).permutation(numbers)
        step = rows or 8192
        for at in range(0, len(numbers), step):
            part = numbers[at : at + step]
            yield part, np.ascontiguousarray(self.X[part])

    def subset(self, index: Any) -> ArrayRows:
        """As `FeatureRows.subset`."""
        return ArrayRows(self.X[np.asarray(index)])


def gathered(rows: FeatureRows, numbers: NDArray[np.intp]) -> NDArray[np.float32]:
    """Some rows in memory, in the order given, (m, d) float32.

    Examples
    --------
    >>> gathered(ArrayRows(np.arange(6, dtype=np.float32).reshape(3, 2)), np.array([2, 0])).tolist()
    [[4.0, 5.0], [0.0, 1.0]]
    """
    X = np.empty((len(numbers), rows.width), dtype=np.float32)
    for at, part in rows.subset(numbers).chunks(order="stored"):
        X[at] = part
    return X


def require_finite_chunk(
    numbers: NDArray[np.int64], X: NDArray[np.float32], named: Callable[[int], str] | None = None
) -> None:
    """Raise FeaturesError, naming the first rows, if a feature of a chunk is NaN or infinite.

    Parameters
    ----------
    numbers : ndarray of shape (m,), int64
    X : ndarray of shape (m, d), float32
    named : callable, optional
        What a row is called; by its number else.

    Examples
    --------
    >>> require_finite_chunk(np.array([7]), np.ones((1, 2), np.float32))
    """
    with np.errstate(over="ignore", invalid="ignore"):
        if np.isfinite(X.sum(dtype=np.float64)):
            return
    bad = numbers[~np.isfinite(X).all(axis=1)]
    if bad.size:
        first = [repr(named(row)) if named else f"row {row}" for row in sorted(bad.tolist())[:5]]
        listed = ", ".join(first) + (", ..." if bad.size > 5 else "")
        raise FeaturesError(
            f"features contain NaN or infinity ({listed}); expected finite numbers: leave these images out or extract "
            'them again with `precision="fp32"`'
        )
