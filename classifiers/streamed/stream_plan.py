"""StreamPlan: what streaming features will cost, in bytes, passes and time; said before anything is done."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from classifiers.formatting import listing, seconds
from classifiers.streamed.feature_rows import FeatureRows
from classifiers.streamed.fitting import LINEAR, WHOLE
from classifiers.types import Budget

PASSES = {"quick": 20, "normal": 30, "thorough": 45}
"""Over all rows that a linear head takes, about."""
MLP_PASSES = 4
"""That the mlp takes, about: its sample, and three epochs."""
FLYING = 2.5
"""Values of C that are on their way at the same time, about."""


@dataclass(frozen=True)
class StreamPlan:
    """What streaming takes.

    Attributes
    ----------
    size : int
        Bytes of the features.
    memory : int
        Bytes that this process may still take.
    passes : int
        Over the features, of all heads together, about.
    time : float
        Seconds, about.
    sampled : tuple of str
        Heads that learn from a sample.
    """

    size: int
    memory: int
    passes: int
    time: float
    sampled: tuple[str, ...]

    def text(self) -> str:
        """A sentence or two for people.

        Examples
        --------
        >>> print(StreamPlan(4_000_000_000, 1_000_000_000, 62, 900.0, ("knn",)).text())
        Streaming 4.0 GB of features, for 1.0 GB of memory is free: about 62 passes over them, 248.0 GB read, and \
about 15 min 00 s. knn learns from as many images as memory holds.
        """
        free = f"for {self.memory / 1e9:.1f} GB of memory is free" if 0 < self.memory < 1 << 60 else "as it was asked"
        text = (
            f"Streaming {self.size / 1e9:.1f} GB of features, {free}: about "
            f"{self.passes} passes over them, {self.size * self.passes / 1e9:.1f} GB read, and about "
            f"{seconds(self.time)}."
        )
        if not self.sampled:
            return text
        verb = "learns" if len(self.sampled) == 1 else "learn"
        return f"{text} {listing(list(self.sampled))} {verb} from as many images as memory holds."


def stream_plan(
    rows: FeatureRows, k: int, heads: Sequence[str], folds: int, budget: Budget, memory: int | None
) -> StreamPlan:
    """Measure a chunk and a product, and say what streaming takes.

    Parameters
    ----------
    rows : FeatureRows
    k : int
        Classes.
    heads : sequence of str
    folds : int
    budget : {"quick", "normal", "thorough"}
    memory : int or None
        Bytes that may be taken.

    Examples
    --------
    >>> from classifiers.streamed.feature_rows import ArrayRows
    >>> plan = stream_plan(ArrayRows(np.zeros((100, 8), np.float32)), 2, ["logistic", "knn"], 3, "normal", 10**9)
    >>> plan.size, plan.passes, plan.sampled
    (3200, 32, ('knn',))
    """
    n, d = len(rows), rows.width
    began = time.perf_counter()
    numbers, X = next(iter(rows.chunks(order="stored")))
    reading = (time.perf_counter() - began) * n / len(numbers)
    outputs = 1 if k == 2 else k
    weight = np.ones((X.shape[1], min(outputs * folds, 512)), np.float32)
    began = time.perf_counter()
    _ = X[:2048] @ weight
    product = (time.perf_counter() - began) / weight.shape[1] * n / min(len(X), 2048)
    linear = [head for head in heads if head in LINEAR]
    sampled = tuple(head for head in heads if head not in (*WHOLE, "mlp"))
    passes = 1 + PASSES[budget] * len(linear) + len(sampled) + MLP_PASSES * ("mlp" in heads)
    work = 2.5 * product * outputs * folds * FLYING * PASSES[budget] * len(linear)
    return StreamPlan(
        4 * n * d, memory or 0, passes, max(passes * reading, work + passes * 0.2 * reading), sampled
    )  # fmt: skip
