"""compare: several heads on the same folds, judged once, as one report."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from classifiers.comparison.document import document, environment
from classifiers.comparison.evaluate import Run, evaluate
from classifiers.comparison.parts import deepest_with_unlabelled, lone_groups, part_shifts
from classifiers.heads.baselines import pixels
from classifiers.heads.registry import DEFAULT, candidates, check_name
from classifiers.leakage.data_groups import data_groups, joined
from classifiers.leakage.duplicate_groups import find_duplicate_groups, members_of
from classifiers.leakage.leaks import find_leaks
from classifiers.report.report import Report
from classifiers.report.verdict import verdict
from classifiers.types import BUDGETS, FOLDS, Budget
from classifiers.validation.alignment import align, check_classes, named_runs
from classifiers.validation.protocol import EvaluationProtocol, make_protocol
from featstore.backbone.landmarks import network_order
from featstore.errors import FeaturesError, UnknownNameError
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
    references: bool | Sequence[str] = True,
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
        Images of one group stay on one side of every part and fold that is made here: those that the data name
        (default); "auto" for these and for the groups that were found (byte-identical files, copies, telling names); or
        a regular expression on image paths whose first group (or match) names the group. Byte-identical files stay
        together in any case.
    drop_leaks : bool
        Leave images out of training whose source is also in the part that judges: by what was found, by the groups that
        the data name, and by `groups`.
    class_weight : "balanced" or mapping of class to weight, optional
        For every head that can.
    calibrate : bool
        Calibrate every head's probabilities on its out-of-fold predictions.
    references : bool or sequence of str
        What the heads are held against: "majority" (the most frequent class), "pixels" (raw pixels, where the files are
        still there); True for both, False for none.
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

    Examples
    --------
    >>> import numpy as np
    >>> from featstore.features import FeatureSet
    >>> from featstore.fingerprint import Fingerprint
    >>> rng, y = np.random.default_rng(0), np.repeat([0, 1], 30)
    >>> X = rng.normal(y[:, None], 0.5, (60, 8)).astype(np.float32)
    >>> ids, digests = tuple(f"{i}.jpg" for i in range(60)), rng.integers(0, 256, (60, 32), dtype=np.uint8)
    >>> network = Fingerprint("resnet18", "0" * 64, "avgpool", "avg", {}, {}, "fp32", "random (seed 0)")
    >>> splits, paths = np.full(60, ""), tuple(name.encode() for name in ids)
    >>> features = FeatureSet(X, y, ids, ("ant", "bee"), splits, digests, network, "insects", b"", paths)
    >>> report = compare(features, ["centroid", "knn"], budget="quick", folds=3)
    >>> [run["head"] for run in report.data["runs"]]
    ['centroid', 'knn', 'majority']
    """
    began = time.perf_counter()
    names, beside = checked(heads, budget, seed), _references(references)
    unlabelled = deepest_with_unlabelled(features)
    sets, notes = align(features)
    sets = _in_depth_order(sets)
    bar = ProgressBar(progress, runs=len(names) * len(sets) + len(beside))

    bar.start("looking for copies")
    looked = time.perf_counter()
    # What is alike is seen best in the deepest features.
    deepest = max(sets, key=lambda one: network_order(one.fingerprint.node))
    sources = find_duplicate_groups(deepest, seed=seed, told=bar.start)
    looked = time.perf_counter() - looked
    members = members_of(sets[0], sources, groups)
    repeats = REPEATS[budget] if repeats is None else repeats
    apart = joined(joined(sources.groups, data_groups(sets[0])), members) if drop_leaks else None
    plan = make_protocol(
        sets[0], protocol=protocol, folds=folds, repeats=repeats, seed=seed, groups=members, apart=apart
    )  # fmt: skip
    leaks = find_leaks(sets[0], plan, sources, grouped=groups is not None, seconds=looked)
    parts = part_shifts(deepest, plan, joined(sources.groups, data_groups(deepest)), unlabelled, seed=seed)
    notes += check_classes(sets[0], plan, allow_untested=allow_untested, allow_few=allow_few)
    notes += lone_groups(sets[0], plan, members)
    bar.end()

    runs, omitted = _judged(
        names, sets, plan, bar, references=beside, seed=seed, budget=budget, class_weight=class_weight,
        calibrate=calibrate,
    )  # fmt: skip

    bar.start("curves and checks")
    data = document(
        sets, plan, runs, omitted, leaks, notes, asked=names, members=members, seed=seed, budget=budget, groups=groups,
        drop_leaks=drop_leaks, class_weight=class_weight, store=store, allow_few=allow_few, shift=parts[0],
        unlabelled_shift=parts[1],
    )  # fmt: skip
    bar.end()
    data["environment"] = environment() | {"seconds": time.perf_counter() - began}
    data["verdict"] = verdict(data)
    return Report(data)


