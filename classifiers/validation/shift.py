"""Shift: whether two parts of a data set hold the same kind of images, told from features alone."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.linalg
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.stats import rankdata

from classifiers.linalg import standardiser, truncated_svd
from classifiers.types import Index
from classifiers.validation.class_proportions import ClassProportions
from classifiers.validation.significance import wilson
from featstore.errors import FeaturesError

SURE = 0.01
"""p-value below which a difference is taken for real."""

LEVEL = 0.64
"""AUC from which a real difference counts. Two normal scores with this AUC share four fifths of their area: up to there
at least four of five images of the one part have their like in the other, and what was measured on the one holds for
them. With thousands of images a difference far smaller is significant, and harmless."""

FEWEST = 20
"""Independent images of the smaller part. From fewer, even an AUC of 0.8 has an interval that reaches below LEVEL."""

MOST_ROWS = 4_000
"""Rows that the discriminator is fitted to; a seeded sample of each part above that."""

PERMUTATIONS = 299
_FOLDS = 5
_RANK = 64
_STRENGTH = 1.0  # ridge penalty against the mean variance of a principal component


@dataclass(frozen=True, eq=False)
class Shift:
    """Whether a classifier tells two parts of a data set apart.

    Attributes
    ----------
    auc : float or None
        Of the cross-fitted discriminator, counted within classes where these are known: 0.5 for parts that cannot be
        told apart, 1 for parts that have nothing in common. None where nothing can be told.
    auc_ci : tuple of float or None
        Its interval of 95 %.
    p : float or None
        Of the permutation test.
    shifted : bool
        The parts are shown to hold images of another kind: `p` below 0.01, and the low end of the interval above 0.64.
    n_train, n_other : int
        Images of the two parts.
    likeness : ndarray of shape (n_train,), float64
        Probability that a training image belongs to the other part, if both were of equal size, in [0, 1]; by a
        discriminator that did not see the image, nor its group. 0.5 for all where nothing tells the parts apart.
    proportions_p : float or None
        p-value of the hypothesis that both parts have the same proportions of classes; None where these are unknown.
    proportions_differ : bool
        The proportions are shown to differ, by at least a tenth of the images.
    text : str
        One sentence about the kind of images.
    proportions_text : str
        One sentence about the proportions of classes; empty where they are unknown.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(200, 8)).astype(np.float32)
    >>> X[150:] += 1.5  # a scanner that makes brighter pictures
    >>> shift = find_shift(X, np.arange(150), np.arange(150, 200))
    >>> shift.shifted, shift.auc > 0.9
    (True, True)
    """

    auc: float | None
    auc_ci: tuple[float, float] | None
    p: float | None
    shifted: bool
    n_train: int
    n_other: int
    likeness: NDArray[np.float64]
    text: str
    proportions_p: float | None = None
    proportions_differ: bool = False
    proportions_text: str = ""

    def to_json(self) -> dict[str, Any]:
        """All fields but the likeness, as plain values."""
        values = {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.name != "likeness"}
        return values | {"auc_ci": None if self.auc_ci is None else list(self.auc_ci)}


def find_shift(
    X: NDArray[np.float32],
    train: Index,
    other: Index,
    *,
    y: ArrayLike | None = None,
    groups: ArrayLike | None = None,
    seed: int = 0,
    what: str = "test",
) -> Shift:
    """Test whether a part holds another kind of images than the training part.

    A classifier two-sample test: a ridge discriminator on standardised, reduced features learns which part an image
    belongs to and is judged on images that it has not seen. Where classes are known, images are compared with
    images of their own class only, so that a mere difference of proportions is no shift; proportions are tested on
    their own. The p-value comes from permutations of the parts, within classes and by whole groups.

    Parameters
    ----------
    X : ndarray of shape (n, d), float32
        Features.
    train, other : ndarray of int
        Row numbers of the two parts.
    y : array-like of shape (n,), int, optional
        Classes; below 0 where unknown. They are used only if all rows of both parts have one.
    groups : array-like of shape (n,), int, optional
        Rows with equal numbers come from one source: they are judged together and permuted together. Rows with the
        same features are always taken so.
    seed : int
    what : str
        What the other part is called in the sentences: "test" or "unlabelled", for instance.

    Returns
    -------
    Shift

    Raises
    ------
    FeaturesError
        Where `y` or `groups` do not fit `X`, or the parts share a row.

    References
    ----------
    Lopez-Paz, D. and Oquab, M.: "Revisiting Classifier Two-Sample Tests", ICLR 2017.
    Rabanser, S., Günnemann, S. and Lipton, Z.: "Failing Loudly: An Empirical Study of Methods for Detecting Dataset
    Shift", NeurIPS 2019.
    Obuchowski, N.: "Nonparametric analysis of clustered ROC curve data", Biometrics 53, 1997 (the interval).

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(160, 8)).astype(np.float32)
    >>> find_shift(X, np.arange(100), np.arange(100, 160)).shifted
    False
    >>> X[100:] += 1.5
    >>> find_shift(X, np.arange(100), np.arange(100, 160)).shifted
    True
    """
    train, other = np.asarray(train, dtype=np.intp), np.asarray(other, dtype=np.intp)
    for name, values in (("classes", y), ("groups", groups)):
        if values is not None and len(np.asarray(values)) != len(X):
            raise FeaturesError(f"there are {len(np.asarray(values))} {name} for {len(X)} rows, expected one a row")
    if np.intersect1d(train, other).size:
        raise FeaturesError("the two parts share rows; expected every row in one of them")
    rng = np.random.default_rng(seed)
    rows = np.concatenate([train, other])
    part = np.repeat([False, True], [len(train), len(other)])
    known = y is not None and len(rows) > 0 and bool((np.asarray(y)[rows] >= 0).all())
    classes = np.unique(np.asarray(y)[rows], return_inverse=True)[1] if known else np.zeros(len(rows), dtype=np.intp)
    sources = _sources(X[rows], None if groups is None else np.asarray(groups)[rows])
    proportions = ClassProportions()
    if known:
        proportions = ClassProportions.compare(classes, part, sources=sources, rng=rng, what=what)
    parts: dict[str, Any] = {"n_train": len(train), "n_other": len(other)}
    parts |= {f"proportions_{field}": value for field, value in dataclasses.asdict(proportions).items()}
    # Only classes of both parts compare like with like.
    both = np.isin(classes, np.intersect1d(classes[part], classes[~part]))
    sides = _named(both[part], f"{what} images"), _named(both[~part], "training images")

    def unknown(why: str) -> Shift:
        text = f"It cannot be told whether {sides[0]} are of the same kind as {sides[1]}: {why}."
        even = np.full(len(train), 0.5)
        return Shift(None, None, None, False, likeness=even, text=text, **parts)

    if not both.any():
        return unknown("they have no class in common")
    independent = min(len(np.unique(sources[both & side])) for side in (part, ~part))
    if independent < FEWEST:
        return unknown(
            f"there are {independent} independent images in the smaller of the two, expected at least {FEWEST}"
        )
    fitted = np.flatnonzero(_sampled(both, part, rng))
    Z = _reduced(X[rows], classes, fitted, seed)
    if not Z.shape[1]:
        return unknown(f"features do not differ between images{' of a class' if known else ''}")
    scores, labels = _cross_fitted(Z, classes, sources, part, fitted, rng)
    strata, sides_of = classes[fitted], labels[:, 0]
    aucs = _within(scores[fitted], strata, labels)
    auc = float(aucs[0])
    p = float((aucs >= auc - 1e-12).mean())
    ci = _interval(scores[fitted, 0], strata, sides_of, sources[fitted], auc)
    shifted = p < SURE and ci[0] > LEVEL
    likeness = _likeness(scores[:, 0], fitted, sides_of)[: len(train)]
    figures = f"AUC {auc:.2f}, {ci[0]:.2f} to {ci[1]:.2f}; p = {p:.2g}"
    if shifted:
        or_else = "" if known else ", or show their classes in other proportions"
        text = (
            f"{sides[0].capitalize()} are of another kind than {sides[1]}{or_else}: a classifier that knows only "
            f"their features tells the one from the other ({figures})."
        )
    elif p < SURE:
        text = f"{sides[0].capitalize()} differ from {sides[1]}, by how much is not shown to matter ({figures})."
    else:
        text = f"{sides[0].capitalize()} are not shown to be of another kind than {sides[1]} ({figures})."
    return Shift(auc, ci, p, shifted, likeness=likeness, text=text, **parts)


def _named(compared: NDArray[np.bool_], what: str) -> str:
    """The images of one part; where only some of them are compared, those."""
    if compared.all() or not compared.any():
        return f"the {len(compared):,} {what}"
    return f"the {int(compared.sum()):,} {what} of classes that both parts hold"


def _sources(X: NDArray[np.float32], groups: NDArray[Any] | None) -> NDArray[np.intp]:
    """Number of the source of each row: rows of one group, or with the same features, have one."""
    numbers: dict[int, int] = {}
    same = np.array([numbers.setdefault(hash(row.tobytes()), len(numbers)) for row in X], dtype=np.intp)
    if groups is None:
        return np.asarray(same, dtype=np.intp)
    named = np.unique(groups, return_inverse=True)[1].reshape(-1) + same.max(initial=-1) + 1
    n = int(named.max(initial=-1)) + 1
    links = coo_array((np.ones(len(same), dtype=bool), (same, named)), shape=(n, n))
    return np.asarray(connected_components(links, directed=False)[1][same], dtype=np.intp)


def _sampled(both: NDArray[np.bool_], part: NDArray[np.bool_], rng: np.random.Generator) -> NDArray[np.bool_]:
    """At most MOST_ROWS rows, of each part at most half of them unless the other is smaller."""
    chosen = both.copy()
    if both.sum() <= MOST_ROWS:
        return chosen
    least = min(int((both & part).sum()), int((both & ~part).sum()), MOST_ROWS // 2)
    for side in (part, ~part):
        its = np.flatnonzero(both & side)
        most = MOST_ROWS - least if len(its) > MOST_ROWS - least else max(least, MOST_ROWS // 2)
        chosen[rng.permutation(its)[most:]] = False
    return chosen


def _reduced(X: NDArray[np.float32], classes: NDArray[np.intp], fitted: Index, seed: int) -> NDArray[np.float32]:
    """Principal components of the rows about their class means, of variance 1 on average, shape (n, r)."""
    counts = np.bincount(classes)
    own = coo_array((1 / counts[classes], (classes, np.arange(len(classes))))).tocsr()
    mean, gain = standardiser(X, np.ones(len(X)))
    centred = (X - mean) * gain  # first of all to one scale, so that squares of features neither overflow nor vanish
    centred -= np.asarray(own @ centred, dtype=np.float32)[classes]
    deviation = centred[fitted].std(axis=0)
    centred /= np.where(deviation > 1e-6, deviation, np.inf)
    rank = min(_RANK, *centred[fitted].shape)
    _, s, V = truncated_svd(centred[fitted], rank, iterations=1, seed=seed)
    return np.asarray(centred @ V.T / np.sqrt((s**2).sum() / max(len(s), 1) / len(fitted) or 1.0), dtype=np.float32)


def _cross_fitted(
    Z: NDArray[np.float32],
    classes: NDArray[np.intp],
    sources: NDArray[np.intp],
    part: NDArray[np.bool_],
    fitted: Index,
    rng: np.random.Generator,
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Scores of shape (n, 1 + permutations), and the parts that they are of, (fitted, 1 + permutations).

    The ridge solution is linear in the targets, so all permutations share the work of one fit.
    """
    labels = np.column_stack([part[fitted], _permuted(classes[fitted], sources[fitted], part[fitted], rng)])
    strata = classes[fitted]
    own = coo_array((1 / np.bincount(strata)[strata], (strata, np.arange(len(strata))))).tocsr()
    target = labels.astype(np.float32)
    target -= np.asarray(own @ target)[strata]  # within a class: the class itself tells nothing of the part
    # Folds know nothing of the parts, so that the true parts are to them as any permutation is.
    fold_of = rng.permutation(int(sources.max()) + 1)[sources[fitted]] % _FOLDS
    rows, weights = Z[fitted], []
    scores = np.zeros((len(Z), target.shape[1]), dtype=np.float32)
    for fold in range(_FOLDS):
        judged = fold_of == fold
        A = rows[~judged]
        gram = A.T @ A / len(A) + _STRENGTH * np.eye(A.shape[1], dtype=np.float32)
        weights.append(scipy.linalg.solve(gram, A.T @ target[~judged] / len(A), assume_a="pos", check_finite=False))
        scores[fitted[judged]] = rows[judged] @ weights[-1]
    unseen = np.setdiff1d(np.arange(len(Z)), fitted)
    scores[unseen, 0] = Z[unseen] @ np.mean([w[:, 0] for w in weights], axis=0)
    return scores, labels


