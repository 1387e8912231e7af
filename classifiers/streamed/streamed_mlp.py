"""The `mlp` head fitted to all rows in shuffled chunks, once a sample has told how."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from classifiers.heads.base.head_input import class_weights
from classifiers.heads.mlp import RANK, MLPHead, unprojected
from classifiers.heads.mlp_training import BATCH, MLPLearner, steps_an_epoch
from classifiers.streamed.fold_sums import FoldSums
from classifiers.streamed.training import StreamedTraining

EPOCHS = 3
"""Passes over all rows at least."""


def refit_mlp(
    head: MLPHead, training: StreamedTraining, rows: int, *, told: Callable[[str, float], None] | None = None
) -> None:
    """Train the network anew on all rows, with the parameters that a sample chose.

    It takes at least as many steps as the fit to the sample did, and three passes.

    Parameters
    ----------
    head : MLPHead
        Fitted to the sample; afterwards to everything.
    training : StreamedTraining
    rows : int
        Of the sample.
    told : callable, optional
        Called with a note and the share of the current pass that is done.

    Examples
    --------
    >>> from classifiers.streamed.feature_rows import ArrayRows
    >>> y = np.repeat([0, 1], 20)
    >>> X = (np.random.default_rng(0).normal(size=(40, 3)) + 9 * y[:, None]).astype(np.float32)
    >>> head = MLPHead(budget="quick", cv=2).fit(X[::2], y[::2])
    >>> refit_mlp(head, StreamedTraining.of(ArrayRows(X), y, folds=2), 20)
    >>> head.predict(X[:2]).tolist()
    [0, 0]
    """
    began = time.perf_counter()
    n, params = len(training), head.best_params_
    mean, matrix = components(training.sums)
    batch = 2 * BATCH
    sampled = params["epochs"] * steps_an_epoch(rows)
    passes = max(EPOCHS, -(-sampled * batch // n))
    given: Any = head.class_weight
    balance = class_weights(given, training.classes, training.codes, np.ones(n))
    balance = balance / balance[training.codes].mean()
    learner = MLPLearner(
        matrix.shape[1], params["hidden"], len(training.classes), [torch.Generator().manual_seed(head.seed)],
        dropout=params["dropout"], weight_decay=params["weight_decay"], steps=passes * (n // batch + 1) + passes,
        seed=head.seed,
    )  # fmt: skip
    for epoch in range(passes):
        left = torch.zeros(0, dtype=torch.int64), torch.zeros(0, matrix.shape[1])
        seen = 0
        for numbers, X in training.rows.chunks(order="shuffled", seed=head.seed + epoch):
            index = torch.cat([left[0], torch.from_numpy(numbers)])
            seen_rows = torch.cat([left[1], torch.from_numpy((X - mean) @ matrix)])
            whole = len(index) - len(index) % batch
            for at in range(0, whole, batch):
                _step(learner, seen_rows[at : at + batch], index[at : at + batch], training, balance)
            left = index[whole:], seen_rows[whole:]
            seen += len(numbers)
            if told is not None:
                told(f"epoch {epoch + 1} of {passes}", seen / n)
        if len(left[0]):
            _step(learner, left[1], left[0], training, balance)
    head.network_ = unprojected(learner.averaged.network(range(1)), mean, matrix)
    head.best_params_ = {**params, "epochs": passes}
    head.certificate_ = {**head.certificate_, "passes": passes + training.passes, "sample": rows}
    head.fit_seconds_ += time.perf_counter() - began


def components(sums: FoldSums) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Mean (d,) and matrix (d, r) as `MLPHead` makes them: standardise, rotate to components, one scale for all.

    Examples
    --------
    >>> from classifiers.streamed.feature_rows import ArrayRows
    >>> from classifiers.streamed.fold_sums import fold_sums
    >>> X = np.random.default_rng(0).normal(3.0, 2.0, (200, 4)).astype(np.float32)
    >>> mean, matrix = components(fold_sums(ArrayRows(X), np.arange(200) % 2, 2, np.ones((1, 200), bool)))
    >>> round(float(((X - mean) @ matrix).std()), 2)
    1.0
    """
    shift, gain = sums.standardiser(len(sums.member) - 1)
    mean = (shift * sums.scale + sums.mean).astype(np.float32)
    own = gain / sums.scale
    correlation = sums.correlation()
    if correlation is None or len(own) <= RANK:
        return mean, np.diag(own).astype(np.float32)
    variance, axes = np.linalg.eigh(correlation)
    variance, axes = variance[::-1][:RANK], axes[:, ::-1][:, :RANK]
    return mean, (own[:, None] * axes / np.sqrt(variance.mean())).astype(np.float32)


def _step(
    learner: MLPLearner,
    rows: torch.Tensor,
    index: torch.Tensor,
    training: StreamedTraining,
    balance: NDArray[np.float64],
) -> None:
    """One step of the optimiser on some rows, whose weights are those of their classes."""
    codes = training.codes[index.numpy()]
    weight = torch.from_numpy(balance[codes] / len(codes)).float()
    learner.step(rows[None], torch.from_numpy(codes)[None], weight[None])
