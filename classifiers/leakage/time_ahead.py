"""How long a stage takes, told once, while it is under way."""

from __future__ import annotations

import time
from collections.abc import Callable

from classifiers.formatting import seconds

LONG = 20_000
"""Images from which the time is told first."""


def time_ahead(
    told: Callable[[str], None] | None, what: str, images: int, *, trial: int = 0
) -> Callable[[int, int], None]:
    """A progress callback that tells once how long the rest takes, where that is long.

    Parameters
    ----------
    told : callable, optional
        Told the sentence; None where nobody listens.
    what : str
        What is being done, as the sentence begins.
    images : int
        Images that it is done with; the time of fewer than 20,000 is not told.
    trial : int
        So many have to be done before the time is estimated.

    Returns
    -------
    callable
        Takes how many are done and how many there are.

    Examples
    --------
    >>> progress = time_ahead(print, "counting the grains of sand", 50_000)
    >>> progress(49_999, 50_000)
    counting the grains of sand takes about 1.0 s
    >>> progress(50_000, 50_000)
    """
    began, said = time.perf_counter(), False

    def progress(done: int, altogether: int) -> None:
        nonlocal said
        if told is None or said or images < LONG or done < max(trial, 1):
            return
        said = True
        left = (time.perf_counter() - began) * (altogether / done - 1)
        told(f"{what} takes about {seconds(max(left, 1.0))}")

    return progress
