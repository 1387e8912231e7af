import json
import warnings

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC
from sklearn.utils.estimator_checks import parametrize_with_checks

from classifiers.heads.linear.estimators import LinearSVM, LinearSVMCV, SoftmaxRegression, SoftmaxRegressionCV
from classifiers.validation.splits import stratified_folds
from featstore.errors import FeaturesError, UnknownNameError


def clouds(n, d, k, seed=0, spread=0.5):
    rng = np.random.default_rng(seed)
    centres = spread * rng.standard_normal((k, d))
    y = np.concatenate([np.arange(k), rng.integers(0, k, n - k)])
    return centres[y] + rng.standard_normal((n, d)), y


def softmax_objective(head, X, y, C):
    Z = X @ head.coef_.T + head.intercept_
    if Z.shape[1] == 1:
        loss = np.logaddexp(0, -np.where(y == y.max(), 1, -1) * Z[:, 0]).sum()
    else:
        loss = (np.logaddexp.reduce(Z, axis=1) - Z[np.arange(len(y)), y]).sum()
    return C * loss + 0.5 * (head.coef_**2).sum()


def hinge_objective(head, X, y, C):
    Z = X @ head.coef_.T + head.intercept_
    sign = np.where(y[:, None] == (np.arange(Z.shape[1]) if Z.shape[1] > 1 else y.max()), 1, -1)
    return C * (np.maximum(0, 1 - sign * Z) ** 2).sum() + 0.5 * (head.coef_**2).sum() + 0.5 * (head.intercept_**2).sum()


