"""The tuned network: a weights file that is a backbone of its own, and the head that goes into the bundle."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save
from torch import Tensor, nn

from classifiers.network import ImageClassifier
from featstore import fsio
from featstore.backbone import Backbone

SUFFIX = ".weights.safetensors"


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
        For people; goes into the file's metadata with the SHA-256 of its tensors.

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
    state = _with_head(old.network.state_dict(), classifier.head)
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in state.items()}
    fsio.replace(path, save(plain, metadata={**about, "format": "pt"}))
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


def _with_head(state: Mapping[str, Tensor], head: nn.Module) -> dict[str, Tensor]:
    """The state with the tuned layer as its classifier, or without a classifier."""
    containers = {name.partition(".")[0] for name in state} & {"fc", "classifier"}
    linears = [name for name in state if name.partition(".")[0] in containers and name.endswith(".weight")]
    direct = isinstance(head, nn.Linear) and len(linears) == 1 and state[linears[0]].shape[1] == head.in_features
    if direct:
        assert isinstance(head, nn.Linear)
        place = linears[0].removesuffix("weight")
        return {**state, f"{place}weight": head.weight, f"{place}bias": head.bias}
    return {name: tensor for name, tensor in state.items() if name.partition(".")[0] not in containers}


def free_of_gradients(module: nn.Module) -> nn.Module:
    """The module in eval mode, on the CPU, as `Backbone` and heads expect it."""
    with torch.no_grad():
        return module.cpu().eval().requires_grad_(False)
