"""Leaks: images that stand on both sides of a comparison, or would in a random split."""

from __future__ import annotations

import dataclasses
import re
from collections import Counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from classifiers.plan import Plan
from classifiers.splits import group_by
from featstore.features import FeatureSet

STEM_PATTERNS = (r"(?:^|/)_?(\d+)_\d+[^/]*$", r"(?:^|/)([^/]*?)[ _-](?:copy|aug|crop|flip|rot)[^/]*$")
"""What a copy of a source picture is often called: `_12_3456.jpeg`, `cat-7_aug3.png`."""
NEAR = 0.995
BLOCK = 2048


@dataclasses.dataclass(frozen=True)
class Leaks:
    """What was found. `training_rows` are the rows that leak into the judged part."""

    identical: int
    near: int
    stems: int
    threshold: float
    training_rows: NDArray[np.intp]
    tested_rows: NDArray[np.intp]
    examples: tuple[dict[str, Any], ...]
    groups: str | None
    n_groups: int | None
    warnings: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """The report's `leaks`."""
        return {
            "identical": self.identical, "near": self.near, "stems": self.stems, "threshold": self.threshold,
            "images": len(self.training_rows), "tested": len(self.tested_rows), "examples": list(self.examples),
            "groups": self.groups, "n_groups": self.n_groups, "groups_text": "",
        }  # fmt: skip


def suggest_groups(names: tuple[str, ...]) -> tuple[str, NDArray[np.int64]] | None:
    """A pattern under which many images share a source, and the groups it makes; None where names show none."""
    for pattern in STEM_PATTERNS:
        matched = sum(re.search(pattern, name) is not None for name in names)
        if matched < 0.8 * len(names):
            continue
        groups = group_by(names, pattern)
        sizes = np.bincount(groups)
        if 1 < len(sizes) < 0.7 * len(names) and sizes.max() < 0.5 * len(names):
            return pattern, groups
    return None


def find_leaks(features: FeatureSet, plan: Plan, groups: NDArray[np.int64] | None = None) -> Leaks:
    """Look for images on both sides of what is compared: train against test, or fold against fold.

    Parameters
    ----------
    groups : ndarray of shape (n,), int64, optional
        Sources that the plan keeps together already.
    """
    pairs = plan.outer if len(plan.outer) > 1 else (*plan.outer, *((plan.outer[0][0][a], plan.outer[0][0][b])
                                                                  for a, b in plan.inner[0]))  # fmt: skip
    unit = features.X - features.X.mean(axis=0)
    unit /= np.maximum(np.linalg.norm(unit, axis=1, keepdims=True), 1e-12)
    digests = [d.tobytes() for d in features.digests]
    suggestion = suggest_groups(features.ids) if groups is None else None
    stems = suggestion[1] if suggestion else None
    found: dict[tuple[int, int], tuple[str, float]] = {}
    for train, test in pairs:
        known: dict[bytes, int] = {digests[int(i)]: int(i) for i in train}
        for row in test.tolist():
            if digests[row] in known:
                found[known[digests[row]], row] = ("identical", 1.0)
        for start in range(0, len(test), BLOCK):
            part = test[start : start + BLOCK]
            similar = unit[part] @ unit[train].T
            for a, b in zip(*np.nonzero(similar >= NEAR), strict=True):
                pair = int(train[b]), int(part[a])
                found.setdefault(pair, ("near", float(similar[a, b])))
    stem_pairs = 0
    if stems is not None and plan.name == "given":
        train, test = plan.outer[0]
        both = np.intersect1d(stems[train], stems[test])
        counts_a, counts_b = Counter(stems[train].tolist()), Counter(stems[test].tolist())
        stem_pairs = sum(counts_a[g] * counts_b[g] for g in both.tolist())
    kinds = Counter(kind for kind, _ in found.values())
    outer_test = set(plan.judged.tolist())
    across = [(a, b) for a, b in found if b in outer_test]
    order = sorted(found, key=lambda pair: (found[pair][0] != "identical", -found[pair][1], pair))
    examples = tuple(
        {"kind": found[p][0], "a": features.ids[p[0]], "b": features.ids[p[1]], "cosine": round(found[p][1], 4)}
        for p in order[:10]
    )
    warnings = []
    if kinds["identical"]:
        warnings.append(f"{kinds['identical']} pairs of byte-identical images stand on both sides of the comparison.")
    if kinds["near"]:
        warnings.append(f"{kinds['near']} pairs of nearly identical images (cosine at least {NEAR}) stand on both sides.")
    if suggestion is not None and stems is not None:
        warnings.append(
            f"{len(stems)} images come from only {stems.max() + 1} sources by their names, and folds mix them; keep "
            f"sources together with --groups '{suggestion[0]}'."
        )
    return Leaks(
        identical=kinds["identical"], near=kinds["near"], stems=stem_pairs, threshold=NEAR,
        training_rows=np.unique([a for a, _ in across]).astype(np.intp),
        tested_rows=np.unique([b for _, b in across]).astype(np.intp),
        examples=examples, groups=suggestion[0] if suggestion else None,
        n_groups=None if stems is None else int(stems.max()) + 1, warnings=tuple(warnings),
    )  # fmt: skip
