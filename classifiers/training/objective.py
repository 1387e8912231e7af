"""The objective of training: cross-entropy with softened targets and class weights."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F


def class_weights(y: NDArray[np.int64], classes: int, how: str | None) -> Tensor:
    """Weight of each class: 1, or scikit-learn's "balanced", n / (k * images of the class).

    Returns
    -------
    Tensor of shape (k,), float32
    """
    if how is None:
        return torch.ones(classes)
    counts = np.bincount(y, minlength=classes).astype(np.float32)
    return torch.from_numpy(len(y) / (classes * np.maximum(counts, 1)))


def targets(y: Tensor, classes: int, smoothing: float) -> Tensor:
    """Probabilities to learn: 1 for the class, of which a share is spread evenly over all.

    Parameters
    ----------
    y : Tensor of shape (b,), int64
    smoothing : float in [0, 1)
        Szegedy et al., "Rethinking the Inception Architecture", CVPR 2016.

    Returns
    -------
    Tensor of shape (b, k), float32
    """
    return F.one_hot(y, classes).float() * (1 - smoothing) + smoothing / classes


def cross_entropy(logits: Tensor, wanted: Tensor, weights: Tensor) -> Tensor:
    """Weighted cross-entropy, summed over the batch; to be divided by the sum of `wanted * weights`.

    A sum, so that a batch may be computed in parts with the same result.

    Parameters
    ----------
    logits, wanted : Tensor of shape (b, k), float32
    weights : Tensor of shape (k,), float32
    """
    return -(wanted * weights * F.log_softmax(logits, dim=1)).sum()
