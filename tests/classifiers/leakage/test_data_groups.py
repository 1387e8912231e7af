"""Groups that the data bring."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, strategies as st

from classifiers.leakage.data_groups import data_groups, group_text, joined, neighbours, pattern_text, split_groups
from classifiers.leakage.duplicate_groups import find_duplicate_groups, members_of
from classifiers.validation.protocol import make_protocol
from tests.support.feature_sets import digits


def grouped(groups, **changes):
    return dataclasses.replace(digits(len(groups), classes=2, **changes), groups=tuple(groups))


def test_images_without_a_group_stand_alone():
    assert data_groups(grouped(["p", "", "q", "p", ""])).tolist() == [0, 1, 2, 0, 3]
    assert data_groups(grouped(["0", "", "1"])) is None  # a group may be called like the number of a row
    assert data_groups(digits(4)) is None


@given(st.lists(st.integers(0, 4), min_size=1, max_size=15), st.randoms())
def test_joined_groups_keep_together_what_either_keeps_together(one, random):
    other = [random.randrange(6) for _ in one]
    found = joined(np.array(one), np.array(other))
    reach = np.equal.outer(one, one) | np.equal.outer(other, other)
    for _ in one:
        reach = (reach.astype(int) @ reach.astype(int)) > 0
    np.testing.assert_array_equal(np.equal.outer(found, found), reach)
    assert joined(None, None) is None and joined(np.array(one), None).tolist() == one
    a, b = neighbours(np.array(one))
    assert len(a) == len(one) - len(set(one)) and (np.array(one)[a] == np.array(one)[b]).all()


def test_the_groups_of_the_data_hold_unless_a_pattern_takes_their_place():
    features = grouped([f"p{i // 3}" for i in range(60)])
    found = find_duplicate_groups(features)
    mine = members_of(features, found, None)
    assert len(np.unique(mine)) == 20
    assert len(np.unique(members_of(features, found, "auto"))) <= 20
    pattern = members_of(features, found, r"^(class.)")
    assert len(np.unique(pattern)) == 2


def test_no_fold_parts_a_group():
    features = grouped([f"p{i // 4}" for i in range(80)])
    groups = data_groups(features)
    plan = make_protocol(features, folds=3, groups=groups)
    for train, test in plan.outer:
        assert not np.intersect1d(groups[train], groups[test]).size


def test_one_sentence_says_what_became_of_them():
    assert group_text(np.array([0, 0, 1, 1, 2])) == (
        "The data name 2 groups of two or more images; images of one group stay on one side of every fold."
    )


def test_given_parts_that_divide_a_group_are_warned_of():
    features = grouped(["a", "a", "b", "b", "", ""] * 10)
    splits = np.array(["train"] * 30 + ["test"] * 30)
    divided = dataclasses.replace(features, splits=splits)
    said = split_groups(divided, make_protocol(divided, folds=2))
    assert said.startswith("2 groups of the data (a and b) have images in the training and in the test part: 20 test")
    assert split_groups(features, make_protocol(features, folds=2)) == ""
    apart = dataclasses.replace(divided, groups=tuple(f"{part}{i % 9}" for i, part in enumerate(splits)))
    assert split_groups(apart, make_protocol(apart, folds=2)) == ""


@pytest.mark.parametrize("groups", [(), ("x",) * 6])
def test_a_subset_keeps_its_groups(groups):
    features = dataclasses.replace(digits(6), groups=groups)
    assert features.subset([0, 5]).groups == groups[:2]


def test_an_expression_is_shown_as_it_is_typed():
    assert r"for the expression '_(\d+)_' stay on one side" in pattern_text(r"_(\d+)_", None)
