"""Rows of a feature set: digest, status, reason, features. The key of a row is the digest of the image file's bytes."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from numpy.typing import NDArray

from featstore.errors import FeaturesError

OK, FAILED, PASSING = 0, 1, 2
"""A row's status: features; the image cannot be used; it failed for a reason that may pass (time, memory, a crash)."""


@dataclasses.dataclass(frozen=True, eq=False)
class Rows:
    """Rows of one feature set.

    Parameters
    ----------
    digests : ndarray of shape (n, 32), uint8
        SHA-256 of each image file's bytes.
    X : ndarray of shape (n, d), float32
        Features; ignored where a row failed.
    status : ndarray of shape (n,), uint8
        `OK`, `FAILED` or `PASSING`.
    reasons : tuple of n str
        Why a row failed, "" for the others.

    Raises
    ------
    FeaturesError
        Where shapes, dtypes or values do not fit together.

    Examples
    --------
    >>> digests = np.arange(1, 65, dtype=np.uint8).reshape(2, 32)
    >>> rows = Rows(digests, np.ones((2, 3), np.float32), np.array([OK, FAILED], np.uint8), ("", "cut short"))
    >>> rows.settled("<f4").X
    array([[1., 1., 1.],
           [0., 0., 0.]], dtype=float32)
    """

    digests: NDArray[np.uint8]
    X: NDArray[np.float32]
    status: NDArray[np.uint8]
    reasons: tuple[str, ...]

    def __post_init__(self) -> None:
        n = len(self.digests)
        expected: dict[str, tuple[NDArray[Any], type[np.generic], tuple[int, ...]]] = {
            "digests": (self.digests, np.uint8, (n, 32)),
            "X": (self.X, np.float32, (n, *self.X.shape[1:2])),
            "status": (self.status, np.uint8, (n,)),
        }
        for name, (array, dtype, shape) in expected.items():
            if array.dtype != dtype or array.shape != shape:
                raise FeaturesError(f"{name} is {array.dtype} {array.shape}, expected {dtype.__name__} {shape}")
        if self.X.ndim != 2 or not self.X.shape[1]:
            raise FeaturesError(f"X has shape {self.X.shape}, expected (n, d) with at least one feature")
        if len(self.reasons) != n:
            raise FeaturesError(f"{len(self.reasons)} reasons for {n} rows")
        if n and self.status.max() > PASSING:
            raise FeaturesError(f"a row has status {self.status.max()}, expected {OK}, {FAILED} or {PASSING}")
        if n and not self.digests.any(axis=1).all():
            raise FeaturesError("a row has a digest of zeros: a file that could not be read has no row")

    def __len__(self) -> int:
        return len(self.digests)

    def take(self, index: Any) -> Rows:
        """The rows of an index array, mask or slice."""
        reasons = tuple(self.reasons[i] for i in np.arange(len(self))[index].tolist())
        return Rows(self.digests[index], self.X[index], self.status[index], reasons)

    def settled(self, dtype: str) -> Rows:
        """The rows as they will be stored: what `dtype` cannot hold has failed, failed rows are zeros with a reason.

        Parameters
        ----------
        dtype : {"<f4", "<f2"}
            Stored type; X is rounded to it.
        """
        with np.errstate(over="ignore"):
            stored = self.X.astype(dtype, copy=False)
        ok = self.status == OK
        odd = ok & ~np.isfinite(stored).all(axis=1)
        if dtype == self.X.dtype.str and ok.all() and not odd.any():
            return self
        status, reasons, X = self.status.copy(), list(self.reasons), stored.astype(np.float32)
        for i in np.flatnonzero(odd).tolist():
            status[i] = FAILED
            if np.isfinite(self.X[i]).all():
                reasons[i] = _too_large(self.X[i])
            else:
                reasons[i] = "the network gave a number that is not finite"
        X[status != OK] = 0
        for i in np.flatnonzero(status != OK).tolist():
            reasons[i] = reasons[i] or "failed without a stated reason"
        return Rows(self.digests, X, status, tuple(reasons))

    def distinct(self) -> Rows:
        """One row for each digest, in the order they are in: features before failures, then the first."""
        order = np.argsort(self.status, kind="stable")
        _, first = np.unique(as_keys(self.digests[order]), return_index=True)
        return self if len(first) == len(self) else self.take(np.sort(order[first]))


@dataclasses.dataclass(frozen=True, eq=False)
class Index:
    """Which rows a shard has, without their features.

    Attributes
    ----------
    digests : ndarray of shape (n, 32), uint8
    status : ndarray of shape (n,), uint8
    reasons : ndarray of shape (n,), fixed-length bytes, UTF-8
    """

    digests: NDArray[np.uint8]
    status: NDArray[np.uint8]
    reasons: NDArray[np.bytes_]


def _too_large(x: NDArray[np.float32]) -> str:
    return (
        f"a feature of {np.abs(x).max():.0f} does not fit into fp16, which ends at {np.finfo(np.float16).max:.0f}; "
        f"compute and store in fp32"
    )


def as_keys(digests: NDArray[np.uint8]) -> NDArray[np.bytes_]:
    """Digests (n, 32) as n byte strings that can be sorted and searched."""
    return np.ascontiguousarray(digests).view("S32").reshape(-1)


def texts(reasons: NDArray[np.bytes_]) -> tuple[str, ...]:
    """Stored reasons as text."""
    return tuple(reason.decode("utf-8", "replace") for reason in reasons.tolist())