def least_objective(X, y, C):
    """What scikit-learn's solvers reach; lbfgs gives up early at large C, newton-cg does not."""
    solvers = [("lbfgs", 3000)] + [("newton-cg", 400)] * (C > 1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        heads = [LogisticRegression(C=C, tol=1e-8, max_iter=most, solver=solver) for solver, most in solvers]
        return min(softmax_objective(head.fit(X, y), X, y, C) for head in heads)


@pytest.mark.parametrize("C", [1e-4, 1e-2, 1.0, 100.0, 1e4])
@pytest.mark.parametrize(("n", "d", "k"), [(60, 150, 2), (300, 20, 2), (150, 200, 7), (700, 40, 12), (300, 350, 100)])
def test_softmax_reaches_the_objective_of_scikit_learn(n, d, k, C):
    X, y = clouds(n, d, k)
    reference = least_objective(X, y, C)
    for dtype in (np.float32, np.float64):
        ours = SoftmaxRegression(C).fit(X.astype(dtype), y)
        mine = softmax_objective(ours, X, y, C)
        assert mine == pytest.approx(reference, rel=1e-4)
        assert ours.converged_ and ours.certificate_["relative_gap"] <= 1e-6
        assert ours.certificate_["objective"] == pytest.approx(mine, rel=1e-5)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("C", [1e-4, 1e-2, 1.0])
@pytest.mark.parametrize(("n", "d", "k"), [(60, 150, 2), (300, 20, 3), (150, 200, 4)])
def test_svm_reaches_the_objective_of_scikit_learn(n, d, k, C, dtype):
    X, y = clouds(n, d, k)
    ours = LinearSVM(C).fit(X.astype(dtype), y)
    theirs = LinearSVC(C=C, tol=1e-9, dual=False, max_iter=100_000).fit(X, y)
    assert hinge_objective(ours, X, y, C) == pytest.approx(hinge_objective(theirs, X, y, C), rel=1e-5)
    assert ours.converged_


@pytest.mark.parametrize("k", [2, 4])
@pytest.mark.parametrize("class_weight", [None, "balanced", {0: 3.0, 1: 0.5}])
def test_sample_and_class_weights_mean_what_they_mean_in_scikit_learn(k, class_weight):
    X, y = clouds(80, 10, k)
    weight = np.random.default_rng(1).uniform(0.1, 3, len(y))
    ours = SoftmaxRegression(0.3, class_weight=class_weight).fit(X, y, weight)
    theirs = LogisticRegression(C=0.3, class_weight=class_weight, tol=1e-10, max_iter=5000).fit(X, y, weight)
    np.testing.assert_allclose(ours.coef_, theirs.coef_, atol=2e-4)
    np.testing.assert_allclose(ours.predict_proba(X), theirs.predict_proba(X), atol=1e-4)
    if class_weight != "balanced":  # liblinear's own balancing ignores sample weights
        svm = LinearSVM(0.3, class_weight=class_weight).fit(X, y, weight)
        reference = LinearSVC(C=0.3, class_weight=class_weight, tol=1e-10, dual=False, max_iter=10**6)
        np.testing.assert_allclose(svm.coef_, reference.fit(X, y, weight).coef_, atol=1e-4)


@pytest.mark.parametrize("k", [2, 6])
def test_the_path_judges_every_fold_as_scikit_learn_does(k):
    X, y = clouds(240, 300, k, spread=0.15)
    X = (50 + X * np.geomspace(0.01, 100, X.shape[1])).astype(np.float32)
    folds = stratified_folds(y, 4, 0)
    head = SoftmaxRegressionCV(Cs=[1e-3, 1e-1], cv=folds, patience=0, budget="thorough").fit(X, y)
    for row in head.cv_results_:
        pipe = make_pipeline(StandardScaler(), LogisticRegression(C=row["params"]["C"], tol=1e-8, max_iter=2000))
        proba = cross_val_predict(pipe, X.astype(np.float64), y, cv=folds, method="predict_proba")
        right = proba.argmax(axis=1) == y
        assert row["accuracy"] == pytest.approx(right.mean(), abs=1.01 / len(y))
        for got, (_, valid) in zip(row["fold_accuracies"], folds, strict=True):
            assert got == pytest.approx(right[valid].mean(), abs=1.01 / len(valid))
        assert row["log_loss"] == pytest.approx(-np.log(proba[np.arange(len(y)), y]).mean(), rel=0.02)
        if row["params"] == head.best_params_:
            np.testing.assert_allclose(head.oof_proba_, proba, atol=0.02)
    best = max(head.cv_results_, key=lambda row: (row["accuracy"], -row["log_loss"]))
    assert head.best_params_ == best["params"]
    refit = make_pipeline(StandardScaler(), LogisticRegression(C=head.best_params_["C"], tol=1e-9, max_iter=5000))
    np.testing.assert_allclose(head.predict_proba(X), refit.fit(X.astype(np.float64), y).predict_proba(X), atol=2e-3)


def test_the_svm_path_judges_every_fold_as_scikit_learn_does():
    X, y = clouds(200, 120, 5, spread=0.25)
    folds = stratified_folds(y, 4, 0)
    head = LinearSVMCV(Cs=[1e-4, 1e-2, 1.0], cv=folds, patience=0, budget="thorough").fit(X, y)
    for row in head.cv_results_:
        pipe = make_pipeline(StandardScaler(), LinearSVC(C=row["params"]["C"], tol=1e-7, dual=False, max_iter=50_000))
        right = cross_val_predict(pipe, X, y, cv=folds) == y
        assert row["accuracy"] == pytest.approx(right.mean(), abs=1.01 / len(y))


@pytest.mark.parametrize("make", [SoftmaxRegressionCV, LinearSVMCV])
def test_tuned_heads_do_as_well_as_scikit_learn_on_real_digits(make):
    X, y = load_digits(return_X_y=True)
    reference = LinearSVC(dual=False) if make is LinearSVMCV else LogisticRegression(max_iter=1000)
    head = make().fit(X[:1000], y[:1000])
    scores = []
    for C in (1e-2, 1e-1, 1):
        pipe = make_pipeline(StandardScaler(), clone(reference).set_params(C=C)).fit(X[:1000], y[:1000])
        scores.append(pipe.score(X[1000:], y[1000:]))
    assert head.score(X[1000:], y[1000:]) >= max(scores) - 0.01
    assert 1 < len(head.cv_results_) <= 16
    proba = head.predict_proba(X[1000:])
    confidence, right = proba.max(axis=1), proba.argmax(axis=1) == y[1000:]
    assert abs(confidence.mean() - right.mean()) < 0.06  # calibrated


def test_svm_probabilities_never_change_the_prediction():
    X, y = clouds(150, 30, 4, spread=0.3)
    head = LinearSVM(0.01).fit(X, y)
    assert 0 < head.slope_ != 1
    np.testing.assert_array_equal(head.predict_proba(X).argmax(axis=1), head.predict(X))


@pytest.mark.parametrize("make", [SoftmaxRegressionCV, LinearSVMCV])
@pytest.mark.parametrize("k", [2, 3])
def test_a_class_that_a_fold_lacks_gets_no_probability_there(make, k):
    X, y = clouds(90, 8, k, spread=2.0)
    absent = y == k - 1
    folds = [(np.flatnonzero(~absent), np.flatnonzero(absent)), (np.arange(0, 90, 2), np.arange(1, 90, 2))]
    head = make(cv=folds).fit(X, y)
    assert head.cv_results_[0]["fold_accuracies"][0] == 0.0
    assert max(row["fold_accuracies"][1] for row in head.cv_results_) > 0.8
    only_there = np.setdiff1d(np.flatnonzero(absent), folds[1][1])
    if make is SoftmaxRegressionCV:
        assert head.oof_proba_[only_there, k - 1].max() < 1e-9
    assert np.isfinite([row["log_loss"] for row in head.cv_results_]).all()
    assert head.score(X, y) > 0.8


def test_rows_that_several_folds_judge_count_each_time_and_rows_that_none_judges_have_no_probability():
    X, y = clouds(60, 5, 3, spread=1.0)
    folds = [(np.arange(20, 60), np.arange(20)), (np.arange(10, 60), np.arange(10))]
    head = SoftmaxRegressionCV(cv=folds).fit(X, y)
    assert np.isnan(head.oof_proba_[20:]).all() and np.isfinite(head.oof_proba_[:20]).all()
    np.testing.assert_allclose(head.oof_proba_[:20].sum(axis=1), 1)
    row = next(row for row in head.cv_results_ if row["params"] == head.best_params_)
    assert row["accuracy"] == pytest.approx((20 * row["fold_accuracies"][0] + 10 * row["fold_accuracies"][1]) / 30)


@pytest.mark.parametrize("make", [SoftmaxRegressionCV, LinearSVMCV, SoftmaxRegression, LinearSVM])
@pytest.mark.parametrize("k", [2, 5])
def test_state_survives_json_and_predicts_the_same_bits(make, k):
    X, y = clouds(80, 12, k)
    labels = np.array(["ant", "bee", "cat", "dog", "eel"])[y]
    head = make(class_weight={"bee": 2.0}).fit(X, labels)
    meta, arrays = head.get_state()
    again = make.from_state(json.loads(json.dumps(meta)), {name: array.copy() for name, array in arrays.items()})
    np.testing.assert_array_equal(again.predict_proba(X), head.predict_proba(X))
    np.testing.assert_array_equal(again.predict(X), head.predict(X))
    assert again.get_params()["class_weight"] == {"bee": 2.0}
    assert again.best_params_ == head.best_params_ and again.certificate_ == head.certificate_
    assert all(array.dtype.kind == "f" for array in arrays.values())


@pytest.mark.parametrize("make", [SoftmaxRegressionCV, LinearSVMCV])
@pytest.mark.parametrize("k", [2, 5])
def test_torch_module_has_the_same_probabilities_with_the_scaler_folded_in(make, k):
    X, y = clouds(100, 15, k)
    X = (X * np.geomspace(0.1, 10, 15) + 2).astype(np.float32)
    head = make().fit(X, y)
    module = head.to_torch()
    with torch.inference_mode():
        proba = torch.softmax(module(torch.from_numpy(X)), dim=1).numpy()
    np.testing.assert_allclose(proba, head.predict_proba(X), atol=1e-5)


def test_the_walk_ends_when_validation_has_turned_and_goes_on_when_told_to():
    X, y = clouds(200, 100, 3, spread=0.12)
    seen = []
    short = SoftmaxRegressionCV(progress=seen.append).fit(X, y)
    full = SoftmaxRegressionCV(patience=0).fit(X, y)
    assert len(short.cv_results_) < len(full.cv_results_) == 10
    assert sorted(seen, key=lambda row: row["params"]["C"]) == short.cv_results_
    assert short.best_params_ == full.best_params_


def test_the_grid_is_extended_where_the_best_value_lies_on_its_end():
    X, y = clouds(300, 400, 3, spread=0.1)
    head = LinearSVMCV(patience=0).fit(X * 0.0 + X, y)
    values = [row["params"]["C"] for row in head.cv_results_]
    assert values == sorted(values)
    best = values.index(head.best_params_["C"])
    assert 0 < best < len(values) - 1 or len(values) == 13


@pytest.mark.parametrize("make", [SoftmaxRegressionCV, LinearSVMCV])
def test_the_same_seed_gives_the_same_bits(make):
    X, y = clouds(150, 80, 4)
    first, second = (make(random_state=3).fit(X.astype(np.float32), y) for _ in range(2))
    np.testing.assert_array_equal(first.coef_, second.coef_)
    np.testing.assert_array_equal(first.oof_proba_, second.oof_proba_)


def test_constant_features_are_ignored():
    X, y = clouds(60, 6, 3)
    X = np.hstack([X, np.full((60, 2), 123.4)]).astype(np.float32)
    head = SoftmaxRegressionCV().fit(X, y)
    np.testing.assert_array_equal(head.coef_[:, 6:], 0)
    np.testing.assert_allclose(
        head.predict_proba(X), SoftmaxRegressionCV().fit(X[:, :6], y).predict_proba(X[:, :6]), atol=1e-5
    )


def test_a_fit_that_did_not_converge_says_so():
    X, y = clouds(400, 60, 8)
    with pytest.warns(ConvergenceWarning, match=r"stopped at C=100 with a relative duality gap .* raise max_iter"):
        head = SoftmaxRegression(100.0, max_iter=1).fit(X.astype(np.float32), y)
    assert head.converged_ is False


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"C": 0.0}, r"C is 0.0, expected a positive number"),
        ({"y": np.zeros(30)}, r"all 30 images are of one class, '0.0'; expected two classes or more"),
        ({"weight": -np.ones(30)}, r"30 sample weights are negative"),
        ({"class_weight": {9: 1.0}}, r"class_weight names 9, which is no class"),
        ({"nan": True}, r"NaN or infinity in 1 of 30 rows \(row 4\)"),
    ],
)
def test_unusable_input_is_refused_with_what_was_found(change, message):
    X, y = clouds(30, 4, 3)
    if change.get("nan"):
        X[4, 2] = np.nan
    head = SoftmaxRegression(change.get("C", 1.0), class_weight=change.get("class_weight"))
    with pytest.raises(FeaturesError, match=message):
        head.fit(X, change.get("y", y), change.get("weight"))


