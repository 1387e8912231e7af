"""Types and numbers that several rooms share."""

from typing import get_args

import numpy as np
import pytest
from hypothesis import given, strategies as st

from classifiers.heads.registry import make_head
from classifiers.types import BUDGETS, FOLDS, Budget, Fold, Index
from classifiers.validation.splits import stratified_folds
from featstore.errors import FeaturesError


def test_the_budgets_are_those_that_the_type_allows_from_the_smallest_to_the_largest():
    assert get_args(Budget) == BUDGETS == ("quick", "normal", "thorough")


@pytest.mark.parametrize("budget", BUDGETS)
def test_every_budget_makes_a_head(budget):
    assert make_head("logistic", budget=budget).budget == budget


@given(budget=st.text().filter(lambda text: text not in BUDGETS))
def test_any_other_budget_is_refused_and_the_known_ones_are_named(budget):
    with pytest.raises(FeaturesError, match="expected one of quick, normal, thorough"):
        make_head("logistic", budget=budget)


def test_a_fold_is_two_arrays_of_row_numbers_and_there_are_five_of_them():
    assert get_args(Fold) == (Index, Index) and FOLDS == 5
    folds = stratified_folds(np.arange(40) % 2, FOLDS, 0)
    assert len(folds) == FOLDS
    for fold in folds:
        assert [part.dtype for part in fold] == [np.dtype(np.intp)] * len(get_args(Fold))
        np.testing.assert_array_equal(np.sort(np.concatenate(fold)), np.arange(40))
