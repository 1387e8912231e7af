"""Leaks: images of one source on both sides of a comparison."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from numpy.typing import NDArray

from classifiers.formatting import count, percent, printable
from classifiers.leakage.data_groups import connected_groups
from classifiers.leakage.duplicate_groups import DuplicateGroups
from classifiers.types import Fold
from classifiers.validation.protocol import EvaluationProtocol
from classifiers.validation.significance import wilson
from featstore.features import FeatureSet

_EXAMPLES = 24  # of all kinds together
_USUAL = 0.9  # accuracy whose interval tells how many images could change what is concluded
_POINTS = 0.02  # accuracy that matters however many images judge


@dataclasses.dataclass(frozen=True)
class Crossing:
    """Pairs of images of one source of which one trains and the other judges.

    Attributes
    ----------
    identical, near, by_filename, look_alikes : int
        Pairs of byte-identical files, of copies, of files in one group by name, of look-alikes; each pair counts once.
    training, judged : ndarray of int
        Rows that stand in such pairs, but for look-alikes.
    resembling : ndarray of int
        Rows that judge and look like one that trains.
    examples : tuple of dict
        kind, a (trains), b (judges), cosine of the centred features; each kind that there is, the most alike first.
    """

    identical: int
    near: int
    by_filename: int
    look_alikes: int
    training: NDArray[np.intp]
    judged: NDArray[np.intp]
    resembling: NDArray[np.intp]
    examples: tuple[dict[str, Any], ...]

    @property
    def any(self) -> bool:
        """Whether there is any of one source for certain."""
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
        Warnings about the judgement where it is touched, else about the folds of the search: of kind "leak" where the
        images touched are so many that what is concluded could change, of kind "split" where they are not; and of kind
        "data" about one picture under two classes.

    Examples
    --------
    >>> from featstore.fingerprint import Fingerprint
    >>> made = Fingerprint("resnet50", "0" * 64, "avgpool", "none", {}, {}, "fp32", "IMAGENET1K_V2")
    >>> from classifiers.leakage.duplicate_groups import find_duplicate_groups
    >>> from classifiers.validation.protocol import make_protocol
    >>> rng, names = np.random.default_rng(0), tuple(f"{i}.jpg" for i in range(40))
    >>> pets = FeatureSet(
    ...     X=rng.normal(size=(40, 8)).astype(np.float32), y=np.arange(40) % 2, ids=names, classes=("cat", "dog"),
    ...     splits=np.full(40, ""), digests=rng.integers(0, 256, (40, 32), np.uint8), fingerprint=made,
    ...     dataset="pets", root=b"/pets", paths=tuple(map(str.encode, names)),
    ... )
    >>> find_leaks(pets, make_protocol(pets), find_duplicate_groups(pets)).to_json()["n_groups"]
    40
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
                                               "stems": self.folds.by_filename,
                                               "look_alikes": self.folds.look_alikes}  # fmt: skip
        touched = self.judged.any or (self.folds is not None and self.folds.any)
        return {
            "identical": self.judged.identical,
            "near": self.judged.near,
            "stems": self.judged.by_filename,
            "look_alikes": self.judged.look_alikes,
            "conflicts": len(s.conflicts),
            "compared": s.compared,
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
    >>> leaks.judged.identical > 0, [kind for kind, _ in leaks.texts]
    (True, ['leak', 'data'])
    """
    judged = _crossing(features, duplicates, list(protocol.outer))
    rows = protocol.outer[0][0]
    folds = None
    if protocol.name != "cv":
        folds = _crossing(features, duplicates, [(rows[a], rows[b]) for a, b in protocol.inner[0]])
    kind = _kind(judged, len(protocol.judged))
    texts = [(kind, text) for text in _sentences(protocol, duplicates, judged, grouped, "judged")]
    if folds is not None and folds.any and not judged.any:
        kind = _kind(folds, len(rows))
        texts += [(kind, text) for text in _sentences(protocol, duplicates, folds, grouped, "folds")]
    texts += [("split", text) for text in _resembling(protocol, duplicates, judged)]
    texts += [("data", text) for text in _conflicts(features, duplicates)]
    return Leaks(judged, folds, duplicates, tuple(texts), seconds)


