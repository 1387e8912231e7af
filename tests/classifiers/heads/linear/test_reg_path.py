"""A path over C against cold fits by scikit-learn at every C, and when the walk ends or goes on."""

import numpy as np
import pytest
import torch
from scipy.optimize import minimize_scalar
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, log_loss
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC

from classifiers.heads.linear.linear_problem import LinearProblem
from classifiers.heads.linear.reg_path import PathPoint, walk
from featstore.errors import FeaturesError

torch.set_num_threads(1)
ALL = {"tol": 1e-12, "max_steps": 100, "patience": 0, "extend": 0}
"""Every C of the grid, and no other."""


def clouds(n=90, d=8, k=3, spread=0.6, seed=0):
    rng = np.random.default_rng(seed)
    y = np.arange(n) % k
    return spread * rng.normal(size=(k, d))[y] + rng.normal(size=(n, d)), y


def thirds(n):
    rows = np.random.default_rng(1).permutation(n)
    return [(np.setdiff1d(rows, part), np.sort(part)) for part in np.array_split(rows, 3)]


def walked(X, y, grid, kind="softmax", weight=None, folds=None, **options):
    folds, k = folds or thirds(len(y)), int(y.max()) + 1
    weight = np.ones(len(y)) if weight is None else weight
    weights = np.zeros((len(folds) + 1, len(y)))
    for row, part in zip(weights, [*(train for train, _ in folds), np.arange(len(y))], strict=True):
        row[part] = weight[part]
    problem = LinearProblem(X, y, k, weights, np.ones((len(weights), k)), loss_name=kind, standardise=True)
    return walk(problem, folds, grid, weight, **(ALL | options))


def cold(X, y, C, kind, weight):
    """scikit-learn's model of each fold, fitted from nothing: its decisions about what the fold held out."""
    decisions, rows = [], []
    for train, valid in thirds(len(y)):
        scaler = StandardScaler().fit(X[train], sample_weight=weight[train])
        model = LogisticRegression(C=C, tol=1e-9, max_iter=10_000)
        if kind == "svm":
            model = LinearSVC(C=C, dual=False, tol=1e-11, max_iter=100_000)
        model.fit(scaler.transform(X[train]), y[train], weight[train])
        decisions.append(model.decision_function(scaler.transform(X[valid])).reshape(len(valid), -1))
        rows.append(valid)
    return np.concatenate(decisions), np.concatenate(rows)


def proba(decision, slope):
    logits = slope * (np.hstack([-decision / 2, decision / 2]) if decision.shape[1] == 1 else decision)
    odds = np.exp(logits - logits.max(axis=1, keepdims=True))
    return odds / odds.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("k", [2, 3])
@pytest.mark.parametrize("kind", ["softmax", "svm"])
def test_every_point_is_what_cold_fits_at_its_C_are_worth(kind, k):
    X, y = clouds(k=k)
    weight = np.random.default_rng(2).uniform(0.2, 2, len(y))
    path = walked(X, y, [1e-3, 1e-2, 1e-1, 1.0], kind, weight)
    assert [point.C for point in path.points] == [1e-3, 1e-2, 1e-1, 1.0]
    for point in path.points:
        decision, rows = cold(X, y, point.C, kind, weight)
        slope = 1.0
        if kind == "svm":  # the temperature that makes the held-out rows most likely
            slope = np.exp(minimize_scalar(lambda s, decision=decision, rows=rows: log_loss(
                y[rows], proba(decision, np.exp(s)), sample_weight=weight[rows]), bounds=(-4, 6), method="bounded",
                options={"xatol": 1e-8}).x)  # fmt: skip
        p = proba(decision, slope)
        assert point.slope == pytest.approx(slope, rel=1e-3)
        assert point.accuracy == pytest.approx(accuracy_score(y[rows], p.argmax(axis=1), sample_weight=weight[rows]))
        assert point.log_loss == pytest.approx(log_loss(y[rows], p, sample_weight=weight[rows]), rel=1e-4)
        start = 0
        for (_, valid), got in zip(thirds(len(y)), point.fold_accuracies, strict=True):
            right = p[start : start + len(valid)].argmax(axis=1) == y[valid]
            assert got == pytest.approx(weight[valid] @ right / weight[valid].sum())
            start += len(valid)
        assert point.converged and point.relative_gap <= 1e-12
        if point is path.best:
            both = (path.decision, decision)
            if kind == "softmax" and k > 2:
                both = [Z - Z.mean(axis=1, keepdims=True) for Z in both]
            np.testing.assert_allclose(*both, atol=2e-3)


