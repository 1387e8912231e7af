"""compare_streamed: several heads on features that do not fit in memory, judged once, as one report."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from classifiers.comparison.document import document, environment, protocol_text
from classifiers.comparison.evaluate import Run, evaluate
from classifiers.comparison.job import ProgressBar, checked
from classifiers.comparison.parts import lone_groups
from classifiers.comparison.streamed_evaluation import evaluate_streamed
from classifiers.formatting import count, percent
from classifiers.heads.registry import DEFAULT
from classifiers.leakage.data_groups import data_groups, group_text, joined, pattern_text, same_bytes, split_groups
from classifiers.report.report import Report
from classifiers.report.verdict import verdict
from classifiers.streamed.feature_rows import FeatureRows, require_finite_chunk
from classifiers.streamed.feature_source import FeatureSource, without_features
from classifiers.streamed.memory_limit import free_memory
from classifiers.streamed.stream_plan import stream_plan
from classifiers.streamed.training import StreamedTraining
from classifiers.types import FOLDS, Budget
from classifiers.validation.alignment import check_classes
from classifiers.validation.labelled import labelled_part
from classifiers.validation.protocol import EvaluationProtocol, make_protocol
from classifiers.validation.splits import group_by
from featstore.errors import FeaturesError
from featstore.features import FeatureSet
from featstore.system.reporting import Progress

MOST_TESTED = 5_000_000
"""Numbers (images x classes) of the judged probabilities that are kept."""
USED = 0.35
"""Part of the free memory that a head's sample may take; chunks, probabilities and the report take their own."""


