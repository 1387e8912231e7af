"""Which copy of a network in a file is meant, and what is told about it: taken, renamed, left out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from featstore.backbone.checkpoint_names import AVERAGED, FOLLOWING, LEVEL, is_counter, place_of, words
from featstore.backbone.state_dict_matching import NetworkCopy
from featstore.errors import WeightsError
from featstore.system.reporting import printable_path

_SHOWN = 4
"""Names in a note."""


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
    """

    short: str = ""
    full: str = ""


def choose_copy(copies: Sequence[NetworkCopy], given: Mapping[str, Tensor], several: str) -> tuple[NetworkCopy, str]:
    """The copy that is meant: an averaged one, else one that follows no other, else the most complete.

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
        Copies with different tensors, and nothing says which is meant.
    """
    standing = {id(copy): _standing(copy, given) for copy in copies}
    best = max(standing.values())
    first = [copy for copy in copies if standing[id(copy)] == best]
    complete = max(copy.classifier.completeness for copy in first)
    fullest = [copy for copy in first if copy.classifier.completeness == complete]
    chosen = min(fullest, key=lambda copy: len(copy.prefix))
    if other := next((copy for copy in fullest if not _equal(copy, chosen, given)), None):
        raise WeightsError(
            f"{several}, with other tensors under {_named(chosen)} and under {_named(other)}, and nothing in their "
            f"names says which is meant; save the one that you mean, with torch.save(network.state_dict(), ...)"
        )
    left = [copy for copy in copies if not _equal(copy, chosen, given)]
    if not left:
        return chosen, ""
    names = ", ".join(dict.fromkeys(_named(copy) for copy in left))
    if best > 1 and any(standing[id(copy)] < best for copy in left):
        which = "tensors of the teacher" if "teacher" in words(chosen.prefix) else "averaged tensors"
        return chosen, f"took the {which}, under {_named(chosen)}, and not those under {names}"
    if any(standing[id(copy)] < best for copy in left):
        return chosen, f"took the tensors under {_named(chosen)}, and not {names}, which only follow them"
    return chosen, f"took the tensors under {_named(chosen)}, which have more of the classifier than {names}"


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
    lost = "" if _standing(copy, given) > 1 else _averaged_elsewhere(copies, given)
    notes = [
        preferred or ("took averaged tensors, as `n_averaged` beside them says" if average else ""),
        f"the averaged tensors under {lost!r} are no copy of the network and were left" if lost else "",
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
    return MatchNotes(*(f"{source}: {'; '.join(lines)}" if lines else "" for lines in (told, full)))


def _standing(copy: NetworkCopy, given: Mapping[str, Tensor]) -> int:
    """2 for averaged tensors, 0 for ones that follow others, 1 for all others."""
    said = words(copy.prefix)
    if said & AVERAGED or f"{copy.place}n_averaged" in given or f"{copy.prefix}n_averaged" in given:
        return 2
    return 0 if said & FOLLOWING else 1


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
    """Where averaged tensors lie that make no copy of the network; an optimizer's averages of gradients are none."""
    known = {key for copy in copies for key in copy.trunk.values()}
    for key, value in given.items():
        said = words(key)
        if key not in known and value.dim() > 1 and said & (AVERAGED - {"teacher"}) and "exp" not in said:
            return key.partition(LEVEL)[0] if LEVEL in key else key.partition(".")[0]
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
