"""What every head promises, checked the same way for each."""

import json
import pickle

import numpy as np
from sklearn.datasets import load_digits


def digits(n=600, classes=10, seed=0):
    """Real handwritten digits, shuffled: X float32 (n, 64), y."""
    X, y = load_digits(return_X_y=True)
    keep = np.flatnonzero(y < classes)
    order = np.random.default_rng(seed).permutation(keep)[:n]
    return X[order].astype(np.float32), y[order]


def fitted_as_promised(head, X, y, folds=None):
    """Fit; check what a fitted head has to have; return it."""
    head.fit(X, y)
    k = len(np.unique(y))
    assert head.n_features_in_ == X.shape[1]
    np.testing.assert_array_equal(head.classes_, np.unique(y))
    assert isinstance(head.best_params_, dict)
    assert isinstance(head.converged_, bool) and isinstance(head.certificate_, dict) and head.certificate_
    assert head.search_seconds_ >= 0 and head.fit_seconds_ > 0
    json.dumps([head.cv_results_, head.best_params_, head.certificate_])
    for row in head.cv_results_:
        assert 0 <= row["accuracy"] <= 1 and row["log_loss"] >= 0 and row["seconds"] >= 0
        assert len(row["fold_accuracies"]) == (5 if folds is None else len(folds))
    assert head.oof_proba_.shape == (len(X), k)
    known = np.isfinite(head.oof_proba_).all(axis=1)
    np.testing.assert_allclose(head.oof_proba_[known].sum(axis=1), 1, atol=1e-5)
    right = head.classes_[head.oof_proba_[known].argmax(axis=1)] == y[known]
    best = max(row["accuracy"] for row in head.cv_results_)
    assert right.mean() == np.float64(best) or abs(right.mean() - best) < 1e-9
    proba = head.predict_proba(X)
    np.testing.assert_allclose(proba.sum(axis=1), 1, atol=1e-9)
    np.testing.assert_array_equal(head.predict(X), head.classes_[proba.argmax(axis=1)])
    return head


def same_bits_after_saving(head, X):
    """The state survives JSON and plain arrays, and predicts the same bits."""
    meta, arrays = head.get_state()
    for array in arrays.values():
        assert array.dtype.kind in "iufb"
    meta = json.loads(json.dumps(meta))
    restored = type(head).from_state(meta, {name: np.array(array) for name, array in arrays.items()})
    np.testing.assert_array_equal(restored.predict_proba(X), head.predict_proba(X))
    np.testing.assert_array_equal(restored.predict(X), head.predict(X))
    assert restored.best_params_ == json.loads(json.dumps(head.best_params_))
    again = pickle.loads(pickle.dumps(head))  # noqa: S301 - scikit-learn's tools copy estimators this way
    np.testing.assert_array_equal(again.predict_proba(X), head.predict_proba(X))


def same_by_seed(make, X, y):
    """Two fits of the same seed agree to the bit."""
    first, second = make().fit(X, y), make().fit(X, y)
    np.testing.assert_array_equal(first.predict_proba(X), second.predict_proba(X))
    np.testing.assert_array_equal(first.oof_proba_, second.oof_proba_)
    assert first.best_params_ == second.best_params_


def handles_a_class_that_a_fold_lacks(make, X, y):
    """Given folds whose training part has not seen a class: it gets no probability there, and nothing breaks."""
    absent = y == y.max()
    folds = [(np.flatnonzero(~absent), np.flatnonzero(absent)), (np.arange(0, len(y), 2), np.arange(1, len(y), 2))]
    head = make(folds).fit(X, y)
    assert len(head.classes_) == len(np.unique(y))
    assert head.cv_results_[0]["fold_accuracies"][0] == 0.0
    assert head.cv_results_[0]["fold_accuracies"][1] > 0.5
