import numpy as np
import pytest
import torch
from sklearn.svm import LinearSVC

from classifiers.heads.linear.active_set import _length, _Point, exact_cost, exact_minimum
from classifiers.heads.linear.fold_matrix import FoldMatrix
from classifiers.heads.linear.row_space import RowSpace


def problem(n, d, seed=0, double=True, duplicates=False):
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 2, n)
    X = rng.standard_normal((n, d)) + 0.6 * y[:, None]
    if duplicates:
        X[1], y[1] = X[0], y[0]
    matrix = FoldMatrix(X, np.ones((1, n)), standardise=False, centre=False, double=double)
    return X, y, matrix, torch.from_numpy(np.where(y == 1, 1.0, -1.0))


@pytest.mark.parametrize(("n", "d"), [(40, 90), (200, 10), (100, 90)])
@pytest.mark.parametrize("C", [0.01, 1.0, 100.0])
@pytest.mark.parametrize("double", [True, False])
def test_the_minimum_is_that_of_liblinear_and_certified(n, d, C, double):
    X, y, matrix, sign = problem(n, d, double=double)
    zero = torch.zeros(d, dtype=matrix.dtype)
    exact = exact_minimum(matrix, 0, torch.full((n,), 2 * C), sign, zero, zero[0])
    theirs = LinearSVC(C=C, tol=1e-12, dual=False, max_iter=10**6).fit(X, y)
    Z = X @ theirs.coef_[0] + theirs.intercept_[0]
    objective = C * (np.maximum(0, 1 - sign.numpy() * Z) ** 2).sum()
    objective += 0.5 * (theirs.coef_**2).sum() + 0.5 * theirs.intercept_[0] ** 2
    assert exact.objective <= objective * (1 + 1e-5)
    assert exact.gap <= (1e-8 if double else 1e-5) * exact.objective
    assert exact.objective - exact.gap <= objective * (1 + 1e-6)


def test_the_minimum_survives_identical_rows_and_a_large_C():
    X, _, matrix, sign = problem(30, 80, double=False, duplicates=True)
    zero = torch.zeros(80)
    exact = exact_minimum(matrix, 0, torch.full((30,), 2e4), sign, zero, zero[0])
    margin = sign.numpy() * (X @ exact.weight.numpy() + float(exact.bias))
    assert margin.min() > 1 - 1e-3  # the hard margin
    assert exact.gap <= 1e-4 * exact.objective


def test_rows_without_weight_do_not_exist():
    _, _, matrix, sign = problem(60, 8)
    hardness = torch.full((60,), 2.0)
    hardness[40:] = 0
    zero = torch.zeros(8, dtype=torch.float64)
    exact = exact_minimum(matrix, 0, hardness, sign, zero, zero[0])
    other = sign.clone()
    other[40:] *= -1
    torch.testing.assert_close(exact.weight, exact_minimum(matrix, 0, hardness, other, zero, zero[0]).weight)


def test_the_span_of_the_rows_gives_the_same_minimum():
    _, _, matrix, sign = problem(25, 120)
    space = RowSpace(matrix, np.ones((1, 25)))
    hardness = torch.full((25,), 2.0)
    wide = exact_minimum(matrix, 0, hardness, sign, torch.zeros(120, dtype=torch.float64), torch.tensor(0.0))
    narrow = exact_minimum(space, 0, hardness, sign, torch.zeros(25, dtype=torch.float64), torch.tensor(0.0))
    assert narrow.objective == pytest.approx(wide.objective, rel=1e-6)
    torch.testing.assert_close(space.widen(narrow.weight[None, None], 0)[0, 0], wide.weight, rtol=1e-4, atol=1e-6)


def test_cost_follows_the_smaller_side():
    assert exact_cost(100, 2000, cached=True) < exact_cost(100, 2000, cached=False)
    assert exact_cost(5000, 50, cached=False) < exact_cost(5000, 500, cached=False)


def test_the_length_of_a_step_is_the_minimum_on_its_way():
    rng = np.random.default_rng(1)
    for _ in range(100):
        n, d = int(rng.integers(3, 40)), int(rng.integers(1, 8))
        X, sign = torch.tensor(rng.normal(size=(n, d))), torch.tensor(rng.choice([-1.0, 1.0], n))
        hardness = torch.tensor(rng.exponential(size=n) * (rng.random(n) > 0.2))

        def point(w, b, X=X, sign=sign):
            return _Point(torch.tensor(w), torch.tensor(b), sign * (X @ torch.tensor(w) + b), None, 0.0)

        at, goal = (point(rng.normal(size=d), np.float64(rng.normal())) for _ in range(2))

        def objective(t, at=at, goal=goal, hardness=hardness):
            weight, bias = at.weight + t * (goal.weight - at.weight), float(at.bias + t * (goal.bias - at.bias))
            short = (1.0 - at.margin - t * (goal.margin - at.margin)).clamp_min(0.0)
            return float(weight @ weight) + bias * bias + float(hardness @ short.square())

        found = objective(_length(at, goal, hardness))
        assert found <= min(map(objective, np.linspace(0.0, 2.0, 401))) + 1e-9
