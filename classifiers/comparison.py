"""compare: several heads on the same folds, judged once, as one report."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from classifiers.curves import layer_curve, learning_curve
from classifiers.embedding import flat_map
from classifiers.environment import environment
from classifiers.evaluate import Run, evaluate
from classifiers.foldsearch import Budget
from classifiers.heads import HEADS
from classifiers.labelcheck import wrong_labels
from classifiers.leaks import find_leaks
from classifiers.plan import Plan, lay_out
from classifiers.references import pixels
from classifiers.report import Report
from classifiers.significance import holm, mcnemar_exact
from classifiers.splits import group_by
from classifiers.verdict import verdict
from featstore.errors import FeaturesError, UnknownNameError
from featstore.features import FeatureSet

Progress = Callable[[str, int, int, str], None]

DEFAULT_HEADS = ("logistic", "svm", "lightgbm", "mlp", "knn", "centroid")
REFERENCES = ("majority", "pixels")


def compare(
    features: FeatureSet | Sequence[FeatureSet],
    heads: Sequence[str] = DEFAULT_HEADS,
    *,
    seed: int = 0,
    budget: Budget = "normal",
    folds: int = 5,
    protocol: str = "auto",
    groups: str | None = None,
    drop_leaks: bool = False,
    class_weight: Any = None,
    references: bool = True,
    progress: Progress | None = None,
) -> Report:
    """Tune, fit and judge several heads on the same folds.

    Parameters
    ----------
    features : FeatureSet or sequence of FeatureSet
        Several (backbones, nodes, pools, weights) must hold the same images; each head is judged on each.
    heads : sequence of str
        Names in `HEADS`.
    budget : {"quick", "normal", "thorough"}
        Candidates a search; `thorough` also repeats a cross-validation three times with other folds.
    folds : int
    protocol : {"auto", "given", "holdout", "cv"}
        See `plan.lay_out`.
    groups : str, optional
        Regular expression on image paths; images for which its first group is the same stay on one side of every split.
    drop_leaks : bool
        Leave training images out that also stand in the test part (same bytes, or nearly the same picture).
    references : bool
        Add the majority class and raw pixels.
    progress : callable, optional
        `progress("compare", done, total, note)`.

    Returns
    -------
    Report

    Raises
    ------
    FeaturesError, UnknownNameError
    """
    began = time.perf_counter()
    sets = [features] if isinstance(features, FeatureSet) else list(features)
    names = list(dict.fromkeys(heads))
    for name in names:
        if name not in HEADS:
            raise UnknownNameError("head", name, HEADS)
    _check(sets)
    first = sets[0]
    members = None if groups is None else group_by(first.ids, groups)
    repeats = 3 if budget == "thorough" else 1
    settings: dict[str, Any] = {
        "protocol": protocol,
        "folds": folds,
        "repeats": repeats,
        "seed": seed,
        "groups": members,
    }
    plan = lay_out(first, **settings)
    leaks = find_leaks(first, plan, members)
    dropped = leaks.training_rows if drop_leaks and leaks.training_rows.size else None
    if dropped is not None:
        plan = lay_out(first, **settings, leave_out=dropped)

    wanted = [*names, *(r for r in REFERENCES if references and r not in names)]
    total = len(names) * len(sets) + len(wanted) - len(names) + 2
    runs: list[Run] = []
    omitted: list[dict[str, Any]] = []

    def report(done: int, note: str) -> None:
        if progress:
            progress("compare", done, total, note)

    for index, one in enumerate(sets):
        label = "" if len(sets) == 1 else f" · {one.fingerprint.backbone}/{one.fingerprint.node}"
        for head in names:
            report(len(runs) + len(omitted), f"{head}{label}")
            try:
                runs.append(
                    evaluate(head, one, plan, name=head + label, feature=index, seed=seed, budget=budget,
                             class_weight=class_weight)
                )  # fmt: skip
            except FeaturesError as error:
                if len(names) * len(sets) == 1:
                    raise
                omitted.append({"head": head, "feature": index, "reason": str(error)})
    if not runs:
        raise FeaturesError(f"no head could be judged; the first: {omitted[0]['head']}: {omitted[0]['reason']}")
    for head in wanted[len(names) :]:
        report(len(runs) + len(omitted), f"reference: {head}")
        thumbnails = pixels(first) if head == "pixels" else first.X[:, :1]
        if isinstance(thumbnails, str):
            omitted.append({"head": head, "feature": 0, "reason": thumbnails})
        else:
            runs.append(evaluate(head, first, plan, seed=seed, budget="quick", X=thumbnails))
    report(total - 2, "curves and checks")
    data = _document(sets, plan, runs, seed, budget, groups, members, drop_leaks, dropped, leaks, omitted, class_weight)
    report(total, "")
    data["environment"] = environment() | {"seconds": time.perf_counter() - began}
    data["verdict"] = verdict(data)
    return Report(data)


def _check(sets: Sequence[FeatureSet]) -> None:
    """Refuse what cannot be learnt from, naming the image."""
    if not sets:
        raise FeaturesError("no feature set was given; expected at least one")
    first = sets[0]
    for one in sets:
        if len(one) == 0:
            raise FeaturesError(f"data set {one.dataset!r} has no row with features; `featstore info` says why")
        bad = np.flatnonzero(~np.isfinite(one.X).all(axis=1))
        if bad.size:
            raise FeaturesError(
                f"the features of {one.ids[int(bad[0])]!r} hold NaN or infinity ({bad.size} such images); extract "
                f"again with --precision fp32, or leave the image out"
            )
        if len(np.unique(one.y)) < 2:
            raise FeaturesError(
                f"data set {one.dataset!r} has one class, {one.classes[int(one.y[0])]!r}; expected two or more"
            )
        if not np.array_equal(one.digests, first.digests) or one.ids != first.ids:
            raise FeaturesError(
                f"{one.fingerprint.backbone}/{one.fingerprint.node} and {first.fingerprint.backbone}/"
                f"{first.fingerprint.node} hold other images; extract both from the same folder"
            )


def _document(
    sets: Sequence[FeatureSet],
    plan: Plan,
    runs: list[Run],
    seed: int,
    budget: Budget,
    groups: str | None,
    members: NDArray[np.int64] | None,
    drop_leaks: bool,
    dropped: NDArray[np.intp] | None,
    leaks: Any,
    omitted: list[dict[str, Any]],
    class_weight: Any,
) -> dict[str, Any]:
    first = sets[0]
    rows = {row: row for row in range(len(first))}
    real = [i for i, run in enumerate(runs) if not run.reference]
    best = min(real, key=lambda i: (-(runs[i].cv_accuracy or 0.0), runs[i].cv_log_loss or np.inf, i))
    train = np.unique(np.concatenate([train for train, _ in plan.outer]))
    counts = np.bincount(first.y, minlength=len(first.classes))
    documents = [run.to_dict(rows) for run in runs]
    pairs = _pairs(runs, real)
    majority = next((i for i, run in enumerate(runs) if run.head == "majority"), None)
    if majority is not None:
        against = holm([_mcnemar(runs[i], runs[majority])[2] for i in real])
        for i, p in zip(real, against, strict=True):
            a, b, _ = _mcnemar(runs[i], runs[majority])
            documents[i]["beats_majority"] = bool(p < 0.05 and a > b)
    labels = wrong_labels(first, [runs[i] for i in real])
    warnings = [{"kind": "leak", "text": text} for text in leaks.warnings]
    warnings += [{"kind": "convergence", "text": f"{run.name} did not converge; see its certificate"} for run in runs
                 if not run.converged]  # fmt: skip
    warnings += [{"kind": "class", "text": text} for text in _class_warnings(first, plan)]
    return {
        "format": 1,
        "dataset": {
            "name": first.dataset, "classes": list(first.classes), "train": len(train), "test": len(plan.judged),
            "images": len(first), "counts": counts.tolist(), "root": _text(first.root),
        },
        "protocol": {
            "name": plan.name, "text": plan.text, "folds": plan.folds, "repeats": plan.repeats, "seed": seed,
            "budget": budget, "groups": groups, "n_groups": None if members is None else len(np.unique(members)),
            "drop_leaks": drop_leaks, "dropped": 0 if dropped is None else len(dropped),
        },
        "features": [
            {
                "backbone": s.fingerprint.backbone, "node": s.fingerprint.node, "pool": s.fingerprint.pool,
                "weights": s.fingerprint.weights, "precision": s.fingerprint.precision,
                "feature_key": s.fingerprint.key, "dim": s.X.shape[1], "rows": len(s),
                "failed": [list(f) for f in s.failed],
            }
            for s in sets
        ],
        "runs": documents,
        "comparisons": pairs,
        "best": runs[best].head,
        "best_run": best,
        "warnings": warnings,
        "omitted": omitted,
        "leaks": leaks.to_json(),
        "wrong_labels": labels,
        "learning_curve": learning_curve(sets[runs[best].feature], plan, seed=seed),
        "layer_curve": layer_curve(sets, runs),
        "map": flat_map(sets[runs[best].feature], runs[best], seed=seed),
        "images": {
            "ids": list(first.ids), "paths": [_text(p) for p in first.paths], "split": first.splits.tolist(),
            "true": first.y.tolist(),
        },
    }  # fmt: skip


def _mcnemar(a: Run, b: Run) -> tuple[int, int, float]:
    """Images only a, only b got right, and the exact p of that."""
    right_a, right_b = a.right, b.right
    only_a = sum(ok and not right_b[row] for row, ok in right_a.items())
    only_b = sum(ok and not right_a[row] for row, ok in right_b.items())
    return only_a, only_b, mcnemar_exact(only_a, only_b)


def _pairs(runs: list[Run], real: list[int]) -> list[dict[str, Any]]:
    found = [(i, j, *_mcnemar(runs[i], runs[j])) for n, i in enumerate(real) for j in real[n + 1 :]]
    if not found:
        return []
    adjusted = holm([p for *_, p in found])
    return [
        {
            "a": runs[i].name, "b": runs[j].name, "a_run": i, "b_run": j, "test": "exact McNemar", "p": p,
            "p_holm": float(q), "a_only": only_a, "b_only": only_b, "n": len(runs[i].right),
        }
        for (i, j, only_a, only_b, p), q in zip(found, adjusted, strict=True)
    ]  # fmt: skip


def _class_warnings(features: FeatureSet, plan: Plan) -> list[str]:
    said = []
    if len(plan.outer) == 1:
        train, test = plan.outer[0]
        k = len(features.classes)
        for rows, other, where, lacks in ((test, train, "test", "training"), (train, test, "training", "test")):
            missing = np.setdiff1d(np.unique(features.y[rows]), np.unique(features.y[other]))
            if missing.size:
                listed = ", ".join(features.classes[i] for i in missing[:5])
                said.append(
                    f"{missing.size} of {k} classes are in the {where} part but not in the {lacks} part: {listed}"
                )
    counts = np.bincount(features.y, minlength=len(features.classes))
    few = np.flatnonzero((counts > 0) & (counts < plan.folds))
    if few.size:
        listed = ", ".join(f"{features.classes[i]} ({counts[i]})" for i in few[:5])
        said.append(
            f"{few.size} classes have fewer images than the {plan.folds} folds, so some folds do not judge them: "
            f"{listed}"
        )
    return said


def _text(path: bytes) -> str:
    import os

    return os.fsdecode(path)
