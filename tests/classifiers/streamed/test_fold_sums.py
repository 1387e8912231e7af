import numpy as np
import pytest
from sklearn.preprocessing import StandardScaler

from classifiers.streamed.feature_rows import ArrayRows
from classifiers.streamed.fold_sums import fold_sums, training_masks
from classifiers.validation.splits import stratified_folds
from featstore.errors import FeaturesError


def planted(n=300, d=7, k=4, seed=0):
    rng = np.random.default_rng(seed)
    y = np.concatenate([np.arange(k), rng.integers(0, k, n - k)])
    X = 5 + 3 * rng.standard_normal((n, d)) + rng.standard_normal((k, d))[y]
    X[:, 2] = 7.0
    return X.astype(np.float32), y


def test_means_deviations_and_class_means_of_every_fold_are_those_of_its_rows():
    X, y = planted()
    folds = stratified_folds(y, 3, 0)
    found = fold_sums(ArrayRows(X), y, 4, training_masks(folds, len(y)))
    for fold, train in enumerate([*(train for train, _ in folds), np.arange(len(y))]):
        reference = StandardScaler().fit(X[train].astype(np.float64))
        shift, gain = found.standardiser(fold)
        assert shift * found.scale + found.mean == pytest.approx(reference.mean_, rel=1e-5)
        deviation = np.sqrt(reference.var_)
        alive = np.arange(7) != 2
        assert found.scale[alive] / gain[alive] == pytest.approx(deviation[alive], rel=1e-5)
        assert gain[2] == 0
        mass, means = found.class_means(fold)
        assert mass.tolist() == np.bincount(y[train]).tolist()
        each = np.stack([X[train][y[train] == c].mean(axis=0) for c in range(4)])
        assert means * found.scale + found.mean == pytest.approx(each, rel=1e-5)


def test_correlations_are_those_of_numpy():
    X, y = planted()
    found = fold_sums(ArrayRows(X), y, 4, np.ones((1, len(y)), bool)).correlation()
    alive = np.delete(np.arange(7), 2)
    assert found[np.ix_(alive, alive)] == pytest.approx(np.corrcoef(X[:, alive].T.astype(np.float64)), abs=1e-5)


def test_folds_that_overlap_are_summed_too():
    X, y = planted(n=40)
    folds = [(np.arange(30), np.arange(30, 40)), (np.arange(5, 40), np.arange(5)), (np.arange(20), np.arange(25, 40))]
    found = fold_sums(ArrayRows(X), y, 4, training_masks(folds, 40), products=False)
    assert found.products is None and found.correlation() is None
    for fold, (train, _) in enumerate(folds):
        assert found.class_means(fold)[0].tolist() == np.bincount(y[train], minlength=4).tolist()


def test_features_that_are_not_finite_are_refused_with_their_row():
    X, y = planted()
    X[123, 4] = np.inf
    with pytest.raises(FeaturesError, match="row 123"):
        fold_sums(ArrayRows(X), y, 4, np.ones((1, len(y)), bool))