def compare_streamed(
    features: FeatureSource,
    heads: Sequence[str] = DEFAULT,
    *,
    seed: int = 0,
    budget: Budget = "normal",
    folds: int = FOLDS,
    protocol: str = "auto",
    groups: str | None = None,
    drop_leaks: bool = False,
    class_weight: str | Mapping[Any, float] | None = None,
    calibrate: bool = True,
    allow_untested: bool = False,
    allow_few: bool = False,
    store: str | None = None,
    memory: int | None = None,
    progress: Progress | None = None,
    said: Callable[[str], None] | None = None,
) -> Report:
    """Tune, fit and judge several heads on the same folds, in passes over the features.

    Linear heads and `centroid` learn from every row, the others from as many as memory holds. Left out are what looks
    at pairs of images (copies that are not byte for byte the same, shifts between the parts), the curves, the map, and
    the raw pixels; of many test images and out-of-fold predictions a sample is kept. The report says so.

    Parameters
    ----------
    features : FeatureStream or FeatureSet
    heads, seed, budget, folds, groups, drop_leaks, class_weight, calibrate, allow_untested, allow_few, store, progress
        As `classifiers.comparison.compare`. `groups="auto"` is not known here.
    protocol : {"auto", "given", "holdout"}
        A nested cross-validation would stream everything once more for each fold.
    memory : int, optional
        Bytes that may be taken (default: what this process may still take).
    said : callable, optional
        Told first what it will take: bytes, passes, time.

    Returns
    -------
    Report

    Raises
    ------
    FeaturesError
        Where the features cannot be learnt from, or no head could be judged.
    UnknownNameError
        For a head that does not exist.

    Examples
    --------
    >>> from featstore.fingerprint import Fingerprint
    >>> rng, y = np.random.default_rng(0), np.repeat([0, 1], 300)
    >>> X = rng.normal(y[:, None], 0.5, (600, 8)).astype(np.float32)
    >>> ids, digests = tuple(f"{i}.jpg" for i in range(600)), rng.integers(0, 256, (600, 32), dtype=np.uint8)
    >>> network = Fingerprint("resnet18", "0" * 64, "avgpool", "avg", {}, {}, "fp32", "random (seed 0)")
    >>> splits, paths = np.full(600, ""), tuple(name.encode() for name in ids)
    >>> features = FeatureSet(X, y, ids, ("ant", "bee"), splits, digests, network, "insects", b"", paths)
    >>> report = compare_streamed(features, ["centroid", "logistic"], budget="quick", folds=3)
    >>> [run["head"] for run in report.data["runs"]]
    ['centroid', 'logistic', 'majority']
    """
    began = time.perf_counter()
    names = checked(heads, budget, seed)
    if protocol == "cv":
        raise FeaturesError(
            '`protocol="cv"` would stream all features once more for each fold; expected "given" or "holdout"'
        )
    if groups == "auto":
        raise FeaturesError(
            '`groups="auto"` looks for copies among all pairs of images, which streamed features do not offer; '
            "expected a regular expression, or nothing for the groups that the data name"
        )
    memory = free_memory() if memory is None else memory
    memory = 1 << 62 if memory is None else memory
    everything, notes = labelled_part(without_features(features))
    rows: FeatureRows = features
    if len(everything) < len(features):
        rows = features.subset(np.flatnonzero(features.y >= 0))
    copies = same_bytes(everything)
    named = data_groups(everything) if groups is None else group_by(everything.ids, groups)
    members = joined(named, copies)
    apart = joined(joined(copies, data_groups(everything)), members) if drop_leaks else None
    auto = "given" if everything.testing().size else "holdout"
    plan = make_protocol(
        everything, protocol=auto if protocol == "auto" else protocol, folds=folds, seed=seed, groups=members,
        apart=apart,
    )  # fmt: skip
    notes += check_classes(everything, plan, allow_untested=allow_untested, allow_few=allow_few)
    notes += lone_groups(everything, plan, members)
    if len(np.unique(everything.y)) < 2:
        raise FeaturesError(
            f"all images of data set {everything.dataset!r} are of one class, "
            f"{everything.classes[int(everything.y[0])]!r}; expected two or more"
        )
    k = len(everything.classes)
    leaking = [] if drop_leaks else _leaks(everything, plan, copies)
    plan, tested = _fewer_tests(plan, MOST_TESTED // k, seed)
    if said is not None:
        said(stream_plan(rows, k, names, folds, budget, memory).text())
    bar = ProgressBar(progress, runs=len(names) + 1)
    bar.start("first pass")
    ((train, test),), (inner,) = plan.outer, plan.inner
    for at, X in rows.subset(test).chunks(order="stored"):  # before any head is fitted for hours
        require_finite_chunk(at, X, lambda row: everything.ids[int(test[row])])

    training = StreamedTraining.of(
        rows.subset(train), everything.y[train], inner, seed=seed, told=bar.share,
        named=lambda row: everything.ids[int(train[row])],
    )  # fmt: skip
    _ = training.sums  # what no head could learn from is refused here
    bar.end()
    runs, omitted = [], []
    for head in names:
        bar.start(head)
        try:
            runs.append(
                evaluate_streamed(
                    head,
                    rows,
                    everything,
                    plan,
                    training,
                    memory=int(USED * memory),
                    seed=seed,
                    budget=budget,
                    class_weight=class_weight,
                    calibrate=calibrate,
                    progress=bar.share,
                )  # fmt: skip
            )
        except FeaturesError as error:
            omitted.append({"head": head, "feature": 0, "reason": str(error)})
        bar.end()
    if not runs:
        raise FeaturesError(omitted[0]["reason"])
    kept = np.unique(np.concatenate([plan.judged, *(run.oof_rows for run in runs)]))
    small, short = everything.subset(kept), _renumbered(plan, kept)
    runs = [_moved(run, small, kept) for run in runs]
    bar.start("majority")
    zeros = np.zeros((len(small), 1), dtype=np.float32)
    runs.append(evaluate("majority", small, short, seed=seed, budget=budget, X=zeros))
    bar.end()
    bar.start("curves and checks")
    left = _left_out(everything, plan, runs, tested)
    data = document(
        [small], short, runs, omitted, None, notes, asked=names, members=None if members is None else members[kept],
        seed=seed, budget=budget, groups=groups, drop_leaks=drop_leaks, class_weight=class_weight, store=store,
        allow_few=allow_few,
    )  # fmt: skip
    data["dataset"] |= {
        "train": len(train),
        "images": len(everything),
        "counts": np.bincount(everything.y, minlength=k).tolist(),
    }
    data["protocol"] |= {
        "dropped": len(plan.dropped),
        "streamed": True,
        **_groups(everything, protocol_text(everything, plan), groups, members),
    }
    data["features"][0] |= {"dim": rows.width, "rows": len(everything)}
    others = [row for row in data["warnings"] if row.get("of") != "groups"]
    data["warnings"] = [*leaking, *others, {"kind": "memory", "text": left}]
    bar.end()
    data["environment"] = environment() | {"seconds": time.perf_counter() - began}
    data["verdict"] = verdict(data)
    return Report(data)


def _leaks(features: FeatureSet, plan: EvaluationProtocol, copies: NDArray[np.int64] | None) -> list[dict[str, Any]]:
    """Warnings about test images that are also training images, by their bytes, and about groups on both sides.

    Parameters
    ----------
    copies : ndarray of shape (n,), int64, or None
        See `same_bytes`.
    """
    ((train, test),) = plan.outer
    found = []
    both = 0 if copies is None else int(np.isin(copies[test], copies[train]).sum())
    if both:
        found.append(
            {
                "kind": "leak",
                "text": f"{count(both, 'test image')} ({percent(both / len(test))} %) are also in the training part, "
                "byte for byte: scores there show what was remembered. `drop_leaks=True` leaves such images out of "
                "training.",
            }
        )
    if crossing := split_groups(features, plan):
        found.append({"kind": "leak", "of": "groups", "text": crossing})
    return found


def _groups(features: FeatureSet, text: str, groups: str | None, members: NDArray[np.int64] | None) -> dict[str, Any]:
    """What the report says of groups, of all images and not of those that are kept."""
    brought = data_groups(features)
    several = None if brought is None else int((np.bincount(brought) > 1).sum())
    found: dict[str, Any] = {"n_groups": None if members is None else len(np.unique(members))}
    if groups is not None:
        found["text"] = f"{text} {pattern_text(groups, brought)}"
        return found | ({} if several is None else {"groups_set_aside": several})
    if brought is None:
        return found
    return found | {"text": f"{text} {group_text(brought)}", "groups_of_the_data": several}


def _fewer_tests(plan: EvaluationProtocol, most: int, seed: int) -> tuple[EvaluationProtocol, int]:
    """The same with at most so many test rows, drawn at random; and how many there were."""
    ((train, test),) = plan.outer
    if len(test) <= most:
        return plan, len(test)
    drawn = np.sort(np.random.default_rng([seed, 5]).choice(test, most, replace=False))
    return dataclasses.replace(plan, outer=((train, drawn),)), len(test)


def _renumbered(plan: EvaluationProtocol, kept: NDArray[np.intp]) -> EvaluationProtocol:
    """The plan for the rows that are kept, in their numbers; folds that lose a part are left out."""
    ((train, test),), (inner,) = plan.outer, plan.inner
    stays = np.isin(train, kept)
    place = np.cumsum(stays) - 1  # of each training row among those that stay
    folds = [
        (place[a[stays[a]]], place[b[stays[b]]]) for a, b in inner if stays[a].any() and stays[b].any()
    ]  # fmt: skip
    outer = ((np.searchsorted(kept, train[stays]), np.searchsorted(kept, test)),)
    return dataclasses.replace(plan, outer=outer, inner=(folds,), dropped=np.empty(0, dtype=np.intp))


def _moved(run: Run, small: FeatureSet, kept: NDArray[np.intp]) -> Run:
    """A run whose rows are those of the smaller feature set."""
    return dataclasses.replace(
        run, features=small, rows=np.searchsorted(kept, run.rows), oof_rows=np.searchsorted(kept, run.oof_rows)
    )


def _left_out(features: FeatureSet, plan: EvaluationProtocol, runs: Sequence[Run], tested: int) -> str:
    """What this report lacks, in one paragraph."""
    text = (
        f"The features of {len(features):,} images were streamed. This report has no search for copies but those of "
        "the same bytes, no check whether the parts are of one kind, no learning curve, no map and no comparison with "
        "raw pixels."
    )
    judged = len(plan.judged)
    if judged < tested:
        text += f" Heads were judged on {judged:,} of {tested:,} test images, drawn at random."
    out = max((len(run.oof_rows) for run in runs if not run.reference), default=0)
    if out < len(plan.trained):
        text += (
            f" Cross-validated figures and suspected labels are about {out:,} of {len(plan.trained):,} training "
            "images at most."
        )
    return " ".join([text, *(note for run in runs for note in run.notes)])
