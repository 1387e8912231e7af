import numpy as np
import pytest
from sklearn.base import clone
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from classifiers.heads.centroid import CentroidHead
from classifiers.heads.knn import KNNHead
from featstore.errors import FeaturesError
from tests.support import head_checks


def test_one_class_is_refused_by_name():
    with pytest.raises(FeaturesError, match="all 7 images are of one class, 'cat'"):
        CentroidHead().fit(np.eye(7), ["cat"] * 7)


def test_an_unknown_budget_is_refused():
    with pytest.raises(FeaturesError, match="budget is 'huge', expected one of quick, normal, thorough"):
        CentroidHead(budget="huge").fit(np.eye(4), [0, 0, 1, 1])


def test_classes_with_one_image_still_give_a_head():
    X, y = head_checks.digits(60)
    head = CentroidHead().fit(X[:10], np.arange(10))
    assert head.oof_proba_ is None and head.cv_results_ == [] and head.best_params_
    assert (head.predict(X[:10]) == np.arange(10)).all()
    mixed = CentroidHead().fit(X[:21], np.r_[np.zeros(10), np.ones(10), 2])
    assert np.isnan(mixed.oof_proba_[20]).all() and np.isfinite(mixed.oof_proba_[:20]).all()


def test_a_row_of_weight_zero_is_not_there():
    X, y = head_checks.digits(300)
    weight = np.r_[np.ones(200), np.zeros(100)]
    for head in (CentroidHead(budget="quick"), KNNHead(budget="quick")):
        weighted = clone(head).fit(X, y, sample_weight=weight)
        plain = clone(head).fit(X[:200], y[:200])
        np.testing.assert_allclose(weighted.predict_proba(X), plain.predict_proba(X), atol=1e-12)
        assert np.isnan(weighted.oof_proba_[200:]).all()


def test_labels_come_back_as_they_were_given():
    X, y = head_checks.digits(200, 3)
    names = np.array(["ant", "bee", "wasp"])[y]
    head = KNNHead(budget="quick").fit(X, names)
    assert (head.predict(X) == names).mean() > 0.9
    meta, arrays = head.get_state()
    assert KNNHead.from_state(meta, arrays).predict(X[:3]).tolist() == head.predict(X[:3]).tolist()
    with pytest.raises(FeaturesError, match="state of the head 'knn', expected 'centroid'"):
        CentroidHead.from_state(meta, arrays)


def test_it_works_in_scikit_learns_tools():
    X, y = head_checks.digits(300)
    pipe = make_pipeline(StandardScaler(), CentroidHead(budget="quick"))
    assert cross_val_score(pipe, X, y, cv=3).mean() > 0.8
