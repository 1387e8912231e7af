"""fit_streamed: any head, by its name, fitted to features that do not fit in memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from classifiers.heads.base.convergence import convergence_kept_quiet
from classifiers.heads.registry import make_head
from classifiers.streamed.sampled import fit_sampled
from classifiers.streamed.streamed_centroid import fit_centroid
from classifiers.streamed.training import OutOfFold, StreamedTraining
from classifiers.types import Budget

LINEAR = ("logistic", "svm")
WHOLE = (*LINEAR, "centroid")
"""Heads that are fitted to all rows, in passes; the others learn from a sample of them."""


@dataclass(frozen=True, eq=False)
class StreamedFit:
    """A fitted head and what is known about its fit.

    Attributes
    ----------
    head : classifier
    out_of_fold : OutOfFold
    rows : int
        Training rows that it was fitted to.
    note : str
        What is to be said of how it was fitted; "" where nothing is.
    """

    head: Any
    out_of_fold: OutOfFold
    rows: int
    note: str


def fit_streamed(
    name: str,
    training: StreamedTraining,
    *,
    memory: int,
    seed: int = 0,
    budget: Budget = "normal",
    class_weight: str | Mapping[Any, float] | None = None,
    progress: Callable[[dict[str, Any]], None] | None = None,
    told: Callable[[str, float], None] | None = None,
) -> StreamedFit:
    """Tune one head over the folds and fit it to everything.

    Parameters
    ----------
    name : str
        In `HEADS`.
    training : StreamedTraining
    memory : int
        Bytes that may be taken.
    seed, budget, class_weight
        As `make_head`.
    progress : callable, optional
        Called with the row of `cv_results_` of every candidate.
    told : callable, optional
        Called with a note and the share of the current pass that is done.

    Returns
    -------
    StreamedFit

    Raises
    ------
    FeaturesError
        Where the head cannot learn from these features; the sentence says why.

    Examples
    --------
    >>> import numpy as np
    >>> from classifiers.streamed.feature_rows import ArrayRows
    >>> y = np.repeat([0, 1], 20)
    >>> X = (np.random.default_rng(0).normal(size=(40, 3)) + 9 * y[:, None]).astype(np.float32)
    >>> training = StreamedTraining.of(ArrayRows(X), y, folds=5)
    >>> fit_streamed("centroid", training, memory=1 << 20, budget="quick").head.predict(X[:1]).tolist()
    [0]
    """
    head = make_head(name, seed=seed, budget=budget, class_weight=class_weight)
    head.progress = progress
    n, note = len(training), ""
    with convergence_kept_quiet():
        if name in LINEAR:
            from classifiers.streamed.streamed_linear import fit_linear

            found, rows = fit_linear(head, training, told=told), n
        elif name == "centroid":
            found, rows = fit_centroid(head, training), n
        else:
            found, rows = fit_sampled(head, training, memory=memory)
            if rows < n and name == "mlp":
                from classifiers.streamed.streamed_mlp import refit_mlp

                refit_mlp(head, training, rows, told=told)
                rows, note = (
                    n,
                    (
                        f"{rows:,} of {n:,} training images, drawn at random, chose how mlp is trained on all; its "
                        "cross-validated figures are of networks trained on these."
                    ),
                )
            elif rows < n:
                note = (
                    f"{name} learnt from {rows:,} of {n:,} training images, drawn at random: as many as memory holds."
                )
    if not note and 0 < len(found.rows) < n:
        some = f"{len(found.rows):,} of {n:,} training images"
        note = f"Cross-validated figures of {name} are about {some}, drawn at random."
    head.progress = None
    return StreamedFit(head, found, rows, note)
