"""What linear heads share: decisions by closed form, the certificate against scipy, state, torch and warnings."""

import json

import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st
from hypothesis.extra.numpy import arrays
from scipy.optimize import minimize
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.linear_model import LogisticRegression

from classifiers.heads.base import head_input
from classifiers.heads.linear import linear_head
from classifiers.heads.linear.estimators import LinearSVM, LinearSVMCV, SoftmaxRegression, SoftmaxRegressionCV
from featstore.errors import FeaturesError

HEADS = [SoftmaxRegression, LinearSVM, SoftmaxRegressionCV, LinearSVMCV]


def planted(coef, intercept, classes, slope=1.0):
    """A head with known weights, as if it had been read from a bundle."""
    meta = {
        "params": {}, "classes": list(classes), "classes_dtype": np.array(classes).dtype.str, "best_params": {"C": 1.0},
        "slope": slope, "certificate": {"relative_gap": 0.0}, "converged": True,
    }  # fmt: skip
    return LinearSVMCV.from_state(meta, {"coef": np.atleast_2d(coef), "intercept": np.atleast_1d(intercept)})


def clouds(n=60, d=5, k=3, spread=0.8):
    rng = np.random.default_rng(0)
    y = np.arange(n) % k
    return spread * rng.normal(size=(k, d))[y] + rng.normal(size=(n, d)), y


@settings(max_examples=30, deadline=None)
@given(arrays(np.float64, (7, 2), elements=st.floats(-50, 50)), st.floats(0.1, 5), st.integers(1, 9))
def test_decisions_and_probabilities_are_those_of_the_formula(X, slope, at_a_time):
    usual, linear_head.PREDICT_ROWS = linear_head.PREDICT_ROWS, at_a_time
    try:
        two = planted([0.5, -2.0], 0.25, ["a", "b"], slope)
        z = 0.5 * X[:, 0] - 2.0 * X[:, 1] + 0.25
        np.testing.assert_allclose(two.decision_function(X), z, atol=1e-9)
        np.testing.assert_allclose(two.predict_proba(X)[:, 1], 1 / (1 + np.exp(-slope * z)), atol=1e-9)
        np.testing.assert_array_equal(two.predict(X), np.where(z > 0, "b", "a"))
        coef, intercept = np.array([[1.0, 0.0], [0.0, 1.0], [-1.0, -1.0]]), np.array([0.0, 0.5, 1.0])
        three = planted(coef, intercept, [3, 5, 8], slope)
        Z = X @ coef.T + intercept
        odds = np.exp(slope * (Z - Z.max(axis=1, keepdims=True)))
        np.testing.assert_allclose(three.decision_function(X), Z, atol=1e-9)
        np.testing.assert_allclose(three.predict_proba(X), odds / odds.sum(axis=1, keepdims=True), atol=1e-9)
        np.testing.assert_array_equal(three.predict(X), np.array([3, 5, 8])[Z.argmax(axis=1)])
    finally:
        linear_head.PREDICT_ROWS = usual


def test_a_decision_of_exactly_zero_is_the_first_class_as_in_scikit_learn():
    assert planted([1.0, 1.0], 0.0, ["a", "b"]).predict([[2.0, -2.0]]).tolist() == ["a"]


@pytest.mark.parametrize("k", [2, 3])
def test_the_torch_layer_has_one_row_of_weights_a_class_and_the_slope_folded_in(k):
    rng = np.random.default_rng(k)
    coef, intercept = rng.normal(size=(1 if k == 2 else k, 4)), rng.normal(size=1 if k == 2 else k)
    head, X = planted(coef, intercept, list("abc"[:k]), 2.5), rng.normal(size=(6, 4))
    layer = head.to_torch()
    assert layer.weight.shape == (k, 4) and layer.weight.dtype == torch.float32
    with torch.no_grad():
        proba = layer(torch.from_numpy(X).float()).softmax(1).numpy()
    np.testing.assert_allclose(proba, head.predict_proba(X), atol=1e-6)


@pytest.mark.parametrize("make", HEADS)
def test_a_head_that_was_not_fitted_says_so(make):
    for ask in ("get_state", "to_torch"):
        with pytest.raises(NotFittedError, match=f"This {make.__name__} instance is not fitted yet"):
            getattr(make(), ask)()
    with pytest.raises(NotFittedError, match="not fitted yet"):
        make().predict(np.zeros((2, 3)))


