"""Leaks: images of one source on both sides of a comparison."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from numpy.typing import NDArray

from classifiers.formatting import count, percent, printable
from classifiers.leakage.duplicate_groups import Sources
from classifiers.leakage.near_duplicates import FALSE_SHARE
from classifiers.types import Fold
from classifiers.validation.protocol import Plan
from featstore.features import FeatureSet

_EXAMPLES = 12
_GRAVE = 0.01  # share of judged images with a copy in training from which the figures are not to be trusted


@dataclasses.dataclass(frozen=True)
class Crossing:
    """Pairs of images of one source of which one trains and the other judges.

    Attributes
    ----------
    identical, near, stems : int
        Pairs of byte-identical files, of look-alikes, of names with a telling stem; each pair counts once.
    training, judged : ndarray of int
        Rows that stand in such pairs.
    examples : tuple of dict
        kind, a (trains), b (judges), cosine of the centred features; the most alike first.
    """

    identical: int
    near: int
    stems: int
    training: NDArray[np.intp]
    judged: NDArray[np.intp]
    examples: tuple[dict[str, Any], ...]

    @property
    def any(self) -> bool:
        """Whether there is any."""
        return bool(self.identical or self.near or self.stems)


@dataclasses.dataclass(frozen=True)
class Leaks:
    """What leaks, where, and what to do.

    Attributes
    ----------
    judged : Crossing
        Between images that train and images that judge.
    folds : Crossing
        Between the folds of the search within the training part; None where they are the same.
    sources : Sources
    texts : tuple of (kind, sentence)
        Warnings about the judgement where it is touched, else about the folds of the search: of kind "leak" from 1 %
        of the judged images on, of kind "split" below.
    """

    judged: Crossing
    folds: Crossing | None
    sources: Sources
    texts: tuple[tuple[str, str], ...]
    seconds: float

    def to_json(self) -> dict[str, Any]:
        """The report's `leaks`."""
        s, shown = self.sources, self.judged if self.judged.any or self.folds is None else self.folds
        effect = None if s.effect is None else dataclasses.asdict(s.effect) | {"leaks": s.effect.leaks}
        found = {} if self.folds is None else {"identical": self.folds.identical, "near": self.folds.near,
                                               "stems": self.folds.stems}  # fmt: skip
        touched = self.judged.any or (self.folds is not None and self.folds.any)
        return {
            "identical": self.judged.identical,
            "near": self.judged.near,
            "stems": self.judged.stems,
            "threshold": s.threshold,
            "images": len(shown.training),
            "tested": len(shown.judged),
            "examples": list(shown.examples),
            "groups": s.suggestion if touched else None,
            "groups_text": _how_found(s),
            "n_groups": len(np.unique(s.groups)),
            "folds": found or None,
            "effect": effect,
            "seconds": self.seconds,
        }


def find_leaks(
    features: FeatureSet, plan: Plan, sources: Sources, *, grouped: bool = False, seconds: float = 0.0
) -> Leaks:
    """See which sources the plan parts.

    Parameters
    ----------
    features : FeatureSet
    plan : Plan
    sources : Sources
        Of `features`.
    grouped : bool
        Whether the user gave groups already: then nothing is suggested.
    seconds : float
        What finding the sources took.

    Returns
    -------
    Leaks
    """
    judged = _crossing(features, sources, list(plan.outer), strict=plan.name == "given")
    rows = plan.outer[0][0]
    folds = None
    if plan.name != "cv":
        folds = _crossing(features, sources, [(rows[a], rows[b]) for a, b in plan.inner[0]], strict=False)
    kind = _kind(judged, len(plan.judged))
    texts = [(kind, text) for text in _sentences(features, plan, sources, judged, grouped, "judged")]
    if folds is not None and folds.any and not judged.any:
        kind = _kind(folds, len(rows))
        texts += [(kind, text) for text in _sentences(features, plan, sources, folds, grouped, "folds")]
    return Leaks(judged, folds, sources, tuple(texts), seconds)


def _kind(crossing: Crossing, judged: int) -> str:
    """A few doubles do not spoil a figure; they are mentioned all the same."""
    return "leak" if len(crossing.judged) >= _GRAVE * judged else "split"


def _crossing(features: FeatureSet, sources: Sources, parts: list[Fold], *, strict: bool) -> Crossing:
    identical = _across(sources.identical, parts, len(features))
    near = _across(sources.near, parts, len(features))
    if strict and not _more_than_wrong(features, sources, near, parts):
        near = near[sources.sure[near[:, 2]]]
    stems = np.empty((0, 3), dtype=np.int64)
    if sources.stems is not None:
        stems = _stem_pairs(sources.stems.groups, parts)
    pairs = np.concatenate([identical, near, stems])
    examples = [_example(features, kind, row) for kind, found in (("identical", identical), ("near", near),
                ("stem", stems)) for row in found[:_EXAMPLES].tolist()]  # fmt: skip
    return Crossing(
        identical=len(identical),
        near=len(near),
        stems=_count_stem_pairs(sources.stems.groups, parts) if sources.stems is not None else 0,
        training=np.unique(pairs[:, 0]).astype(np.intp),
        judged=np.unique(pairs[:, 1]).astype(np.intp),
        examples=tuple(examples[:_EXAMPLES] if len(identical) else examples[: 2 * _EXAMPLES]),
    )


