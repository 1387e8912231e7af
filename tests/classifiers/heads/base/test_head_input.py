import numpy as np
import pytest
from sklearn.base import BaseEstimator
from sklearn.model_selection import StratifiedKFold
from sklearn.utils import compute_class_weight

from classifiers import make_head
from classifiers.heads.base.head_input import (
    MOST_NUMBERS,
    check_logits,
    class_weights,
    folds_of,
    read_training,
    require_finite,
)
from featstore.errors import FeaturesError


def read(y, weight=None, X=None):
    X = np.arange(2.0 * len(y), dtype=np.float32).reshape(-1, 2) if X is None else X
    return read_training(BaseEstimator(), X, y, weight)


def test_classes_become_numbers_and_a_row_of_weight_0_is_absent():
    training = read(["b", "a", "b", "z"], [1, 2, 3, 0])
    assert training.classes.tolist() == ["a", "b"] and training.codes[:3].tolist() == [1, 0, 1]
    assert training.X.dtype == np.float32 and training.weight.tolist() == [1, 2, 3, 0]


@pytest.mark.parametrize(
    ("y", "weight", "message"),
    [
        ([1, 1, 1], None, "all 3 images are of one class, '1'; expected two classes or more"),
        ([0, 1, 1], [1, 1], r"sample_weight has shape \(2,\), expected \(3,\)"),
        ([0, 1, 1], [1, -1, -1], "2 sample weights are negative"),
        ([0, 1, 1], [0, 0, 0], "every sample weight is zero"),
        ([0, 1, 1], [1, 0, 0], "all 1 images are of one class, '0'"),
    ],
)
def test_what_cannot_be_learnt_is_refused(y, weight, message):
    with pytest.raises(FeaturesError, match=message):
        read(y, weight)


def test_rows_that_are_not_finite_are_named():
    X = np.zeros((9, 4), dtype=np.float32)
    X[2, 1], X[7, 3] = np.nan, -np.inf
    with pytest.raises(FeaturesError, match=r"NaN or infinity in 2 of 9 rows \(row 2, 7\)"):
        require_finite(X)
    # A sum that is not finite although every number is, is no reason to refuse.
    require_finite(np.full((4, 4), 3e38, dtype=np.float32))


def test_balanced_weights_are_scikit_learns():
    y = np.array([0, 0, 0, 1, 2, 2])
    expected = compute_class_weight("balanced", classes=np.arange(3), y=y)
    np.testing.assert_allclose(class_weights("balanced", np.arange(3), y, np.ones(6)), expected)
    assert class_weights({2: 5.0}, np.arange(3), y, np.ones(6)).tolist() == [1, 1, 5]
    with pytest.raises(FeaturesError, match="names 7, which is no class"):
        class_weights({7: 1.0}, np.arange(3), y, np.ones(6))
    with pytest.raises(FeaturesError, match="class_weight is 'equal', expected 'balanced'"):
        class_weights("equal", np.arange(3), y, np.ones(6))


def test_folds_come_from_a_splitter_or_a_list_and_have_to_fit():
    training = read([0, 1] * 5)
    splitter = StratifiedKFold(5)
    expected = list(splitter.split(training.X, training.codes))
    for got, wanted in zip(folds_of(splitter, training, 0), expected, strict=True):
        np.testing.assert_array_equal(got[0], wanted[0])
        np.testing.assert_array_equal(got[1], wanted[1])
    assert len(folds_of(3, training, 0)) == 3
    with pytest.raises(FeaturesError, match="cv names row 10, but there are 10 rows"):
        folds_of([(np.arange(5), np.array([10]))], training, 0)
    with pytest.raises(FeaturesError, match="cv has 2 folds, .* two non-empty parts of 10 rows"):
        folds_of([*expected[:1], (np.arange(5), [])], training, 0)
    with pytest.raises(FeaturesError, match="1 folds were asked for"):
        folds_of(1, training, 0, may_be_empty=True)


def test_where_no_search_is_needed_folds_that_cannot_judge_are_left_out():
    training = read([0, 1] * 5)
    assert len(folds_of([(np.arange(5), np.arange(5, 10)), (np.arange(5), [])], training, 0, may_be_empty=True)) == 1
    assert folds_of([], training, 0, may_be_empty=True) == []
    alone = read(list(range(4)))
    assert folds_of(3, alone, 0, may_be_empty=True) == folds_of(None, alone, 0, may_be_empty=True) == []
    with pytest.raises(FeaturesError, match="no cross-validation is possible"):
        folds_of(3, alone, 0)


def test_one_number_weighs_every_row():
    assert read([0, 1, 1], 2.0).weight.tolist() == [2, 2, 2]


def test_the_limit_itself_is_allowed():
    check_logits(MOST_NUMBERS // 1000, 1000, "mlp")


@pytest.mark.parametrize("head", ["logistic", "svm", "mlp"])
def test_more_logits_than_fit_are_refused_with_their_number(head):
    y = np.repeat(np.arange(10_000), 2)
    said = (
        f"{head} works on .*20,000 training images x 10,000 classes are 200 million, .*100 million; use centroid or knn"
    )
    with pytest.raises(FeaturesError, match=said):
        make_head(head).fit(np.zeros((20_000, 2), dtype=np.float32), y)
