"""Newton's method against scipy's minimisers of the same formulas; the certificate against the true optimum."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st
from scipy.optimize import minimize
from sklearn.svm import LinearSVC

from classifiers.heads.linear.fold_matrix import FoldMatrix
from classifiers.heads.linear.losses import LogisticLoss, SoftmaxLoss, SquaredHingeLoss
from classifiers.heads.linear.newton import Solution, minimise, objective_of

N, D, K = 50, 6, 3
RNG = np.random.default_rng(0)
TARGET = np.arange(N) % K
X = (RNG.normal(size=(K, D))[TARGET] + RNG.normal(size=(N, D))) * np.geomspace(0.3, 3, D)
MASS = RNG.uniform(0.5, 2, (3, N)) * (RNG.random((3, N)) > 0.2)
"""Three problems on the same rows, each of which leaves out some of them."""
SIGN = np.where(TARGET == 1, 1.0, -1.0)


def matrix():
    return FoldMatrix(X, np.ones((3, N)), standardise=False, centre=False, double=True)


def loss_of(kind, dtype=torch.float64):
    mass, fold = torch.from_numpy(MASS).to(dtype), torch.arange(3)
    if kind is SoftmaxLoss:
        return SoftmaxLoss(mass, torch.from_numpy(TARGET), K, fold)
    return kind(mass, torch.from_numpy(SIGN).to(dtype).expand(3, -1), fold)


def formula(kind, weight, bias, mass, C):
    """Objective and gradient in plain numpy: value, (r, d), (r,)."""
    logits, penalised = X @ weight.T + bias, kind is SquaredHingeLoss
    if kind is SoftmaxLoss:
        each = np.logaddexp.reduce(logits, axis=1) - logits[np.arange(N), TARGET]
        slope = np.exp(logits - np.logaddexp.reduce(logits, axis=1, keepdims=True)) - np.eye(K)[TARGET]
    elif kind is LogisticLoss:
        each = np.logaddexp(0, -SIGN * logits[:, 0])
        slope = (-SIGN / (1 + np.exp(SIGN * logits[:, 0])))[:, None]
    else:
        short = np.maximum(0, 1 - SIGN * logits[:, 0])
        each, slope = short**2, (-2 * SIGN * short)[:, None]
    value = 0.5 * (weight**2).sum() + 0.5 * penalised * (bias**2).sum() + C * mass @ each
    pull = C * mass[:, None] * slope
    return value, weight + pull.T @ X, penalised * bias + pull.sum(axis=0)


def optimum(kind, mass, C):
    rows = K if kind is SoftmaxLoss else 1

    def plain(flat):
        value, grad_w, grad_b = formula(kind, flat[rows:].reshape(rows, D), flat[:rows], mass, C)
        return value, np.concatenate([grad_b, grad_w.ravel()])

    return minimize(plain, np.zeros(rows * (D + 1)), jac=True, method="BFGS", options={"gtol": 1e-9, "maxiter": 5000})


def solve(kind, C, start=0.0, **options):
    loss = loss_of(kind)
    weight = torch.full((3, loss.rows, D), start, dtype=torch.float64)
    return minimise(matrix(), loss, C, weight, torch.full((3, loss.rows), start).double(), **{"tol": 1e-12} | options)


KINDS = [SoftmaxLoss, LogisticLoss, SquaredHingeLoss]


@pytest.mark.parametrize("C", [1e-2, 1.0, 30.0])
@pytest.mark.parametrize("kind", KINDS)
def test_every_problem_reaches_the_minimum_that_scipy_finds(kind, C):
    found = solve(kind, C)
    for group in range(3):
        best = optimum(kind, MASS[group], C)
        weight, bias = found.weight[group].numpy(), found.bias[group].numpy()
        assert formula(kind, weight, bias, MASS[group], C)[0] == pytest.approx(float(found.objective[group]), rel=1e-12)
        assert float(found.objective[group]) == pytest.approx(best.fun, rel=1e-9)
        np.testing.assert_allclose(weight.ravel(), best.x[len(bias) :], atol=1e-4)
    assert float(found.relative_gap.max()) <= 1e-12


@settings(max_examples=20, deadline=None)
@given(kind=st.sampled_from([SoftmaxLoss, LogisticLoss]), C=st.floats(-3, 1), tol=st.sampled_from([1e-1, 1e-3, 1e-6]))
def test_a_problem_is_done_only_where_it_is_about_as_near_its_minimum_as_was_asked_for(kind, C, tol):
    loss, features = loss_of(kind), FoldMatrix(X, MASS, standardise=True, centre=True, double=True)
    zeros = torch.zeros(3, loss.rows, D, dtype=torch.float64)
    found, end = (minimise(features, loss, 10**C, zeros, zeros[..., 0], tol=tol) for tol in (tol, 1e-13))
    assert bool((found.gap <= tol * found.objective).all())
    # Twice, since what intercepts that are not penalised can gain is estimated.
    assert bool((found.objective - end.objective <= 2 * tol * found.objective).all())


@pytest.mark.parametrize("steps", range(4))
@pytest.mark.parametrize("kind", KINDS)
def test_the_gap_is_half_the_squared_gradient_of_the_weights_and_what_the_intercepts_miss(kind, steps):
    found = solve(kind, 0.7, start=0.2, tol=0.0, max_steps=steps)
    for group in range(3):
        _, grad_w, grad_b = formula(kind, found.weight[group].numpy(), found.bias[group].numpy(), MASS[group], 0.7)
        gap, weights = float(found.gap[group]), 0.5 * (grad_w**2).sum()
        assert weights <= gap * (1 + 1e-9)
        if kind is SquaredHingeLoss:  # strongly convex in the intercept, too
            assert gap <= (weights + 0.5 * (grad_b**2).sum()) * (1 + 1e-9)
        else:
            logits = X @ found.weight[group].numpy().T + found.bias[group].numpy()
            odds = np.exp(logits) / (np.exp(logits).sum(axis=1, keepdims=True) + (kind is LogisticLoss))
            curve = 0.7 * MASS[group] @ (odds * (1 - odds))
            assert gap == pytest.approx(weights + (0.5 * grad_b**2 / curve).sum(), rel=1e-9)


@pytest.mark.parametrize("kind", KINDS)
def test_the_limit_of_steps_is_kept_and_the_gap_tells_that_it_was_too_early(kind):
    none, one, all_ = (solve(kind, 5.0, start=0.3, max_steps=steps) for steps in (0, 1, 100))
    assert (none.steps, none.products) == (0, 0) and one.steps == 1 < all_.steps < 100
    assert bool((none.weight == 0.3).all())
    start = formula(kind, np.full((none.weight.shape[1], D), 0.3), np.full(none.bias.shape[1], 0.3), MASS[1], 5.0)
    assert float(none.objective[1]) == pytest.approx(start[0])
    assert bool((one.objective < none.objective).all()) and float(one.relative_gap.max()) > 1e-12


@pytest.mark.parametrize("kind", KINDS)
def test_problems_solved_together_are_those_solved_alone(kind):
    together, loss = solve(kind, 3.0), loss_of(kind)
    for group in range(3):
        alone = loss.take(torch.tensor([group]))
        zeros = torch.zeros(1, loss.rows, D, dtype=torch.float64)
        found = minimise(matrix(), alone, 3.0, zeros, zeros[..., 0], tol=1e-12)
        torch.testing.assert_close(found.weight[0], together.weight[group], atol=1e-8, rtol=1e-6)
        torch.testing.assert_close(found.bias[0], together.bias[group], atol=1e-8, rtol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_handed_in_is_left_alone_and_the_logits_handed_out_are_those_of_the_weights(kind):
    loss = loss_of(kind)
    weight, bias = torch.zeros(3, loss.rows, D, dtype=torch.float64), torch.zeros(3, loss.rows, dtype=torch.float64)
    relative = loss.relative(matrix().forward(weight, bias, loss.fold))
    found = minimise(matrix(), loss, 1.0, weight, bias, relative, tol=1e-9)
    assert not weight.any() and not bias.any() and not relative.any()
    again = loss.relative(matrix().forward(found.weight, found.bias, loss.fold))
    torch.testing.assert_close(found.relative, again, atol=1e-9, rtol=1e-9)
    torch.testing.assert_close(objective_of(loss, 1.0, found.weight, found.bias, again), found.objective)


@pytest.mark.parametrize("how", [{"half": True}, {"hessian_dtype": torch.float32}])
@pytest.mark.parametrize("kind", KINDS)
def test_a_rough_hessian_leads_to_the_same_minimum(kind, how):
    rough = solve(kind, 1.0, tol=1e-8, **how)
    torch.testing.assert_close(rough.objective, solve(kind, 1.0).objective, rtol=1e-7, atol=0)
    assert float(rough.relative_gap.max()) <= 1e-8


def test_classes_that_conjugate_gradients_are_too_slow_for_are_solved_by_factorisation():
    rng = np.random.default_rng(1)
    Z, y = rng.normal(size=(60, 40)) * np.geomspace(0.1, 10, 40), rng.integers(0, 2, 60)
    sign = torch.from_numpy(np.where(y, 1.0, -1.0))[None]
    loss = SquaredHingeLoss(torch.ones(1, 60, dtype=torch.float64), sign, torch.tensor([0]))
    features = FoldMatrix(Z, np.ones((1, 60)), standardise=False, centre=False, double=True)
    zeros = torch.zeros(1, 1, 40, dtype=torch.float64)
    found = minimise(features, loss, 10.0, zeros, zeros[..., 0], tol=1e-10)
    theirs = LinearSVC(C=10.0, dual=False, tol=1e-10, max_iter=100_000).fit(Z, y)
    assert found.factored > 0 and float(found.relative_gap) <= 1e-10
    np.testing.assert_allclose(found.weight[0], theirs.coef_, atol=1e-4)
    np.testing.assert_allclose(found.bias[0], theirs.intercept_, atol=1e-4)


def test_solutions_of_parts_are_joined_and_the_effort_of_a_first_try_is_added():
    first, second = solve(LogisticLoss, 1.0), solve(LogisticLoss, 9.0, max_steps=2)
    joined = Solution.join([first, second])
    assert joined.weight.shape == (6, 1, D) and joined.steps == max(first.steps, second.steps)
    assert joined.products == first.products + second.products
    torch.testing.assert_close(joined.relative_gap, torch.cat([first.gap, second.gap]) / joined.objective)
    assert Solution.join([first]) is first
    after = second.after(first)
    assert after.weight is second.weight and after.steps == first.steps + 2
    assert after.products == joined.products > second.products
