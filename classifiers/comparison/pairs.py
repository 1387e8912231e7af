"""Paired tests: which runs are shown to differ on the same images."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from classifiers.comparison.evaluate import Run
from classifiers.validation.significance import SIGNIFICANT, differences, holm, mcnemar_exact

TEST = "exact McNemar"


def comparisons(runs: Sequence[Run], duel: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
    """Every head against every other, and every head against every reference.

    The two families are corrected by Holm's method each by itself: how many heads are tried against one another says
    nothing about whether one of them beats a reference. The duel of a frozen and a fine-tuned network is one test of
    two runs that cross-validation named before any test image was looked at: a family of its own.

    Parameters
    ----------
    runs : sequence of Run
        In the order of the report.
    duel : mapping, optional
        As `choose` gives it; its test is set apart where it decided.

    Returns
    -------
    list of dict
        a, b (names), a_run, b_run (indexes into `runs`), family ("heads", "references" or "duel"), test, p, p_holm,
        a_only, b_only, n.
    """
    found: dict[str, list[dict[str, Any]]] = {"duel": [], "heads": [], "references": []}
    decided = {duel["frozen_run"], duel["tuned_run"]} if duel is not None and duel["p"] is not None else set()
    for i, a in enumerate(runs):
        for j, b in enumerate(runs):
            if a.reference or (j <= i and not b.reference):
                continue
            n, only_a, only_b = differences(a.right, b.right)
            family = "references" if b.reference else "duel" if {i, j} == decided else "heads"
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
    return found["duel"] + found["heads"] + found["references"]


def beats_majority(pairs: Sequence[dict[str, Any]], runs: Sequence[Run]) -> list[bool | None]:
    """For each run whether it is shown to beat the majority class (corrected p below 0.05); None for references."""
    shown: list[bool | None] = [None] * len(runs)
    for pair in pairs:
        if runs[pair["b_run"]].head == "majority":
            shown[pair["a_run"]] = pair["p_holm"] < SIGNIFICANT and pair["a_only"] > pair["b_only"]
    return shown


def beats_constant(run: Run) -> bool:
    """Whether a run is shown to beat the one answer that is right most often on the images that judge it.

    Where groups are kept together, the most frequent class of those that train may be rare among those that judge, in
    every fold: a majority reference that is fitted to each fold is then right on fewer images than chance.

    Parameters
    ----------
    run : Run
    """
    truth = dict(zip(run.rows.tolist(), run.y.tolist(), strict=True))
    frequent = Counter(truth.values()).most_common(1)[0][0]
    _, ours, constant = differences(run.right, {row: label == frequent for row, label in truth.items()})
    return ours > constant and mcnemar_exact(ours, constant) < SIGNIFICANT


def choose(runs: Sequence[Run], protocol: str) -> tuple[int, dict[str, Any] | None]:
    """The run to recommend: the highest cross-validated accuracy in the training part.

    A fine-tuned network has learnt from the labels of all folds, so cross-validation flatters it. Where frozen and
    fine-tuned networks meet, each side's best is found by cross-validation, and the paired test on a given test part
    decides between the two; the frozen one stays where no difference is shown, or where there is no such part.

    Parameters
    ----------
    runs : sequence of Run
    protocol : str
        Of the protocol: "given", "holdout" or "cv".

    Returns
    -------
    best : int
        Index into `runs`; among equals the lowest log loss, then the first.
    duel : dict or None
        frozen_run, tuned_run (indexes), frozen_only, tuned_only (images that only one got right), p (exact McNemar;
        None where no test part was given); None where one kind alone was compared.
    """
    heads = [i for i, run in enumerate(runs) if not run.reference] or list(range(len(runs)))
    tuned = [i for i in heads if runs[i].features.fingerprint.tuned]
    frozen = [i for i in heads if i not in tuned]
    if not tuned or not frozen:
        return _first(runs, heads), None
    one, other = _first(runs, frozen), _first(runs, tuned)
    _, only_frozen, only_tuned = differences(runs[one].right, runs[other].right)
    p = mcnemar_exact(only_frozen, only_tuned) if protocol == "given" else None
    better = p is not None and p < SIGNIFICANT and only_tuned > only_frozen
    duel = {
        "frozen_run": one, "tuned_run": other, "frozen_only": only_frozen, "tuned_only": only_tuned, "p": p,
    }  # fmt: skip
    return other if better else one, duel


def _first(runs: Sequence[Run], among: Sequence[int]) -> int:
    def rank(i: int) -> tuple[float, float, int]:
        loss = runs[i].cv_log_loss
        return -(runs[i].cv_accuracy or 0.0), float("inf") if loss is None else loss, i

    return min(among, key=rank)
