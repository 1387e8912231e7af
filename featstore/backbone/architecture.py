"""torchvision's networks without weights, and which state dict fits which of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import torch
from torch import Tensor, nn
from torchvision.models import get_model

from featstore.backbone.catalogue import BACKBONES
from featstore.backbone.checkpoint_names import unwrapped
from featstore.backbone.classifier_matching import MatchedClassifier
from featstore.backbone.copy_choice import MatchNotes, choose_copy, describe_match
from featstore.backbone.state_dict_matching import NetworkTensors, find_copies
from featstore.errors import WeightsError

_FLOATS = (torch.float32, torch.float16, torch.bfloat16, torch.float64)


@dataclass(frozen=True)
class NetworkHead:
    """What stands behind a network's trunk.

    Attributes
    ----------
    classes : int or None
        Width of the last linear layer; None where the network ends without it.
    removed : str
        Module path that is an identity instead of torchvision's layers; "" for the full network.
    """

    classes: int | None = 1000
    removed: str = ""


def build_network(name: str, head: NetworkHead = NetworkHead(), device: str = "meta") -> nn.Module:
    """Build a network in eval mode, without in-place operations and gradients.

    Parameters
    ----------
    device : str
        "meta" gives shapes without memory; elsewhere the parameters are drawn from torch's generator.
    """
    with torch.device(device):
        network: nn.Module = get_model(name, weights=None, num_classes=head.classes or 1)
    if head.removed:
        network.set_submodule(head.removed, nn.Identity())
    for module in network.modules():
        if getattr(module, "inplace", False):
            module.inplace = False  # type: ignore[assignment]  # an earlier node must keep its values
    return network.eval().requires_grad_(False)


def random_state_dict(name: str, seed: int) -> dict[str, Tensor]:
    """torchvision's initialisation with a seed of its own; the caller's random state is left as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        return dict(build_network(name, device="cpu").state_dict())


def match_state_dict(
    name: str, given: Mapping[str, Tensor], source: str
) -> tuple[dict[str, Tensor], NetworkHead, MatchNotes]:
    """Bring the tensors of a file into the form that the network holds.

    Every tensor of the trunk must be there under its name, whatever stands before the names, or under numbers in the
    same order. The classifier may be of any width, be called otherwise, or be missing; a network whose classifier is
    not there in torchvision's form ends before it.

    Parameters
    ----------
    given : mapping of str to Tensor
        By place and name, as `featstore.backbone.weights_file.read_state` gives them.
    source : str
        Where the tensors came from, for messages.

    Returns
    -------
    state : dict of str to Tensor
        float32, and int64 for counters; names and order are the network's.
    head : NetworkHead
        How the network ends that it fits.
    notes : MatchNotes
        What was taken, renamed and left out, for people.

    Raises
    ------
    WeightsError
        The tensors are of another architecture, with what differs and what they would fit; or of two networks.
    """
    short = unwrapped(given)
    tensors = {key: given[whole] for key, whole in short.items()}
    copies, problem = find_copies(_tensors_of(name), tensors)
    if not copies:
        if any(value.is_quantized for value in tensors.values()):
            raise WeightsError(
                f"{source} holds quantised numbers, from which no features of {name} can be computed; save its state "
                f"dict before it is quantised"
            )
        others = [other for other in BACKBONES if other != name and find_copies(_tensors_of(other), tensors)[0]]
        hint = (
            f'it fits {" and ".join(others)}: use `backbone="{others[0]}"`'
            if others
            else f"expected the state dict of torchvision's {name}"
        )
        raise WeightsError(f"{source} does not fit {name}: {problem}; {hint}")
    copy, preferred = choose_copy(copies, tensors, f"{source} holds several networks of the form of {name}")
    head = _head(name, copy.classifier)
    state: dict[str, Tensor] = {}
    names = {**copy.trunk, **copy.classifier.names}
    for key, like in build_network(name, head).state_dict().items():
        if key not in names:  # a counter of BatchNorm
            state[key] = torch.zeros(like.shape, dtype=like.dtype)
            continue
        value = tensors[names[key]]
        if problem := _unusable(value):
            raise WeightsError(f"{source} holds {problem} under {short[names[key]]!r}; expected floating-point tensors")
        if not like.is_floating_point() and not bool(torch.isfinite(value).all()):
            value = torch.zeros_like(value)  # a counter that half precision cannot hold
        state[key] = value.to(like.dtype).reshape(like.shape).contiguous()
    notes = describe_match(Path(source).name, copy, copies, preferred, tensors, short, head.removed)
    return state, head, replace(notes, uncounted=sum(key not in names for key in state))


@cache
def _tensors_of(name: str) -> NetworkTensors:
    """Names and shapes only: where a file fits nothing, every network is tried."""
    network = build_network(name)
    container = [path for path, module in network.named_modules() if isinstance(module, nn.Linear)][-1].partition(".")[
        0
    ]
    state = network.state_dict()
    return NetworkTensors(
        {key: value for key, value in state.items() if not key.startswith(f"{container}.")},
        {key: value for key, value in state.items() if key.startswith(f"{container}.")},
        tuple(child for child, _ in network.named_children()),
    )


def _head(name: str, classifier: MatchedClassifier) -> NetworkHead:
    """The ending that fits: the whole classifier at the file's width, without its last layer, without all of it."""
    if classifier.classes is not None:
        return NetworkHead(classifier.classes)
    last = _tensors_of(name).last
    return NetworkHead(None, last if classifier.names else last.partition(".")[0])


def _unusable(value: Tensor) -> str:
    """What a tensor is that no weights can be taken from; "" for one that is all right."""
    if value.layout != torch.strided:
        return f"a tensor of the layout {value.layout}"
    if value.is_meta:
        return "the shape of a tensor without its numbers"
    if value.dtype not in (*_FLOATS, torch.int64) and value.numel() != 1:
        return str(value.dtype)
    return ""
