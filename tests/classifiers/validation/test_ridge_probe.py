import numpy as np
import pytest
from sklearn.linear_model import Ridge
from sklearn.preprocessing import StandardScaler

from classifiers.validation.ridge_probe import STRENGTHS, RidgeProbe
from classifiers.validation.splits import stratified_folds


def data(n, d):
    rng = np.random.default_rng(0)
    y = np.arange(n) % 3
    X = rng.normal(size=(n, d)) * rng.uniform(0.1, 5, d) + 3
    X[:, :3] += 6 * np.eye(3)[y] * rng.uniform(0.2, 1.5, (n, 1))
    return X.astype(np.float32), y.astype(np.int64)


@pytest.mark.parametrize(("n", "d"), [(60, 200), (200, 20)])
def test_it_is_ridge_regression_at_the_strength_that_is_best_on_the_other_folds(n, d):
    X, y = data(n, d)
    folds = stratified_folds(y, 5, 0)
    probe = RidgeProbe.fit(X, y, folds)
    scores = np.empty((len(STRENGTHS), n, 3))
    for i, strength in enumerate(STRENGTHS):
        for train, valid in folds:
            scaler = StandardScaler().fit(X[train].astype(float))
            model = Ridge(alpha=strength * len(train)).fit(scaler.transform(X[train]), np.eye(3)[y[train]])
            scores[i, valid] = model.predict(scaler.transform(X[valid]))
    right = scores.argmax(axis=2) == y

    def best(rows):
        return max(range(len(STRENGTHS)), key=lambda i: (right[i, rows].sum(), i))

    expected = np.empty((n, 3))
    for train, valid in folds:
        expected[valid] = scores[best(train), valid]
    assert probe.strength == STRENGTHS[best(np.arange(n))]
    np.testing.assert_allclose(probe.scores, expected, atol=2e-4)
    np.testing.assert_allclose(probe.even_scores, scores[best(np.arange(n))], atol=2e-4)
    assert (probe.answers == expected.argmax(axis=1)).all()
    assert probe.train_accuracy >= (probe.answers == y).mean() > 0.4


def test_choosing_the_strength_is_no_advantage_on_labels_of_pure_chance():
    rng = np.random.default_rng(0)
    rates = []
    for seed in range(120):
        X, y = rng.normal(size=(60, 10)).astype(np.float32), rng.permutation(np.arange(60) % 2)
        rates.append((RidgeProbe.fit(X, y, stratified_folds(y, 5, seed)).answers == y).mean())
    assert np.mean(rates) < 0.525  # 0.534 where the best of seven is reported


def test_rows_that_no_fold_judges_have_no_answer():
    X, y = data(30, 5)
    probe = RidgeProbe.fit(X, y, stratified_folds(y, 3, 0)[:1])
    assert (probe.answers == -1).sum() == 20
    assert np.isnan(probe.scores[probe.answers == -1]).all()
    assert np.isfinite(probe.scores[probe.answers >= 0]).all()
    assert probe.classes.tolist() == [0, 1, 2]


@pytest.mark.parametrize(("n", "d"), [(60, 200), (200, 20)])
def test_inner_scores_are_of_fits_that_saw_neither_fold(n, d):
    X, y = data(n, d)
    folds = stratified_folds(y, 5, 0)
    probe = RidgeProbe.fit(X, y, folds, nested=True)
    scaled = StandardScaler().fit_transform(X.astype(float))
    assert probe.inner_scores.shape == (5, n, 3)
    for f, (_, held) in enumerate(folds):
        assert np.isnan(probe.inner_scores[f, held]).all()
        for g, (_, judged) in enumerate(folds):
            if f == g:
                continue
            seen = np.setdiff1d(np.arange(n), np.concatenate([held, judged]))
            target = np.eye(3)[y[seen]]
            centre = target.mean(axis=0)
            model = Ridge(alpha=probe.strength * len(seen), fit_intercept=False).fit(scaled[seen], target - centre)
            expected = model.predict(scaled[judged]) + centre
            np.testing.assert_allclose(probe.inner_scores[f, judged], expected, atol=1e-3)


def test_inner_scores_are_found_only_where_they_are_asked_for():
    X, y = data(30, 5)
    assert RidgeProbe.fit(X, y, stratified_folds(y, 3, 0)).inner_scores is None


def test_folds_that_do_not_train_on_all_other_rows_are_refused():
    X, y = data(30, 5)
    (train, valid), *_ = stratified_folds(y, 3, 0)
    for folds in ([(train[1:], valid)], [(train, valid), (train, valid)]):
        with pytest.raises(ValueError, match="expected folds that train on all other rows"):
            RidgeProbe.fit(X, y, folds)


@pytest.mark.parametrize(("n", "d"), [(60, 200), (200, 20)])
@pytest.mark.parametrize("power", [-100, 63])
def test_another_unit_changes_nothing(n, d, power):
    X, y = data(n, d)
    folds = stratified_folds(y, 5, 0)
    ours, other = (RidgeProbe.fit(x, y, folds, nested=True) for x in (X, np.ldexp(X, power)))
    np.testing.assert_array_equal(ours.scores, other.scores)
    np.testing.assert_array_equal(ours.inner_scores, other.inner_scores)


@pytest.mark.parametrize(("n", "d"), [(60, 200), (200, 20)])
def test_a_feature_that_is_constant_but_for_one_row_spoils_nothing(n, d):
    X, y = data(n, d)
    folds = stratified_folds(y, 5, 0)
    plain = RidgeProbe.fit(X, y, folds, nested=True)
    X = np.hstack([X, np.zeros((n, 1), np.float32), np.where(np.arange(n) == folds[0][1][0], 1e19, 1.0)[:, None]])
    probe = RidgeProbe.fit(X.astype(np.float32), y, folds, nested=True)
    assert np.isfinite(probe.scores).all()
    assert (probe.answers == y).mean() == pytest.approx((plain.answers == y).mean(), abs=0.05)