def test_the_best_point_has_the_largest_accuracy_and_among_equals_the_smallest_log_loss():
    X, y = clouds(spread=2.0)
    path = walked(X, y, [0.03, 0.06, 0.1, 0.2, 0.5, 10.0])
    accuracies = [round(point.accuracy, 9) for point in path.points]
    assert accuracies.count(max(accuracies)) > 1, "needs a tie"
    ties = [point for point in path.points if round(point.accuracy, 9) == max(accuracies)]
    assert path.best is min(ties, key=lambda point: point.log_loss)


@pytest.mark.parametrize("kind", ["softmax", "svm"])
def test_where_a_point_started_from_does_not_show(kind):
    X, y = clouds()
    up, mixed = walked(X, y, [1e-3, 1e-2, 0.1, 1.0], kind), walked(X, y, [0.1, 1.0, 1e-3, 1e-2], kind)
    alone = [walked(X, y, [C], kind).best for C in (1e-3, 1e-2, 0.1, 1.0)]
    for a, b, c in zip(up.points, mixed.points, alone, strict=True):
        assert a.C == b.C == c.C and a.accuracy == b.accuracy == c.accuracy
        assert a.log_loss == pytest.approx(b.log_loss, abs=1e-5) and a.log_loss == pytest.approx(c.log_loss, abs=1e-5)
    assert up.best.C == mixed.best.C
    np.testing.assert_allclose(up.decision, mixed.decision, atol=1e-4)


def test_the_walk_ends_once_validation_has_turned_and_finds_the_same_best():
    X, y = clouds(n=120, d=40, spread=0.25)
    grid, seen = list(np.geomspace(1e-4, 1e4, 9)), []
    whole = walked(X, y, grid)
    short = walked(X, y, grid, patience=2, progress=seen.append)
    assert short.best.C == whole.best.C and len(short.points) < len(grid)
    assert tuple(seen) == short.points  # reported one by one, from the smallest C
    losses = [point.log_loss for point in short.points]
    assert losses[-1] > losses[-2] > min(losses)


@pytest.mark.parametrize(("grid", "beyond"), [([10.0, 100.0], "below"), ([1e-6, 1e-5], "above")])
def test_the_grid_goes_on_in_its_own_ratio_while_the_best_point_lies_on_its_end(grid, beyond):
    X, y = clouds(n=90, d=60, spread=0.15)
    path = walked(X, y, grid, extend=2)
    values = [point.C for point in path.points]
    np.testing.assert_allclose(np.diff(np.log10(values)), 1)
    assert len(values) <= 4 and set(grid) < set(values)
    assert values[0] < grid[0] if beyond == "below" else values[-1] > grid[-1]
    assert [point.C for point in walked(X, y, grid).points] == grid  # not where it is told not to


def test_a_point_that_was_not_solved_loses_against_one_that_was():
    X, y = clouds(n=300, d=20, spread=1.5)
    path = walked(X, y, [1e-5, 1e4], max_steps=1, tol=1e-3)
    small, large = path.points
    assert small.converged and not large.converged and large.relative_gap > 1e-2
    assert large.accuracy > small.accuracy - 0.05 and path.best is small
    common = {"fold_accuracies": (), "slope": 1.0, "relative_gap": 0.0, "steps": 1, "products": 1, "seconds": 0.0}
    good = PathPoint(C=1.0, accuracy=0.5, log_loss=2.0, converged=True, **common)
    assert good.rank > PathPoint(C=1.0, accuracy=0.9, log_loss=0.1, converged=False, **common).rank
    assert good.rank < PathPoint(C=1.0, accuracy=0.5, log_loss=1.9, converged=True, **common).rank
    assert good.rank == PathPoint(C=2.0, accuracy=0.5 + 1e-12, log_loss=2.0, converged=True, **common).rank


def test_nothing_left_to_gain_ends_the_walk():
    y = np.arange(60) % 2
    X = np.where(y, 1.0, -1.0)[:, None] * np.ones((60, 3)) + np.random.default_rng(0).normal(0, 1e-3, (60, 3))
    path = walked(X, y, list(np.geomspace(1, 1e16, 17)), patience=17)
    assert path.best.accuracy == 1.0 and path.best.log_loss < 1e-6 and len(path.points) < 17


def test_an_empty_grid_is_refused():
    with pytest.raises(FeaturesError, match="an empty grid of C was given, expected at least one value"):
        walked(*clouds(), [])
