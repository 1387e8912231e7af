import numpy as np
import pytest
from sklearn.metrics import log_loss
from sklearn.neighbors import KNeighborsClassifier, NearestNeighbors
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from classifiers.heads.knn import KNNHead, _Space
from classifiers.validation.splits import stratified_folds
from featstore.errors import NoGradientError
from tests.support import head_checks

WHY = {"check_sample_weight_equivalence_on_dense_data": "a row that stands there twice takes two of the k places"}


@parametrize_with_checks([KNNHead(budget="quick")], expected_failed_checks=lambda _: WHY)
def test_scikit_learns_contract(estimator, check):
    check(estimator)


@pytest.fixture(scope="module")
def digits():
    X, y = head_checks.digits(900)
    return X[:600], y[:600], X[600:], y[600:]


def test_it_keeps_the_promises_of_every_head(digits):
    X, y, Xt, yt = digits
    head = head_checks.fitted_as_promised(KNNHead(), X, y)
    head_checks.same_bits_after_saving(head, Xt)
    head_checks.same_by_seed(KNNHead, X, y)
    head_checks.handles_a_class_that_a_fold_lacks(lambda cv: KNNHead(cv=cv), X[:200], y[:200])


def test_it_is_as_accurate_as_scikit_learns_tuned_on_the_same_folds(digits):
    X, y, Xt, yt = digits
    folds = stratified_folds(y, 5, 0)
    best = 0.0
    for k in (1, 3, 5, 9, 15, 25, 45):
        for metric in ("euclidean", "cosine"):
            model = make_pipeline(StandardScaler(), KNeighborsClassifier(k, metric=metric, weights="distance"))
            hits = sum((model.fit(X[a], y[a]).predict(X[b]) == y[b]).sum() for a, b in folds)
            if hits > best:
                best, theirs = hits, model.fit(X, y).predict(Xt)
    head = KNNHead(cv=folds).fit(X, y)
    assert max(row["accuracy"] for row in head.cv_results_) * len(y) >= best - 2
    assert (head.predict(Xt) == yt).sum() >= (theirs == yt).sum() - 2


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
@pytest.mark.parametrize("exact", [True, False])
def test_neighbours_are_those_that_scikit_learn_finds(metric, exact):
    rng = np.random.default_rng(0)
    rows, queries = rng.normal(size=(500, 40)).astype(np.float32), rng.normal(size=(130, 40)).astype(np.float32)
    expected_distance, expected = NearestNeighbors(n_neighbors=7, metric=metric).fit(rows).kneighbors(queries)
    index, similarity = _Space(metric, rows).nearest(queries, 7, exact=exact)
    np.testing.assert_array_equal(index, expected)
    distance = 1 - similarity if metric == "cosine" else np.sqrt(2 * 40 * (1 - similarity))
    np.testing.assert_allclose(distance, expected_distance, atol=1e-4)


def test_a_prediction_does_not_depend_on_the_other_rows(digits):
    X, y, Xt, _ = digits
    head = KNNHead(budget="quick").fit(X, y)
    together = head.predict_proba(Xt)
    alone = np.concatenate([head.predict_proba(row[None]) for row in Xt[:50]])
    np.testing.assert_allclose(alone, together[:50], rtol=1e-12)


def test_probabilities_are_sensible_also_with_one_neighbour(digits):
    X, y, Xt, yt = digits
    head = KNNHead().fit(X, y)
    assert log_loss(yt, head.predict_proba(Xt)) < 0.25
    assert head.predict_proba(Xt).min() > 0


def test_near_neighbours_weigh_more():
    X = np.array([[0.0], [0.1], [1.0], [1.1], [1.2], [5.0]], dtype=np.float32)
    y = np.array([0, 0, 1, 1, 1, 1])
    head = KNNHead(cv=[(np.arange(6), np.arange(6))], budget="quick").fit(X, y)
    head.best_params_ = {"metric": "euclidean", "n_neighbors": 5, "temperature": 0.001}
    assert head.predict(np.array([[0.05]], dtype=np.float32))[0] == 0


def test_class_weight_moves_the_answer_towards_the_rare_class():
    rng = np.random.default_rng(1)
    X = np.concatenate([rng.normal(0, 1, (300, 5)), rng.normal(0.7, 1, (30, 5))]).astype(np.float32)
    y = np.repeat([0, 1], [300, 30])
    plain = KNNHead(budget="quick").fit(X, y).predict(X[300:]).mean()
    balanced = KNNHead(budget="quick", class_weight="balanced").fit(X, y)
    # The search looks for accuracy, which the weight does not enter; compare at the same parameters.
    assert balanced.predict_proba(X[300:])[:, 1].mean() > plain


def test_it_has_no_gradients_and_names_those_that_have(digits):
    head = KNNHead(budget="quick").fit(*digits[:2])
    with pytest.raises(NoGradientError, match="'knn' has no gradients.*logistic"):
        head.to_torch()


def test_ten_thousand_classes_with_two_images_each():
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(10_000, 16)).astype(np.float32)
    y = np.repeat(np.arange(10_000), 2)
    X = centres[y] + 0.05 * rng.normal(size=(20_000, 16)).astype(np.float32)
    folds = [(np.arange(0, 20_000, 2), np.arange(1, 200, 2))]
    head = KNNHead(budget="quick", cv=folds).fit(X, y)
    assert (head.predict(X[:300]) == y[:300]).mean() > 0.95
