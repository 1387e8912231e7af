"""The training problems of all folds and of everything, against scikit-learn's solvers on each fold's own copy."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC

from classifiers.heads.linear import linear_problem
from classifiers.heads.linear.fold_matrix import FoldMatrix
from classifiers.heads.linear.linear_problem import CERTAIN, LinearProblem
from classifiers.heads.linear.row_space import RowSpace

TIGHT = {"tol": 1e-13, "max_steps": 100}


def clouds(n, d, k, seed=0, spread=0.7):
    rng = np.random.default_rng(seed)
    y = np.arange(n) % k
    return spread * rng.normal(size=(k, d))[y] + rng.normal(size=(n, d)) + 2, y


def folds_of(n, parts=3):
    rows = np.random.default_rng(1).permutation(n)
    return [(np.setdiff1d(rows, part), np.sort(part)) for part in np.array_split(rows, parts)]


def problem(X, y, folds=(), kind="softmax", k=None, factors=None, standardise=True, weight=1.0):
    k = k or int(y.max()) + 1
    weights = np.zeros((len(folds) + 1, len(y)))
    for row, part in zip(weights, [*(train for train, _ in folds), np.arange(len(y))], strict=True):
        row[part] = np.broadcast_to(weight, len(y))[part]
    factors = np.ones(k) if factors is None else factors
    factors = np.tile(factors, (len(weights), 1))
    return LinearProblem(X, y.astype(np.int64), k, weights, factors, loss_name=kind, standardise=standardise)


def reference(kind, C, k, **more):
    if kind == "svm":
        return LinearSVC(C=C, dual=False, tol=1e-11, max_iter=100_000, **more)
    solver = "newton-cholesky" if k == 2 else "lbfgs"
    return LogisticRegression(C=C, tol=1e-9, max_iter=20_000, solver=solver, **more)


CASES = [(kind, k, shape) for kind in ("softmax", "svm") for k in (2, 4) for shape in ((80, 7), (36, 90))]


@pytest.mark.parametrize(("kind", "k", "shape"), CASES)
def test_every_fold_decides_about_its_held_out_rows_as_a_model_fitted_on_its_training_rows_alone(kind, k, shape):
    X, y = clouds(*shape, k)
    folds = folds_of(len(y))
    found = problem(X, y, folds, kind)
    assert isinstance(found.matrix, RowSpace if shape[1] >= 2 * shape[0] else FoldMatrix)
    solution = found.solve_folds(0.5, **TIGHT)
    assert solution.weight.shape[0] == len(folds) * (k if kind == "svm" and k > 2 else 1)
    assert float(solution.relative_gap.max()) <= 1e-13
    decision = found.held_out(solution, folds)
    expected = []
    for train, valid in folds:
        scaler = StandardScaler().fit(X[train])
        model = reference(kind, 0.5, k).fit(scaler.transform(X[train]), y[train])
        expected.append(model.decision_function(scaler.transform(X[valid])).reshape(len(valid), -1))
    expected = np.concatenate(expected)
    if kind == "softmax" and k > 2:  # a softmax does not see what is added to all logits
        decision, expected = (Z - Z.mean(axis=1, keepdims=True) for Z in (decision, expected))
    np.testing.assert_allclose(decision, expected, atol=2e-3)


@pytest.mark.parametrize(("kind", "k", "shape"), CASES)
@pytest.mark.parametrize("standardise", [True, False])
def test_coefficients_on_everything_are_for_the_features_as_they_were_given(kind, k, shape, standardise):
    X, y = clouds(*shape, k)
    found = problem(X, y, kind=kind, standardise=standardise)
    coef, intercept = found.coefficients(found.solve_whole(0.2, None, **TIGHT))
    scaler = StandardScaler(with_mean=standardise, with_std=standardise).fit(X)
    theirs = reference(kind, 0.2, k).fit(scaler.transform(X), y)
    expected = theirs.decision_function(scaler.transform(X)).reshape(len(X), -1)
    decision = X @ coef.T + intercept
    if kind == "softmax" and k > 2:
        decision, expected = (Z - Z.mean(axis=1, keepdims=True) for Z in (decision, expected))
    assert coef.shape == (found.outputs, shape[1]) and coef.dtype == np.float64
    np.testing.assert_allclose(decision, expected, atol=2e-3)


@pytest.mark.parametrize("k", [2, 3])
@pytest.mark.parametrize("kind", ["softmax", "svm"])
def test_a_class_weight_means_what_it_means_in_scikit_learn(kind, k):
    X, y = clouds(60, 5, k)
    weight, factors = np.random.default_rng(2).uniform(0.2, 2, 60), np.array([4.0, 0.3, 1.0][:k])
    found = problem(X, y, kind=kind, factors=factors, standardise=False, weight=weight)
    coef, _ = found.coefficients(found.solve_whole(0.3, None, **TIGHT))
    theirs = reference(kind, 0.3, k, class_weight=dict(enumerate(factors))).fit(X, y, weight)
    np.testing.assert_allclose(coef, theirs.coef_, atol=2e-4)


@pytest.mark.parametrize("kind", ["softmax", "svm"])
def test_two_classes_of_which_a_fold_saw_one_are_answered_with_that_one(kind):
    X, y = clouds(20, 4, 2)
    folds = [(np.flatnonzero(y == c), np.flatnonzero(y != c)) for c in (0, 1)]
    found = problem(X, y, folds, kind)
    solution = found.solve_folds(1.0, **TIGHT)
    assert not solution.weight.any()
    np.testing.assert_array_equal(found.held_out(solution, folds)[:, 0], np.repeat([-CERTAIN, CERTAIN], 10))


def test_a_class_of_several_that_a_fold_did_not_see_is_impossible_and_the_others_are_as_without_it():
    X, y = clouds(45, 4, 3)
    seen, unseen = np.flatnonzero(y < 2), np.flatnonzero(y == 2)
    found = problem(X, y, [(seen, unseen)])
    decision = found.held_out(found.solve_folds(1.0, **TIGHT), [(seen, unseen)])
    assert np.isneginf(decision[:, 2]).all() and np.isfinite(decision[:, :2]).all()
    scaler = StandardScaler().fit(X[seen])
    theirs = LogisticRegression(C=2.0, tol=1e-10).fit(scaler.transform(X[seen]), y[seen])  # two vectors share the norm
    expected = theirs.decision_function(scaler.transform(X[unseen]))
    np.testing.assert_allclose(decision[:, 1] - decision[:, 0], expected, atol=1e-3)


def test_what_a_fold_holds_out_teaches_it_nothing():
    X, y = clouds(50, 6, 3)
    folds = folds_of(50)
    other, z = X.copy(), y.copy()
    other[folds[0][1]] += 5.0
    z[folds[0][1]] = (z[folds[0][1]] + 1) % 3
    first, second = (problem(a, b, folds).solve_folds(0.7, **TIGHT) for a, b in ((X, y), (other, z)))
    np.testing.assert_allclose(first.weight[0], second.weight[0], atol=1e-6)
    assert float((first.weight[1] - second.weight[1]).abs().max()) > 0.01


@pytest.mark.parametrize("kind", ["softmax", "svm"])
def test_groups_that_do_not_fit_into_memory_together_are_solved_in_turn_with_the_same_result(kind, monkeypatch):
    X, y = clouds(60, 6, 4)
    folds = folds_of(60)
    whole = problem(X, y, folds, kind)
    expected = whole.solve_folds(0.4, **TIGHT)
    decision = whole.held_out(expected, folds)
    monkeypatch.setattr(linear_problem, "WORKING_BYTES", 1)
    parts = problem(X, y, folds, kind)
    found = parts.solve_folds(0.4, **TIGHT)
    assert expected.relative is not None and found.relative is None
    np.testing.assert_allclose(found.weight, expected.weight, atol=1e-7)
    np.testing.assert_allclose(parts.held_out(found, folds), decision, atol=1e-6)
    np.testing.assert_allclose(
        parts.coefficients(parts.solve_whole(0.4, found, **TIGHT))[0],
        whole.coefficients(whole.solve_whole(0.4, None, **TIGHT))[0], atol=1e-6,
    )  # fmt: skip


@pytest.mark.parametrize("kind", ["softmax", "svm"])
def test_a_start_on_the_line_of_the_last_two_solutions_saves_steps_and_moves_no_minimum(kind):
    X, y = clouds(80, 10, 3)
    found = problem(X, y, folds_of(80), kind)
    first, second = (found.solve_folds(C, **TIGHT) for C in (0.1, 0.2))
    cold, warm = found.solve_folds(0.4, **TIGHT), found.solve_folds(0.4, second, first, **TIGHT)
    np.testing.assert_allclose(warm.weight, cold.weight, atol=1e-6)
    assert warm.steps <= cold.steps and warm.products < cold.products
    near, far = (found.solve_folds(0.4, second, before, tol=1e-13, max_steps=0) for before in (None, first))
    assert bool((far.objective < near.objective).all())


def test_a_problem_above_the_limit_is_walked_in_float32_and_still_certified_in_float64(monkeypatch):
    X, y = clouds(90, 8, 3)
    expected = problem(X, y)
    assert expected.small
    monkeypatch.setattr(linear_problem, "SMALL", 0)
    found = problem(X, y, folds_of(90))
    assert not found.small and found.solve_folds(1.0, tol=1e-4, max_steps=50).weight.dtype.itemsize == 4
    solution = found.solve_whole(1.0, None, tol=1e-9, max_steps=50)
    assert solution.weight.dtype.itemsize == 8 and float(solution.relative_gap.max()) <= 1e-9
    exact = expected.coefficients(expected.solve_whole(1.0, None, **TIGHT))
    np.testing.assert_allclose(found.coefficients(solution)[0], exact[0], atol=1e-4)
