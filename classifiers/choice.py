"""Choice: which of the runs a comparison recommends."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from classifiers.evaluate import Run
from classifiers.pairs import LEVEL, differences
from classifiers.significance import mcnemar_exact


def choose(runs: Sequence[Run], protocol: str) -> tuple[int, dict[str, Any] | None]:
    """The run to recommend: the highest cross-validated accuracy in the training part.

    A fine-tuned network has learnt from the labels of all folds, so cross-validation flatters it. Where frozen and
    fine-tuned networks meet, each side's best is found by cross-validation, and the paired test on a given test part
    decides between the two; the frozen one stays where no difference is shown, or where there is no such part.

    Parameters
    ----------
    runs : sequence of Run
    protocol : str
        Of the plan: "given", "holdout" or "cv".

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
    _, only_frozen, only_tuned = differences(runs[one], runs[other])
    p = mcnemar_exact(only_frozen, only_tuned) if protocol == "given" else None
    better = p is not None and p < LEVEL and only_tuned > only_frozen
    duel = {
        "frozen_run": one, "tuned_run": other, "frozen_only": only_frozen, "tuned_only": only_tuned, "p": p,
    }  # fmt: skip
    return other if better else one, duel


def _first(runs: Sequence[Run], among: Sequence[int]) -> int:
    def rank(i: int) -> tuple[float, float, int]:
        loss = runs[i].cv_log_loss
        return -(runs[i].cv_accuracy or 0.0), float("inf") if loss is None else loss, i

    return min(among, key=rank)
