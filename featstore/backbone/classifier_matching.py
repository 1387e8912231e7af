"""How much of a network's classifier is in a file, whatever its layers are called there."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import Tensor

from featstore.backbone.checkpoint_names import HEADS, LEVEL, is_counter, place_of


@dataclass(frozen=True)
class MatchedClassifier:
    """What of a classifier was found.

    Attributes
    ----------
    names : dict of str to str
        The network's name -> the name in the file; without the last layer's where that is not there.
    classes : int or None
        Width of the last layer; None where the file lacks it.
    renamed : str
        The last layer's name in the file where it is another than torchvision's; "" else.
    """

    names: dict[str, str] = field(default_factory=dict)
    classes: int | None = None
    renamed: str = ""

    @property
    def completeness(self) -> tuple[bool, int]:
        """Greater for a classifier of which more was found."""
        return self.classes is not None, len(self.names)


def match_classifier(
    expected: Mapping[str, Tensor],
    prefix: str,
    trunk: Mapping[str, str],
    exact: Mapping[str, str],
    given: Mapping[str, Tensor],
) -> MatchedClassifier:
    """Find a network's classifier beside its trunk.

    Parameters
    ----------
    expected : mapping of str to Tensor
        The classifier's tensors by the network's names, in order: weights and biases of linear layers.
    prefix : str
        What stands before the trunk's names.
    trunk, exact : mapping of str to str
        The network's name -> the name in the file: the trunk's tensors, and those of the classifier whose names are
        the network's own.
    """
    last = list(expected)[-1].rpartition(".")[0]
    container = last.partition(".")[0]
    if not exact:  # beside the trunk, where only the trunk was wrapped
        outer = prefix.removesuffix("features.")
        exact = {name: f"{outer}{name}" for name in expected if f"{outer}{name}" in given}
    if exact:
        name, key = next(iter(exact.items()))
        there = key.removesuffix(name.removeprefix(container))
        inner = {key.removeprefix(f"{there}."): key for key in given if key.startswith(f"{there}.")}
        more = [n for n, key in inner.items() if key not in exact.values() and not is_counter(key, given[key])]
        fitting = {n: k for n, k in exact.items() if _fits(given[k], expected[n], n.startswith(f"{last}."))}
        if len(fitting) == len(expected) and not more and (classes := _classes(fitting, last, given)):
            return MatchedClassifier(fitting, classes)
        before = {n: k for n, k in fitting.items() if not n.startswith(f"{last}.")}
        behind = f"{last.removeprefix(container).removeprefix('.')}."
        if before and len(before) == len(expected) - 2 and all(n.startswith(behind) for n in more):
            return MatchedClassifier(before)
    return _renamed(expected, last, prefix, set(trunk.values()), given) or MatchedClassifier()


def _fits(value: Tensor, like: Tensor, any_width: bool) -> bool:
    if not value.is_floating_point() or value.dim() != like.dim() or not value.numel():
        return False
    return value.shape[1:] == like.shape[1:] if any_width else value.shape == like.shape


def _classes(names: Mapping[str, str], last: str, given: Mapping[str, Tensor]) -> int | None:
    weight, bias = given[names[f"{last}.weight"]], given[names[f"{last}.bias"]]
    return int(weight.shape[0]) if weight.shape[:1] == bias.shape else None


def _renamed(
    expected: Mapping[str, Tensor], last: str, prefix: str, taken: set[str], given: Mapping[str, Tensor]
) -> MatchedClassifier | None:
    """Linear layers of the same widths under another library's names; only where one choice is possible."""
    place = place_of(prefix)
    layers = [
        key.removesuffix(".weight")
        for key, value in given.items()
        if key.startswith(place) and key.endswith(".weight") and key not in taken and value.dim() == 2
        and f"{key.removesuffix('weight')}bias" in given and _is_beside(key.removesuffix(".weight"), prefix)
    ]  # fmt: skip
    names: dict[str, str] = {}
    for module in dict.fromkeys(name.rpartition(".")[0] for name in expected):
        fitting = [layer for layer in layers if _layer_fits(layer, module, module == last, expected, given)]
        if module == last:
            fitting = [layer for layer in fitting if _is_named_as_head(layer, given)]
        if len(fitting) != 1:
            return None
        layers.remove(fitting[0])
        names |= {f"{module}.{part}": f"{fitting[0]}.{part}" for part in ("weight", "bias")}
    classes = _classes(names, last, given)
    shown = names[f"{last}.weight"].removesuffix(".weight").rpartition(LEVEL)[2]
    return MatchedClassifier(names, classes, shown) if classes else None


def _is_beside(layer: str, prefix: str) -> bool:
    """Whether a layer lies in the copy itself, or where the copy lies; and not in another network, as of a critic."""
    outer = re.split(f"([.{LEVEL}])", prefix)
    parts = re.split(f"([.{LEVEL}])", layer)
    same = next((i for i, (a, b) in enumerate(zip(outer, parts, strict=False)) if a != b), 0)
    return all(part in HEADS or part == "cls_head" or part.isdecimal() for part in parts[same:-1:2])


def _layer_fits(
    layer: str, module: str, any_width: bool, expected: Mapping[str, Tensor], given: Mapping[str, Tensor]
) -> bool:
    return all(_fits(given[f"{layer}.{p}"], expected[f"{module}.{p}"], any_width) for p in ("weight", "bias"))


def _is_named_as_head(layer: str, given: Mapping[str, Tensor]) -> bool:
    """Whether a layer bears the name of a head: `last_linear`, `head.fc`; or is the only one in it: `classifier.1`."""
    outer, _, own = layer.rpartition(".")
    if not own.isdecimal():
        return own.rpartition(LEVEL)[2] in HEADS
    alone = all(key.startswith(f"{layer}.") for key in given if key.startswith(f"{outer}."))
    return alone and outer.rpartition(LEVEL)[2].rpartition(".")[2] in HEADS
