"""A network whose cached features are planted: what tells the classes apart, and where, is known."""

from types import SimpleNamespace

import numpy as np
import torch
from torch import nn

from tests.support.feature_sets import feature_set

TELLING, NOISE = slice(0, 3), slice(3, 8)
"""Which of eight features tell the classes apart, and which say nothing."""


def features(n, signal=2.0, node="avgpool", classes=3, ids=None, seed=0):
    """Eight features of n images, of which every fourth is a test image; `signal` between classes, noise of 1."""
    y = np.arange(n) % classes
    X = np.random.default_rng(seed).normal(size=(n, 8))
    X[np.arange(n), y % 3] += signal
    splits = np.where(np.arange(n) // classes % 4 == 3, "test", "train")
    return feature_set(X, y, splits=splits, node=node, weights="IMAGENET1K_V1", ids=ids)


class Cached:
    """As much of a CachedNetwork as is asked for: nodes of one data set, and the network's own ImageNet head."""

    def __init__(self, sets, sees=TELLING):
        head = nn.Linear(8, 1000)
        with torch.no_grad():
            head.weight.zero_()
            head.bias.zero_()
            columns = head.weight[:, sees]
            columns.copy_(torch.randn(columns.shape, generator=torch.Generator().manual_seed(0)))
        network = nn.Module()
        network.fc = head
        self.features, self.sets, self.notes = sets[0], sets, ()
        self.backbone = SimpleNamespace(has_imagenet_head=True, network=network)

    def siblings(self):
        return self.sets

    def at(self, features):
        return Cached([features])
