"""The mlp head: a small neural network on standardised features, with early stopping and averaged weights."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.utils.extmath import randomized_svd
from torch import Tensor, nn

from classifiers.foldsearch import FoldTable, Learnt, Params, SearchedHead
from classifiers.reduction import standardiser
from featstore.errors import FeaturesError

RANK = 384
"""Wider features are first rotated to so many principal components; the rotation becomes part of the first layer."""
MOST_EPOCHS = {"quick": 16, "normal": 24, "thorough": 60}
STEPS = 250
"""Optimiser steps at least: little data needs more epochs for the same number of steps."""
BATCH = 64
LATE = 0.03
"""Relative fall of the out-of-fold loss in the last quarter of the epochs that shows too short a training."""
DECAY = 0.98
"""Of the exponential moving average of the weights (Polyak averaging)."""


class MLPHead(SearchedHead):
    """Multilayer perceptron with one hidden layer, in scikit-learn's contract.

    AdamW with a cosine schedule, dropout, label smoothing; an exponential moving average of the weights predicts.
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
    """

    head_name = "mlp"

    def _candidates(
        self, X: NDArray[np.float32], y: NDArray[np.intp], weight: NDArray[np.float64], table: FoldTable
    ) -> Iterator[Params]:
        self._prepared = [self._prepare(X[train], X[valid]) for train, valid in self._folds]
        settings = {
            "quick": ((128, 0.3, 1e-2),),
            "normal": ((128, 0.3, 1e-2), (256, 0.6, 1e-1)),
            "thorough": ((64, 0.2, 1e-2), (128, 0.3, 1e-2), (256, 0.5, 1e-2), (256, 0.6, 1e-1), (512, 0.7, 3e-1)),
        }[self.budget]
        for hidden, dropout, decay in settings:
            yield {"hidden": hidden, "dropout": dropout, "weight_decay": decay}

    def _fold_proba(
        self, X: NDArray[np.float32], y: NDArray[np.intp], weight: NDArray[np.float64], params: Params, fold: int
    ) -> tuple[NDArray[Any], Learnt]:
        train, valid = self._folds[fold]
        rows, judged = self._prepared[fold]
        codes = torch.from_numpy(np.ascontiguousarray(y))
        best_loss, best_epoch, best_proba = np.inf, 0, np.empty(0)
        epochs, losses = self._most_epochs(len(train)), []
        for epoch, network in self._epochs(rows, codes[train], weight[train], params, epochs, self.seed + fold):
            with torch.inference_mode():
                log_proba = torch.log_softmax(network(judged), dim=1)
            loss = float(nn.functional.nll_loss(log_proba, codes[valid]))
            losses.append(loss)
            if loss < best_loss:
                best_loss, best_epoch, best_proba = loss, epoch, log_proba.exp().double().numpy()
            elif epoch - best_epoch >= max(5, epochs // 4):
                break
        late = 1.0 - best_loss / min(losses[: max(1, 3 * epochs // 4)])
        return best_proba, {"epochs": best_epoch / epochs, "late_gain": float(late)}

    def _most_epochs(self, rows: int) -> int:
        return max(MOST_EPOCHS[self.budget], -(-STEPS // max(1, -(-rows // BATCH))))

    def _refit(
        self, X: NDArray[np.float32], y: NDArray[np.intp], weight: NDArray[np.float64], params: Params,
        learnt: Sequence[Learnt],
    ) -> None:  # fmt: skip
        found = [fold["epochs"] for fold in learnt if fold]
        limit = self._most_epochs(len(X))
        epochs = max(1, round(limit * float(np.mean(found)))) if found else limit // 2
        mean, matrix = self._basis(X)
        rows = self._project(X, mean, matrix)
        codes = torch.from_numpy(np.ascontiguousarray(y))
        network: nn.Sequential | None = None
        for epoch, averaged in self._epochs(rows, codes, weight, params, limit, self.seed):
            network = averaged
            if epoch == epochs:
                break
        if network is None:
            raise FeaturesError("the network was trained for no epoch at all")
        self.network_ = _unprojected(network, mean, matrix)
        self.best_params_ = {**params, "epochs": epochs}
        late = float(np.mean([fold["late_gain"] for fold in learnt if fold])) if found else 0.0
        self.converged_ = late < LATE
        self.certificate_ = {
            "method": "relative fall of the out-of-fold loss in the last quarter of the schedule",
            "late_gain": late,
            "tol": LATE,
            "most_epochs": limit,
        }

    def _epochs(
        self, rows: Tensor, codes: Tensor, weight: NDArray[np.float64], params: Params, epochs: int, seed: int
    ) -> Iterator[tuple[int, nn.Sequential]]:
        """Train, and hand out the averaged network after each epoch."""
        random = torch.Generator().manual_seed(seed)
        network = _network(rows.shape[1], params["hidden"], len(self.classes_), random)
        averaged = _network(rows.shape[1], params["hidden"], len(self.classes_), None)
        parameters: list[Tensor] = list(network.parameters())
        kept: list[Tensor] = list(averaged.parameters())
        # Biases are not decayed: they only shift.
        groups = [
            {"params": [p for p in parameters if p.ndim > 1], "weight_decay": params["weight_decay"]},
            {"params": [p for p in parameters if p.ndim == 1], "weight_decay": 0.0},
        ]
        steps = max(1, -(-len(rows) // BATCH))
        optimiser = torch.optim.AdamW(groups, lr=5e-3)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, T_max=steps * epochs)
        weights = torch.from_numpy(weight / weight.mean()).float()
        keep = 1.0 - params["dropout"]
        first, act, last = network[0], network[1], network[2]
        step = 0
        for epoch in range(1, epochs + 1):
            for index in torch.split(torch.randperm(len(rows), generator=random), BATCH):
                hidden = act(first(rows[index]))
                mask = torch.empty_like(hidden).bernoulli_(keep, generator=random)
                logits = last(hidden * mask / keep)
                losses = nn.functional.cross_entropy(logits, codes[index], reduction="none", label_smoothing=0.02)
                optimiser.zero_grad(set_to_none=True)
                torch.autograd.backward((losses * weights[index]).mean())
                optimiser.step()
                schedule.step()
                step += 1
                decay = min(DECAY, step / (step + 10))
                with torch.no_grad():
                    torch._foreach_lerp_(kept, parameters, 1.0 - decay)
            yield epoch, averaged

    def _basis(self, X: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Mean (d,) and matrix (d, r): standardise, rotate to principal components, at a common scale of 1."""
        mean, gain = standardiser(X, np.ones(len(X)))
        rank = min(RANK, *X.shape)
        if X.shape[1] <= RANK:
            return mean, np.diag(gain).astype(np.float32)
        _, singular, right = randomized_svd((X - mean) * gain, rank, n_iter=2, random_state=self.seed)
        useful = singular > 1e-5 * singular[0]
        # One scale for all: whitening would lift the noise of the last components to the height of the first.
        scale = np.sqrt(len(X) / (singular[useful] ** 2).mean())
        return mean, (gain[:, None] * right[useful].T * scale).astype(np.float32)

    def _prepare(self, train: NDArray[np.float32], valid: NDArray[np.float32]) -> tuple[Tensor, Tensor]:
        mean, matrix = self._basis(train)
        return self._project(train, mean, matrix), self._project(valid, mean, matrix)

    @staticmethod
    def _project(X: NDArray[np.float32], mean: NDArray[np.float32], matrix: NDArray[np.float32]) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray((X - mean) @ matrix))

    def _forget(self) -> None:
        super()._forget()
        self.__dict__.pop("_prepared", None)

    def _proba(self, X: NDArray[np.float32]) -> NDArray[np.float64]:
        with torch.inference_mode():
            logits = self.network_(torch.from_numpy(np.ascontiguousarray(X)))
        return np.asarray(torch.softmax(logits.double(), dim=1).numpy())

    def to_torch(self) -> nn.Module:
        """Features (b, d) float32 -> logits (b, k), the scaling folded into the first layer."""
        return self.network_

    def _state(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        return {}, {name.replace(".", "_"): value.numpy() for name, value in self.network_.state_dict().items()}

    def _restore(self, meta: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> None:
        width, features = arrays["0_weight"].shape
        network = _network(features, width, len(self.classes_), None)
        network.load_state_dict({name.replace("_", ".", 1): torch.from_numpy(a.copy()) for name, a in arrays.items()})
        self.network_ = network


def _network(features: int, hidden: int, classes: int, random: torch.Generator | None) -> nn.Sequential:
    """Two linear layers; drawn from `random` (He initialisation), or all zeros."""
    with torch.device("meta"):
        network = nn.Sequential(nn.Linear(features, hidden), nn.ReLU(), nn.Linear(hidden, classes))
    network = network.to_empty(device="cpu")
    for parameter in network.parameters():
        with torch.no_grad():
            parameter.zero_()
            if random is not None and parameter.ndim == 2:
                parameter.normal_(0.0, float(np.sqrt(2.0 / parameter.shape[1])), generator=random)
        parameter.requires_grad_(random is not None)
    return network


def _unprojected(network: nn.Sequential, mean: NDArray[np.float32], matrix: NDArray[np.float32]) -> nn.Sequential:
    """The same network for features as given: mean and matrix become part of the first layer, in float64."""
    first, last = network[0], network[2]
    if not isinstance(first, nn.Linear) or not isinstance(last, nn.Linear):
        raise TypeError("expected a linear layer, an activation and a linear layer")
    weight = first.weight.detach().double().numpy() @ matrix.astype(np.float64).T
    bias = first.bias.detach().double().numpy() - weight @ mean.astype(np.float64)
    whole = _network(matrix.shape[0], len(bias), last.out_features, None)
    state = {"0.weight": weight, "0.bias": bias}
    whole.load_state_dict(
        {name: torch.from_numpy(value).float() for name, value in state.items()}
        | {f"2.{name}": value.clone() for name, value in last.state_dict().items()}
    )
    return whole
