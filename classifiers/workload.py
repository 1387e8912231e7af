"""Workload: what a head with a logit for each class and image can do in sensible time and memory."""

from __future__ import annotations

from featstore.errors import FeaturesError

MOST_NUMBERS = 100_000_000
"""Training images x classes: every step of a fit looks at so many numbers (800 MB in float64), several times over."""


def check_logits(n: int, k: int, head: str) -> None:
    """Refuse what would take hours or more memory than there is.

    Parameters
    ----------
    n, k : int
        Training images and classes.
    head : str
        The name that the message has.

    Raises
    ------
    FeaturesError
        For more than `MOST_NUMBERS`.
    """
    if n * k > MOST_NUMBERS:
        raise FeaturesError(
            f"{head} works on a number for each class and image; {n:,} training images x {k:,} classes are "
            f"{n * k / 1e6:,.0f} million, expected at most {MOST_NUMBERS // 1_000_000} million; use centroid or knn"
        )
