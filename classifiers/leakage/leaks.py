"""Leaks: images of one source on both sides of a comparison."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from numpy.typing import NDArray

from classifiers.formatting import count, percent, printable
from classifiers.leakage.duplicate_groups import DuplicateGroups
from classifiers.leakage.near_duplicates import FALSE_SHARE
from classifiers.types import Fold
from classifiers.validation.protocol import EvaluationProtocol
from featstore.features import FeatureSet

_EXAMPLES = 12
_GRAVE = 0.01  # share of judged images with a copy in training from which the figures are not to be trusted


@dataclasses.dataclass(frozen=True)
class Crossing:
    """Pairs of images of one source of which one trains and the other judges.

    Attributes
    ----------
    identical, near, by_filename : int
        Pairs of byte-identical files, of near-duplicates, of files in one group by name; each pair counts once.
    training, judged : ndarray of int
        Rows that stand in such pairs.
    examples : tuple of dict
        kind, a (trains), b (judges), cosine of the centred features; the most alike first.
    """

    identical: int
    near: int
    by_filename: int
    training: NDArray[np.intp]
    judged: NDArray[np.intp]
    examples: tuple[dict[str, Any], ...]

    @property
    def any(self) -> bool:
        """Whether there is any."""
        return bool(self.identical or self.near or self.by_filename)


@dataclasses.dataclass(frozen=True)
class Leaks:
    """What leaks, where, and what to do.

    Attributes
    ----------
    judged : Crossing
        Between images that train and images that judge.
    folds : Crossing
        Between the folds of the search within the training part; None where they are the same.
    duplicates : DuplicateGroups
    texts : tuple of (kind, sentence)
        Warnings about the judgement where it is touched, else about the folds of the search: of kind "leak" from 1 %
        of the judged images on, of kind "split" below.

    Examples
    --------
    >>> none = np.empty((0, 2), np.int64)
    >>> apart = DuplicateGroups(none, none, none[:, 0] > 0, 1.0, None, (), effect=None, groups=np.arange(9))
    >>> nothing = Crossing(identical=0, near=0, by_filename=0, training=none[:, 0], judged=none[:, 0], examples=())
    >>> Leaks(nothing, None, apart, texts=(), seconds=0.1).to_json()["n_groups"]
    9
    """

    judged: Crossing
    folds: Crossing | None
    duplicates: DuplicateGroups
    texts: tuple[tuple[str, str], ...]
    seconds: float

    def to_json(self) -> dict[str, Any]:
        """The report's `leaks`."""
        s, shown = self.duplicates, self.judged if self.judged.any or self.folds is None else self.folds
        effect = None if s.effect is None else dataclasses.asdict(s.effect) | {"leaks": s.effect.leaks}
        found = {} if self.folds is None else {"identical": self.folds.identical, "near": self.folds.near,
                                               "stems": self.folds.by_filename}  # fmt: skip
        touched = self.judged.any or (self.folds is not None and self.folds.any)
        return {
            "identical": self.judged.identical,
            "near": self.judged.near,
            "stems": self.judged.by_filename,
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
    features: FeatureSet,
    protocol: EvaluationProtocol,
    duplicates: DuplicateGroups,
    *,
    grouped: bool = False,
    seconds: float = 0.0,
) -> Leaks:
    """See which groups of duplicates the protocol parts.

    Parameters
    ----------
    features : FeatureSet
    protocol : EvaluationProtocol
    duplicates : DuplicateGroups
        Of `features`.
    grouped : bool
        Whether the user gave groups already: then nothing is suggested.
    seconds : float
        What finding the duplicates took.

    Returns
    -------
    Leaks

    Examples
    --------
    >>> from classifiers.leakage.duplicate_groups import find_duplicate_groups
    >>> from classifiers.validation.protocol import make_protocol
    >>> from featstore.fingerprint import Fingerprint
    >>> made = Fingerprint("resnet50", "0" * 64, "avgpool", "none", {}, {}, "fp32", "IMAGENET1K_V2")
    >>> rng, names = np.random.default_rng(0), tuple(f"{i}.jpg" for i in range(40))
    >>> pets = FeatureSet(
    ...     X=rng.normal(size=(40, 8)).astype(np.float32), y=np.arange(40) % 2, ids=names, classes=("cat", "dog"),
    ...     splits=np.full(40, ""), digests=rng.integers(0, 256, (20, 32), np.uint8).repeat(2, axis=0),
    ...     fingerprint=made, dataset="pets", root=b"/pets", paths=tuple(map(str.encode, names)),
    ... )
    >>> leaks = find_leaks(pets, make_protocol(pets), find_duplicate_groups(pets))
    >>> leaks.judged.identical > 0, leaks.texts[0][0]
    (True, 'leak')
    """
    judged = _crossing(features, duplicates, list(protocol.outer), strict=protocol.name == "given")
    rows = protocol.outer[0][0]
    folds = None
    if protocol.name != "cv":
        folds = _crossing(features, duplicates, [(rows[a], rows[b]) for a, b in protocol.inner[0]], strict=False)
    kind = _kind(judged, len(protocol.judged))
    texts = [(kind, text) for text in _sentences(features, protocol, duplicates, judged, grouped, "judged")]
    if folds is not None and folds.any and not judged.any:
        kind = _kind(folds, len(rows))
        texts += [(kind, text) for text in _sentences(features, protocol, duplicates, folds, grouped, "folds")]
    return Leaks(judged, folds, duplicates, tuple(texts), seconds)


