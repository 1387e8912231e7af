"""TunedNetwork: a fine-tuned network as a backbone of its own, and the head that goes with it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from safetensors.torch import save
from torch import Tensor, nn

from classifiers.advice.cached_network import SUFFIX, CachedNetwork
from classifiers.models.bundle import save_bundle
from classifiers.models.image_classifier import ImageClassifier
from classifiers.models.trained_head import full_proba
from classifiers.training.training_state import TrainingState
from classifiers.training.unfreezing import HEAD
from classifiers.transfer.fine_tune_plan import FineTunePlan
from featstore.backbone.backbone import Backbone
from featstore.backbone.weights_file import TUNED_MARK
from featstore.system import fsio
from featstore.system.canonical_json import canonical_json


@dataclass(frozen=True, eq=False)
class TunedNetwork:
    """What a fine-tune made.

    Attributes
    ----------
    network : CachedNetwork
        The tuned network and its features; the original where nothing but the head was trained.
    head : classifier
        Fitted, for these features.
    name : str
        Of the head.
    weights_file : Path or None
        None where the network is the original.
    """

    network: CachedNetwork
    head: Any
    name: str
    weights_file: Path | None

    @classmethod
    def of(
        cls,
        plan: FineTunePlan,
        classifier: ImageClassifier,
        state: TrainingState,
        *,
        cached: Any,
        first: Any,
        bundle: Path,
    ) -> Self:
        """The network on disk and in the store; or what there was, where no epoch was better than that.

        Parameters
        ----------
        plan : FineTunePlan
        classifier : ImageClassifier
            With the weights of the best epoch. It is of no use for training afterwards.
        state : TrainingState
            Of the training that ended.
        cached, first : classifier
            The head on the frozen features, fitted to the training part; and the one that the fine-tune began with.
        bundle : Path
            The weights are written beside it.
        """
        network, name = plan.network, plan.cached_head.name
        if state.best == 0:
            return cls(network, cached, name, None)
        classifier.cpu().eval().requires_grad_(False)
        layer = classifier.head
        assert isinstance(layer, nn.Linear)
        head = with_layer(first, layer, {"method": "fine-tuned", **state.history[state.best]})
        if plan.settings.reopen == HEAD and not plan.settings.from_scratch:
            return cls(network, head, name, None)
        file = weights_path(bundle)
        about = {"from": network.features.fingerprint.weights, "dataset": network.dataset, "epoch": str(state.best)}
        return cls(network.tuned(save_network(classifier, file, about)), head, name, file)

    def right(self, rows: NDArray[np.intp]) -> NDArray[np.bool_]:
        """Whether each of some rows is classified rightly, ndarray of shape (n,), bool."""
        features = self.network.features
        proba = full_proba(self.head, features.X[rows], len(features.classes))
        return np.asarray(proba.argmax(axis=1) == features.y[rows])

    def save(self, path: Path, summary: Mapping[str, Any]) -> None:
        """Write the bundle; the weights lie beside it already."""
        features = self.network.features
        save_bundle(
            path,
            self.head,
            features.fingerprint,
            self.network.backbone.recipe(),
            features.classes,
            name=self.name,
            summary=summary,
            trained_on=features.digests[features.training()],
            overwrite=True,
        )


def weights_path(bundle: str | os.PathLike[str]) -> Path:
    """Where the weights of a bundle's tuned network lie: beside it."""
    bundle = Path(bundle)
    return bundle.with_name(bundle.stem + SUFFIX)


def save_network(classifier: ImageClassifier, path: Path, about: Mapping[str, str]) -> Backbone:
    """Write the tuned network's weights, and build the backbone that they make.

    Where the head is one linear layer on the network's last pooled features, as torchvision's own is, it is written in
    the place of torchvision's, so that the file is a state dict of `torchvision.models.<name>(num_classes=k)`;
    otherwise the file ends before the classifier.

    Parameters
    ----------
    about : mapping of str to str
        For people; goes into the file's metadata.

    Returns
    -------
    Backbone
        Built from the file, with the nodes, pooling and transform of the original.

    Raises
    ------
    StoreWriteError
        The disk refuses.
    """
    old = classifier.backbone
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in _with_head(classifier).items()}
    # One entry: the library writes several in an order that changes from run to run.
    fsio.replace(path, save(plain, metadata={TUNED_MARK: canonical_json(dict(about)).decode("ascii")}))
    return Backbone(old.name, path, nodes=old.nodes, pool=old.pool, transform=old.transform)


def with_layer(head: Any, layer: nn.Linear, certificate: Mapping[str, Any]) -> Any:
    """A linear head of the same kind with the weights of a trained layer.

    Parameters
    ----------
    head : SoftmaxRegressionCV or LinearSVMCV
        Fitted.
    layer : nn.Linear
        (n, d) -> (n, k), of which the softmax is the answer.
    certificate : mapping
        How the layer came to be, in the place of the fit's own certificate.
    """
    weight = layer.weight.detach().cpu().double().numpy()
    bias = layer.bias.detach().cpu().double().numpy()
    if len(weight) == 2:  # linear heads have one row for two classes
        weight, bias = weight[1:] - weight[:1], bias[1:] - bias[:1]
    meta, _ = head.get_state()
    meta = {**meta, "slope": 1.0, "certificate": dict(certificate), "converged": True}
    return type(head).from_state(meta, {"coef": np.ascontiguousarray(weight), "intercept": bias})


def _with_head(classifier: ImageClassifier) -> dict[str, Tensor]:
    """The network's state with the tuned layer as its classifier, or without what the features do not need."""
    state, head = classifier.backbone.network.state_dict(), classifier.head
    ends = {name.partition(".")[0] for name in state} & {"fc", "classifier"}
    linears = [n for n in state if n.partition(".")[0] in ends and n.endswith(".weight")]
    last = linears[-1].removesuffix("weight")
    if isinstance(head, nn.Linear) and len(linears) == 1 and state[linears[0]].shape[1] == head.in_features:
        return {**state, f"{last}weight": head.weight, f"{last}bias": head.bias}
    used = {name.removeprefix("body.").partition(".")[0] for name in classifier.trunk.state_dict()}
    dropped = (last,) if ends & used else tuple(f"{end}." for end in ends)
    return {name: tensor for name, tensor in state.items() if not name.startswith(dropped)}