def _permuted(
    classes: NDArray[np.intp], sources: NDArray[np.intp], part: NDArray[np.bool_], rng: np.random.Generator
) -> NDArray[np.bool_]:
    """Parts drawn anew within classes, shape (n, PERMUTATIONS); rows of one source in one part move together."""
    _, first, unit = np.unique(np.column_stack([sources, part]), axis=0, return_index=True, return_inverse=True)
    unit = unit.reshape(-1)
    order = np.argsort(classes[first], kind="stable")
    keys = classes[first][:, None] + rng.random((len(first), PERMUTATIONS))
    drawn = np.empty(keys.shape, dtype=bool)
    np.put_along_axis(drawn, np.argsort(keys, axis=0), part[first][order][:, None], axis=0)
    return np.asarray(drawn[unit])


def _within(scores: NDArray[np.float32], strata: NDArray[np.intp], labels: NDArray[np.bool_]) -> NDArray[np.float64]:
    """AUC of each column over all pairs of one stratum."""
    wins, pairs = np.zeros(labels.shape[1]), np.zeros(labels.shape[1])
    for stratum in np.unique(strata):
        its = strata == stratum
        truth = labels[its]
        ones, n = truth.sum(axis=0), len(truth)
        wins += (truth * rankdata(scores[its], axis=0)).sum(axis=0) - ones * (ones + 1) / 2
        pairs += ones * (n - ones)
    return np.asarray(wins / np.maximum(pairs, 1))


