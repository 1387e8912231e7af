"""The mlp head: a small neural network on standardised features, with early stopping and averaged weights."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, Self, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from classifiers.heads.base.fold_search import SearchedHead
from classifiers.heads.base.fold_table import FoldTable, Learnt, Outcome, Params
from classifiers.heads.base.head_input import Training, check_logits
from classifiers.heads.mlp_training import MANY, BatchedMLP, steps_an_epoch, train_together, two_layers
from classifiers.linalg import standardiser, truncated_svd
from classifiers.threads import at_most
from classifiers.validation.temperature import softmax

RANK = 384
"""Wider features are first rotated to so many principal components; the rotation becomes part of the first layer."""
MOST_EPOCHS = {"quick": 16, "normal": 24, "thorough": 60}
STEPS = 250
"""Optimiser steps at least: little data needs more epochs for the same number of steps."""
ENSEMBLE = 4
"""Networks whose mean predicts, where there are few images: one alone depends on its seed."""
LATE = 0.03
"""Relative fall of the out-of-fold loss in the last quarter of the epochs that shows too short a training."""


class MLPHead(SearchedHead):
    """Multilayer perceptron with one hidden layer, in scikit-learn's contract.

    AdamW with a cosine schedule, dropout, label smoothing. An exponential moving average of the weights predicts; for
    fewer than 2000 images the mean of four networks does, which is one network with four times as many hidden units.
    How many epochs to train is found on the folds (the epoch with the least out-of-fold loss, on average) and used for
    the fit on everything. The same seed, data and number of threads give the same bits; no global seed is touched.

    Parameters
    ----------
    seed, budget, cv, class_weight
        As every head.

    Attributes
    ----------
    network_ : nn.Sequential
        Features as given -> logits.

    Examples
    --------
    >>> import numpy as np
    >>> y = np.repeat([0, 1], 20)
    >>> X = np.random.default_rng(0).normal(size=(40, 3)) + 9 * y[:, None]
    >>> head = MLPHead(budget="quick", cv=2).fit(X, y)
    >>> head.predict([[0, 0, 0], [9, 9, 9]]).tolist()
    [0, 1]
    """

    head_name = "mlp"

    def _check_size(self, n: int, d: int, k: int) -> None:
        check_logits(n, k, self.head_name)

    def _fit(self, given: Training) -> Self:
        # On products this small a second thread brings a tenth, and costs many times that where a core is busy.
        with at_most(1 if len(given.codes) < MANY else None):
            return super()._fit(given)

    def _candidates(self, training: Training, table: FoldTable) -> Iterator[Params]:
        prepared = [self._prepare(training.X[train], training.X[valid]) for train, valid in self._folds]
        # Folds may have principal components of different number; a column of zeros changes nothing.
        width = max((rows.shape[1] for rows, _ in prepared), default=0)
        self._cache["folds"] = [
            tuple(nn.functional.pad(part, (0, width - part.shape[1])) for part in pair) for pair in prepared
        ]
        settings = {
            "quick": ((256, 0.6, 1e-1),),
            "normal": ((256, 0.6, 1e-1), (256, 0.6, 1.0)),
            "thorough": ((64, 0.2, 1e-2), (128, 0.3, 1e-2), (256, 0.6, 1e-1), (256, 0.6, 1.0), (512, 0.7, 3e-1)),
        }[self.budget]
        for hidden, dropout, decay in settings:
            yield {"hidden": hidden, "dropout": dropout, "weight_decay": decay}

    def _outcomes(self, training: Training, params: Params) -> list[Outcome]:
        followed, parts = [], []
        for (rows, judged), (train, valid) in zip(self._cache["folds"], self._folds, strict=True):
            followed.append(_Fold(judged, torch.from_numpy(training.codes[valid])))
            parts.append((rows, training.codes[train], training.weight[train]))
        epochs = self._most_epochs(max(len(rows) for rows, _, _ in parts))
        patience = max(5, epochs // 4)
        for epoch, networks in self._train(parts * ensemble_size(len(training.X)), params, epochs):
            for i, fold in enumerate(followed):
                members = range(i, len(networks), len(parts))
                fold.follow(epoch, partial(networks.mean_logits, members), patience)
            if all(fold.over for fold in followed):
                break
        return [fold.outcome(epochs) for fold in followed]

    def _most_epochs(self, rows: int) -> int:
        return max(MOST_EPOCHS[self.budget], -(-STEPS // steps_an_epoch(rows)))

    def _refit(self, training: Training, params: Params, learnt: Sequence[Learnt]) -> None:
        found = [fold["epochs"] for fold in learnt if fold]
        limit = self._most_epochs(len(training.X))
        epochs = max(1, round(limit * float(np.mean(found)))) if found else limit // 2
        mean, matrix = self._basis(training.X)
        rows = self._project(training.X, mean, matrix)
        parts = [(rows, training.codes, training.weight)] * ensemble_size(len(rows))
        networks = next(networks for epoch, networks in self._train(parts, params, limit) if epoch == epochs)
        self.network_ = unprojected(networks.network(range(len(networks))), mean, matrix)
        self.best_params_ = {**params, "epochs": epochs}
        late = float(np.mean([fold["late_gain"] for fold in learnt if fold])) if found else 0.0
        self.converged_ = late < LATE
        self.certificate_ = {
            "method": "relative fall of the out-of-fold loss in the last quarter of the schedule",
            "late_gain": late,
            "tol": LATE,
            "most_epochs": limit,
        }

    def _train(
        self, parts: Sequence[tuple[Tensor, NDArray[np.intp], NDArray[np.float64]]], params: Params, epochs: int
    ) -> Iterator[tuple[int, BatchedMLP]]:
        """Networks for rows, classes and weights of several parts, after each epoch."""
        return train_together(
            [rows for rows, _, _ in parts],
            [torch.from_numpy(y) for _, y, _ in parts],
            [torch.from_numpy(weight / weight.mean()).float() for _, _, weight in parts],
            classes=len(self.classes_), hidden=params["hidden"], dropout=params["dropout"],
            weight_decay=params["weight_decay"], epochs=epochs, seeds=range(self.seed, self.seed + len(parts)),
        )  # fmt: skip

    def _basis(self, X: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Mean (d,) and matrix (d, r): standardise, rotate to principal components, at a common scale of 1."""
        mean, gain = standardiser(X, np.ones(len(X)))
        rank = min(RANK, *X.shape)
        if X.shape[1] <= RANK:
            return mean, np.diag(gain).astype(np.float32)
        _, singular, right = truncated_svd((X - mean) * gain, rank, iterations=2, seed=self.seed)
        # One scale for all: whitening would lift the noise of the last components to the height of the first.
        scale = np.sqrt(len(X) / (singular**2).mean())
        return mean, (gain[:, None] * right.T * scale).astype(np.float32)

    def _prepare(self, train: NDArray[np.float32], valid: NDArray[np.float32]) -> tuple[Tensor, Tensor]:
        mean, matrix = self._basis(train)
        return self._project(train, mean, matrix), self._project(valid, mean, matrix)

    @staticmethod
    def _project(X: NDArray[np.float32], mean: NDArray[np.float32], matrix: NDArray[np.float32]) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray((X - mean) @ matrix))

    def _proba(self, X: NDArray[np.float32]) -> NDArray[np.float64]:
        # In NumPy, as `classifiers.models.applied_head` does it without torch, to the bit.
        first, last = cast(nn.Linear, self.network_[0]), cast(nn.Linear, self.network_[2])
        hidden = np.maximum(X @ first.weight.numpy().T + first.bias.numpy(), 0)
        return softmax((hidden @ last.weight.numpy().T + last.bias.numpy()).astype(np.float64))

    def to_torch(self) -> nn.Module:
        """Features (b, d) float32 -> logits (b, k), the scaling folded into the first layer."""
        return self.network_

    def _model_state(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        return {}, {name.replace(".", "_"): value.numpy() for name, value in self.network_.state_dict().items()}

    def _restore_model(self, meta: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> None:
        names = ("0_weight", "0_bias", "2_weight", "2_bias")
        self.network_ = two_layers(*(torch.from_numpy(arrays[name].copy()) for name in names))


def ensemble_size(images: int) -> int:
    """Networks whose mean predicts, by the images the head is given: the same in its folds as in its last fit."""
    return ENSEMBLE if images < MANY else 1


class _Fold:
    """A fold's network on its way: the epoch with the least loss on the valid rows, until that is long ago."""

    def __init__(self, rows: Tensor, codes: Tensor) -> None:
        self._rows, self._codes = rows, codes
        self._losses: list[float] = []
        self._best, self._proba = 0, np.empty(0)
        self.over = False

    def follow(self, epoch: int, logits: Callable[[Tensor], Tensor], patience: int) -> None:
        """Judge the network after an epoch."""
        if self.over:
            return
        with torch.inference_mode():
            log_proba = torch.log_softmax(logits(self._rows), dim=1)
        loss = float(nn.functional.nll_loss(log_proba, self._codes))
        if not self._losses or loss < self._losses[self._best - 1]:
            self._best, self._proba = epoch, log_proba.exp().double().numpy()
        self._losses.append(loss)
        self.over = epoch - self._best >= patience

    def outcome(self, epochs: int) -> Outcome:
        """Of the best epoch, in a schedule of so many."""
        before = min(self._losses[: max(1, 3 * epochs // 4)])
        # Few images can be told apart without any loss in float32; then nothing is left to fall.
        late = 1.0 - self._losses[self._best - 1] / before if before > 0 else 0.0
        return self._proba, {"epochs": self._best / epochs, "late_gain": late}


def unprojected(network: nn.Sequential, mean: NDArray[np.float32], matrix: NDArray[np.float32]) -> nn.Sequential:
    """The same network for features as given: mean and matrix become part of the first layer, in float64."""
    first, last = cast(nn.Linear, network[0]), cast(nn.Linear, network[2])
    weight = first.weight.double().numpy() @ matrix.astype(np.float64).T
    bias = first.bias.double().numpy() - weight @ mean.astype(np.float64)
    return two_layers(torch.from_numpy(weight), torch.from_numpy(bias), last.weight, last.bias)
