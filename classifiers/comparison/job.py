"""compare: several heads on the same folds, judged once, as one report."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from classifiers.comparison.curves import layer_curve, learning_curve
from classifiers.comparison.embedding import flat_map
from classifiers.comparison.environment import environment
from classifiers.comparison.evaluate import Run, evaluate
from classifiers.comparison.label_errors import wrong_labels
from classifiers.comparison.pairs import beats_majority, choose, comparisons
from classifiers.formatting import listing
from classifiers.heads.baselines import pixels
from classifiers.heads.registry import DEFAULT, candidates, check_name
from classifiers.leakage.duplicate_groups import find_duplicate_groups, members_of
from classifiers.leakage.leaks import Leaks, find_leaks
from classifiers.report.report import Report
from classifiers.report.verdict import verdict
from classifiers.types import BUDGETS, FOLDS, Budget
from classifiers.validation.alignment import align, named_runs
from classifiers.validation.class_coverage import check_classes
from classifiers.validation.protocol import EvaluationProtocol, make_protocol
from featstore.backbone.landmarks import network_order
from featstore.errors import FeaturesError
from featstore.features import FeatureSet
from featstore.system.reporting import Progress

REFERENCES = ("majority", "pixels")
REPEATS = {"quick": 1, "normal": 1, "thorough": 3}
"""How often a nested cross-validation is repeated, by budget."""

_PARTS = 100  # steps of the progress bar that one run takes


def compare(
    features: FeatureSet | Sequence[FeatureSet],
    heads: Sequence[str] = DEFAULT,
    *,
    seed: int = 0,
    budget: Budget = "normal",
    folds: int = FOLDS,
    protocol: str = "auto",
    repeats: int | None = None,
    groups: str | None = None,
    drop_leaks: bool = False,
    class_weight: str | Mapping[Any, float] | None = None,
    calibrate: bool = True,
    references: bool = True,
    allow_untested: bool = False,
    allow_few: bool = False,
    store: str | None = None,
    progress: Progress | None = None,
) -> Report:
    """Tune, fit and judge several heads on the same folds.

    Parameters
    ----------
    features : FeatureSet or sequence of FeatureSet
        Several (backbones, nodes, pools, weights) are compared on the images that all of them hold.
    heads : sequence of str
        Names in `HEADS`.
    seed : int
        Seed of parts, folds, heads and bootstraps.
    budget : {"quick", "normal", "thorough"}
        Candidates a search; "thorough" also repeats a nested cross-validation three times with other folds.
    folds : int
        Folds of every cross-validation.
    protocol : {"auto", "given", "holdout", "cv"}
        Who judges, see `classifiers.validation.protocol.make_protocol`.
    repeats : int, optional
        Of a nested cross-validation (default: by budget). Intervals count an image once all the same.
    groups : str, optional
        Images of one group stay on one side of every part and fold that is made here: "auto" for the groups that were
        found (byte-identical files, near-duplicates, telling names), else a regular expression on image paths whose
        first group (or match) names the group. Byte-identical files stay together in any case.
    drop_leaks : bool
        Leave images out of training whose source is also in the part that judges.
    class_weight : "balanced" or mapping of class to weight, optional
        For every head that can.
    calibrate : bool
        Calibrate every head's probabilities on its out-of-fold predictions.
    references : bool
        Add the majority class, and raw pixels where the files are still there.
    allow_untested : bool
        Go on where a class of several training images has no test image.
    allow_few : bool
        Go on where a class has fewer training images than there are folds.
    store : str, optional
        Path of the store, for the commands that the verdict suggests.
    progress : callable, optional
        `progress("compare", done, total, note)`.

    Returns
    -------
    Report

    Raises
    ------
    FeaturesError
        Where the features cannot be learnt from, or no head could be judged.
    UnknownNameError
        For a head that does not exist.
    """
    began = time.perf_counter()
    names = list(dict.fromkeys(heads))
    for name in names:
        check_name(name)
    if budget not in BUDGETS:
        raise FeaturesError(f"budget is {budget!r}, expected one of {', '.join(BUDGETS)}")
    if seed < 0:
        raise FeaturesError(f"seed is {seed}, expected 0 or more")
    if not names:
        raise FeaturesError("no head was named; expected at least one of " + ", ".join(candidates()))
    sets, notes = align(features)
    say = _Teller(progress, (len(names) * len(sets) + 2 * references + 2) * _PARTS)
    say("looking for copies")
    looked = time.perf_counter()
    # What is alike is seen best in the deepest features.
    deepest = max(sets, key=lambda one: network_order(one.fingerprint.node))
    duplicates = find_duplicate_groups(deepest, seed=seed)
    looked = time.perf_counter() - looked
    members = members_of(sets[0], duplicates, groups)
    evaluation = make_protocol(
        sets[0],
        protocol=protocol,
        folds=folds,
        repeats=REPEATS[budget] if repeats is None else repeats,
        seed=seed,
        groups=members,
        apart=duplicates.groups if drop_leaks else None,
    )
    leaks = find_leaks(sets[0], evaluation, duplicates, grouped=groups is not None, seconds=looked)
    notes += check_classes(sets[0], evaluation, allow_untested=allow_untested, allow_few=allow_few)
    say.done(_PARTS)

    runs: list[Run] = []
    omitted: list[dict[str, Any]] = []
    jobs = [(head, i, suffix) for i, suffix in enumerate(named_runs(sets)) for head in names]
    jobs += [(head, 0, "") for head in REFERENCES if references and head not in names]
    for head, i, suffix in jobs:
        say(f"{head}{suffix}")
        matrix = _matrix(head, sets[0])
        try:
            if isinstance(matrix, str):
                raise FeaturesError(matrix)
            runs.append(
                evaluate(
                    head, sets[i], evaluation, name=head + suffix, feature=i, seed=seed, budget=budget, X=matrix,
                    class_weight=class_weight, calibrate=calibrate, progress=say.share,
                )
            )  # fmt: skip
        except FeaturesError as error:
            omitted.append({"head": head, "feature": i, "reason": str(error)})
        say.done(_PARTS)
    if all(run.reference for run in runs):
        raise FeaturesError(omitted[0]["reason"])

    say("curves and checks")
    best, duel = choose(runs, evaluation.name)
    pairs = comparisons(runs)
    data: dict[str, Any] = {
        "format": 1,
        "dataset": _dataset(sets[0], evaluation),
        "protocol": {
            "name": evaluation.name,
            "text": evaluation.text,
            "folds": evaluation.folds,
            "repeats": evaluation.repeats,
            "seed": seed,
            "budget": budget,
            "groups": groups,
            "n_groups": None if members is None else len(np.unique(members)),
            "drop_leaks": drop_leaks,
            "dropped": len(evaluation.dropped),
            "class_weight": class_weight
            if class_weight is None or isinstance(class_weight, str)
            else dict(class_weight),
        },
        "features": [_feature(one) for one in sets],
        "runs": [
            {**run.to_dict(), "beats_majority": beaten}
            for run, beaten in zip(runs, beats_majority(pairs, runs), strict=True)
        ],
        "comparisons": pairs,
        "best": runs[best].head,
        "best_run": best,
        "duel": duel,
        "store": store,
        "warnings": _tuned(sets, evaluation) + _warnings(leaks, notes, runs, omitted, names),
        "omitted": omitted,
        "leaks": leaks.to_json(),
        "wrong_labels": wrong_labels(runs[best].features, runs),
        "learning_curve": learning_curve(runs[best].features, evaluation, seed=seed),
        "layer_curve": layer_curve(sets, runs),
        "map": flat_map(runs[best].features, runs[best], seed=seed),
        "images": {
            "ids": list(sets[0].ids),
            "paths": [os.fsdecode(path) for path in sets[0].paths],
            "split": sets[0].splits.tolist(),
            "true": sets[0].y.tolist(),
        },
    }
    say.done(_PARTS)
    data["environment"] = environment() | {"seconds": time.perf_counter() - began}
    data["verdict"] = verdict(data)
    return Report(data)


class _Teller:
    """Progress over all runs, each as many steps."""

    def __init__(self, progress: Progress | None, total: int) -> None:
        self._progress, self._total = progress, total
        self._before, self._note = 0, ""

    def __call__(self, note: str) -> None:
        self._note = note
        self.share(0.0)

    def share(self, share: float, detail: str = "") -> None:
        if self._progress is not None:
            note = f"{self._note} ({detail})" if detail else self._note
            self._progress("compare", min(self._before + int(share * _PARTS), self._total), self._total, note)

    def done(self, steps: int) -> None:
        self._before += steps
        self.share(0.0)


def _matrix(head: str, features: FeatureSet) -> NDArray[np.float32] | str | None:
    """What a head sees in place of the features; or why it cannot."""
    if head == "pixels":
        return pixels(features)
    # The majority needs no features at all, only as many rows.
    return np.zeros((len(features), 1), dtype=np.float32) if head == "majority" else None


def _dataset(features: FeatureSet, evaluation: EvaluationProtocol) -> dict[str, Any]:
    return {
        "name": features.dataset,
        "classes": list(features.classes),
        "train": len(evaluation.trained),
        "test": len(evaluation.judged),
        "images": len(features),
        "counts": np.bincount(features.y, minlength=len(features.classes)).tolist(),
        "root": os.fsdecode(features.root),
    }


def _feature(one: FeatureSet) -> dict[str, Any]:
    f = one.fingerprint
    return {
        "backbone": f.backbone,
        "node": f.node,
        "pool": f.pool,
        "weights": f.weights,
        "precision": f.precision,
        "input": f.input,
        "feature_key": f.key,
        "dim": one.X.shape[1],
        "rows": len(one),
        "failed": [list(pair) for pair in one.failed],
    }


def _tuned(sets: Sequence[FeatureSet], evaluation: EvaluationProtocol) -> list[dict[str, str]]:
    """Cross-validation cannot judge a network that has learnt from the labels of all folds."""
    labels = sorted({one.fingerprint.weights for one in sets if one.fingerprint.tuned})
    if not labels:
        return []
    text = (
        f"{listing(labels)}: where such a network has learnt from the labels of these images, cross-validation "
        "flatters every head on its features; "
    )
    if evaluation.name == "given":
        text += "only what is right on the test images counts for it."
    else:
        text += "without a given test part it may have learnt from the very images that judge it here."
    return [{"kind": "weights", "text": text}]


def _warnings(
    leaks: Leaks, notes: Sequence[str], runs: Sequence[Run], omitted: Sequence[Mapping[str, Any]], asked: Sequence[str]
) -> list[dict[str, str]]:
    found = [{"kind": kind, "text": text} for kind, text in leaks.texts]
    found += [{"kind": "class", "text": text} for text in notes]
    found += [
        {"kind": "convergence", "text": f"{run.name} did not converge, so its figures may be too low: {_shown(run)}."}
        for run in runs
        if not run.converged
    ]
    return found + [
        {"kind": "head", "text": f"{one['head']} could not be judged: {one['reason']}"}
        for one in omitted
        if one["head"] in asked
    ]


def _shown(run: Run) -> str:
    return (
        ", ".join(
            f"{key} {value:.3g}" if isinstance(value, float) else f"{key} {value}"
            for key, value in run.certificate.items()
        )
        or "it gives no certificate"
    )
