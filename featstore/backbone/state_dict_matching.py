"""Where a network's tensors are in a file that names them in its own way.

A file is matched by names and shapes, not by a list of wrappers: what stands before the names may be anything, as long
as every tensor of the trunk is there, of its shape, and nothing stands between them that would compute something else.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import groupby

from torch import Tensor

from featstore.backbone.checkpoint_names import LEVEL, is_average, is_counter, place_of
from featstore.backbone.classifier_matching import MatchedClassifier, match_classifier
from featstore.system.reporting import printable_path

_OPTIONAL = "num_batches_tracked"
"""Files from before torch 0.4.1, and frozen BatchNorm layers, lack these counters."""
_MEASURED = (".running_mean", ".running_var")
"""What BatchNorm measures and no optimizer changes."""


@dataclass(frozen=True)
class NetworkTensors:
    """What a network holds: names and shapes.

    Attributes
    ----------
    trunk, classifier : mapping of str to Tensor
        Meta tensors by name, in the network's order: before the classifier, and in it.
    children : tuple of str
        Names of the outermost modules, in order, also of those without tensors.
    """

    trunk: Mapping[str, Tensor]
    classifier: Mapping[str, Tensor]
    children: tuple[str, ...]

    @property
    def last(self) -> str:
        """The last layer of the classifier."""
        return list(self.classifier)[-1].rpartition(".")[0]

    @property
    def needed(self) -> list[str]:
        """Names of the trunk's tensors without counters."""
        return [name for name in self.trunk if not name.endswith(_OPTIONAL)]

    @property
    def common(self) -> str:
        """The module that the whole trunk lies in, with a dot: "features."; "" where there is none."""
        first = {name.partition(".")[0] for name in self.trunk}
        return f"{first.pop()}." if len(first) == 1 else ""


@dataclass(frozen=True)
class NetworkCopy:
    """One copy of a network in a file.

    Attributes
    ----------
    prefix : str
        What stands before its names.
    trunk : dict of str to str
        The network's name -> the name in the file.
    renamed : str
        How the names differ beyond the prefix, for people; "" where they do not.
    classifier : MatchedClassifier
        What of the network's classifier is in the file.
    """

    prefix: str
    trunk: dict[str, str]
    renamed: str = ""
    classifier: MatchedClassifier = field(default_factory=MatchedClassifier)

    @property
    def place(self) -> str:
        """The mapping that it lies in."""
        return place_of(self.prefix)


