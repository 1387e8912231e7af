"""Leaks: images of one source on both sides of a comparison."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from classifiers.leakage.crossing import Crossing, find_crossing
from classifiers.leakage.duplicate_groups import DuplicateGroups
from classifiers.leakage.leak_sentences import conflict_examples, how_found, leak_texts
from classifiers.validation.protocol import EvaluationProtocol
from featstore.features import FeatureSet


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
        "data" about one picture under two classes, where these have not said it.
    seconds : float
        What finding the duplicates took.
    conflicts : tuple of dict
        Examples of one picture under two classes: a, b, a_class, b_class.

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
    conflicts: tuple[dict[str, str], ...] = ()

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
            "conflict_examples": list(self.conflicts),
            "compared": s.pixels.compared,
            "images": len(shown.training),
            "tested": len(shown.judged),
            "examples": list(shown.examples),
            "groups": s.suggestion if touched else None,
            "groups_text": how_found(s),
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
    judged = find_crossing(features, duplicates, list(protocol.outer))
    folds = None
    if protocol.name != "cv":
        rows = protocol.outer[0][0]
        folds = find_crossing(features, duplicates, [(rows[a], rows[b]) for a, b in protocol.inner[0]])
    texts = leak_texts(features, protocol, duplicates, judged, folds, grouped=grouped)
    return Leaks(judged, folds, duplicates, texts, seconds, tuple(conflict_examples(features, duplicates)))
