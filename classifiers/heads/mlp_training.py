"""BatchedMLP: several multilayer perceptrons of one shape, each with rows of its own, trained in the same steps."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn
from torch.optim.adamw import adamw

BATCH = 64
"""Rows a step where there are fewer than MANY; else twice as many."""

MANY = 2000
LEARNING_RATE = 5e-3
SMOOTHING = 0.02
_OF_MASKS = 1 << 40  # keeps the random numbers of dropout apart from those of the networks
DECAY = 0.98
"""Of the exponential moving average of the weights (Polyak averaging), a step."""


class BatchedMLP:
    """One hidden layer with ReLU, m times: small matrix products of m networks in one call.

    A network of this size leaves a processor waiting for Python; the networks of all folds in one product do not.

    Parameters
    ----------
    features, hidden, classes : int
    generators : sequence of torch.Generator
        One a network; they draw its weights (He initialisation).

    Attributes
    ----------
    tensors : list of Tensor
        Weights (m, features, hidden), biases (m, 1, hidden), weights (m, hidden, classes), biases (m, 1, classes).
    """

    def __init__(self, features: int, hidden: int, classes: int, generators: Sequence[torch.Generator]) -> None:
        m = len(generators)
        shapes = ((m, features, hidden), (m, 1, hidden), (m, hidden, classes), (m, 1, classes))
        self.tensors = [torch.zeros(shape) for shape in shapes]
        for weights in self.tensors[::2]:
            for one, generator in zip(weights, generators, strict=True):
                one.normal_(0.0, math.sqrt(2.0 / len(one)), generator=generator)

    def __len__(self) -> int:
        return len(self.tensors[0])

    def logits(self, rows: Tensor, dropped: Tensor | None = None) -> Tensor:
        """Decision values.

        Parameters
        ----------
        rows : Tensor of shape (m, b, features), float32
        dropped : Tensor of shape (m, b, hidden), float32, optional
            What the hidden values are multiplied by.

        Returns
        -------
        Tensor of shape (m, b, classes)
        """
        first, first_bias, last, last_bias = self.tensors
        hidden = torch.baddbmm(first_bias, rows, first).relu()
        return torch.baddbmm(last_bias, hidden if dropped is None else hidden * dropped, last)

    def mean_logits(self, which: Sequence[int], rows: Tensor) -> Tensor:
        """Mean decision values (b, classes) of some of the networks for rows (b, features)."""
        total = torch.zeros(len(rows), self.tensors[2].shape[2])
        for i in which:
            first, first_bias, last, last_bias = (tensor[i] for tensor in self.tensors)
            total += torch.addmm(last_bias, torch.addmm(first_bias, rows, first).relu(), last)
        return total / len(which)

    def network(self, which: Sequence[int]) -> nn.Sequential:
        """The mean of some of the networks: one network with all of their hidden units, without gradients."""
        first, first_bias, last, last_bias = (tensor[list(which)].detach() for tensor in self.tensors)
        return two_layers(
            first.mT.flatten(0, 1), first_bias.flatten(), last.flatten(0, 1).T / len(which), last_bias.mean(dim=(0, 1))
        )


def two_layers(first: Tensor, first_bias: Tensor, last: Tensor, last_bias: Tensor) -> nn.Sequential:
    """Linear, ReLU, linear: weights (hidden, features), (hidden,), (classes, hidden), (classes,); copied, frozen."""
    layers = []
    for weight, bias in ((first, first_bias), (last, last_bias)):
        layer = nn.Linear(weight.shape[1], weight.shape[0], device="meta")  # whose to_empty would import SymPy
        given = {"weight": weight, "bias": bias}
        own = {
            name: torch.empty(value.shape, dtype=torch.float32).copy_(value.detach()) for name, value in given.items()
        }
        layer.load_state_dict(own, assign=True)
        layers.append(layer.requires_grad_(False))
    return nn.Sequential(layers[0], nn.ReLU(), layers[1])


def train_together(
    rows: Sequence[Tensor], codes: Sequence[Tensor], weights: Sequence[Tensor], *, classes: int, hidden: int,
    dropout: float, weight_decay: float, epochs: int, seeds: Sequence[int],
) -> Iterator[tuple[int, BatchedMLP]]:  # fmt: skip
    """Train a network on each set of rows, and hand out the averaged networks after each epoch.

    AdamW under a cosine schedule; dropout of the hidden layer, label smoothing; biases are not decayed. Every network
    takes the same number of steps an epoch: those of a smaller set have fewer rows.

    Parameters
    ----------
    rows : sequence of m Tensors of shape (n_i, d), float32
    codes : sequence of m Tensors of shape (n_i,), int64
        Classes from 0.
    weights : sequence of m Tensors of shape (n_i,), float32
        Weights of the rows' losses.
    classes, hidden : int
    dropout : float
        In [0, 1).
    weight_decay : float
    epochs : int
        Length of the schedule.
    seeds : sequence of m int

    Yields
    ------
    epoch : int
        From 1.
    averaged : BatchedMLP
        The same object every time.

    References
    ----------
    Loshchilov, I., Hutter, F. (2019). Decoupled weight decay regularization. ICLR.
    """
    generators = [torch.Generator().manual_seed(seed) for seed in seeds]
    steps = steps_an_epoch(max(map(len, rows)))
    learner = MLPLearner(
        rows[0].shape[1], hidden, classes, generators, dropout=dropout, weight_decay=weight_decay,
        steps=steps * epochs, seed=seeds[0],
    )  # fmt: skip
    for epoch in range(1, epochs + 1):
        for x, y, weight in _batches(rows, codes, weights, steps, generators):
            learner.step(x, y, weight)
        yield epoch, learner.averaged


class MLPLearner:
    """Networks in training, a batch a step: AdamW under a cosine schedule, dropout, label smoothing.

    Parameters
    ----------
    features, hidden, classes : int
    generators : sequence of torch.Generator
        One a network.
    dropout : float
        In [0, 1).
    weight_decay : float
    steps : int
        Length of the schedule.
    seed : int
        Of the dropout.

    Attributes
    ----------
    averaged : BatchedMLP
        With the exponential moving average of the weights.
    """

    def __init__(
        self, features: int, hidden: int, classes: int, generators: Sequence[torch.Generator], *, dropout: float,
        weight_decay: float, steps: int, seed: int,
    ) -> None:  # fmt: skip
        self._masks = torch.Generator().manual_seed(seed + _OF_MASKS)
        self._live = BatchedMLP(features, hidden, classes, generators)
        self.averaged = BatchedMLP(features, hidden, classes, [])
        self.averaged.tensors = [torch.zeros_like(tensor) for tensor in self._live.tensors]
        self._parameters = [tensor.requires_grad_() for tensor in self._live.tensors]
        self._optimiser = _AdamW(self._parameters, (weight_decay, 0.0))
        self._hidden, self._dropout, self._steps, self._done = hidden, dropout, steps, 0

    def step(self, x: Tensor, y: Tensor, weight: Tensor) -> None:
        """One step on rows (m, b, features) and classes (m, b), with their weights in a mean over the batch."""
        dropped = _dropped((*y.shape, self._hidden), self._dropout, self._masks)
        log_proba = torch.log_softmax(self._live.logits(x, dropped), dim=2)
        true = log_proba.gather(2, y[:, :, None])[:, :, 0]
        losses = (1.0 - SMOOTHING) * true + SMOOTHING * log_proba.mean(dim=2)
        gradients = torch.autograd.grad(-(losses * weight).sum(), self._parameters)
        self._optimiser.step(gradients, LEARNING_RATE * 0.5 * (1.0 + math.cos(math.pi * self._done / self._steps)))
        self._done += 1
        with torch.no_grad():
            share = 1.0 - min(DECAY, self._done / (self._done + 10))
            torch._foreach_lerp_(self.averaged.tensors, self._parameters, share)


def steps_an_epoch(n: int) -> int:
    """Optimiser steps for n rows: the batch is twice as large where there are rows enough."""
    return max(1, -(-n // (BATCH if n < MANY else 2 * BATCH)))


class _AdamW:
    """torch's fused AdamW without `torch.optim.Optimizer`, whose first use imports torch's compiler for 3 s."""

    def __init__(self, parameters: Sequence[Tensor], decays: tuple[float, float]) -> None:
        # Weights and biases take turns, and each have their own decay.
        self._groups = [_Group(list(parameters[i::2]), decay) for i, decay in enumerate(decays)]

    @torch.no_grad()
    def step(self, gradients: Sequence[Tensor], rate: float) -> None:
        """One step along gradients in the order of the parameters, at a learning rate."""
        for i, group in enumerate(self._groups):
            adamw(
                group.parameters, list(gradients[i::2]), group.first, group.second, [], group.steps, fused=True,
                amsgrad=False, beta1=0.9, beta2=0.999, lr=rate, weight_decay=group.decay, eps=1e-8, maximize=False,
            )  # fmt: skip


class _Group:
    """Parameters of one weight decay, and their moments."""

    def __init__(self, parameters: list[Tensor], decay: float) -> None:
        self.parameters, self.decay = parameters, decay
        self.first, self.second = ([torch.zeros_like(p) for p in parameters] for _ in range(2))
        self.steps = [torch.zeros(()) for _ in parameters]


def _dropped(shape: tuple[int, ...], dropout: float, generator: torch.Generator) -> Tensor:
    """Factors of dropout: 0, or one over the share that is kept. A byte a value, as random bits are what takes time."""
    kept = max(1, round(256 * (1.0 - dropout)))
    values = math.prod(shape)
    words = torch.empty(-(-values // 8), dtype=torch.int64).random_(-(2**63), None, generator=generator)
    return (words.view(torch.uint8)[:values].view(shape) <= kept - 1) * (256.0 / kept)


def _batches(
    rows: Sequence[Tensor], codes: Sequence[Tensor], weights: Sequence[Tensor], steps: int,
    generators: Sequence[torch.Generator],
) -> Iterator[tuple[Tensor, Tensor, Tensor]]:  # fmt: skip
    """An epoch in random order: rows (m, b, d), classes (m, b), and their weights in a mean over the batch."""
    places = steps * -(-max(map(len, rows)) // steps)
    index = torch.zeros(len(rows), places, dtype=torch.int64)
    weight = torch.zeros(len(rows), places)
    for i, (own, generator) in enumerate(zip(rows, generators, strict=True)):
        n = len(own)
        drawn = torch.randperm(n, generator=generator)
        # A smaller set's rows are spread over the places; the rest stays at weight 0.
        at = torch.arange(n) * places // n
        index[i, at], weight[i, at] = drawn, weights[i][drawn]
        counts = torch.zeros(places).index_fill_(0, at, 1.0).view(steps, -1).sum(dim=1).clamp_(min=1.0)
        weight[i] /= counts.repeat_interleave(places // steps)
    for drawn, share in zip(index.chunk(steps, dim=1), weight.chunk(steps, dim=1), strict=True):
        x = torch.stack([own[j] for own, j in zip(rows, drawn, strict=True)])
        yield x, torch.stack([own[j] for own, j in zip(codes, drawn, strict=True)]), share
