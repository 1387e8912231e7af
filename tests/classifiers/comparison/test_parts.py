import dataclasses

import numpy as np

from classifiers.comparison.parts import deepest_with_unlabelled, lone_groups, part_shifts
from classifiers.validation.protocol import make_protocol
from tests.support.feature_sets import digits


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