def _in_depth_order(sets: Sequence[FeatureSet]) -> list[FeatureSet]:
    """The nodes of each network from the first to the last; networks in the order in which they came."""
    networks = [(one.fingerprint.backbone, one.fingerprint.weights_sha256) for one in sets]
    first = {network: networks.index(network) for network in networks}
    keyed = sorted(range(len(sets)), key=lambda i: (first[networks[i]], network_order(sets[i].fingerprint.node), i))
    return [sets[i] for i in keyed]


def checked(heads: Sequence[str], budget: str, seed: int) -> list[str]:
    """The heads that were asked for, each once; what is no head, budget or seed is refused."""
    names = list(dict.fromkeys(heads))
    for name in names:
        check_name(name)
    if budget not in BUDGETS:
        raise FeaturesError(f"budget is {budget!r}, expected one of {', '.join(BUDGETS)}")
    if seed < 0:
        raise FeaturesError(f"seed is {seed}, expected 0 or more")
    if not names:
        raise FeaturesError("no head was named; expected at least one of " + ", ".join(candidates()))
    return names


def _references(asked: bool | Sequence[str]) -> tuple[str, ...]:
    """The references that were asked for, in the order of reports."""
    if isinstance(asked, bool):
        return REFERENCES if asked else ()
    for name in asked:
        if name not in REFERENCES:
            raise UnknownNameError("reference", name, REFERENCES)
    return tuple(name for name in REFERENCES if name in asked)


def _judged(
    names: Sequence[str],
    sets: Sequence[FeatureSet],
    plan: EvaluationProtocol,
    bar: ProgressBar,
    *,
    references: Sequence[str],
    **options: Any,
) -> tuple[list[Run], list[dict[str, Any]]]:
    """Every head on every feature set, and the references; and those that could not be judged, with the reason."""
    runs: list[Run] = []
    omitted: list[dict[str, Any]] = []
    jobs = [(head, i, suffix) for i, suffix in enumerate(named_runs(sets)) for head in names]
    jobs += [(head, 0, "") for head in references if head not in names]
    for head, i, suffix in jobs:
        bar.start(f"{head}{suffix}")
        matrix = _matrix(head, sets[0])
        try:
            if isinstance(matrix, str):
                raise FeaturesError(matrix)
            run = evaluate(head, sets[i], plan, name=head + suffix, feature=i, X=matrix, progress=bar.share, **options)
            runs.append(run)
        except FeaturesError as error:
            omitted.append({"head": head, "feature": i, "reason": str(error)})
        bar.end()
    if all(run.reference for run in runs):
        raise FeaturesError(omitted[0]["reason"])
    return runs, omitted


class ProgressBar:
    """Progress over all runs, each as many steps, and over what is looked at before and after them."""

    def __init__(self, progress: Progress | None, runs: int) -> None:
        self._progress, self._total = progress, (runs + 2) * _PARTS
        self._before, self._note = 0, ""

    def start(self, note: str) -> None:
        """The next piece of work begins; it is as long as any other."""
        self._note = note
        self.share(0.0)

    def share(self, share: float, detail: str = "") -> None:
        """So much of it is done, in [0, 1]."""
        if self._progress is not None:
            note = f"{self._note} ({detail})" if detail else self._note
            self._progress("compare", min(self._before + int(share * _PARTS), self._total), self._total, note)

    def end(self) -> None:
        """It is done."""
        self._before += _PARTS
        self.share(0.0)


def _matrix(head: str, features: FeatureSet) -> NDArray[np.float32] | str | None:
    """What a head sees in place of the features; or why it cannot."""
    if head == "pixels":
        return pixels(features)
    # The majority needs no features at all, only as many rows.
    return np.zeros((len(features), 1), dtype=np.float32) if head == "majority" else None
