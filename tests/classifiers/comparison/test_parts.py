import dataclasses
import re

import numpy as np
import pytest
from hypothesis import assume, given, settings, strategies as st

from classifiers.comparison.job import compare
from classifiers.comparison.parts import deepest_with_unlabelled, lone_groups, needed_options, part_shifts
from classifiers.validation.protocol import make_protocol
from featstore.errors import FeaturesError
from tests.support.feature_sets import digits, feature_set


def test_the_test_part_is_held_against_the_training_part():
    features = digits(300, split=0.3)
    test, other = part_shifts(features, make_protocol(features), None)
    assert (test.n_train, test.n_other, test.shifted, other) == (210, 90, False, None)


def test_parts_that_are_made_here_are_of_one_kind():
    features = digits(300)
    assert part_shifts(features, make_protocol(features), None) == (None, None)


def test_images_without_a_label_are_found_in_the_deepest_set():
    late, early = digits(60), digits(60, node="layer2")
    assert deepest_with_unlabelled([early, late]) is None
    some = [dataclasses.replace(one, y=np.where(np.arange(60) < 50, one.y, -1)) for one in (late, early)]
    assert deepest_with_unlabelled(some) is some[0] and deepest_with_unlabelled(some[1]) is some[1]


def test_a_class_in_one_group_is_named_with_the_way_out():
    features = digits(300)
    plan = make_protocol(features)
    assert lone_groups(features, plan, None) == lone_groups(features, plan, np.arange(300)) == []
    groups = np.where(features.y == 3, 1000, np.arange(300))
    n = int((features.y[plan.trained] == 3).sum())
    assert lone_groups(features, plan, groups) == [
        "All training images of 1 class are of one group each, so that cross-validation judges none of them: "
        f"'class3' ({n}). Add images of other sources, or part them more finely by a pattern in `groups`."
    ]


def counted(train, test=()):
    """Features of so many training and test images a class."""
    y = np.concatenate([np.repeat(np.arange(len(part)), part) for part in (train, test) if len(part)])
    splits = np.repeat(["train", "test"], [sum(train), sum(test)]) if len(test) else None
    X = np.random.default_rng(0).normal(size=(len(y), 4)) + y[:, None]
    return feature_set(X, y, splits=splits, classes=[f"c{i}" for i in range(len(train))])


@pytest.mark.parametrize(
    ("train", "test", "options"),
    [
        ((9, 9), (), {}),
        ((9, 9), (5, 5), {}),
        ((9, 2), (), {"allow_few": True}),
        ((9, 1, 9), (), {"allow_few": True}),
        ((9, 9), (5, 0), {"protocol": "cv"}),
        ((9, 9, 9), (5, 5, 0), {"allow_untested": True}),
        ((9, 9, 2), (5, 5, 0), {"allow_untested": True, "allow_few": True}),
        ((9, 9, 0), (5, 5, 5), {"protocol": "cv"}),
    ],
)
def test_a_comparison_is_told_what_it_needs(train, test, options):
    features = counted(train, test)
    found, reason = needed_options(features)
    assert found == options and bool(reason) == bool(options)
    if options:
        with pytest.raises(FeaturesError, match=re.escape(reason)):
            compare(features, ["centroid"], references=False)


@settings(max_examples=15, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 12), st.integers(0, 6)), min_size=2, max_size=4))
def test_with_these_options_a_comparison_does_not_refuse_whatever_images_classes_have(sizes):
    train, test = zip(*sizes, strict=True)
    assume(np.count_nonzero(train) > 1)
    features = counted(train, test)
    options, reason = needed_options(features)
    assume(options or not reason)  # where none would help, the reason is told
    report = compare(features, ["centroid"], budget="quick", references=False, **options)
    assert report.data["runs"]
