"""Accuracy against the number of training images, and against the depth of the node."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import scipy.linalg
from numpy.typing import NDArray

from classifiers.comparison.evaluate import Run
from classifiers.formatting import points as in_points
from classifiers.linalg import standardised_kernel
from classifiers.validation.protocol import EvaluationProtocol
from classifiers.validation.significance import wilson
from featstore.backbone.landmarks import network_order
from featstore.features import FeatureSet

SHARES = (0.1, 0.2, 0.4, 0.7, 1.0)
SEEDS = 3
MOST_ROWS = 5000
"""Rows whose kernel is held (100 MB); of more training images the curve shows the first part only."""

FEWEST = 5
"""Images a class, on average, that such a first part has at least: else most classes would miss some of its folds."""

RIDGE = 1.0
"""Penalty relative to the mean squared length of a standardised image: one for all sizes, so that the curve shows what
more images bring and not what another search would."""


def learning_curve(
    features: FeatureSet, protocol: EvaluationProtocol, *, seed: int = 0, most_rows: int = MOST_ROWS
) -> dict[str, Any] | None:
    """Accuracy of a ridge classifier fitted to shares of the training part.

    It is judged on the images that the search's folds hold out, so that the test part is not looked at again. A ridge
    classifier is a linear head like `logistic` and comes near it, but has a closed form: a hundred fits take seconds.

    Parameters
    ----------
    features : FeatureSet
    protocol : EvaluationProtocol
    seed : int
        Seed of the subsets; each smaller one is part of the larger.
    most_rows : int
        Training images that are looked at, at most.

    Returns
    -------
    dict or None
        head, params, points (train, accuracy, accuracy_ci, n, seeds) and a sentence; None for fewer than three sizes,
        or where `most_rows` would be fewer than five images a class. Intervals count each judged image once.
    """
    rows, folds = protocol.whole if protocol.whole is not None else (protocol.outer[0][0], protocol.inner[0])
    rng = np.random.default_rng(seed)
    kept = np.ones(len(rows), dtype=bool)
    if len(rows) > most_rows:
        kept[rng.permutation(len(rows))[most_rows:]] = False
    codes = np.unique(features.y[rows], return_inverse=True)[1]
    if not kept.all() and most_rows < FEWEST * (codes.max() + 1):
        return None
    kernel, place = standardised_kernel(features.X[rows[kept]]), np.cumsum(kept) - 1
    target = np.eye(int(codes.max()) + 1, dtype=np.float32)[codes[kept]]
    hits, judged, size, fits = (np.zeros(len(SHARES), dtype=np.int64) for _ in range(4))
    for turn in range(SEEDS):
        # All of the training rows are the same rows whatever the seed.
        shares = SHARES if turn == 0 else SHARES[:-1]
        for number, (train, valid) in enumerate(folds):
            train, valid = train[kept[train]], valid[kept[valid]]
            if not len(train) or not len(valid):
                continue
            part, sizes = _nested(train, codes, shares, np.random.default_rng([seed, turn, number]))
            for i, answers in enumerate(_answers(kernel, target, place[part], sizes, place[valid])):
                hits[i] += int((answers == codes[valid]).sum())
                judged[i], size[i], fits[i] = judged[i] + len(valid), size[i] + sizes[i], fits[i] + 1
    if not fits.all():
        return None
    points: list[dict[str, Any]] = []
    for i, share in enumerate(SHARES):
        seeds = 1 if share == 1.0 else SEEDS
        accuracy, n = hits[i] / judged[i], judged[i] / seeds
        points.append(
            {
                "train": round(size[i] / fits[i]),
                "accuracy": float(accuracy),
                "accuracy_ci": list(wilson(accuracy * n, n)),
                "n": round(n),
                "seeds": seeds,
            }
        )
    if len({point["train"] for point in points}) < 3:
        return None
    before, last = points[-2], points[-1]
    text = (
        f"Going from {before['train']} to {last['train']} training images changed the out-of-fold accuracy by "
        f"{in_points(last['accuracy'] - before['accuracy'])} points."
    )
    if not kept.all():
        text += f" Only {most_rows} of {len(rows)} training images were looked at."
    return {"head": "ridge", "params": {"ridge": RIDGE}, "points": points, "text": text}


def _nested(
    train: NDArray[np.intp], codes: NDArray[np.intp], shares: Sequence[float], rng: np.random.Generator
) -> tuple[NDArray[np.intp], list[int]]:
    """The rows in an order whose beginnings are shares of each class, at least one image; and how long those are."""
    order = rng.permutation(len(train))
    order = order[np.argsort(codes[train[order]], kind="stable")]
    size = np.bincount(codes[train])
    rank = np.arange(len(train)) - np.repeat(np.cumsum(size) - size, size)
    wanted = np.maximum(1, np.round(np.outer(shares, size)))
    left_out = (rank >= wanted[:, codes[train[order]]]).sum(axis=0)
    sizes = [int((left_out <= i).sum()) for i in range(len(shares))]
    return np.asarray(train[order[np.argsort(left_out, kind="stable")]]), sizes


def _answers(
    kernel: NDArray[np.float32], target: NDArray[np.float32], part: NDArray[np.intp], sizes: Sequence[int],
    valid: NDArray[np.intp],
) -> Iterator[NDArray[np.intp]]:  # fmt: skip
    """Classes of the valid rows after the first of the training rows, for each size, the largest last.

    One Cholesky factor serves all sizes: that of a leading block is the leading block of the factor.
    """
    part = part[: sizes[-1]]
    inner = kernel[np.ix_(part, part)]
    inner[np.arange(len(part)), np.arange(len(part))] += RIDGE
    factor = scipy.linalg.cholesky(inner, lower=True, overwrite_a=True, check_finite=False)
    judged = kernel[np.ix_(valid, part)]
    for size in sizes:
        mean = target[part[:size]].mean(axis=0)
        left, right = judged[:, :size], target[part[:size]] - mean
        # The answers are left @ inverse @ right: the narrower side is what the factor is solved for.
        if len(left) < right.shape[1]:
            left = scipy.linalg.cho_solve((factor[:size, :size], True), left.T, check_finite=False).T
        else:
            right = scipy.linalg.cho_solve((factor[:size, :size], True), right, overwrite_b=True, check_finite=False)
        yield np.asarray((left @ right + mean).argmax(axis=1))


def layer_curve(sets: Sequence[FeatureSet], runs: Sequence[Run]) -> list[dict[str, Any]] | None:
    """The best head at each node, where several nodes of one network were compared.

    Parameters
    ----------
    sets : sequence of FeatureSet
        In any order.
    runs : sequence of Run

    Returns
    -------
    list of dict or None
        backbone, weights, node, pool, dim, head, accuracy, accuracy_ci, cv_accuracy; best by cross-validation; from the
        earliest node to the last. None where no network has two nodes.
    """
    networks = [(one.fingerprint.backbone, one.fingerprint.weights_sha256) for one in sets]
    nodes = [
        {one.fingerprint.node for one, other in zip(sets, networks, strict=True) if other == own} for own in networks
    ]
    points = []
    for index, one in sorted(enumerate(sets), key=lambda pair: network_order(pair[1].fingerprint.node)):
        own = [run for run in runs if run.feature == index and not run.reference]
        if len(nodes[index]) < 2 or not own:
            continue
        best = max(own, key=lambda run: run.cv_accuracy or 0.0)
        points.append(
            {
                "backbone": one.fingerprint.backbone,
                "weights": one.fingerprint.weights,
                "node": one.fingerprint.node,
                "pool": one.fingerprint.pool,
                "dim": one.X.shape[1],
                "head": best.head,
                "accuracy": best.scores.accuracy,
                "accuracy_ci": list(best.scores.accuracy_interval()),
                "cv_accuracy": best.cv_accuracy,
            }
        )
    return points or None
