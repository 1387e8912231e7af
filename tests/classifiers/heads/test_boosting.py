import lightgbm
import numpy as np
import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

from classifiers.heads.boosting import LightGBMHead
from featstore.errors import FeaturesError, NoGradientError
from tests.support import head_checks

WHY = {
    "check_sample_weight_equivalence_on_dense_data": "bagging and the least images of a leaf count rows, not weights"
}


@parametrize_with_checks([LightGBMHead(budget="quick", n_jobs=1)], expected_failed_checks=lambda _: WHY)
def test_scikit_learns_contract(estimator, check):
    check(estimator)


@pytest.fixture(scope="module")
def digits():
    X, y = head_checks.digits(700)
    return X[:400], y[:400], X[400:], y[400:]


def test_it_keeps_the_promises_of_every_head(digits):
    X, y, Xt, _ = digits
    head = head_checks.fitted_as_promised(LightGBMHead(budget="quick"), X, y)
    head_checks.same_bits_after_saving(head, Xt)
    few = y < 3
    head_checks.same_by_seed(lambda: LightGBMHead(budget="quick"), X[few], y[few])
    head_checks.handles_a_class_that_a_fold_lacks(lambda cv: LightGBMHead(cv=cv, budget="quick"), X[few], y[few])


def test_the_number_of_threads_changes_nothing(digits):
    X, y, Xt, _ = digits
    few = y < 3
    one = LightGBMHead(budget="quick", n_jobs=1).fit(X[few], y[few]).predict_proba(Xt)
    np.testing.assert_array_equal(one, LightGBMHead(budget="quick", n_jobs=3).fit(X[few], y[few]).predict_proba(Xt))


def test_it_is_at_least_as_accurate_as_lightgbm_on_raw_features(digits):
    X, y, Xt, yt = digits
    raw = lightgbm.LGBMClassifier(n_estimators=50, verbosity=-1, n_jobs=1, min_child_samples=5).fit(X, y).predict(Xt)
    ours = LightGBMHead(budget="quick").fit(X, y).predict(Xt)
    assert (ours == yt).sum() >= (raw == yt).sum() - 2


def test_rounds_are_found_on_the_folds_and_said(digits):
    X, y, _, _ = digits
    few = y < 2
    head = LightGBMHead(budget="normal").fit(X[few], y[few])
    assert 1 <= head.best_params_["rounds"] < 120
    assert head.certificate_["folds"] == 5 and head.converged_ is (head.certificate_["folds_stopped_early"] == 5)
    assert head._booster.current_iteration() == head.best_params_["rounds"]


def test_what_needs_more_rounds_than_the_budget_is_called_unconverged(digits, monkeypatch):
    X, y, _, _ = digits
    monkeypatch.setattr("classifiers.heads.boosting._ROUNDS", {"quick": 2})
    head = LightGBMHead(budget="quick").fit(X, y)
    assert head.converged_ is False
    assert head.certificate_["folds_stopped_early"] < 5


def test_nothing_is_written_to_standard_error(digits, capfd):
    X, y, Xt, _ = digits
    LightGBMHead(budget="quick").fit(X[:60], y[:60]).predict(Xt)
    captured = capfd.readouterr()
    assert captured.out == captured.err == ""


def test_class_weight_moves_the_answer_towards_the_rare_class():
    rng = np.random.default_rng(1)
    X = np.concatenate([rng.normal(0, 1, (300, 5)), rng.normal(0.8, 1, (30, 5))]).astype(np.float32)
    y = np.repeat([0, 1], [300, 30])
    plain = LightGBMHead(cv=[]).fit(X, y).predict(X[300:]).mean()
    assert LightGBMHead(cv=[], class_weight="balanced").fit(X, y).predict(X[300:]).mean() > plain


def test_too_many_classes_and_gradients_are_refused(digits):
    with pytest.raises(FeaturesError, match="1001 classes are too many"):
        LightGBMHead().fit(np.zeros((2002, 1), dtype=np.float32), np.arange(2002) % 1001)
    with pytest.raises(NoGradientError, match="'lightgbm' has no gradients"):
        LightGBMHead(budget="quick", cv=[]).fit(*digits[:2]).to_torch()
