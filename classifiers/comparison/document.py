"""The document of a comparison: the data of its report, and where and with what it was made."""

from __future__ import annotations

import datetime
import os
import platform
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Any

import numpy as np
from numpy.typing import NDArray

from classifiers.comparison.curves import layer_curve, learning_curve
from classifiers.comparison.embedding import flat_map
from classifiers.comparison.evaluate import Run
from classifiers.comparison.label_errors import MOST, wrong_labels
from classifiers.comparison.pairs import beats_constant, beats_majority, choose, comparisons
from classifiers.formatting import listing
from classifiers.heads.base.convergence import unconverged_text
from classifiers.leakage.data_groups import data_groups, group_text, pattern_text, split_groups
from classifiers.leakage.leaks import Leaks
from classifiers.report.data_reading import doubts
from classifiers.validation.protocol import EvaluationProtocol
from classifiers.validation.shift import Shift
from featstore.features import FeatureSet
from featstore.system.machine import usable_cores

LIBRARIES = ("featstore", "numpy", "scikit-learn", "lightgbm", "torch")


def document(
    sets: Sequence[FeatureSet],
    plan: EvaluationProtocol,
    runs: Sequence[Run],
    omitted: Sequence[Mapping[str, Any]],
    leaks: Leaks | None,
    notes: Sequence[str],
    *,
    asked: Sequence[str],
    members: NDArray[np.int64] | None,
    shift: Shift | None = None,
    unlabelled_shift: Shift | None = None,
    seed: int,
    budget: str,
    groups: str | None,
    drop_leaks: bool,
    class_weight: str | Mapping[Any, float] | None,
    store: str | None,
    allow_few: bool = False,
) -> dict[str, Any]:
    """The data of a report but for its environment and verdict, with the choice of the best run.

    Parameters
    ----------
    sets : sequence of FeatureSet
        Of the same images.
    plan : EvaluationProtocol
    runs : sequence of Run
    omitted : sequence of mapping
        Heads that could not be judged: head, feature, reason.
    leaks : Leaks or None
        None where nothing was trained.
    notes : sequence of str
        What is to be said about the classes.
    asked : sequence of str
        The heads that were asked for; a reference that was not is no warning where it is left out.
    members : ndarray of shape (n,), int64, or None
        Group of each image.
    shift, unlabelled_shift : Shift or None
        Of the given test part, and of the images without a label, against the training part.
    seed, budget, groups, drop_leaks, class_weight, store, allow_few
        As `compare` was given them.

    Returns
    -------
    dict
        As docs/design.md, "Report data", describes it; plain JSON.
    """
    brought = data_groups(sets[0])
    named, aside = (brought, None) if groups in (None, "auto") else (None, brought)
    how = protocol_text(sets[0], plan)
    text = how if named is None else f"{how} {group_text(named)}"
    if groups not in (None, "auto"):
        text = f"{how} {pattern_text(str(groups), aside)}"
    best, duel = choose(runs, plan.name)
    chosen = runs[best]
    seen = chosen.features.X.shape[1] > 0  # streamed features are not here any more
    crossing = "" if drop_leaks else split_groups(sets[0], plan)
    divided = [{"kind": "leak", "of": "groups", "text": crossing}] if crossing else []
    pairs = comparisons(runs, duel)
    beaten_majority = beats_majority(pairs, runs)
    if plan.name == "cv":  # each fold has a majority of its own
        beaten_majority = [beaten and beats_constant(run) for beaten, run in zip(beaten_majority, runs, strict=True)]
    if len(np.unique(sets[0].y[plan.judged])) == 1:  # then no head can beat the answer that is always this class
        beaten_majority = [None] * len(runs)
    return {
        "format": 1,
        "dataset": _dataset(sets[0], plan),
        "protocol": {
            "name": plan.name,
            "text": text,
            "folds": plan.folds,
            "repeats": plan.repeats,
            "seed": seed,
            "budget": budget,
            "groups": groups,
            "n_groups": None if members is None else len(np.unique(members)),
            **({} if named is None else {"groups_of_the_data": int((np.bincount(named) > 1).sum())}),
            **({} if aside is None else {"groups_set_aside": int((np.bincount(aside) > 1).sum())}),
            "drop_leaks": drop_leaks,
            **({"allow_few": True} if allow_few else {}),
            "dropped": len(plan.dropped),
            "class_weight": dict(class_weight) if isinstance(class_weight, Mapping) else class_weight,
        },
        "features": [_feature(one) for one in sets],
        "runs": [
            {**run.to_dict(), "beats_majority": beaten} for run, beaten in zip(runs, beaten_majority, strict=True)
        ],
        "comparisons": pairs,
        "best": chosen.head,
        "best_run": best,
        "duel": duel,
        "store": store,
        "warnings": _gravest_first(
            _shifts(shift, unlabelled_shift)
            + doubts(_untold(sets[0], plan, leaks))
            + _tuned(sets, plan)
            + divided
            + _warnings(leaks, notes, runs, omitted, asked),
            leaks,
        ),
        "omitted": list(omitted),
        "leaks": None if leaks is None else leaks.to_json(),
        "conflicts": [] if leaks is None else _conflicts(sets[0], leaks),
        "shift": None if shift is None else shift.to_json(),
        **({} if unlabelled_shift is None else {"unlabelled_shift": unlabelled_shift.to_json()}),
        "wrong_labels": wrong_labels(
            chosen.features, runs, aside=plan.judged if shift is not None and shift.shifted else None
        ),
        "learning_curve": learning_curve(chosen.features, plan, seed=seed) if len(plan.trained) and seen else None,
        "layer_curve": layer_curve(sets, runs),
        "map": flat_map(chosen.features, chosen, seed=seed) if seen else None,
        "images": {
            "ids": list(sets[0].ids),
            "paths": [os.fsdecode(path) for path in sets[0].paths],
            "split": sets[0].splits.tolist(),
            "true": sets[0].y.tolist(),
        },
    }


