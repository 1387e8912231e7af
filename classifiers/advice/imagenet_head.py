"""ImageNetHead: what the network's own classifier says of cached features, and how much of your classes it can tell."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from classifiers.types import Fold
from featstore.backbone.backbone import Backbone
from featstore.features import FeatureSet

SHARPNESS = 1.25
"""Standard deviation of the logits before their softmax: weights differ in how sure they are, not in what they know."""


@dataclass(frozen=True, eq=False)
class ImageNetHead:
    """Answers of the head that the weights were trained with.

    Attributes
    ----------
    logits : ndarray of shape (n, 1000), float32 or None
        None where there is none to ask.
    reason : str
        Why there is none; "" where there is.
    """

    logits: NDArray[np.float32] | None
    reason: str = ""

    @classmethod
    def ask(cls, sets: Sequence[FeatureSet], rows: NDArray[np.intp], backbone: Backbone) -> ImageNetHead:
        """Put the cached features that the head takes through it.

        Parameters
        ----------
        sets : sequence of FeatureSet
            One network's nodes; `avgpool` is needed, of a VGG `fc7`.
        rows : ndarray of int
        backbone : Backbone
            That network, at whichever node.
        """
        import torch

        first = sets[0].fingerprint
        vgg = first.backbone.startswith("vgg")
        wanted = "fc7" if vgg else "avgpool"
        found = next((s for s in sets if s.fingerprint.node == wanted and s.fingerprint.pool in ("avg", "none")), None)
        if found is None:
            return cls(None, f"The ImageNet head was not asked: it needs the node {wanted}, averaged.")
        if first.weights.startswith("random"):
            return cls(None, "The ImageNet head was not asked: these weights have none that was trained.")
        if not backbone.has_imagenet_head:
            return cls(None, "The ImageNet head was not asked: these weights have none of 1000 classes.")
        network = backbone.network
        head = network.get_submodule("classifier.6" if vgg else "fc" if hasattr(network, "fc") else "classifier")
        with torch.inference_mode():
            logits = head(torch.from_numpy(np.ascontiguousarray(found.X[rows])))
        return cls(np.asarray(logits.numpy(), dtype=np.float32))

    @property
    def confidence(self) -> float | None:
        """Mean probability of the winner, in [0, 1]."""
        if self.logits is None:
            return None
        shifted = np.exp(self.logits - self.logits.max(axis=1, keepdims=True))
        return float((1.0 / shifted.sum(axis=1)).mean())

    def accuracy(self, y: NDArray[np.int64], folds: Sequence[Fold]) -> float | None:
        """How often the classes can be told from the ImageNet classes that the network sees in the images.

        Each ImageNet class votes for the classes it stood beside in the other folds: the accuracy of the LEEP predictor
        (Nguyen et al., "LEEP: A New Measure to Evaluate Transferability of Learned Representations", ICML 2020). The
        logits are brought to one spread first, so that it does not depend on how sure a network is.

        Parameters
        ----------
        y : ndarray of shape (n,), int64
        folds : sequence of (train, valid)

        Returns
        -------
        float in [0, 1], or None where there is no head.
        """
        if self.logits is None:
            return None
        seen = self.logits - self.logits.max(axis=1, keepdims=True)
        seen *= np.float32(SHARPNESS / (float(seen.std(axis=1, dtype=np.float64).mean()) or 1.0))
        np.exp(seen, out=seen)
        seen /= seen.sum(axis=1, keepdims=True)
        classes, codes = np.unique(y, return_inverse=True)
        target = np.eye(len(classes), dtype=np.float32)[codes]
        hits = judged = 0
        for train, valid in folds:
            joint = (target[train].T @ seen[train]).astype(np.float64)
            joint += 1e-3 / len(classes)  # a class that was never seen votes for nobody
            votes = seen[valid] @ (joint / joint.sum(axis=0)).T
            hits += int((votes.argmax(axis=1) == codes[valid]).sum())
            judged += len(valid)
        return hits / judged
