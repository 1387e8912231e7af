"""Heads without gradients as modules of plain operations, so that an ONNX runtime can do what they do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from featstore.errors import FeatstoreError

LARGEST = 1 << 30
"""Bytes that a head may bring into a graph; a file of ONNX ends at two gigabytes."""

Arrays = Mapping[str, NDArray[Any]]


def check_size(name: str, size: int, what: str) -> None:
    """Refuse a head that would not fit into one file.

    Parameters
    ----------
    name : str
        The head's.
    size : int
        Bytes.
    what : str
        What they are, in words.

    Raises
    ------
    FeatstoreError

    Examples
    --------
    >>> check_size("knn", 1000, "training images")
    """
    if size > LARGEST:
        raise FeatstoreError(
            f"the head {name!r} is too large for an ONNX file: its {what} take {size / 2**30:.1f} GiB, at most "
            f"{LARGEST >> 30} GiB fit; train a logistic or mlp head, which stays small"
        )


class NeighbourVotes(nn.Module):
    """The knn head: (b, d) float32 features -> (b, k) logarithms of the probabilities.

    Parameters
    ----------
    meta, arrays
        Of the head's `get_state()`.
    """

    def __init__(self, meta: Mapping[str, Any], arrays: Arrays) -> None:
        super().__init__()
        params = meta["best_params"]
        rows: NDArray[Any] = arrays["rows"].astype(np.float32)
        check_size("knn", rows.nbytes, "training images")
        self.cosine = params["metric"] == "cosine"
        if self.cosine:
            length = np.linalg.norm(rows, axis=1, keepdims=True)
            rows = rows / np.where(length > 0, length, 1)
        self.count = min(int(params["n_neighbors"]), len(rows))
        self.considered = min(self.count + 8, len(rows))  # rounding may swap the last ones, as in the head itself
        self.temperature = float(params["temperature"])
        voices = np.zeros((len(rows), len(arrays["prior"])), dtype=np.float32)
        voices[np.arange(len(rows)), arrays["labels"]] = arrays["weights"]
        for name, value in (
            ("mean", arrays["mean"]), ("gain", arrays["gain"]), ("rows", rows), ("voices", voices),
            ("halves", 0.5 * np.einsum("ij,ij->i", rows, rows)), ("prior", arrays["prior"]),
        ):  # fmt: skip
            self.register_buffer(name, torch.from_numpy(np.asarray(value, dtype=np.float32).copy()))

    def forward(self, x: Tensor) -> Tensor:
        """(b, d) float32 -> (b, k)."""
        rows, query = self.get_buffer("rows"), (x - self.get_buffer("mean")) * self.get_buffer("gain")
        if self.cosine:
            query = query / query.square().sum(dim=1, keepdim=True).sqrt().clamp(min=1e-30)
        products = query @ rows.T if self.cosine else query @ rows.T - self.get_buffer("halves")
        index = products.topk(self.considered, dim=1).indices
        there = rows[index]  # (b, considered, d)
        if self.cosine:
            alike = (query[:, None, :] * there).sum(dim=2)
        else:
            alike = 1 - (there - query[:, None, :]).square().sum(dim=2) / (2 * rows.shape[1])
        near = alike.topk(self.count, dim=1)
        weight = torch.exp((near.values - near.values[:, :1]) / self.temperature)
        voices = self.get_buffer("voices")[index.gather(1, near.indices)]  # (b, count, k)
        votes = (weight[:, :, None] * voices).sum(dim=1) + self.get_buffer("prior")
        return (votes / votes.sum(dim=1, keepdim=True)).clamp(min=1e-30).log()


class PairVotes(nn.Module):
    """The svm-rbf head: (b, d) float32 features -> (b, k) logits.

    Parameters
    ----------
    meta, arrays
        Of the head's `get_state()`.
    """

    def __init__(self, meta: Mapping[str, Any], arrays: Arrays) -> None:
        super().__init__()
        starts, dual = arrays["starts"], arrays["dual"]
        k, m = len(starts) - 1, dual.shape[1]
        pairs = [(i, j) for i in range(k) for j in range(i + 1, k)]
        check_size("svm-rbf", 8 * m * len(pairs), f"coefficients of {len(pairs):,} pairs of classes")
        said = np.zeros((m, len(pairs)))
        first, second = np.zeros((len(pairs), k)), np.zeros((len(pairs), k))
        for p, (i, j) in enumerate(pairs):
            own, other = slice(starts[i], starts[i + 1]), slice(starts[j], starts[j + 1])
            said[own, p], said[other, p] = dual[j - 1, own], dual[i, other]
            first[p, i], second[p, j] = 1.0, 1.0
        self.gamma, self.temperature = float(meta["state"]["gamma"]), float(meta["state"]["temperature"])
        rows = arrays["rows"].astype(np.float64)
        for name, value in (
            ("mean", arrays["mean"]), ("gain", arrays["gain"]), ("rows", rows), ("said", said), ("first", first),
            ("second", second), ("intercept", arrays["intercept"]), ("squares", np.einsum("ij,ij->i", rows, rows)),
        ):  # fmt: skip
            self.register_buffer(name, torch.from_numpy(np.array(value, dtype=np.float64)))

    def _apply(self, fn: Any, recurse: bool = True) -> PairVotes:
        """Stay in float64, as libsvm computes: a margin near 0 decides a vote."""
        return self

    def forward(self, x: Tensor) -> Tensor:
        """(b, d) float32 -> (b, k)."""
        rows, first, second = (self.get_buffer(name) for name in ("rows", "first", "second"))
        query = (x.double() - self.get_buffer("mean")) * self.get_buffer("gain")
        squares = query.square().sum(dim=1, keepdim=True) + self.get_buffer("squares") - 2 * (query @ rows.T)
        margins = torch.exp(-self.gamma * squares.clamp(min=0)) @ self.get_buffer("said") + self.get_buffer("intercept")
        won = (margins > 0).double()
        votes = won @ first + (1 - won) @ second
        total = margins @ (first - second)
        return (votes + total / (3 * (total.abs() + 1))) / self.temperature
