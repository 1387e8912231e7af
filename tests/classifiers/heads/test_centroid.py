import numpy as np
import pytest
import torch
from sklearn.neighbors import NearestCentroid
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from classifiers.heads.base.head_input import Training
from classifiers.heads.centroid import CentroidHead
from classifiers.validation.splits import stratified_folds
from tests.support import head_checks


@parametrize_with_checks([CentroidHead(budget="quick")])
def test_scikit_learns_contract(estimator, check):
    check(estimator)


@pytest.fixture(scope="module")
def digits():
    X, y = head_checks.digits(900)
    return X[:600], y[:600], X[600:], y[600:]


def test_it_keeps_the_promises_of_every_head(digits):
    X, y, Xt, _ = digits
    head = head_checks.fitted_as_promised(CentroidHead(), X, y)
    head_checks.same_bits_after_saving(head, Xt)
    head_checks.same_by_seed(CentroidHead, X, y)
    head_checks.handles_a_class_that_a_fold_lacks(lambda cv: CentroidHead(cv=cv), X[:200], y[:200])


def test_without_shrinking_it_is_the_nearest_class_mean(digits):
    X, y, Xt, _ = digits
    head = CentroidHead(budget="quick").fit(X, y)
    head._class_mass = np.full(10, 0.1)
    head._refit(Training(X, y, head.classes_, np.ones(len(y))), {"scale": "total", "shrink": 0.0}, [])
    alive = X.std(axis=0) > 0
    expected = make_pipeline(StandardScaler(), NearestCentroid()).fit(X[:, alive], y).predict(Xt[:, alive])
    np.testing.assert_array_equal(head.predict(Xt), expected)


def test_shrinking_drops_features_that_tell_nothing():
    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, 150)
    X = rng.normal(size=(150, 400)).astype(np.float32)
    X[:, :5] += 2.5 * np.eye(3, 5, dtype=np.float32)[y]
    head = CentroidHead().fit(X, y)
    assert head.best_params_["shrink"] > 0
    dead = np.all(head.coef_[:, 5:] == head.coef_[:1, 5:], axis=0)
    assert dead.mean() > 0.5
    plain = next(row for row in head.cv_results_ if row["params"] == {"scale": "total", "shrink": 0.0})
    assert max(row["accuracy"] for row in head.cv_results_) > plain["accuracy"]


def test_it_is_as_accurate_as_scikit_learns_tuned_on_the_same_folds(digits):
    X, y, Xt, yt = digits
    folds = stratified_folds(y, 5, 0)
    alive = X.std(axis=0) > 0.3
    hits = 0
    for threshold in (None, 0.1, 0.3, 1.0):
        model = make_pipeline(StandardScaler(), NearestCentroid(shrink_threshold=threshold))
        found = sum((model.fit(X[a][:, alive], y[a]).predict(X[b][:, alive]) == y[b]).sum() for a, b in folds)
        if found > hits:
            hits, theirs = found, model.fit(X[:, alive], y).predict(Xt[:, alive])
    head = CentroidHead(cv=folds).fit(X, y)
    assert (head.predict(Xt) == yt).sum() >= (theirs == yt).sum() - 2


def test_the_module_gives_the_same_probabilities(digits):
    X, y, Xt, _ = digits
    head = CentroidHead().fit(X, y)
    with torch.inference_mode():
        proba = torch.softmax(head.to_torch()(torch.from_numpy(Xt)), dim=1).numpy()
    np.testing.assert_allclose(proba, head.predict_proba(Xt), atol=2e-5)


def test_constant_features_do_nothing(digits):
    X, y, Xt, _ = digits
    wide = np.hstack([X, np.full((len(X), 3), 7.5, dtype=np.float32)])
    head = CentroidHead(budget="quick").fit(wide, y)
    other = np.hstack([Xt, np.full((len(Xt), 3), -100, dtype=np.float32)])
    np.testing.assert_allclose(
        head.predict_proba(other), CentroidHead(budget="quick").fit(X, y).predict_proba(Xt), atol=1e-6
    )


def test_given_class_weights_act_as_odds(digits):
    X, y, Xt, yt = digits
    few = (y < 2) & (np.arange(len(y)) < 300)
    plain = CentroidHead(budget="quick").fit(X[few], y[few])
    tilted = CentroidHead(budget="quick", class_weight={0: 1.0, 1: 1e6}).fit(X[few], y[few])
    assert tilted.predict_proba(Xt)[:, 1].mean() > plain.predict_proba(Xt)[:, 1].mean()