def find_copies(network: NetworkTensors, given: Mapping[str, Tensor]) -> tuple[list[NetworkCopy], str]:
    """Every complete copy of a network's trunk in a file, and what is wrong with the closest where there is none.

    Parameters
    ----------
    given : mapping of str to Tensor
        By place and name, without the names' transparent wrappers.

    Returns
    -------
    copies : list of NetworkCopy
        Each set of tensors once, the ones whose names are the network's own first.
    problem : str
        For people; "" where there is a copy.
    """
    found: dict[tuple[str, ...], NetworkCopy] = {}
    closest, told = 0, ""
    parameters: list[NetworkCopy] = []
    for naming in _namings(network):
        for root, names in _rooted(naming.names, given).items():
            problem = _problem(network, naming, root, names, given)
            here = {name: key for name, key in names.items() if name in network.trunk}
            if not problem:
                exact = {name: key for name, key in names.items() if name in network.classifier}
                _keep(found, network, NetworkCopy(root, here, naming.told), exact, given)
            elif is_average(root) and _are_parameters(network, here, given):
                parameters.append(NetworkCopy(root, here, naming.told))
            fitting = sum(_alike(given[key], network.trunk[name]) for name, key in here.items())
            if problem and fitting > max(closest, len(network.needed) // 4):
                closest, told = fitting, f"behind {_shown(root)!r} {problem}" if root else problem
    if not found:
        for copy in _in_order(network, given):
            _keep(found, network, copy, {}, given)
    for average in parameters if found else ():
        whole = next(iter(found.values()))
        renamed = f"the means and variances of its BatchNorm layers are those of {whole.prefix.rstrip('.' + LEVEL)!r}"
        _keep(found, network, NetworkCopy(average.prefix, {**whole.trunk, **average.trunk}, renamed), {}, given)
    if not found and not closest:  # no tensor at all is the network's
        told = _problem(network, next(_namings(network)), _largest(given), {}, given)
    return list(found.values()), "" if found else told


@dataclass(frozen=True)
class _Naming:
    """A way of naming a network's tensors: name in the file -> the network's; the trunk's outermost modules; told."""

    names: Mapping[str, str]
    modules: frozenset[str]
    told: str


def _namings(network: NetworkTensors) -> Iterator[_Naming]:
    everything = [*network.trunk, *network.classifier]
    tops = frozenset(name.partition(".")[0] for name in network.trunk)
    yield _Naming({name: name for name in everything}, tops, "")
    number = {child: str(i) for i, child in enumerate(network.children)}

    def numbered(name: str) -> str:
        child, dot, rest = name.partition(".")
        return number[child] + dot + rest

    told = "numbers stand for the outermost modules, as in a network that nn.Sequential cut"
    yield _Naming({numbered(name): name for name in everything}, frozenset(number[top] for top in tops), told)
    if common := network.common:
        inner = {name.removeprefix(common): name for name in network.trunk}
        told = f"its names lack {common!r}"
        yield _Naming(inner, frozenset(name.partition(".")[0] for name in inner), told)


def _keep(
    found: dict[tuple[str, ...], NetworkCopy],
    network: NetworkTensors,
    copy: NetworkCopy,
    exact: Mapping[str, str],
    given: Mapping[str, Tensor],
) -> None:
    """Take a copy where these tensors are not known yet, or with more of the classifier than before."""
    classifier = match_classifier(network.classifier, copy.prefix, copy.trunk, exact, given)
    key = tuple(copy.trunk[name] for name in network.needed)
    if key not in found or classifier.completeness > found[key].classifier.completeness:
        found[key] = NetworkCopy(copy.prefix, copy.trunk, copy.renamed, classifier)


def _rooted(names: Mapping[str, str], given: Mapping[str, Tensor]) -> dict[str, dict[str, str]]:
    """What stands before known names in the file -> the network's name -> the name in the file."""
    roots: defaultdict[str, dict[str, str]] = defaultdict(dict)
    for key in given:
        starts = [0, *(i + 1 for i, letter in enumerate(key) if letter in (".", LEVEL))]
        for start in starts:
            if (name := names.get(key[start:])) is not None:
                roots[key[:start]][name] = key
    return roots


def _problem(
    network: NetworkTensors, naming: _Naming, root: str, names: Mapping[str, str], given: Mapping[str, Tensor]
) -> str:
    """What keeps the tensors under a prefix from being the trunk; "" for nothing."""
    missing = [name for name in network.needed if name not in names]
    wrong = [
        f"{_shown(names[name])} is {_shape(given[names[name]])}, not {_shape(like)}"
        for name, like in network.trunk.items()
        if name in names and not _alike(given[names[name]], like)
    ]
    taken = set(names.values())
    inside = [key for key in given if key.startswith(root) and key not in taken and not is_counter(key, given[key])]
    if not missing:
        inside = [key for key in inside if _between(key.removeprefix(root), naming.modules, given[key])]
    elif len(missing) < len(network.needed):
        inside = [key for key in inside if key.removeprefix(root).partition(".")[0] in naming.modules]
    parts = [
        _count(missing, "missing"),
        _count([_shown(key) for key in inside], "not expected"),
        _count(wrong, "of another shape"),
    ]
    return ", ".join(part for part in parts if part)


def _are_parameters(network: NetworkTensors, names: Mapping[str, str], given: Mapping[str, Tensor]) -> bool:
    """Whether all is there that is trained, and only what BatchNorm measures is missing: so averages are often kept."""
    return all(
        _alike(given[names[name]], network.trunk[name]) if name in names else name.endswith(_MEASURED)
        for name in network.needed
    )


def _between(rest: str, modules: frozenset[str], value: Tensor) -> bool:
    """Whether a tensor lies inside of the trunk, where it would change what comes out.

    Beside numbered modules, further convolutions with a higher number belong to a deeper network.
    """
    top = rest.partition(".")[0]
    if top in modules:
        return True
    if not top.isdecimal() or not all(module.isdecimal() for module in modules):
        return False
    return int(top) < max(map(int, modules)) or value.dim() == 4


def _in_order(network: NetworkTensors, given: Mapping[str, Tensor]) -> Iterator[NetworkCopy]:
    """Copies in which numbers have taken the place of names: the same shapes in the same order, and nothing else."""
    expected = _leaves(network.trunk)
    for root in _numbered_roots(given):
        keys = {key.removeprefix(root): key for key in given if key.startswith(root)}
        if not all(name.partition(".")[0].isdecimal() for name in keys):
            continue
        tops = [int(name.partition(".")[0]) for name in keys]
        if tops != sorted(tops):
            continue  # the order of the file is not that of the modules
        found = _leaves({name: given[key] for name, key in keys.items()})
        trunk, rest = found[: len(expected)], found[len(expected) :]
        if len(trunk) < len(expected) or any(value.dim() > 2 for _, leaf in rest for value in leaf.values()):
            continue
        pairs: dict[str, str] = {}
        for (module, leaf), (inner, there) in zip(expected, trunk, strict=True):
            needed = {name for name in leaf if name != _OPTIONAL}
            extra = {name for name in there if name not in leaf and not is_counter(name, there[name])}
            if extra or not all(name in there and _alike(there[name], leaf[name]) for name in needed):
                break
            pairs |= {f"{module}.{name}": keys[f"{inner}.{name}"] for name in leaf if name in there}
        else:
            yield NetworkCopy(root, pairs, "its names are numbers: matched by order and shape")


def _leaves(tensors: Mapping[str, Tensor]) -> list[tuple[str, dict[str, Tensor]]]:
    """Innermost modules in order, each with its tensors by their own names; counters alone make no module."""
    found = []
    for module, names in groupby(tensors, lambda name: name.rpartition(".")[0]):
        leaf = {name.rpartition(".")[2]: tensors[name] for name in names}
        if not all(is_counter(name, value) for name, value in leaf.items()):
            found.append((module, leaf))
    return found


def _numbered_roots(given: Mapping[str, Tensor]) -> list[str]:
    """Prefixes that a number follows: the outermost of each name, and one further where two numbers follow."""
    roots: dict[str, None] = {}
    for key in given:
        place = place_of(key)
        parts = key.removeprefix(place).split(".")
        first = next((i for i, part in enumerate(parts) if part.isdecimal()), None)
        for start in () if first is None else (first, first + 1):
            if parts[start].isdecimal():
                roots[place + "".join(f"{part}." for part in parts[:start])] = None
    return list(roots)


def _largest(given: Mapping[str, Tensor]) -> str:
    """The mapping with the most tensors."""
    places = [place_of(key) for key in given]
    return max(dict.fromkeys(places), key=places.count)


def _alike(value: Tensor, like: Tensor) -> bool:
    if not like.is_floating_point():  # a counter: whole networks are also brought to half precision with them
        return value.numel() == 1 and not value.is_complex()
    return value.shape == like.shape and value.is_floating_point() == like.is_floating_point()


def _shape(tensor: Tensor) -> str:
    kind = "" if tensor.is_floating_point() else f"{str(tensor.dtype).removeprefix('torch.')} "
    return f"{kind}{tuple(tensor.shape)}"


def _shown(key: str) -> str:
    """A name of a file as it can be printed."""
    return printable_path(key.encode("utf-8", "surrogatepass"))


def _count(names: list[str], what: str) -> str:
    if not names:
        return ""
    shown = ", ".join(names[:2]) + (", ..." if len(names) > 2 else "")
    return f"{len(names)} tensor{'s are' if len(names) > 1 else ' is'} {what} ({shown})"
