import numpy as np
import pytest
from sklearn.ensemble import ExtraTreesClassifier, RandomForestClassifier
from sklearn.utils.estimator_checks import parametrize_with_checks

from classifiers.heads.base.head_input import Training
from classifiers.heads.forest import ForestHead, Trees
from featstore.errors import FeaturesError, NoGradientError
from tests.support import head_checks


@parametrize_with_checks([ForestHead(budget="quick", cv=2, n_estimators=10, n_jobs=1)])
def test_scikit_learns_contract(estimator, check):
    check(estimator)


@pytest.fixture(scope="module")
def digits():
    X, y = head_checks.digits(700)
    return X[:400], y[:400], X[400:], y[400:]


def test_it_keeps_the_promises_of_every_head(digits):
    X, y, Xt, _ = digits
    head = head_checks.fitted_as_promised(ForestHead(n_estimators=30), X, y)
    head_checks.same_bits_after_saving(head, Xt)
    head_checks.same_by_seed(lambda: ForestHead(n_estimators=8), X, y)
    head_checks.handles_a_class_that_a_fold_lacks(lambda cv: ForestHead(cv=cv, n_estimators=20), X, y)


@pytest.mark.parametrize("kind", [RandomForestClassifier, ExtraTreesClassifier])
@pytest.mark.parametrize("classes", [2, 10])
def test_trees_as_arrays_say_what_scikit_learns_say(kind, classes):
    X, y = head_checks.digits(500, classes)
    forest = kind(40, max_depth=7, random_state=0).fit(X[:300], y[:300])
    trees = Trees.of(forest)
    np.testing.assert_allclose(trees.predict_proba(X[300:]), forest.predict_proba(X[300:]), atol=1e-6)
    assert trees.predict_proba(X[:0]).shape == (0, classes)


def test_a_row_on_the_threshold_goes_left_as_in_training():
    X = np.repeat(np.array([[0.1], [0.2], [0.3]], dtype=np.float32), 20, axis=0)
    forest = RandomForestClassifier(20, random_state=0).fit(X, np.repeat([0, 1, 0], 20))
    grid = np.linspace(0, 0.4, 4001, dtype=np.float32)[:, None]
    np.testing.assert_allclose(Trees.of(forest).predict_proba(grid), forest.predict_proba(grid), atol=1e-6)


def test_it_is_as_accurate_as_scikit_learns(digits):
    X, y, Xt, yt = digits
    theirs = RandomForestClassifier(150, random_state=0).fit(X, y).predict(Xt)
    assert (ForestHead().fit(X, y).predict(Xt) == yt).sum() >= (theirs == yt).sum() - 2


@pytest.mark.parametrize("features", ["raw", "reduced"])
def test_both_kinds_of_features_survive_saving(digits, features):
    X, y, Xt, _ = digits
    head = ForestHead(n_estimators=5, cv=[]).fit(X, y)
    head._refit(
        Training(X, y, head.classes_, np.ones(len(y))),
        {"trees": "extra", "features": features, "max_features": "sqrt"},
        [],
    )
    meta, arrays = head.get_state()
    assert ("matrix" in arrays) is (features == "reduced")
    np.testing.assert_array_equal(ForestHead.from_state(meta, arrays).predict_proba(Xt), head.predict_proba(Xt))


def test_class_weight_moves_the_answer_towards_the_rare_class():
    rng = np.random.default_rng(1)
    X = np.concatenate([rng.normal(0, 1, (600, 5)), rng.normal(0.8, 1, (60, 5))]).astype(np.float32)
    y = np.repeat([0, 1], [600, 60])
    train, test = np.arange(660) % 2 == 0, np.arange(660) >= 600
    plain = ForestHead(cv=[]).fit(X[train], y[train]).predict(X[test & ~train]).mean()
    assert ForestHead(cv=[], class_weight="balanced").fit(X[train], y[train]).predict(X[test & ~train]).mean() > plain


def test_too_many_classes_and_gradients_are_refused(digits):
    with pytest.raises(FeaturesError, match="1001 classes are too many"):
        ForestHead().fit(np.zeros((2002, 1), dtype=np.float32), np.arange(2002) % 1001)
    with pytest.raises(NoGradientError, match="'forest' has no gradients"):
        ForestHead(n_estimators=2, cv=[]).fit(*digits[:2]).to_torch()
