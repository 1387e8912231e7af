import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import log_loss

from classifiers.heads.linear.estimators import LinearSVMCV, SoftmaxRegressionCV
from classifiers.streamed.feature_rows import ArrayRows
from classifiers.streamed.streamed_linear import fit_linear
from classifiers.streamed.training import StreamedTraining
from classifiers.validation.splits import stratified_folds
from featstore.errors import FeaturesError


def planted(n, d, k, signal=0.4, seed=0):
    rng = np.random.default_rng(seed)
    y = np.concatenate([np.arange(k), rng.integers(0, k, n - k)])
    spread = np.linspace(2.0, 0.2, d)
    return ((signal * rng.standard_normal((k, d))[y] + rng.standard_normal((n, d))) * spread).astype(np.float32), y


@pytest.mark.parametrize("kind", [SoftmaxRegressionCV, LinearSVMCV])
@pytest.mark.parametrize("k", [2, 6])
def test_a_streamed_head_is_the_head_in_memory(kind, k):
    X, y = planted(3000, 150, k, signal=0.15)
    folds, grid = stratified_folds(y, 3, 0), [1e-6, 1e-3, 10.0]  # far apart, so that one of them is evidently best
    streamed, memory = kind(Cs=grid), kind(Cs=grid, cv=folds).fit(X, y)
    found = fit_linear(streamed, StreamedTraining.of(ArrayRows(X), y, folds))
    assert streamed.best_params_ == memory.best_params_
    objective = memory.certificate_["objective"]
    assert streamed.certificate_["objective"] == pytest.approx(objective, rel=1e-4)
    assert streamed.converged_ and streamed.certificate_["relative_gap"] <= 1e-5
    assert streamed.certificate_["passes"] <= 40
    assert (streamed.predict(X) == memory.predict(X)).mean() > 0.995
    for mine, its in zip(streamed.cv_results_, memory.cv_results_, strict=False):  # either may end a value earlier
        assert mine["accuracy"] == pytest.approx(its["accuracy"], abs=0.02)
    assert found.rows.tolist() == list(range(3000))
    assert log_loss(y, found.proba) == pytest.approx(log_loss(y, memory.oof_proba_), rel=0.01)


def test_class_weights_are_those_of_the_head_in_memory():
    X, y = planted(2000, 12, 3)
    y = np.where((y == 2) & (np.arange(2000) % 4 > 0), 0, y)
    folds = stratified_folds(y, 3, 0)
    for kind in (SoftmaxRegressionCV, LinearSVMCV):
        streamed = kind(Cs=[0.01], class_weight="balanced")
        fit_linear(streamed, StreamedTraining.of(ArrayRows(X), y, folds))
        memory = kind(Cs=[0.01], class_weight="balanced", cv=folds).fit(X, y)
        assert streamed.certificate_["objective"] == pytest.approx(memory.certificate_["objective"], rel=1e-4)


def test_the_order_of_rows_and_a_class_that_a_fold_lacks_change_nothing_that_counts():
    X, y = planted(1200, 10, 4)
    order = np.argsort(y, kind="stable")  # a store lists class after class
    y[order[-1]] = 4  # one image of its own class
    folds = [(np.flatnonzero(np.arange(1200) % 3 != f), np.flatnonzero(np.arange(1200) % 3 == f)) for f in range(3)]
    streamed = SoftmaxRegressionCV(Cs=[0.01, 0.1])
    fit_linear(streamed, StreamedTraining.of(ArrayRows(X), y, folds))
    memory = SoftmaxRegressionCV(Cs=[0.01, 0.1], cv=folds).fit(X, y)
    assert streamed.best_params_ == memory.best_params_
    assert streamed.certificate_["objective"] == pytest.approx(memory.certificate_["objective"], rel=1e-4)


def test_state_and_predictions_survive_as_those_of_any_head():
    X, y = planted(500, 8, 3)
    head = SoftmaxRegressionCV(Cs=[0.1])
    fit_linear(head, StreamedTraining.of(ArrayRows(X), y, 3))
    again = SoftmaxRegressionCV.from_state(*head.get_state())
    assert np.array_equal(again.predict_proba(X), head.predict_proba(X))


def test_nan_is_refused_before_anything_is_fitted():
    X, y = planted(500, 8, 3)
    X[77, 3] = np.nan
    with pytest.raises(FeaturesError, match="row 77"):
        fit_linear(SoftmaxRegressionCV(), StreamedTraining.of(ArrayRows(X), y, 3))


def test_a_head_that_ran_out_of_steps_has_a_certificate_all_the_same():
    X, y = planted(400, 12, 3)
    head = SoftmaxRegressionCV(Cs=[1.0], max_iter=2)
    with pytest.warns(ConvergenceWarning):
        fit_linear(head, StreamedTraining.of(ArrayRows(X), y, stratified_folds(y, 3, 0)))
    assert not head.converged_
    assert np.isfinite([head.certificate_["objective"], head.certificate_["relative_gap"]]).all()