def _example(features: FeatureSet, kind: str, pair: list[int]) -> dict[str, Any]:
    a, b = pair[:2]
    centred = features.X[[a, b]] - features.X.mean(axis=0)
    lengths = np.linalg.norm(centred, axis=1)
    cosine = float(centred[0] @ centred[1] / max(float(lengths[0] * lengths[1]), 1e-12))
    return {"kind": kind, "a": features.ids[a], "b": features.ids[b], "cosine": round(cosine, 4)}


def _across(pairs: NDArray[np.int64], parts: list[Fold], n: int) -> NDArray[np.int64]:
    """(trains, judges, number of the pair) for every pair that some part divides, each pair once."""
    found: list[NDArray[np.int64]] = []
    seen = np.zeros(len(pairs), dtype=bool)
    for train, test in parts:
        side = np.zeros(n, dtype=np.int8)
        side[train], side[test] = 1, 2
        first, second = side[pairs[:, 0]], side[pairs[:, 1]]
        for a, b, hit in ((0, 1, (first == 1) & (second == 2)), (1, 0, (first == 2) & (second == 1))):
            rows = np.flatnonzero(hit & ~seen)
            found.append(np.stack([pairs[rows, a], pairs[rows, b], rows], axis=1))
            seen[rows] = True
    together = np.concatenate(found) if found else np.empty((0, 3), dtype=np.int64)
    return np.asarray(together[np.argsort(together[:, 2], kind="stable")])


def _more_than_wrong(features: FeatureSet, sources: Sources, near: NDArray[np.int64], parts: list[Fold]) -> bool:
    """Whether more look-alikes cross a given split than wrong pairs alone would.

    A share of all look-alikes is wrong by design, and wrong pairs cross any split.
    """
    train, test = parts[0]
    k = len(features.classes)
    a, b = np.bincount(features.y[train], minlength=k), np.bincount(features.y[test], minlength=k)
    both = a + b
    crossing = float((a * b).sum()) / max(float((both * (both - 1)).sum()) / 2, 1.0)
    return len(near) > 2 * FALSE_SHARE * len(sources.near) * crossing + 2


def _stem_pairs(groups: NDArray[np.int64], parts: list[Fold]) -> NDArray[np.int64]:
    """One (trains, judges, -1) for every judged row whose stem trains."""
    found = []
    for train, test in parts:
        first = dict(zip(groups[train[::-1]].tolist(), train[::-1].tolist(), strict=True))
        rows = [(first[group], row, -1) for row, group in zip(test.tolist(), groups[test].tolist(), strict=True)
                if group in first]  # fmt: skip
        found.append(np.array(rows, dtype=np.int64).reshape(-1, 3))
    return np.concatenate(found)


def _count_stem_pairs(groups: NDArray[np.int64], parts: list[Fold]) -> int:
    size = int(groups.max()) + 1
    crossing = [int(np.bincount(groups[a], minlength=size) @ np.bincount(groups[b], minlength=size)) for a, b in parts]
    # In a cross-validation each pair is divided twice: once with either image judged.
    return sum(crossing) // (2 if len(parts) > 1 else 1)


def _sentences(
    features: FeatureSet, plan: Plan, sources: Sources, crossing: Crossing, grouped: bool, where: str
) -> list[str]:
    if not crossing.any:
        return []
    given = plan.name == "given" and where == "judged"
    sides = {
        "given": "the training and the test part",
        "holdout": "the training and the held-out part",
        "cv": "different folds",
    }[plan.name] if where == "judged" else "different folds of the search"  # fmt: skip
    act = "`drop_leaks=True` leaves such images out of training" if given else _act(sources)
    act = "" if grouped and not given else f"; {act}"
    said = []
    if crossing.identical:
        said.append(f"{count(crossing.identical, 'pair')} of byte-identical images stand in {sides} "
                    f"({_pair(crossing, 'identical')}){act}.")  # fmt: skip
    if crossing.near:
        text = (f"{count(crossing.near, 'pair')} of images look like copies of one picture and stand in {sides} "
                f"({_pair(crossing, 'near')})")  # fmt: skip
        effect = sources.effect
        if effect is not None and effect.leaks and not sources.sure.all():
            text += (
                f": a trial head is right on {percent(effect.parted)} % when copies are parted and on "
                f"{percent(effect.kept)} % when they are kept together"
            )
        said.append(f"{text}{act}.")
    if crossing.stems and sources.stems is not None:
        said.append(
            f"{count(crossing.stems, 'pair')} of images share a stem of their names, look alike and stand in {sides} "
            f"({_pair(crossing, 'stem')}){act}."
        )
    return said


def _act(sources: Sources) -> str:
    pattern = '"auto"' if sources.suggestion == "auto" else f"r'{sources.suggestion}'"
    return f"`groups={pattern}` keeps the {count(len(np.unique(sources.groups)), 'source')} together"


def _pair(crossing: Crossing, kind: str) -> str:
    example = next(e for e in crossing.examples if e["kind"] == kind)
    return f"for instance {printable(example['a'])} and {printable(example['b'])}"


def _how_found(sources: Sources) -> str:
    said = []
    if len(sources.near):
        said.append(
            f"{count(len(sources.near), 'pair')} look more alike than images of different classes ever do (at most "
            f"{percent(FALSE_SHARE, 0)} % of them wrong)."
        )
    if sources.stems is not None:
        said.append(f"Images whose paths agree in {sources.stems.pattern!r} look alike.")
    for stems in sources.rejected:
        said.append(
            f"Many paths agree in {stems.pattern!r}, but such images look no more alike than others: that part of the "
            "name was not taken for the source."
        )
    return " ".join(said)
