"""Evidence: what the cache says about itself, before anybody judges it. No test image is judged."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from classifiers.advice.imagenet_head import ImageNetHead
from classifiers.comparison.curves import learning_curve
from classifiers.heads.registry import make_head
from classifiers.validation.alignment import check_memory
from classifiers.validation.extrapolate import extrapolate
from classifiers.validation.protocol import EvaluationProtocol
from classifiers.validation.ridge_probe import RidgeProbe
from classifiers.validation.significance import mcnemar_exact, wilson
from classifiers.validation.splits import stratified_folds
from classifiers.validation.transferability import h_score, log_me
from featstore.backbone.landmarks import network_order
from featstore.errors import FeaturesError
from featstore.features import FeatureSet
from featstore.system.reporting import Progress

SCORED_ROWS = 1000
"""Rows that LogME and the H-score look at, so that they cost a second and not ten."""

CURVE_ROWS = 2000
"""Training images that the learning curve looks at; from there to all of them it is extended like to twice as many."""


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
        Index of the most accurate node, and of the deepest.
    earlier_p : float
        Exact McNemar of the best node against the last, Bonferroni-corrected for the choice of the best; 1 where the
        last is best.
    chance : float
        Share of the largest class.
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
    label_noise : float
        Share of training images whose label the linear head and the nearest neighbours both contradict, out of fold,
        with the same other class. Wrong labels are among them, and so are images that are hard: an upper bound.
    leaks : dict
        As in a report: `texts`, what was found, and `groups`, what to give to --groups; empty where nobody looked.

    Examples
    --------
    >>> node = NodeEvidence("avgpool", "avg", 512, 0.9, (0.85, 0.94), log_me=0.3, h_score=1.2)
    >>> evidence = Evidence(
    ...     train=200, classes=2, per_class_min=100, per_class_median=100.0, per_class_max=100, sources=200,
    ...     groups=None, chance=0.5, nodes=(node,), best=0, last=0, earlier_p=1.0, linear_accuracy=0.9,
    ...     knn_accuracy=0.85, train_accuracy=1.0, curve=(), doubled=None, head_confidence=None, head_accuracy=None,
    ...     last_accuracy=0.9, label_noise=0.0, leaks={},
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
    earlier_p: float
    linear_accuracy: float
    knn_accuracy: float
    train_accuracy: float
    curve: tuple[tuple[int, float, int], ...]
    doubled: tuple[float, float, float] | None
    head_confidence: float | None
    head_accuracy: float | None
    last_accuracy: float
    label_noise: float
    leaks: dict[str, Any]

    def to_json(self) -> dict[str, Any]:
        """Plain JSON."""
        return dataclasses.asdict(self)


def gather(
    features: Sequence[FeatureSet],
    *,
    groups: NDArray[np.int64] | None = None,
    groups_text: str | None = None,
    leaks: dict[str, Any] | None = None,
    original: ImageNetHead | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> Evidence:
    """Collect the evidence from the cached nodes of one backbone on one data set.

    Parameters
    ----------
    features : sequence of FeatureSet
        The same rows at several nodes.
    groups : ndarray of shape (rows of the training part,), int64, optional
        Source of each image; folds and learning curve keep sources together.
    original : ImageNetHead, optional
        Answers about the rows of the training part.

    Raises
    ------
    FeaturesError
        Rows that differ between nodes, too few to judge, or more than memory holds.

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
    train = first.training()
    y = first.y[train]
    counts = np.bincount(y, minlength=len(first.classes))
    folds = stratified_folds(y, 5, seed, groups)
    judged = np.sort(np.concatenate([valid for _, valid in folds]))
    steps, done = len(features) + 2, 0

    def step(note: str) -> None:
        nonlocal done
        if progress:
            progress("advise", done, steps, note)
        done += 1

    nodes, hits, probes = [], [], []
    few = np.random.default_rng(seed).permutation(len(y))[:SCORED_ROWS]
    for one in features:
        step(f"linear head on {one.fingerprint.node}")
        X = one.X[train]
        probe = RidgeProbe.fit(X, y, folds)
        right = (probe.answers == y)[judged]
        hits.append(right)
        probes.append(probe)
        low, high = wilson(int(right.sum()), len(judged))
        nodes.append(
            NodeEvidence(one.fingerprint.node, one.fingerprint.pool, X.shape[1], float(right.mean()),
                         (low, high), log_me(X[few], y[few]), h_score(X[few], y[few]))
        )  # fmt: skip
    accuracies = [node.accuracy for node in nodes]
    best, last = int(np.argmax(accuracies)), len(nodes) - 1
    earlier_p = 1.0
    if best != last:
        only_best, only_last = int((hits[best] & ~hits[last]).sum()), int((hits[last] & ~hits[best]).sum())
        earlier_p = min(1.0, mcnemar_exact(only_best, only_last) * last)

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
        doubled = (there.accuracy, there.low, there.high)

    step("nearest neighbours")
    knn = make_head("knn", seed=seed, budget="quick", cv=folds).fit(X, y)
    knn_right = knn.classes_[knn.oof_proba_.argmax(axis=1)] == y
    linear = probes[best].answers
    near = knn.classes_[knn.oof_proba_.argmax(axis=1)]
    contradicted = (linear == near) & (linear != y)
    original = original or ImageNetHead(None)
    step("done")
    return Evidence(
        train=len(y),
        classes=int((counts > 0).sum()),
        per_class_min=int(counts[counts > 0].min()),
        per_class_median=float(np.median(counts[counts > 0])),
        per_class_max=int(counts.max()),
        sources=len(y) if groups is None else len(np.unique(groups)),
        groups=groups_text,
        chance=float(counts.max() / len(y)),
        nodes=tuple(nodes),
        best=best,
        last=last,
        earlier_p=earlier_p,
        linear_accuracy=accuracies[best],
        knn_accuracy=float(knn_right[judged].mean()),
        train_accuracy=probes[best].train_accuracy,
        curve=tuple((p["train"], p["accuracy"], p["n"]) for p in points),
        doubled=doubled,
        head_confidence=original.confidence,
        head_accuracy=original.accuracy(y, folds),
        last_accuracy=accuracies[last],
        label_noise=float(contradicted[judged].mean()),
        leaks=leaks or {},
    )
