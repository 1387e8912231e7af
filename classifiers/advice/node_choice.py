"""NodeChoice: which cached node to use, chosen and judged on different rows, and whether its lead is shown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtr, stdtrit  # scipy.stats takes 1.7 s to import

from classifiers.formatting import listing, points, probability
from classifiers.types import Fold
from classifiers.validation.ridge_probe import RidgeProbe
from classifiers.validation.significance import SIGNIFICANT, holm
from classifiers.validation.temperature import fit_slope, softmax

WORK = 6e8
"""Features of training rows, all nodes and repeats together, that repeated cross-validation may look at (about 2 s)."""

MOST_REPEATS = 5


@dataclass(frozen=True)
class NodeStep:
    """One node against the next deeper one, on the same rows.

    Attributes
    ----------
    earlier, later : str
    rise : float
        Out-of-fold accuracy of the later less that of the earlier, a share in [-1, 1].
    p : float
        Two-sided, of equal Brier scores; corrected for the number of steps (Holm).
    shown : bool
        Whether p is below 0.05.
    """

    earlier: str
    later: str
    rise: float
    p: float
    shown: bool


@dataclass(frozen=True)
class NodeChoice:
    """Which node, by how much it leads the last one, and what of that is shown.

    Attributes
    ----------
    names : tuple of str
        Nodes in the order of the network.
    accuracies : tuple of float
        Out of fold, each node's own, the mean of the repeats; shares in [0, 1]. The largest of several is flattered.
    best : int
        Index of the node that all rows choose: the lowest Brier score, the deeper among equals.
    nested_accuracy : float
        Of choosing by the other folds and answering on this one: not flattered by the choice.
    lead, lead_ci : float, tuple of float
        `nested_accuracy` less the last node's accuracy on the same rows, and its 95 % interval; shares in [-1, 1].
        0 and (0, 0) where the last node is the choice.
    p : float
        Two-sided, that the choice and the last node have the same Brier score on the same rows; 1 where they are one.
    shown : bool
        Whether an earlier node is shown to be better than the last: p is below 0.05 and the choice leads.
    steps : tuple of NodeStep
        Each node against the next.
    rises_to_last : bool
        Whether the last node is shown to be better than every other: only then may one say that accuracy rises up to
        the last node.
    text : tuple of str
        The same in sentences.
    """

    names: tuple[str, ...]
    accuracies: tuple[float, ...]
    best: int
    nested_accuracy: float
    lead: float
    lead_ci: tuple[float, float]
    p: float
    shown: bool
    steps: tuple[NodeStep, ...]
    rises_to_last: bool
    text: tuple[str, ...]


def repeats_for(rows: int, dims: Sequence[int]) -> int:
    """How often cross-validation is repeated: as often as its time allows, up to `MOST_REPEATS`, at least once.

    Parameters
    ----------
    rows : int
        Training rows.
    dims : sequence of int
        Features of each node.

    Examples
    --------
    >>> repeats_for(300, [96, 160, 320, 1280]), repeats_for(4000, [1280] * 4)
    (5, 1)
    """
    # The smaller Gram matrix, and seven solutions of its size.
    work = sum(min(rows, dim) * rows * dim + min(rows, dim) ** 3 for dim in dims) / 10
    return int(np.clip(WORK / max(work, 1), 1, MOST_REPEATS))


def choose_node(
    probes: Sequence[Sequence[RidgeProbe]],
    y: NDArray[np.int64],
    folds: Sequence[Sequence[Fold]],
    names: Sequence[str],
    *,
    groups: NDArray[np.int64] | None = None,
    level: float = 0.95,
) -> NodeChoice:
    """Choose among cached nodes by cross-fitting, and test the choice against the last node.

    In each fold the node with the lowest Brier score on the other folds' rows is chosen, by fits that did not see this
    fold, and answers on it: no row takes part in the choice that it judges. Nodes are compared row by row by the Brier
    scores of calibrated probabilities (one temperature a node): on a few hundred rows these differ clearly where counts
    of right answers do not. All folds of a node answer at one strength of penalty, so that one temperature fits them.

    The variance is cluster-robust (rows of one group count as one observation, with a t distribution). Folds share
    training rows, so that a difference may come from unlucky fits and lie in all rows alike: the variance is enlarged
    as Nadeau and Bengio do, from ``1 / J`` to ``1 / J + judged / trained`` for J folds (2.25 times for five).

    Leads are slightly flattered where they are reported at all: where chance favours the last node, it is the choice.

    Parameters
    ----------
    probes : sequence over nodes of sequence over repeats of RidgeProbe
        Fitted with `nested=True`; nodes in the order of the network.
    y : ndarray of shape (n,), int64
        Classes.
    folds : sequence over repeats of sequence of (train, valid)
        What each repeat was fitted with.
    names : sequence of str
        Of the nodes.
    groups : ndarray of shape (n,), int64, optional
        Source of each row; the folds keep sources together.
    level : float
        Of `lead_ci`, in (0, 1).

    Raises
    ------
    ValueError
        Counts of nodes or repeats that differ, or a probe that was not fitted with `nested=True`.

    References
    ----------
    Varma, S., Simon, R. (2006). Bias in error estimation when using cross-validation for model selection. BMC
    Bioinformatics 7. Gneiting, T., Raftery, A. (2007). Strictly proper scoring rules, prediction, and estimation.
    JASA 102. Liang, K.-Y., Zeger, S. (1986). Longitudinal data analysis using generalized linear models. Biometrika 73.
    Nadeau, C., Bengio, Y. (2003). Inference for the generalization error. Machine Learning 52. Berger, R. (1982).
    Multiparameter hypothesis testing and acceptance sampling. Technometrics 24.

    Examples
    --------
    >>> rng, y, rows = np.random.default_rng(0), np.repeat([0, 1], 100), np.arange(200)
    >>> folds = [[(rows[rows % 5 != i], rows[rows % 5 == i]) for i in range(5)]]
    >>> good = rng.normal(3 * y[:, None], 1, (200, 4)).astype(np.float32)
    >>> poor = rng.normal(1 * y[:, None], 1, (200, 4)).astype(np.float32)
    >>> probes = [[RidgeProbe.fit(X, y, folds[0], nested=True)] for X in (good, poor)]
    >>> choice = choose_node(probes, y, folds, ["layer3", "avgpool"])
    >>> choice.best, choice.shown, choice.rises_to_last, choice.lead > 0.05
    (0, True, False, True)
    """
    if not probes or len(probes) != len(names) or any(len(one) != len(folds) for one in probes):
        raise ValueError(
            f"there are probes of {len(probes)} nodes with {[len(one) for one in probes]} repeats for {len(names)} "
            f"names and {len(folds)} repeats of folds; expected one probe for each node and repeat"
        )
    n, last = len(y), len(probes) - 1
    # (nodes, repeats, rows); NaN for rows that a repeat does not judge.
    hits = np.full((len(probes), len(folds), n), np.nan)
    briers = hits.copy()
    nested_choice = np.full((len(folds), n), last)
    for r, parts in enumerate(folds):
        inner = np.full((len(parts), len(probes)), np.nan)
        for i, one in enumerate(probes):
            hits[i, r] = np.where(one[r].answers < 0, np.nan, one[r].answers == y)
            briers[i, r], slope = _row_briers(one[r].classes, one[r].even_scores, y)
            inner[:, i] = [_inner_brier(one[r], f, y, slope) for f in range(len(parts))]
        for (_, valid), those in zip(parts, inner, strict=True):
            nested_choice[r, valid] = last if np.isnan(those).any() else _lowest(those)
    nested_hits, nested_briers = (
        np.take_along_axis(values, nested_choice[None], axis=0)[0] for values in (hits, briers)
    )
    judged = ~np.isnan(briers[last])
    best = _lowest(briers[:, judged].mean(axis=1))
    trial = _Trial.of(folds, n, groups)

    nested = float(trial.rows(nested_hits).mean())
    accuracies = tuple(float(trial.rows(one).mean()) for one in hits)
    lead, low, high, p, ahead = 0.0, 0.0, 0.0, 1.0, False
    if best != last:
        lead = nested - accuracies[last]
        half = max(trial.half(nested_hits - hits[last], level), trial.half(hits[best] - hits[last], level))
        low, high = max(-1.0, lead - half), min(1.0, lead + half)
        p = trial.p(nested_briers - briers[last])
        ahead = lead > 0 and trial.rows(nested_briers - briers[last]).mean() < 0
    corrected = holm([trial.p(b - a) for a, b in zip(briers, briers[1:], strict=False)])
    steps = tuple(
        NodeStep(
            names[i],
            names[i + 1],
            accuracies[i + 1] - accuracies[i],
            float(corrected[i]),
            bool(corrected[i] < SIGNIFICANT),
        )
        for i in range(last)
    )
    # Better than each: every single test must reject, so none is corrected (an intersection-union test, Berger 1982).
    unproven = [
        name
        for name, other, accuracy in zip(names, briers[:last], accuracies, strict=False)
        if not trial.rows(briers[last] - other).mean() < 0
        or accuracies[last] < accuracy
        or trial.p(briers[last] - other) >= SIGNIFICANT
    ]
    choice = NodeChoice(
        tuple(names), accuracies, best, nested, lead, (low, high), p,
        bool(ahead and p < SIGNIFICANT), steps, last > 0 and not unproven, (),
    )  # fmt: skip
    return replace(choice, text=_text(choice, unproven, level))


def _text(choice: NodeChoice, unproven: list[str], level: float) -> tuple[str, ...]:
    """The choice in sentences; `unproven`: nodes that the last one is not shown to beat."""
    best, last = choice.names[choice.best], choice.names[-1]
    if len(choice.names) == 1:
        return (f"Only one node is cached ({last}): there is nothing to choose from.",)
    if choice.rises_to_last:
        what = "the earlier one" if len(choice.names) == 2 else "each earlier one"
        return (f"The last node, {last}, is shown to be better than {what}.",)
    if choice.best == len(choice.names) - 1:
        return (f"The last node, {last}, is chosen; it is not shown to be better than {listing(unproven)}.",)
    low, high = choice.lead_ci
    lead = (
        f"{points(choice.lead)} points of accuracy, chosen and judged on different images ({100 * level:g} % interval "
        f"{points(low)} to {points(high)}; Brier scores of the same images: p {_equals(choice.p)})"
    )
    if choice.shown:
        return (f"An earlier node, {best}, is shown to be better than the last one, {last}: {lead}.",)
    return (f"Node {best} is chosen, but it is not shown to be better than the last one, {last}: {lead}.",)


def _row_briers(
    classes: NDArray[np.int64], scores: NDArray[np.float32], y: NDArray[np.int64], near: float = 8.0
) -> tuple[NDArray[np.float64], float]:
    """Brier score of each row in [0, 2], by calibrated probabilities, NaN where it is not judged; and their slope.

    `near`: where the slope is looked for first.
    """
    briers = np.full(len(y), np.nan)
    rows = np.flatnonzero(~np.isnan(scores[:, 0]))
    if not rows.size:
        return briers, near
    wide, codes = near * scores[rows].astype(np.float64), np.searchsorted(classes, y[rows])
    slope = fit_slope(wide, codes)
    proba = softmax(slope * wide)
    briers[rows] = (proba**2).sum(axis=1) + 1 - 2 * proba[np.arange(len(rows)), codes]
    return briers, float(np.clip(near * slope, 1e-2, 1e2))


def _inner_brier(probe: RidgeProbe, fold: int, y: NDArray[np.int64], near: float) -> float:
    """Mean Brier score outside a fold, by fits that did not see the fold; NaN where there are none."""
    if probe.inner_scores is None:
        raise ValueError("a probe has no inner scores, expected probes fitted with nested folds")
    briers = _row_briers(probe.classes, probe.inner_scores[fold], y, near)[0]
    return float(np.nanmean(briers)) if np.isfinite(briers).any() else np.nan


def _lowest(values: NDArray[np.float64]) -> int:
    """The last of the lowest: the deeper node among equals."""
    return int(np.flatnonzero(values == values.min())[-1])


@dataclass(frozen=True, eq=False)
class _Trial:
    """What a paired comparison of two nodes rests on; differences have the shape (repeats, n), NaN where not judged.

    clusters : (n,), the source of each row; shared : by how much the variance is enlarged for what folds share.
    """

    clusters: NDArray[np.intp]
    shared: float

    @classmethod
    def of(cls, folds: Sequence[Sequence[Fold]], n: int, groups: NDArray[np.int64] | None) -> _Trial:
        clusters = np.arange(n) if groups is None else np.unique(groups, return_inverse=True)[1].reshape(-1)
        shared = [len(valid) / len(train) for parts in folds for train, valid in parts]
        return cls(clusters, sum(shared) / len(folds))

    def rows(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """The mean over the repeats, of rows that are judged."""
        return np.asarray(np.nanmean(values[:, _judged(values)], axis=0))

    def half(self, values: NDArray[np.float64], level: float) -> float:
        """Half an interval of the mean."""
        error, freedom = self._error(values)
        return float(stdtrit(freedom, 0.5 + level / 2)) * error

    def p(self, values: NDArray[np.float64]) -> float:
        """Two-sided p-value of a mean of 0."""
        error, freedom = self._error(values)
        if error == 0 or not np.isfinite(error):
            return 1.0
        return float(2 * stdtr(freedom, -abs(self.rows(values).mean()) / error))

    def _error(self, values: NDArray[np.float64]) -> tuple[float, int]:
        """Standard error of the mean, clusters as observations, and its degrees of freedom."""
        rows, clusters = self.rows(values), self.clusters[_judged(values)]
        sums = np.bincount(clusters, rows - rows.mean())[np.bincount(clusters) > 0]
        many = len(sums)
        if many < 2:
            return np.inf, 1
        return float(np.sqrt((1 + self.shared) * (sums**2).sum() * many / (many - 1))) / len(rows), many - 1


def _judged(values: NDArray[np.float64]) -> NDArray[np.bool_]:
    return np.asarray(~np.isnan(values).all(axis=0))


def _equals(p: float) -> str:
    """A p-value behind its name: `= 0.043`, `< 0.001`."""
    said = probability(p)
    return said.replace("<", "< ") if said.startswith("<") else f"= {said}"
