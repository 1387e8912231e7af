import numpy as np
import pytest
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from sklearn.utils.estimator_checks import parametrize_with_checks

from classifiers.heads.svm_rbf import RBFHead, distances, gaussian
from classifiers.validation.splits import stratified_folds
from featstore.errors import FeaturesError, NoGradientError
from tests.support import head_checks

# fit() searches over folds of rows: rows that are repeated fall into other folds than one row of that weight, as with
# scikit-learn's own estimators that search (it lists LogisticRegressionCV among the expected failures of this check).
EXPECTED = {"check_sample_weight_equivalence_on_dense_data": "repeated rows fall into other folds"}


@parametrize_with_checks([RBFHead(budget="quick")], expected_failed_checks=lambda _: EXPECTED)
def test_scikit_learns_contract(estimator, check):
    check(estimator)


@pytest.fixture(scope="module")
def digits():
    X, y = head_checks.digits(900)
    return X[:600], y[:600], X[600:], y[600:]


def test_it_keeps_the_promises_of_every_head(digits):
    X, y, Xt, _ = digits
    head = head_checks.fitted_as_promised(RBFHead(budget="quick"), X, y)
    head_checks.same_bits_after_saving(head, Xt)
    head_checks.same_by_seed(lambda: RBFHead(budget="quick"), X[:200], y[:200])
    head_checks.handles_a_class_that_a_fold_lacks(lambda cv: RBFHead(cv=cv, budget="quick"), X[:200], y[:200])


@pytest.mark.parametrize("classes", [2, 10])
def test_the_machine_decides_as_scikit_learns(classes):
    X, y = head_checks.digits(340, classes)
    X = X[:, X[:240].std(axis=0) > 0.3]  # what is constant in training is left alone there, dropped here
    head = RBFHead(cv=[], budget="normal").fit(X[:240], y[:240])
    params = head.best_params_
    theirs = make_pipeline(StandardScaler(), SVC(C=params["C"], gamma=params["gamma"], break_ties=classes > 2))
    theirs.fit(X[:240], y[:240])
    np.testing.assert_array_equal(head.predict(X[240:]), theirs.predict(X[240:]))
    if classes > 2:
        ours = head._svm.decision((X[240:] - head._mean) * head._gain)
        np.testing.assert_allclose(ours, theirs.decision_function(X[240:]), atol=2e-3)


def test_it_is_as_accurate_as_scikit_learns_tuned_on_the_same_folds(digits):
    X, y, Xt, yt = digits
    folds = stratified_folds(y, 5, 0)
    grid = {"svc__C": [1, 10, 100], "svc__gamma": [0.2 / 64, 1 / 64, 3 / 64]}
    theirs = GridSearchCV(make_pipeline(StandardScaler(), SVC()), grid, cv=folds).fit(X, y)
    head = RBFHead(cv=folds).fit(X, y)
    assert (head.predict(Xt) == yt).sum() >= (theirs.predict(Xt) == yt).sum() - 2
    assert -np.log(head.predict_proba(Xt)[np.arange(len(yt)), yt]).mean() < 0.25
    assert head.converged_


def test_the_kernel_by_hand():
    a, b = np.array([[0.0, 0], [1, 2]], dtype=np.float32), np.array([[1.0, 0]], dtype=np.float32)
    np.testing.assert_allclose(distances(a, b), [[1], [4]])
    np.testing.assert_allclose(gaussian(distances(a, b), 0.5), np.exp([[-0.5], [-2]]))


def test_too_much_is_refused_with_what_to_use_instead():
    X = np.zeros((10_001, 1), dtype=np.float32)
    with pytest.raises(FeaturesError, match="10001 training images and 2 classes are too many.*use svm"):
        RBFHead().fit(X, np.arange(10_001) % 2)
    with pytest.raises(FeaturesError, match="400 classes"):
        RBFHead().fit(np.zeros((800, 1), dtype=np.float32), np.arange(800) % 400)


def test_class_weight_moves_the_answer_towards_the_rare_class():
    rng = np.random.default_rng(1)
    X = np.concatenate([rng.normal(0, 1, (300, 5)), rng.normal(0.8, 1, (30, 5))]).astype(np.float32)
    y = np.repeat([0, 1], [300, 30])
    plain = RBFHead(cv=[]).fit(X, y).predict(X[300:]).mean()
    assert RBFHead(cv=[], class_weight="balanced").fit(X, y).predict(X[300:]).mean() > plain


def test_it_has_no_gradients(digits):
    with pytest.raises(NoGradientError, match="'svm-rbf' has no gradients"):
        RBFHead(budget="quick", cv=[]).fit(*digits[:2]).to_torch()
