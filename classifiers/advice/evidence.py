"""Evidence: what the cache says about itself, before anybody judges it. No test image is judged."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from classifiers.advice.domain_distance import DomainDistance, StatisticsDistance, domain_distance
from classifiers.advice.error_elsewhere import ErrorElsewhere, error_elsewhere
from classifiers.advice.imagenet_head import ImageNetHead
from classifiers.advice.label_noise import LabelNoise, estimate_label_noise
from classifiers.advice.node_choice import choose_node, repeats_for
from classifiers.comparison.curves import learning_curve
from classifiers.heads.registry import make_head
from classifiers.training.regimes import FineTuneSettings
from classifiers.validation.alignment import check_memory
from classifiers.validation.extrapolate import extrapolate
from classifiers.validation.protocol import EvaluationProtocol
from classifiers.validation.ridge_probe import RidgeProbe
from classifiers.validation.shift import Shift, find_shift
from classifiers.validation.significance import wilson
from classifiers.validation.splits import holdout, stratified_folds
from classifiers.validation.transferability import h_score, log_me
from featstore.backbone.landmarks import network_order
from featstore.errors import FeaturesError
from featstore.features import FeatureSet
from featstore.system.reporting import Progress

SCORED_ROWS = 1000
"""Rows that LogME and the H-score look at, so that they cost a second and not ten."""

CURVE_ROWS = 2000
"""Training images that the learning curve looks at; from there to all of them it is extended like to twice as many."""

UNASKED = StatisticsDistance(None, reason="The network was not asked how it sees the images.")

UNKNOWN_DISTANCE = 0.45
"""Taken where the distance from ImageNet cannot be told: as far as what is still similar can be."""


@dataclasses.dataclass(frozen=True)
class NodeEvidence:
    """One cached node: out-of-fold accuracy of a linear head, its interval, and transferability scores."""

    node: str
    pool: str
    dim: int
    accuracy: float
    accuracy_ci: tuple[float, float]
    log_me: float
    h_score: float


@dataclasses.dataclass(frozen=True)
class Evidence:
    """Numbers behind the advice. Accuracies are out-of-fold shares in [0, 1] of the training part.

    Attributes
    ----------
    nodes : tuple of NodeEvidence
        In the order of the network.
    best, last : int
        Index of the chosen node (see `choose_node`), and of the deepest.
    lead, lead_ci : float, tuple of float
        Accuracy that the choice of a node has over the last one, on rows that had no say in the choice, and its 95 %
        interval; 0 and (0, 0) where the last node is the choice.
    earlier_p : float
        That the chosen node and the last have the same Brier score; 1 where they are one.
    earlier_shown, rises_to_last : bool
        Whether an earlier node is shown to be better than the last; whether the last is shown to be better than each.
    nodes_text : tuple of str
        The same in sentences.
    chance : float
        Share of the largest class among the rows that folds judge.
    sources : int
        Independent images: groups where there are any, else images.
    curve : tuple of (training images, accuracy, images judged)
        At the best node.
    doubled : tuple (accuracy, low, high) or None
        Expected with twice the images.
    head_confidence : float or None
        Mean probability of the winner among the ImageNet classes, by the network's original head.
    head_accuracy : float or None
        How often that head's answers tell the classes apart, see `ImageNetHead.accuracy`.
    last_accuracy : float
        Of the linear head on the last node: what `head_accuracy` is measured against.
    noise : LabelNoise
        Share of wrong labels in the training part, with its interval.
    domain : DomainDistance
        How far the images are from ImageNet.
    test : int
        Images of the test part; 0 without one.
    shift : Shift or None
        Whether the test part holds another kind of images; None without one.
    elsewhere : ErrorElsewhere or None
        How wrong the linear head is expected to be there; None where nothing is shifted.
    unjudged : tuple of str
        Classes that no fold judges: all their images are of one source.
    single : tuple of str
        Those of them that have one image only.
    untrained : tuple of str
        Classes of the data set with images, and none of them in the training part.
    validation : int or None
        Images of the training part that a fine-tune holds out to choose its epoch by; 0 where it can hold out none,
        None where nobody counted.
    validation_given : bool
        Whether these are a validation part that the data bring.
    leaks : dict
        As in a report: `texts`, what was found, and `groups`, what to give to --groups; empty where nobody looked.

    Examples
    --------
    >>> from classifiers.advice.domain_distance import domain_distance
    >>> from classifiers.advice.label_noise import LabelNoise
    >>> node = NodeEvidence("avgpool", "avg", 512, 0.9, (0.85, 0.94), log_me=0.3, h_score=1.2)
    >>> evidence = Evidence(
    ...     train=200, classes=2, per_class_min=100, per_class_median=100.0, per_class_max=100, sources=200,
    ...     groups=None, chance=0.5, nodes=(node,), best=0, last=0, lead=0.0, lead_ci=(0.0, 0.0),
    ...     earlier_p=1.0, earlier_shown=False, rises_to_last=False, nodes_text=(), linear_accuracy=0.9,
    ...     knn_accuracy=0.85, train_accuracy=1.0, curve=(), doubled=None, head_confidence=None, head_accuracy=None,
    ...     last_accuracy=0.9, noise=LabelNoise(0.0, 0.0, 0.02, True, ""), leaks={},
    ...     domain=domain_distance([("avgpool", 0.9)], 0.5, UNASKED, None),
    ... )
    >>> evidence.to_json()["nodes"][0]["node"]
    'avgpool'
    """

    train: int
    classes: int
    per_class_min: int
    per_class_median: float
    per_class_max: int
    sources: int
    groups: str | None
    chance: float
    nodes: tuple[NodeEvidence, ...]
    best: int
    last: int
    lead: float
    lead_ci: tuple[float, float]
    earlier_p: float
    earlier_shown: bool
    rises_to_last: bool
    nodes_text: tuple[str, ...]
    linear_accuracy: float
    knn_accuracy: float
    train_accuracy: float
    curve: tuple[tuple[int, float, int], ...]
    doubled: tuple[float, float, float] | None
    head_confidence: float | None
    head_accuracy: float | None
    last_accuracy: float
    noise: LabelNoise
    domain: DomainDistance
    leaks: dict[str, Any]
    test: int = 0
    shift: Shift | None = None
    elsewhere: ErrorElsewhere | None = None
    unjudged: tuple[str, ...] = ()
    single: tuple[str, ...] = ()
    untrained: tuple[str, ...] = ()
    validation: int | None = None
    validation_given: bool = False

    @property
    def distance(self) -> float:
        """From ImageNet, in [0, 1]; where it cannot be told, in the middle between similar and different."""
        return UNKNOWN_DISTANCE if self.domain.distance is None else self.domain.distance

    def to_json(self) -> dict[str, Any]:
        """Plain JSON."""
        plain = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        nested = {"noise", "elsewhere"}
        plain |= {name: plain[name] and dataclasses.asdict(plain[name]) for name in nested}
        plain["nodes"] = [dataclasses.asdict(node) for node in self.nodes]
        plain["domain"] = self.domain.to_json()
        plain["shift"] = self.shift and self.shift.to_json()
        return plain | {"label_noise": self.noise.share, "label_noise_ci": [self.noise.low, self.noise.high]}


def gather(
    features: Sequence[FeatureSet],
    *,
    groups: NDArray[np.int64] | None = None,
    groups_text: str | None = None,
    leaks: dict[str, Any] | None = None,
    original: ImageNetHead | None = None,
    statistics: StatisticsDistance | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> Evidence:
    """Collect the evidence from the cached nodes of one backbone on one data set.

    Parameters
    ----------
    features : sequence of FeatureSet
        The same rows at several nodes.
    groups : ndarray of shape (rows,), int64, optional
        Source of each image; folds and learning curve keep sources together.
    original : ImageNetHead, optional
        Answers about the rows of the training part.
    statistics : StatisticsDistance, optional
        What the network's batch norms say of the images.

    Raises
    ------
    FeaturesError
        Rows that differ between nodes, too few to judge, one class only, or more than memory holds.

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
    >>> evidence = gather([features])
    >>> evidence.train, evidence.chance, evidence.linear_accuracy > 0.9
    (60, 0.5, True)
    """
    features = sorted(features, key=lambda f: network_order(f.fingerprint.node))
    first = features[0]
    for other in features[1:]:
        if not np.array_equal(other.digests, first.digests):
            raise FeaturesError(
                f"node {other.fingerprint.node} has other rows than {first.fingerprint.node}; extract both for all "
                f"images"
            )
    check_memory(features, "advising on")
    train, test = first.training(), first.testing()
    y, sources = first.y[train], groups
    groups = None if sources is None else sources[train]
    counts = np.bincount(y, minlength=len(first.classes))
    if (counts > 0).sum() < 2:
        held = "no labelled images" if not len(y) else f"one class only, {first.classes[int(y[0])]!r}"
        raise FeaturesError(
            f"the training part holds {held}; advice stands on how classes differ: expected two or more"
        )
    repeats = repeats_for(len(y), [one.X.shape[1] for one in features])
    repeated = [stratified_folds(y, 5, seed + repeat, groups) for repeat in range(repeats)]
    folds = repeated[0]
    judged = np.sort(np.concatenate([valid for _, valid in folds]))
    steps, done = len(features) + 2 + (len(test) > 0), 0

    def step(note: str) -> None:
        nonlocal done
        if progress:
            progress("advise", done, steps, note)
        done += 1

    nodes, probes = [], []
    few = np.random.default_rng(seed).permutation(len(y))[:SCORED_ROWS]
    for one in features:
        step(f"linear head on {one.fingerprint.node}")
        X = one.X[train]
        found = [RidgeProbe.fit(X, y, parts, nested=True) for parts in repeated]
        probes.append(found)
        right = int((found[0].answers == y)[judged].sum())
        nodes.append(
            NodeEvidence(one.fingerprint.node, one.fingerprint.pool, X.shape[1], right / len(judged),
                         wilson(right, len(judged)), log_me(X[few], y[few]), h_score(X[few], y[few]))
        )  # fmt: skip
    choice = choose_node(probes, y, repeated, [node.node for node in nodes], groups=groups)
    best, last = choice.best, len(nodes) - 1

    step("learning curve")
    X = features[best].X[train]
    rows = (np.arange(len(y)), folds)
    protocol = EvaluationProtocol("cv", "", len(folds), 1, seed, "", outer=(), inner=(), whole=rows)
    drawn = learning_curve(features[best].subset(train), protocol, seed=seed, most_rows=CURVE_ROWS)
    points = drawn["points"] if drawn else []
    doubled = None
    if len({point["train"] for point in points}) >= 3:
        sizes, shares = [p["train"] for p in points], [p["accuracy"] for p in points]
        (there,) = extrapolate(
            sizes, shares, [p["n"] for p in points], [2 * len(y) * (len(folds) - 1) // len(folds)], seed=seed
        )
        # The curve may judge other rows (where a class is of one source only): what counts is how far it rises.
        most = max(sizes)
        drawn_to = float(np.mean([share for size, share in zip(sizes, shares, strict=True) if size == most]))
        apart = nodes[best].accuracy - drawn_to
        low, middle, high = np.clip([there.low + apart, there.accuracy + apart, there.high + apart], 0.0, 1.0).tolist()
        doubled = (middle, low, high)

    step("nearest neighbours")
    knn = make_head("knn", seed=seed, budget="quick", cv=folds).fit(X, y)
    knn_right = knn.classes_[knn.oof_proba_.argmax(axis=1)] == y
    probe = probes[best][0]
    noise = estimate_label_noise(
        probe.scores, np.searchsorted(probe.classes, y), neighbours=knn.oof_proba_.argmax(axis=1), groups=groups
    )
    original = original or ImageNetHead(None)
    shift = elsewhere = None
    if len(test):
        step("training against test part")
        deepest = features[last].X
        shift = find_shift(deepest, train, test, y=first.y, groups=sources, seed=seed)
        if shift.shifted:
            wrong = 1 - nodes[last].accuracy
            found_there = error_elsewhere(deepest[train], y, folds, deepest[test], error=wrong, seed=seed)
            guessing = 1 - 1 / int((counts > 0).sum())  # no head is expected to be worse than that
            elsewhere = dataclasses.replace(found_there, there=min(found_there.there, guessing))
    of_class = np.bincount(y[judged], minlength=len(first.classes))
    chance = float(of_class.max() / len(judged))

    def named(which: NDArray[np.bool_]) -> tuple[str, ...]:
        return tuple(first.classes[i] for i in np.flatnonzero(which))

    given = int((first.splits[train] == "val").sum()) if len(test) and (first.splits[test] == "test").all() else 0
    head_accuracy = original.accuracy(y, folds)
    domain = domain_distance(
        [(node.node, node.accuracy) for node in nodes], chance, statistics or UNASKED,
        recovered_share(head_accuracy, nodes[last].accuracy, chance),
    )  # fmt: skip
    step("done")
    return Evidence(
        train=len(y),
        classes=int((counts > 0).sum()),
        per_class_min=int(counts[counts > 0].min()),
        per_class_median=float(np.median(counts[counts > 0])),
        per_class_max=int(counts.max()),
        sources=len(y) if groups is None else len(np.unique(groups)),
        groups=groups_text,
        chance=chance,
        nodes=tuple(nodes),
        best=best,
        last=last,
        lead=choice.lead,
        lead_ci=choice.lead_ci,
        earlier_p=choice.p,
        earlier_shown=choice.shown,
        rises_to_last=choice.rises_to_last,
        nodes_text=choice.text,
        linear_accuracy=nodes[best].accuracy,
        knn_accuracy=float(knn_right[judged].mean()),
        train_accuracy=probes[best][0].train_accuracy,
        curve=tuple((p["train"], p["accuracy"], p["n"]) for p in points),
        doubled=doubled,
        head_confidence=original.confidence,
        head_accuracy=head_accuracy,
        last_accuracy=nodes[last].accuracy,
        noise=noise,
        domain=domain,
        leaks=leaks or {},
        test=len(test),
        shift=shift,
        elsewhere=elsewhere,
        unjudged=named((counts > 0) & (of_class == 0)),
        single=named((counts == 1) & (of_class == 0)),
        untrained=named((counts == 0) & (np.bincount(first.y[first.y >= 0], minlength=len(first.classes)) > 0)),
        validation=given or _held_out(y, groups, seed),
        validation_given=given > 0,
    )


def _held_out(y: NDArray[np.int64], groups: NDArray[np.int64] | None, seed: int) -> int:
    """Images that a fine-tune holds out of its training part by itself."""
    try:
        return len(holdout(y, FineTuneSettings.valid_fraction, seed, groups=groups)[1])
    except FeaturesError:
        return 0


def recovered_share(head_accuracy: float | None, linear: float, chance: float) -> float | None:
    """Of what a linear head on the last node knows beyond chance, the share that ImageNet's classes tell, in [0, 1].

    None where the network has no ImageNet head, or the linear head knows nothing.

    Parameters
    ----------
    head_accuracy : float or None
        See `ImageNetHead.accuracy`.
    linear, chance : float
        Accuracy of the linear head; share of the largest class.

    Examples
    --------
    >>> recovered_share(0.75, 1.0, 0.5)
    0.5
    """
    known = linear - chance
    if head_accuracy is None or known < 0.05:
        return None
    return float(np.clip((head_accuracy - chance) / known, 0.0, 1.0))