def _kind(crossing: Crossing, judged: int) -> str:
    """A few doubles do not spoil a figure; they are mentioned all the same."""
    return "leak" if len(crossing.judged) > _harmless(judged) * judged else "split"


def _harmless(judged: int) -> float:
    """Share of judged images that may be known from training without changing what is concluded.

    So many move the accuracy by this share at most: less than its interval is wide to one side, or than two points.
    """
    low, high = wilson(_USUAL * judged, judged)
    return max((high - low) / 2, _POINTS)


def _crossing(features: FeatureSet, duplicates: DuplicateGroups, parts: list[Fold]) -> Crossing:
    n = len(features)
    identical = _across(duplicates.identical, parts, n)
    near = _across(duplicates.copies, parts, n)
    near = np.concatenate([near, _through_others(duplicates, parts, np.concatenate([identical, near]))])
    alike = _across(duplicates.look_alikes, parts, n)
    by_filename, n_by_filename = np.empty((0, 3), dtype=np.int64), 0
    if duplicates.by_filename is not None:
        by_filename = _filename_pairs(duplicates.by_filename.groups, parts)
        n_by_filename = _count_filename_pairs(duplicates.by_filename.groups, parts)
    pairs = np.concatenate([identical, near, by_filename])
    kinds = [(kind, found.tolist()) for kind, found in (("identical", identical), ("near", near), ("stem", by_filename),
             ("look_alike", alike)) if len(found)]  # fmt: skip
    each = _EXAMPLES // max(len(kinds), 1)
    trains, judges = ((0, 1), (0, 1)) if len(parts) > 1 else ((0,), (1,))  # folds take turns
    return Crossing(
        identical=len(identical),
        near=len(near),
        by_filename=n_by_filename,
        look_alikes=len(alike),
        training=np.unique(pairs[:, trains]).astype(np.intp),
        judged=np.unique(pairs[:, judges]).astype(np.intp),
        resembling=np.unique(alike[:, judges]).astype(np.intp),
        examples=tuple(_example(features, kind, row) for kind, found in kinds for row in found[:each]),
    )


def _through_others(duplicates: DuplicateGroups, parts: list[Fold], direct: NDArray[np.int64]) -> NDArray[np.int64]:
    """(trains, judges, -1) for every judged row of which a copy of a copy trains, and no copy."""
    linked = np.concatenate([duplicates.identical, duplicates.copies])
    groups = connected_groups(len(duplicates.groups), linked[:, 0], linked[:, 1])
    found = _filename_pairs(groups, parts)
    return found[~np.isin(found[:, 1], direct[:, :2])]  # a cross-validation judges either image of a pair


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


def _sides(protocol: EvaluationProtocol, where: str) -> str:
    if where != "judged":
        return "different folds of the search"
    return {
        "given": "the training and the test part",
        "holdout": "the training and the held-out part",
        "cv": "different folds",
    }[protocol.name]


def _sentences(
    protocol: EvaluationProtocol, duplicates: DuplicateGroups, crossing: Crossing, grouped: bool, where: str
) -> list[str]:
    if not crossing.any:
        return []
    given = protocol.name == "given" and where == "judged"
    sides = _sides(protocol, where)
    act = "`drop_leaks=True` leaves such images out of training" if given else _act(duplicates)
    act = "" if grouped and not given else f"; {act}"
    said = []
    if crossing.identical:
        said.append(f"{count(crossing.identical, 'pair')} of byte-identical images stand in {sides} "
                    f"({_pair(crossing, 'identical')}){act}.")  # fmt: skip
    if crossing.near:
        said.append(
            f"{count(crossing.near, 'pair')} of images show one picture{_shown_by(duplicates)} and stand in {sides} "
            f"({_pair(crossing, 'near')}){act}."
        )
    if crossing.by_filename and duplicates.by_filename is not None:
        said.append(
            f"{count(crossing.by_filename, 'pair')} of images share a stem of their names, look alike and stand in "
            f"{sides} ({_pair(crossing, 'stem')}){act}."
        )
    return said


