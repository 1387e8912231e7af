"""Names in checkpoints: what wrappers, counters and copies of a network are called by the tools that write them."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable

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

AVERAGED = frozenset({"ema", "swa", "averaged", "polyak", "shadow"})
"""Words that only copies bear whose tensors are averages over the steps of training."""

_TRAINING = frozenset({
    "optimizer", "optimizers", "optimiser", "optim", "opt", "scheduler", "schedulers", "grad", "grads", "gradient",
    "gradients", "moment", "moments", "fisher", "hessian", "masks", "buffer", "buffers", "sq",
})  # fmt: skip
"""Words in the names of numbers that are kept beside each tensor of a network and are not the network."""
_TRAINING_NAMES = frozenset({"exp_avg", "max_exp_avg", "adam", "adamw", "sgd", "velocity", "mask"})
"""Whole names of such numbers, whose words networks may bear too."""

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
    parted = re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=EMA)(?=[A-Za-z])", " ", prefix)
    return frozenset(re.findall(r"[a-z]+|\d+", parted.lower()))


def is_training_state(prefix: str) -> bool:
    """Whether a prefix speaks of an optimizer, of gradients or of other numbers beside a network's tensors.

    Examples
    --------
    >>> is_training_state("optimizer/exp_avg/"), is_training_state("model/")
    (True, False)
    """
    parts = re.split(rf"[.{LEVEL}]", prefix)
    return any(
        part.lower() in _TRAINING_NAMES or (words(part) & _TRAINING and "cam" not in words(part)) for part in parts
    )


def is_average(prefix: str) -> bool:
    """Whether a prefix says that the tensors behind it are averages of a network's.

    Examples
    --------
    >>> is_average("model_ema/"), is_average("avg_model."), is_average("avg/")
    (True, True, False)
    """
    if is_training_state(prefix):
        return False
    parts = [words(part) for part in re.split(rf"[.{LEVEL}]", prefix)]
    return any(part & AVERAGED or (part & {"avg", "average"} and part & {"model", "net", "network"}) for part in parts)


def follows(prefix: str, names: Collection[str]) -> bool:
    """Whether a copy only follows another one that is there, as the key side of a momentum encoder does.

    Parameters
    ----------
    names : collection of str
        All names in the file.

    Examples
    --------
    >>> follows("encoder_k.", ["encoder_q.a"]), follows("encoder_k.", ["encoder.a"])
    (True, False)
    """
    for find, others in _FOLLOWERS:
        leaders = {re.sub(find, other, prefix, count=1) for other in others if re.search(find, prefix)}
        if any(name.startswith(tuple(leaders - {prefix, ""})) for name in names if leaders - {prefix, ""}):
            return True
    if found := re.match(rf"(.*?)(?<![a-z])(?:encoder_k|target_net|momentum_encoder)(?=[.{LEVEL}])", prefix):
        return f"{found[0]}.steps" in names or (found[0].endswith("_k") and f"{found[1]}queue" in names)
    return False


_FOLLOWERS = (
    (r"(?<![a-z])momentum_", ("", "base_", "online_")),
    (r"_momentum(?![a-z])", ("",)),
    (r"(?<![a-z])target(?![a-z])", ("online",)),
    (r"(?<=encoder)_k(?![a-z])", ("_q",)),
    (r"(?<![a-z])k_(?=encoder)", ("q_",)),
    (r"(?<![a-z])key(?=_encoder)|(?<=encoder_)key(?![a-z])", ("query",)),
)
"""What a copy that follows is called, and what stands in its place in the name of the one that it follows."""


def is_own_teacher(prefix: str, names: Collection[str]) -> bool:
    """Whether a copy is the teacher of a self-distillation as of DINO, an average of the student that is there too.

    The teacher of a plain distillation is another network: there the projection head is missing that DINO trains.

    Examples
    --------
    >>> is_own_teacher("teacher/", ["teacher/a", "student/a", "teacher/head.mlp.0.weight"])
    True
    >>> is_own_teacher("teacher/", ["teacher/a", "student/a"])
    False
    """
    found = re.search(r"(?<![a-z])teacher(?![a-z])", prefix)
    if not found:
        return False
    before, rest = prefix[: found.start()], prefix[found.end() :]
    if not any(name.startswith(f"{before}student{rest[:1]}") for name in names):
        return False
    head = re.compile(rf"{re.escape(before)}teacher.*[.{LEVEL}](\w+_)?head\.(mlp|last_layer)\.")
    return rest.startswith("_backbone") or any(head.match(name) for name in names)


def keeper_of_average(prefix: str, names: Collection[str]) -> str:
    """The tool that put the averaged tensors in the place of the network's own before it saved a file; "" for none.

    Examples
    --------
    >>> keeper_of_average("state_dict/backbone.", ["ema_state_dict/steps", "state_dict/backbone.a"])
    'mmengine'
    >>> keeper_of_average("state_dict/", ["state_dict/a.weight", "state_dict/ema_a_weight"])
    'mmcv'
    """
    place = place_of(prefix)
    outer = place.removesuffix(f"state_dict{LEVEL}")
    if outer != place and not outer.endswith("_"):
        if f"{outer}ema_state_dict{LEVEL}steps" in names:
            return "mmengine"
        if any(name.startswith(f"{outer}current_model_state{LEVEL}") for name in names):
            return "Lightning"
    own = [name for name in names if name.startswith(prefix) and name.endswith(".weight") and place_of(name) == place]
    kept = [name for name in own if f"{place}ema_{name.removeprefix(place).replace('.', '_')}" in names]
    return "mmcv" if own and len(kept) * 2 > len(own) else ""