def _kind(crossing: Crossing, judged: int) -> str:
    """A few doubles do not spoil a figure; they are mentioned all the same."""
    return "leak" if len(crossing.judged) >= _GRAVE * judged else "split"


def _crossing(features: FeatureSet, duplicates: DuplicateGroups, parts: list[Fold], *, strict: bool) -> Crossing:
    identical = _across(duplicates.identical, parts, len(features))
    near = _across(duplicates.near, parts, len(features))
    if strict and not _more_than_wrong(features, duplicates, near, parts):
        near = near[duplicates.sure[near[:, 2]]]
    by_filename, n_by_filename = np.empty((0, 3), dtype=np.int64), 0
    if duplicates.by_filename is not None:
        by_filename = _filename_pairs(duplicates.by_filename.groups, parts)
        n_by_filename = _count_filename_pairs(duplicates.by_filename.groups, parts)
    pairs = np.concatenate([identical, near, by_filename])
    examples = [_example(features, kind, row) for kind, found in (("identical", identical), ("near", near),
                ("stem", by_filename)) for row in found[:_EXAMPLES].tolist()]  # fmt: skip
    return Crossing(
        identical=len(identical),
        near=len(near),
        by_filename=n_by_filename,
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


def _more_than_wrong(
    features: FeatureSet, duplicates: DuplicateGroups, near: NDArray[np.int64], parts: list[Fold]
) -> bool:
    """Whether more near-duplicates cross a given split than wrong pairs alone would.

    A share of all near-duplicates is wrong by design, and wrong pairs cross any split.
    """
    train, test = parts[0]
    k = len(features.classes)
    a, b = np.bincount(features.y[train], minlength=k), np.bincount(features.y[test], minlength=k)
    both = a + b
    crossing = float((a * b).sum()) / max(float((both * (both - 1)).sum()) / 2, 1.0)
    return len(near) > 2 * FALSE_SHARE * len(duplicates.near) * crossing + 2


def _filename_pairs(groups: NDArray[np.int64], parts: list[Fold]) -> NDArray[np.int64]:
    """One (trains, judges, -1) for every judged row whose group by file name trains."""
    found = []
    for train, test in parts:
        first = dict(zip(groups[train[::-1]].tolist(), train[::-1].tolist(), strict=True))
        rows = [(first[group], row, -1) for row, group in zip(test.tolist(), groups[test].tolist(), strict=True)
                if group in first]  # fmt: skip
        found.append(np.array(rows, dtype=np.int64).reshape(-1, 3))
    return np.concatenate(found)


def _count_filename_pairs(groups: NDArray[np.int64], parts: list[Fold]) -> int:
    size = int(groups.max()) + 1
    crossing = [int(np.bincount(groups[a], minlength=size) @ np.bincount(groups[b], minlength=size)) for a, b in parts]
    # In a cross-validation each pair is divided twice: once with either image judged.
    return sum(crossing) // (2 if len(parts) > 1 else 1)


def _sentences(
    features: FeatureSet,
    protocol: EvaluationProtocol,
    duplicates: DuplicateGroups,
    crossing: Crossing,
    grouped: bool,
    where: str,
) -> list[str]:
    if not crossing.any:
        return []
    given = protocol.name == "given" and where == "judged"
    sides = {
        "given": "the training and the test part",
        "holdout": "the training and the held-out part",
        "cv": "different folds",
    }[protocol.name] if where == "judged" else "different folds of the search"  # fmt: skip
    act = "`drop_leaks=True` leaves such images out of training" if given else _act(duplicates)
    act = "" if grouped and not given else f"; {act}"
    said = []
    if crossing.identical:
        said.append(f"{count(crossing.identical, 'pair')} of byte-identical images stand in {sides} "
                    f"({_pair(crossing, 'identical')}){act}.")  # fmt: skip
    if crossing.near:
        text = (f"{count(crossing.near, 'pair')} of images look like copies of one picture and stand in {sides} "
                f"({_pair(crossing, 'near')})")  # fmt: skip
        effect = duplicates.effect
        if effect is not None and effect.leaks and not duplicates.sure.all():
            text += (
                f": a trial head is right on {percent(effect.parted)} % when copies are parted and on "
                f"{percent(effect.kept)} % when they are kept together"
            )
        said.append(f"{text}{act}.")
    if crossing.by_filename and duplicates.by_filename is not None:
        said.append(
            f"{count(crossing.by_filename, 'pair')} of images share a stem of their names, look alike and stand in "
            f"{sides} ({_pair(crossing, 'stem')}){act}."
        )
    return said


def _act(duplicates: DuplicateGroups) -> str:
    pattern = '"auto"' if duplicates.suggestion == "auto" else f"r'{duplicates.suggestion}'"
    return f"`groups={pattern}` keeps the {count(len(np.unique(duplicates.groups)), 'source')} together"


def _pair(crossing: Crossing, kind: str) -> str:
    example = next(e for e in crossing.examples if e["kind"] == kind)
    return f"for instance {printable(example['a'])} and {printable(example['b'])}"


def _how_found(duplicates: DuplicateGroups) -> str:
    said = []
    if len(duplicates.near):
        said.append(
            f"{count(len(duplicates.near), 'pair')} look more alike than images of different classes ever do (at most "
            f"{percent(FALSE_SHARE, 0)} % of them wrong)."
        )
    if duplicates.by_filename is not None:
        said.append(f"Images whose paths agree in {duplicates.by_filename.pattern!r} look alike.")
    for group in duplicates.rejected:
        said.append(
            f"Many paths agree in {group.pattern!r}, but such images look no more alike than others: that part of the "
            "name was not taken for the source."
        )
    return " ".join(said)