def _interval(
    scores: NDArray[np.float32],
    strata: NDArray[np.intp],
    labels: NDArray[np.bool_],
    sources: NDArray[np.intp],
    auc: float,
) -> tuple[float, float]:
    """Wilson's interval for as many images as have the variance of the AUC, with whole sources as units."""
    influence, pairs = np.zeros(len(scores)), 0
    for stratum in np.unique(strata):
        ones, zeros = (np.flatnonzero((strata == stratum) & side) for side in (labels, ~labels))
        pairs += len(ones) * len(zeros)
        for its, against in ((ones, zeros), (zeros, ones)):
            below = np.searchsorted(np.sort(scores[against]), scores[its], side="left")
            up_to = np.searchsorted(np.sort(scores[against]), scores[its], side="right")
            won = (below + up_to) / 2
            influence[its] = (won if its is ones else len(against) - won) - auc * len(against)
    units = np.unique(np.column_stack([sources, labels]), axis=0, return_inverse=True)[1].reshape(-1)
    variance = float((np.bincount(units, influence / pairs) ** 2).sum())
    fewest = min(len(np.unique(sources[side])) for side in (labels, ~labels))
    effective = auc * (1 - auc) / variance if variance > 0 else 0.0
    effective = float(np.clip(effective, fewest if auc in (0.0, 1.0) else 2, len(np.unique(units))))
    return wilson(auc * effective, effective)


def _likeness(scores: NDArray[np.float32], fitted: Index, labels: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Probability of the other part for each row, by two normal distributions of one width."""
    ones, zeros = scores[fitted[labels]].astype(np.float64), scores[fitted[~labels]].astype(np.float64)
    spread = (ones.var() + zeros.var()) / 2
    slope = max(float(ones.mean() - zeros.mean()), 0.0) / spread if spread > 0 else 0.0
    logit = slope * (scores.astype(np.float64) - (ones.mean() + zeros.mean()) / 2)
    return np.asarray(1 / (1 + np.exp(-np.clip(logit, -30, 30))))
