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
    X[:, :3] += 2 * np.eye(3)[y] * rng.uniform(0.2, 1.5, (n, 1))
    return X.astype(np.float32), y.astype(np.int64)


@pytest.mark.parametrize(("n", "d"), [(60, 200), (200, 20)])
def test_it_is_ridge_regression_at_its_best_strength(n, d):
    X, y = data(n, d)
    folds = stratified_folds(y, 5, 0)
    probe = RidgeProbe.fit(X, y, folds)
    rights = {}
    for strength in STRENGTHS:
        answers = np.empty(n, dtype=np.int64)
        for train, valid in folds:
            scaler = StandardScaler().fit(X[train].astype(float))
            model = Ridge(alpha=strength * len(train)).fit(scaler.transform(X[train]), np.eye(3)[y[train]])
            answers[valid] = model.predict(scaler.transform(X[valid])).argmax(axis=1)
        rights[strength] = answers
    best = max(STRENGTHS, key=lambda s: ((rights[s] == y).sum(), s))
    assert probe.strength == best
    assert (probe.answers == rights[best]).mean() > 0.98
    assert probe.train_accuracy >= (probe.answers == y).mean() > 0.4


def test_rows_that_no_fold_judges_have_no_answer():
    X, y = data(30, 5)
    probe = RidgeProbe.fit(X, y, stratified_folds(y, 3, 0)[:1])
    assert (probe.answers == -1).sum() == 20
