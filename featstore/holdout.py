"""Which images are set aside: stratified, seeded, and decided by their bytes alone."""

from __future__ import annotations

import hashlib
from collections import Counter

import numpy as np
from numpy.typing import NDArray


def draw(
    digests: NDArray[np.uint8], labels: NDArray[np.int64], drawable: NDArray[np.bool_], fraction: float, seed: int
) -> NDArray[np.bool_]:
    """Draw a fraction of the images of every class.

    Files of the same bytes are drawn together, also across classes (they count for the class with the smallest index).
    Every class with two different images keeps one and gives one.

    Parameters
    ----------
    digests : ndarray of shape (n, 32), uint8
    labels : ndarray of shape (n,), int64
    drawable : ndarray of shape (n,), bool
        Images that may be drawn.
    fraction : float in (0, 1)
    seed : int

    Returns
    -------
    ndarray of shape (n,), bool
        The images drawn.
    """
    names = [digest.tobytes() for digest in digests]
    groups: dict[int, Counter[bytes]] = {}  # class -> digest -> number of files
    home: dict[bytes, int] = {}
    rows = np.flatnonzero(drawable)
    for row in rows[np.argsort(labels[rows], kind="stable")].tolist():
        group = groups.setdefault(home.setdefault(names[row], int(labels[row])), Counter())
        group[names[row]] += 1
    chosen: set[bytes] = set()
    for group in groups.values():
        chosen |= _nearest(group, fraction, seed)
    drawn: NDArray[np.bool_] = np.array([name in chosen for name in names], dtype=bool)
    return np.logical_and(drawable, drawn)


def _nearest(group: Counter[bytes], fraction: float, seed: int) -> set[bytes]:
    """Take digests, in an order that only the seed decides, while that brings their files closer to the fraction."""
    order = sorted(group, key=lambda digest: hashlib.sha256(b"%d:" % seed + digest).digest())
    target = fraction * group.total()
    chosen: set[bytes] = set()
    count = 0
    for digest in order[:-1]:
        if not chosen or abs(count + group[digest] - target) < abs(count - target):
            chosen.add(digest)
            count += group[digest]
    return chosen
