"""Names in checkpoints: what wrappers, counters and copies of a network are called by the tools that write them."""

from __future__ import annotations

import re
from collections.abc import Iterable

from torch import Tensor

LEVEL = "/"
"""Stands between the keys of mappings that lie in one another; between the modules of a network stands a dot."""

CONTAINER = "module"
"""What DataParallel and AveragedModel call the network in them."""

_TRANSPARENT = frozenset({
    CONTAINER, "_module", "_orig_mod", "_forward_module", "_fsdp_wrapped_module", "_fpw_module",
    "_checkpoint_wrapped_module",
})  # fmt: skip
"""Modules that only wrap another one, also in the middle of a network; torchvision calls none of its own so."""

_COUNTERS = frozenset({
    "num_batches_tracked", "n_averaged", "total_ops", "total_params", "__flops__", "__params__", "input_shape",
    "output_shape", "parameter_quantity", "inference_memory", "MAdd", "duration", "Flops", "Memory",
})  # fmt: skip
"""Numbers that profilers and averaging keep in a network and that change none of its outputs."""

AVERAGED = frozenset({"ema", "swa", "averaged", "average", "avg", "shadow", "polyak", "teacher"})
"""Words in the names of copies whose tensors are averages over the steps of training."""

FOLLOWING = frozenset({"k", "key", "target", "momentum", "mom", "current"})
"""Words in the names of copies that only follow another one, as the key side of a momentum encoder does."""

HEADS = frozenset({"fc", "last_linear", "classifier", "head", "linear", "logits", "out", "output"})
"""What libraries call the layer that ends in classes."""


def unwrapped(names: Iterable[str]) -> dict[str, str]:
    """Names without the modules that only wrap another one.

    Returns
    -------
    dict of str to str
        Name without -> name as it was. Where two names would become one, all stay as they are.

    Examples
    --------
    >>> unwrapped(["state_dict/module.layer1._orig_mod.0.weight"])
    {'state_dict/layer1.0.weight': 'state_dict/module.layer1._orig_mod.0.weight'}
    """
    given = list(names)
    short = {_without_wrappers(name): name for name in given}
    return short if len(short) == len(given) else {name: name for name in given}


def _without_wrappers(name: str) -> str:
    place, level, inner = name.rpartition(LEVEL)
    return place + level + ".".join(part for part in inner.split(".") if part not in _TRANSPARENT)


def place_of(name: str) -> str:
    """The mapping that a name lies in, with the mark of its level.

    Examples
    --------
    >>> place_of("model_ema/conv1.weight")
    'model_ema/'
    """
    place, level, _ = name.rpartition(LEVEL)
    return place + level


def is_counter(name: str, value: Tensor) -> bool:
    """Whether a tensor only counts: by its name, or because it is one whole number."""
    whole = value.numel() <= 1 and not value.is_floating_point() and not value.is_complex()
    return name.rpartition(".")[2].rpartition(LEVEL)[2] in _COUNTERS or whole


def words(prefix: str) -> frozenset[str]:
    """The words of a prefix, in small letters.

    Examples
    --------
    >>> sorted(words("state_dict/module.encoder_q."))
    ['dict', 'encoder', 'module', 'q', 'state']
    """
    return frozenset(re.findall(r"[a-z]+|\d+", re.sub(r"(?<=[a-z])(?=[A-Z])", " ", prefix).lower()))