def _shown_by(duplicates: DuplicateGroups) -> str:
    """What shows that copies are copies."""
    if duplicates.confirmed.all():
        return ", as their pixels show,"
    return ", as their pixels or, where these cannot be read, nearly equal features show,"


def _resembling(protocol: EvaluationProtocol, duplicates: DuplicateGroups, judged: Crossing) -> list[str]:
    """A mild word about look-alikes, where they are many enough to matter."""
    if len(judged.resembling) <= _harmless(len(protocol.judged)) * len(protocol.judged):
        return []
    effect, trial = duplicates.effect, ""
    if effect is not None and effect.leaks:
        trial = (
            f"; a trial head is right on {percent(effect.parted)} % when such images are parted and on "
            f"{percent(effect.kept)} % when they are kept together"
        )
    return [
        f"{count(judged.look_alikes, 'pair')} of images look alike and stand in {_sides(protocol, 'judged')} "
        f"({_pair(judged, 'look_alike')}): one scene, one object, one material? They are not known to be "
        f"copies{trial}. If they come from one source, `groups` with an expression on their paths keeps them together."
    ]


def _conflicts(features: FeatureSet, duplicates: DuplicateGroups) -> list[str]:
    """One picture under two classes."""
    if not len(duplicates.conflicts):
        return []
    a, b = duplicates.conflicts[0].tolist()
    first, second = (
        f"{printable(features.ids[row])} as {printable(features.classes[features.y[row]])}" for row in (a, b)
    )
    n = len(duplicates.conflicts)
    identical = set(map(tuple, duplicates.identical.tolist()))
    same = sum(tuple(pair) in identical for pair in duplicates.conflicts.tolist())
    has, shows = ("has", "shows") if n == 1 else ("have", "show")
    bytes_, picture = f"{has} the same bytes", f"{shows} one picture"
    how = bytes_ if same == n else picture if not same else f"{bytes_} or {picture}"
    return [
        f"{count(n, 'pair')} of images {how} under two classes (for instance {first} and {second}): one of the two "
        "labels is wrong, or the picture shows both."
    ]


def _act(duplicates: DuplicateGroups) -> str:
    pattern = '"auto"' if duplicates.suggestion == "auto" else f"r'{duplicates.suggestion}'"
    return f"`groups={pattern}` keeps the {count(len(np.unique(duplicates.groups)), 'source')} together"


def _pair(crossing: Crossing, kind: str) -> str:
    example = next(e for e in crossing.examples if e["kind"] == kind)
    return f"for instance {printable(example['a'])} and {printable(example['b'])}"


def _how_found(duplicates: DuplicateGroups) -> str:
    said = []
    if duplicates.compared:
        found = int(duplicates.confirmed.sum())
        said.append(
            f"The pixels of {count(duplicates.compared, 'pair')} of images that are near in features were compared: "
            f"{found:,} {'shows' if found == 1 else 'show'} one picture."
        )
    if duplicates.blank:
        said.append(f"In {count(duplicates.blank, 'pair')} of these too little is to be seen to tell.")
    if duplicates.usual:
        said.append(
            f"{count(duplicates.usual, 'pair')} of these {'agrees' if duplicates.usual == 1 else 'agree'}, but no "
            "further than other pictures of the class do (one form, one camera, one material): not called copies."
        )
    if duplicates.unread:
        reason, most = duplicates.unread[0]
        total = sum(number for _, number in duplicates.unread)
        said.append(
            f"{count(total, 'image')} could not be read ({most:,}: {printable(reason)}), so pixels could not be "
            "compared there: only images whose features are nearly equal are called copies."
        )
    if duplicates.by_filename is not None:
        said.append(f"Images whose paths agree in {duplicates.by_filename.pattern!r} look alike.")
    for group in duplicates.rejected:
        said.append(
            f"Many paths agree in {group.pattern!r}, but such images look no more alike than others: that part of the "
            "name was not taken for the source."
        )
    return " ".join(said)
