"""Which copy of a network in a file is meant, and what is told about it: taken, renamed, left out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from featstore.backbone.checkpoint_names import (
    AVERAGED,
    LEVEL,
    follows,
    is_average,
    is_counter,
    is_own_teacher,
    is_training_state,
    keeper_of_average,
    place_of,
    words,
)
from featstore.backbone.state_dict_matching import NetworkCopy
from featstore.errors import WeightsError
from featstore.system.reporting import printable_path

_SHOWN = 4
"""Names in a note."""
_OF_GRADIENTS = frozenset({"exp", "sq", "grad", "grads", "gradient", "gradients", "moment", "moments"})


@dataclass(frozen=True)
class MatchNotes:
    """What is told about a file whose tensors were taken.

    Attributes
    ----------
    short : str
        What a reader should know: a choice that was made, names that were matched otherwise than by a prefix, what was
        left out. "" for nothing.
    full : str
        The same with prefix and places; "" where the names are the network's own and nothing is left.
    uncounted : int
        How many counters of BatchNorm the file lacks.
    """

    short: str = ""
    full: str = ""
    uncounted: int = 0


def choose_copy(copies: Sequence[NetworkCopy], given: Mapping[str, Tensor], several: str) -> tuple[NetworkCopy, str]:
    """The copy that is meant: an averaged one, else one that follows no other; of equal ones the most complete.

    Parameters
    ----------
    several : str
        Begins the error where nothing decides.

    Returns
    -------
    copy : NetworkCopy
    preferred : str
        Why it and no other, for people; "" where there is no other.

    Raises
    ------
    WeightsError
        Copies with different tensors, and nothing says which is meant; or only the numbers of an optimizer.
    """
    standing = {id(copy): _standing(copy, given) for copy in copies}
    best = max(standing.values())
    if best == _TRAINING:
        raise WeightsError(
            f"{several.replace('several networks', 'tensors')}, but only under {_named(copies[0])}, whose name speaks "
            f"of an optimizer, of gradients or the like; save the network, with torch.save(network.state_dict(), ...)"
        )
    first = [copy for copy in copies if standing[id(copy)] == best]
    complete = max(copy.classifier.completeness for copy in first)
    fullest = [copy for copy in first if copy.classifier.completeness == complete]
    chosen = min(fullest, key=lambda copy: len(copy.prefix))
    if other := next((copy for copy in first if not _equal(copy, chosen, given)), None):
        raise WeightsError(
            f"{several}, with other tensors under {_named(chosen)} and under {_named(other)}, and nothing in their "
            f"names says which is meant; save the one that you mean, with torch.save(network.state_dict(), ...)"
        )
    left = [copy for copy in copies if not _equal(copy, chosen, given)]
    names = ", ".join(dict.fromkeys(_named(copy) for copy in left))
    if keeper := keeper_of_average(chosen.prefix, given):
        where = f"and leaves the others under {names}" if left else "and leaves the others beside them"
        return chosen, (
            f"took the averaged tensors, under {_named(chosen)}: {keeper} puts them there before it saves, {where}"
        )
    if not left:
        return chosen, ""
    if best == _AVERAGED:
        which = "tensors of the teacher" if is_own_teacher(chosen.prefix, given) else "averaged tensors"
        return chosen, f"took the {which}, under {_named(chosen)}, and not those under {names}"
    reasons = []
    for level, reason in ((_FOLLOWER, "which only follow them"), (_TRAINING, "which are of training, by their name")):
        if shown := ", ".join(dict.fromkeys(_named(copy) for copy in left if standing[id(copy)] == level)):
            reasons.append(f"{shown}, {reason}")
    return chosen, f"took the tensors under {_named(chosen)}, and not {', nor '.join(reasons)}"


def describe_match(
    source: str,
    copy: NetworkCopy,
    copies: Sequence[NetworkCopy],
    preferred: str,
    given: Mapping[str, Tensor],
    whole: Mapping[str, str],
    removed: str,
) -> MatchNotes:
    """What was taken, renamed and left out.

    Parameters
    ----------
    copies : sequence of NetworkCopy
        All that the file holds, with the one that was taken.
    preferred : str
        As `choose_copy` tells it.
    given : mapping of str to Tensor
        By place and name, without transparent wrappers.
    whole : mapping of str to str
        Those names -> the names in the file.
    removed : str
        Where the network ends before its classifier; "" where it has one.
    """
    used = {*copy.trunk.values(), *copy.classifier.names.values()}
    here = [key for key in given if place_of(key) == copy.place and key not in used]
    counters = [key for key in here if is_counter(key, given[key])]
    foreign = [key for key in here if not is_counter(key, given[key])]
    average = any(key.rpartition(LEVEL)[2] == "n_averaged" for key in counters)
    lost = "" if _standing(copy, given) == _AVERAGED else _averaged_elsewhere(copies, given)
    notes = [
        preferred or ("took averaged tensors, as n_averaged beside them says" if average else ""),
        lost,
        copy.renamed,
        f"its classifier is called {copy.classifier.renamed}" if copy.classifier.renamed else "",
        "it has no classifier of torchvision's form" if removed else "",
        f"left out: {_list([whole[key] for key in foreign])}" if foreign else "",
    ]
    told = [note for note in notes if note]
    name, key = next(iter(copy.trunk.items()))
    details = [
        f"the network's names stand behind {whole[key].removesuffix(name)!r}" if whole[key].endswith(name) else "",
        *told,
        f"{_many(len(counters), 'counter')} left out" if counters else "",
        *(f"{_many(count, 'tensor')} left out, under {place!r}" for place, count in _elsewhere(copy.place, given)),
    ]
    full = [note for note in details[whole[key] == name :] if note]
    short, whole_text = (f"{source}: {'; '.join(lines)}" if lines else "" for lines in (told, full))
    return MatchNotes(short, whole_text)


_AVERAGED, _PLAIN, _FOLLOWER, _TRAINING = 3, 2, 1, 0
"""Standings of copies: the highest is taken."""


def _standing(copy: NetworkCopy, given: Mapping[str, Tensor]) -> int:
    if is_training_state(copy.prefix):
        return _TRAINING
    if keeper_of_average(copy.prefix, given):
        return _AVERAGED
    outer = copy.place.partition(f"ema_state_dict{LEVEL}")
    if outer[1] and keeper_of_average(f"{outer[0]}state_dict{LEVEL}", given) == "mmengine":
        return _FOLLOWER  # the network as it is trained: mmengine swaps the two
    if is_average(copy.prefix) or f"{copy.place}n_averaged" in given or f"{copy.prefix}n_averaged" in given:
        return _AVERAGED
    if is_own_teacher(copy.prefix, given):
        return _AVERAGED
    return _FOLLOWER if follows(copy.prefix, given) else _PLAIN


def _equal(a: NetworkCopy, b: NetworkCopy, given: Mapping[str, Tensor]) -> bool:
    """Whether two copies hold the same trunk; counters aside."""
    names = [name for name in a.trunk if not is_counter(name, given[a.trunk[name]])]
    return all(name in b.trunk and _same(given[a.trunk[name]], given[b.trunk[name]]) for name in names)


def _same(a: Tensor, b: Tensor) -> bool:
    if a is b:
        return True
    plain = all(x.layout == torch.strided and not x.is_quantized and not x.is_meta for x in (a, b))
    return plain and a.dtype == b.dtype and torch.equal(a, b)


def _averaged_elsewhere(copies: Sequence[NetworkCopy], given: Mapping[str, Tensor]) -> str:
    """What is told of averaged tensors that make no copy of the network; averages of gradients are none."""
    known = {key for copy in copies for key in copy.trunk.values()}
    for key, value in given.items():
        if key not in known and value.dim() > 1 and words(key) & AVERAGED and not words(key) & _OF_GRADIENTS:
            outer = key.partition(LEVEL)[0] if LEVEL in key else key.partition(".")[0]
            nameless = key.rpartition(LEVEL)[2].isdecimal()
            return (
                f"the averaged tensors under {outer!r} "
                f"{'have no names' if nameless else 'are no copy of the network'} and were left"
            )
    return ""


def _elsewhere(place: str, given: Mapping[str, Tensor]) -> list[tuple[str, int]]:
    """The other outermost mappings of the file, and how many tensors each holds."""
    counts: dict[str, int] = {}
    for key in given:
        if place_of(key) != place:
            outer = key.partition(LEVEL)[0]
            counts[outer] = counts.get(outer, 0) + 1
    return list(counts.items())


def _many(count: int, what: str) -> str:
    return f"{count} {what}{' was' if count == 1 else 's were'}"


def _named(copy: NetworkCopy) -> str:
    return repr(copy.prefix.rstrip(f".{LEVEL}")) if copy.prefix else "no prefix"


def _list(names: Sequence[str]) -> str:
    shown = [printable_path(name.rpartition(LEVEL)[2].encode("utf-8", "surrogatepass")) for name in names[:_SHOWN]]
    return ", ".join(shown) + (", ..." if len(names) > _SHOWN else "")
