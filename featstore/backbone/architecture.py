"""torchvision's networks without weights, and which state dict fits which of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torchvision.models import get_model

from featstore.backbone.catalogue import BACKBONES
from featstore.errors import WeightsError


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


def build_network(name: str, head: NetworkHead = NetworkHead(), device: str = "meta") -> nn.Module:  # noqa: B008
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


def match_state_dict(name: str, given: Mapping[str, Tensor], source: str) -> tuple[dict[str, Tensor], NetworkHead, str]:
    """Bring a state dict into the form that the network holds.

    The last layer may be of any width. A file whose classifier is missing, or is not torchvision's, fits as well; that
    network ends before it.

    Parameters
    ----------
    source : str
        Where the tensors came from, for messages.

    Returns
    -------
    state : dict of str to Tensor
        float32, and int64 for counters; names and order are the network's.
    head : NetworkHead
        How the network ends that it fits.
    note : str
        What was left out, for people; "" for nothing.

    Raises
    ------
    WeightsError
        The tensors are of another architecture; the message says which differ and what they would fit.
    """
    tried = []
    for head in _heads(name, given):
        state, problem = _match(build_network(name, head), given, head.removed)
        if state is not None:
            foreign = [key for key in given if key not in state]
            note = f"{source} has no classifier of torchvision's form" if head.removed else ""
            if foreign:
                note += f"; left out: {', '.join(foreign[:4])}{', ...' if len(foreign) > 4 else ''}"
            return state, head, note
        tried.append(problem)
    others = [other for other in BACKBONES if other != name and _fits(other, given)]
    hint = (
        f'it fits {" and ".join(others)}: use `backbone="{others[0]}"`'
        if others
        else f"expected the state dict of torchvision's {name}"
    )
    raise WeightsError(f"{source} does not fit {name}: {tried[0]}; {hint}")


def _fits(name: str, given: Mapping[str, Tensor]) -> bool:
    return any(_match(build_network(name, head), given, head.removed)[0] is not None for head in _heads(name, given))


def _last_linear(network: nn.Module) -> str:
    paths = [path for path, module in network.named_modules() if isinstance(module, nn.Linear)]
    return str(paths[-1])


def _heads(name: str, given: Mapping[str, Tensor]) -> list[NetworkHead]:
    """The endings to try: the whole classifier at the file's width, without its last layer, without all of it."""
    last = _last_linear(build_network(name))
    weight = given.get(f"{last}.weight")
    width = weight.shape[0] if weight is not None and weight.dim() == 2 and weight.shape[0] else 1000
    container = last.partition(".")[0]
    return [NetworkHead(width), NetworkHead(None, last), *([NetworkHead(None, container)] if container != last else [])]


def _match(network: nn.Module, given: Mapping[str, Tensor], removed: str) -> tuple[dict[str, Tensor] | None, str]:
    """The state in the network's form, or None and what differs."""
    state: dict[str, Tensor] = {}
    missing, shapes = [], []
    expected = network.state_dict()
    for key, like in expected.items():
        value = given.get(key)
        if value is None and key.endswith(".num_batches_tracked"):
            value = torch.zeros(like.shape, dtype=like.dtype)  # files from before torch 0.4.1 lack these counters
        if value is None:
            missing.append(key)
        elif value.shape != like.shape or value.is_floating_point() != like.is_floating_point():
            shapes.append(f"{key} is {_shape(value)}, not {_shape(like)}")
        else:
            state[key] = value.to(like.dtype).contiguous()
    foreign = [key for key in given if key not in expected and not (removed and key.startswith(f"{removed}."))]
    if not (missing or shapes or foreign):
        return state, ""
    parts = [_count(missing, "missing"), _count(foreign, "not expected"), _count(shapes, "of another shape")]
    return None, ", ".join(part for part in parts if part)


def _shape(tensor: Tensor) -> str:
    kind = "" if tensor.is_floating_point() else f"{str(tensor.dtype).removeprefix('torch.')} "
    return f"{kind}{tuple(tensor.shape)}"


def _count(names: list[str], what: str) -> str:
    if not names:
        return ""
    shown = ", ".join(names[:2]) + (", ..." if len(names) > 2 else "")
    return f"{len(names)} tensor{'s are' if len(names) > 1 else ' is'} {what} ({shown})"