def environment() -> dict[str, Any]:
    """Python, platform, cores, library versions and the date (UTC); plain JSON."""
    cores = usable_cores()
    return {
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
        "cores": cores,
        "threads": cores,
        "versions": {name: version(name) for name in LIBRARIES},
        "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),
    }


def _dataset(features: FeatureSet, plan: EvaluationProtocol) -> dict[str, Any]:
    return {
        "name": features.dataset,
        "classes": list(features.classes),
        "train": len(plan.trained),
        "test": len(plan.judged),
        "images": len(features),
        "counts": np.bincount(features.y, minlength=len(features.classes)).tolist(),
        "root": os.fsdecode(features.root),
        **({"about": dict(features.about)} if features.about else {}),
    }


def _feature(one: FeatureSet) -> dict[str, Any]:
    f = one.fingerprint
    return {
        "backbone": f.backbone,
        "node": f.node,
        "pool": f.pool,
        "weights": f.weights,
        "precision": f.numbers,
        "input": f.input,
        "feature_key": f.key,
        "dim": one.X.shape[1],
        "rows": len(one),
        "failed": [list(pair) for pair in one.failed],
    }


def _conflicts(features: FeatureSet, leaks: Leaks) -> list[dict[str, Any]]:
    """Pairs of one picture under two classes."""
    return [
        {"a": features.ids[a], "b": features.ids[b], "a_label": int(features.y[a]), "b_label": int(features.y[b])}
        for a, b in leaks.duplicates.conflicts[:MOST].tolist()
    ]


def _shifts(shift: Shift | None, unlabelled: Shift | None) -> list[dict[str, str]]:
    """Images of another kind than those that train, and classes in other proportions."""
    said = []
    if shift is not None and shift.shifted:
        said.append(
            f"{shift.text} What the test part shows holds for images like its own, what cross-validation shows for "
            "images like the training images. No label of the test part is called suspect: heads mistake such images."
        )
    if unlabelled is not None and unlabelled.shifted:
        said.append(f"{unlabelled.text} How good a head is on them, no figure here tells.")
    found = [{"kind": "shift", "text": text} for text in said]
    if shift is not None and shift.proportions_differ:
        found.append({"kind": "class", "text": shift.proportions_text})
    return found


def _gravest_first(warnings: list[dict[str, str]], leaks: Leaks | None) -> list[dict[str, str]]:
    """Copies that judge before a shift, for they spoil the figure itself; a shift before all others."""
    copies = leaks is not None and leaks.judged.any
    rank = {"shift": 1, "leak": 0 if copies else 2}
    shifts = any(warning["kind"] == "shift" for warning in warnings)
    return sorted(warnings, key=lambda warning: rank.get(warning["kind"], 2)) if shifts else warnings


def _tuned(sets: Sequence[FeatureSet], plan: EvaluationProtocol) -> list[dict[str, str]]:
    """Cross-validation cannot judge a network that has learnt from the labels of all folds."""
    labels = sorted({one.fingerprint.weights for one in sets if one.fingerprint.tuned})
    if not labels:
        return []
    text = (
        f"{listing(labels)}: where such a network has learnt from the labels of these images, cross-validation "
        "flatters every head on its features; "
    )
    if plan.name == "given":
        text += "only what is right on the test images counts for it."
    else:
        text += "without a given test part it may have learnt from the very images that judge it here."
    return [{"kind": "weights", "text": text}]


def _warnings(
    leaks: Leaks | None,
    notes: Sequence[str],
    runs: Sequence[Run],
    omitted: Sequence[Mapping[str, Any]],
    asked: Sequence[str],
) -> list[dict[str, str]]:
    found = [{"kind": kind, "text": text} for kind, text in (leaks.texts if leaks is not None else ())]
    found += [{"kind": "class", "text": text} for text in notes]
    found += [
        {"kind": "convergence", "text": _named(unconverged_text(run.head, run.budget), run)}
        for run in runs
        if not run.converged
    ]
    return found + [
        {"kind": "head", "text": f"{one['head']} could not be judged: {one['reason']}"}
        for one in omitted
        if one["head"] in asked
    ]


def protocol_text(features: FeatureSet, plan: EvaluationProtocol) -> str:
    """How the parts and folds come about, for people."""
    if plan.name == "given" and not (features.splits == "test").any():
        return f"{plan.text} The data bring no part named test, so the part named val is the test part here."
    return plan.text


def _untold(features: FeatureSet, plan: EvaluationProtocol, leaks: Leaks | None) -> Mapping[str, Any]:
    """What is known of how the data were read, without doubts that the leak finder has the newer word on."""
    rows = features.about.get("doubts")
    if leaks is None or not isinstance(rows, list | tuple):
        return features.about
    told = {"same-bytes-in-two-classes": ""} if leaks.conflicts else {}
    if plan.name == "given":  # such images are told with all other copies, or were dropped
        told["copies-in-two-parts"] = f" in {features.splits[plan.judged[0]]} "
    return {
        **features.about,
        "doubts": [
            row for row in rows
            if not (isinstance(row, Mapping) and row.get("name") in told and told[row["name"]] in str(row.get("text")))
        ],
    }  # fmt: skip


def _named(text: str, run: Run) -> str:
    """The sentence about the run by its own name, which also tells the feature set where there are several."""
    return run.name + text.removeprefix(run.head)
