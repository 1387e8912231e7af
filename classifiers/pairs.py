"""Paired tests: which runs are shown to differ on the same images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from classifiers.evaluate import Run
from classifiers.significance import holm, mcnemar_exact

TEST = "exact McNemar"
LEVEL = 0.05


def differences(a: Run, b: Run) -> tuple[int, int, int]:
    """Images that both judged, that only `a` got right, that only `b` got right; each image counts once."""
    common = a.right.keys() & b.right.keys()
    only_a = sum(a.right[row] and not b.right[row] for row in common)
    only_b = sum(b.right[row] and not a.right[row] for row in common)
    return len(common), only_a, only_b


def comparisons(runs: Sequence[Run]) -> list[dict[str, Any]]:
    """Every head against every other, and every head against every reference.

    The two families are corrected by Holm's method each by itself: how many heads are tried against one another says
    nothing about whether one of them beats a reference.

    Parameters
    ----------
    runs : sequence of Run
        In the order of the report.

    Returns
    -------
    list of dict
        a, b (names), a_run, b_run (indexes into `runs`), family ("heads" or "references"), test, p, p_holm, a_only,
        b_only, n.
    """
    found: dict[str, list[dict[str, Any]]] = {"heads": [], "references": []}
    for i, a in enumerate(runs):
        for j, b in enumerate(runs):
            if a.reference or (j <= i and not b.reference):
                continue
            n, only_a, only_b = differences(a, b)
            family = "references" if b.reference else "heads"
            found[family].append(
                {
                    "a": a.name,
                    "b": b.name,
                    "a_run": i,
                    "b_run": j,
                    "family": family,
                    "test": TEST,
                    "p": mcnemar_exact(only_a, only_b),
                    "a_only": only_a,
                    "b_only": only_b,
                    "n": n,
                }
            )
    for tests in found.values():
        for pair, corrected in zip(tests, holm([pair["p"] for pair in tests]).tolist(), strict=True):
            pair["p_holm"] = corrected
    return found["heads"] + found["references"]


def beats_majority(pairs: Sequence[dict[str, Any]], runs: Sequence[Run]) -> list[bool | None]:
    """For each run whether it is shown to beat the majority class (corrected p below 0.05); None for references."""
    shown: list[bool | None] = [None] * len(runs)
    for pair in pairs:
        if runs[pair["b_run"]].head == "majority":
            shown[pair["a_run"]] = pair["p_holm"] < LEVEL and pair["a_only"] > pair["b_only"]
    return shown