def test_features_of_another_width_or_with_nan_are_refused():
    head = SoftmaxRegression().fit(*clouds())
    with pytest.raises(ValueError, match="X has 4 features, but SoftmaxRegression is expecting 5"):
        head.predict(np.zeros((2, 4)))
    X = np.zeros((3, 5))
    X[1, 2] = np.nan
    with pytest.raises(FeaturesError, match=r"NaN or infinity in 1 of 3 rows \(row 1\)"):
        head.predict_proba(X)


@pytest.mark.parametrize("make", HEADS)
def test_state_is_plain_and_leaves_the_search_behind(make):
    X, y = clouds()
    head = make(class_weight={0: 2.0, 2: 0.5}).fit(X, y)
    meta, numbers = head.get_state()
    assert not {"cv", "progress"} & meta["params"].keys() and set(numbers) == {"coef", "intercept"}
    again = make.from_state(json.loads(json.dumps(meta, allow_nan=False)), numbers)
    assert again.class_weight == {0: 2.0, 2: 0.5} and again.classes_.dtype == head.classes_.dtype
    np.testing.assert_array_equal(again.predict_proba(X), head.predict_proba(X))
    assert (again.cv_results_, again.oof_proba_, again.n_features_in_) == ([], None, 5)
    assert again.slope_ == head.slope_ and again.converged_ is True


def test_the_certificate_holds_against_scipys_minimum_of_the_same_objective():
    X, y = clouds()

    def objective(flat):
        W, b = flat[3:].reshape(3, 5), flat[:3]
        Z = X @ W.T + b
        P = np.exp(Z - np.logaddexp.reduce(Z, axis=1, keepdims=True))
        slope = 2.0 * (P - np.eye(3)[y])
        value = 2.0 * -np.log(P[np.arange(60), y]).sum() + 0.5 * (W**2).sum()
        return value, np.concatenate([slope.sum(axis=0), (W + slope.T @ X).ravel()])

    least = minimize(objective, np.zeros(18), jac=True, method="BFGS", options={"gtol": 1e-9}).fun
    head = SoftmaxRegression(2.0).fit(X, y)
    mine = objective(np.concatenate([head.intercept_, head.coef_.ravel()]))[0]
    certificate = head.certificate_
    assert certificate["objective"] == pytest.approx(mine, rel=1e-12) and mine == pytest.approx(least, rel=1e-9)
    assert certificate["relative_gap"] <= certificate["tol"] == 1e-14 and head.n_iter_ == certificate["newton_steps"]


def test_a_search_that_stopped_too_early_is_no_convergence_and_both_gaps_are_kept(monkeypatch):
    X, y = clouds(n=300, d=40, k=4)
    with pytest.warns(
        ConvergenceWarning,
        match=r"^SoftmaxRegressionCV stopped at C=\S+ with a relative duality gap "
        r"\S+ times as large as asked for, after \d+ Newton steps of at most 1; raise max_iter or tol",
    ):
        head = SoftmaxRegressionCV(Cs=[1.0, 10.0], max_iter=1).fit(X, y)  # fmt: skip
    certificate = head.certificate_
    assert head.converged_ is False and certificate["relative_gap"] > certificate["tol"]
    assert certificate["search_relative_gap"] > certificate["search_tol"]
    assert certificate["search_relative_gap"] == next(
        row["relative_gap"] for row in head.cv_results_ if row["params"] == head.best_params_
    )


def test_a_row_that_several_folds_judged_has_the_mean_of_their_probabilities():
    X, y = clouds()
    judged, folds = np.arange(12), [(np.arange(12, 40), np.arange(12)), (np.arange(30, 60), np.arange(12))]
    head = SoftmaxRegressionCV(Cs=[0.5], cv=folds, standardize=False).fit(X, y)
    models = [LogisticRegression(C=0.5, tol=1e-10, max_iter=5000).fit(X[train], y[train]) for train, _ in folds]
    expected = np.mean([model.predict_proba(X[judged]) for model in models], axis=0)
    np.testing.assert_allclose(head.oof_proba_[judged], expected, atol=1e-4)
    assert np.isnan(head.oof_proba_[12:]).all()


def test_more_logits_than_there_is_time_for_are_refused_by_name(monkeypatch):
    monkeypatch.setattr(head_input, "MOST_NUMBERS", 100)
    for make, name in ((SoftmaxRegression, "logistic"), (LinearSVM, "svm")):
        with pytest.raises(FeaturesError, match=rf"^{name} works on a number .* 60 training images x 3 classes"):
            make().fit(*clouds())
