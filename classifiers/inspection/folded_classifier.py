"""FoldedClassifier: a classifier of pixels made for gradients, its batch norms folded into its convolutions."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, fx, nn

from classifiers.models.image_classifier import ImageClassifier
from featstore.backbone.trunk import Trunk, fold_batch_norms


class FoldedClassifier(nn.Module):
    """The same function as an `ImageClassifier`, within rounding; a step of gradient ascent takes about half the time.

    In eval mode a batch norm is a multiplication and an addition of constants, which the convolution before it can do:
    what is left out is two passes over every feature map on the way back. Its layers are a copy in channels-last
    layout, frozen; the classifier stays as it was.

    Parameters
    ----------
    classifier : ImageClassifier
        Its device is kept.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, classifier: ImageClassifier) -> None:
        super().__init__()
        trunk = classifier.trunk
        cut = isinstance(trunk, Trunk)
        # a trunk that is no cut is the whole network with its own head
        body = trunk.body if isinstance(trunk, Trunk) else fx.symbolic_trace(classifier.backbone.network)
        self.body: nn.Module = copy.deepcopy(fold_batch_norms(body))
        self.pool: nn.Module = copy.deepcopy(trunk.pools[0]) if isinstance(trunk, Trunk) else nn.Identity()
        self.head: nn.Module = copy.deepcopy(classifier.head)
        self.cut = cut
        self.register_buffer("mean", classifier.mean.clone(), persistent=False)
        self.register_buffer("std", classifier.std.clone(), persistent=False)
        self.to(memory_format=torch.channels_last).eval().requires_grad_(False)

    def forward(self, x: Tensor) -> Tensor:
        """(b, 3, s, s) float32 in [0, 1] -> (b, k) float32 logits."""
        x = ((x - self.mean) / self.std).contiguous(memory_format=torch.channels_last)
        value = self.body(x)[0] if self.cut else self.body(x)
        logits: Tensor = self.head(self.pool(value))
        return logits.float()