def test_unknown_budget_is_refused():
    with pytest.raises(UnknownNameError, match="unknown budget 'long'"):
        SoftmaxRegressionCV(budget="long").fit(*clouds(30, 4, 3))


def test_options_without_sense_are_refused():
    X, y = clouds(40, 3, 2)
    with pytest.raises(FeaturesError, match="Cs is empty, expected at least one value"):
        SoftmaxRegressionCV(Cs=[]).fit(X, y)
    with pytest.raises(FeaturesError, match="tol is 0, expected a positive number"):
        LinearSVMCV(tol=0).fit(X, y)


def test_a_walk_with_nothing_left_to_gain_ends_and_no_unsolved_point_is_chosen():
    rng = np.random.default_rng(0)
    y = np.repeat(np.arange(30), 10)
    X = (4 * rng.normal(size=(30, 20))[y] + rng.normal(size=(300, 20))).astype(np.float32)
    head = LinearSVMCV().fit(X, y)
    assert head.cv_results_[-1]["accuracy"] == 1.0 and len(head.cv_results_) < 6
    few = LinearSVMCV(Cs=[1e-3, 1e5], max_iter=1, patience=0).fit(X, y)
    rows = {row["params"]["C"]: row["converged"] for row in few.cv_results_}
    assert rows[few.best_params_["C"]] or not any(rows.values())


@pytest.mark.filterwarnings("ignore")
@parametrize_with_checks([SoftmaxRegression(), LinearSVM(), SoftmaxRegressionCV(), LinearSVMCV()])
def test_linear_heads_keep_the_contract_of_scikit_learn(estimator, check):
    check(estimator)
