"""Images without a label are left out, and that is said."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, strategies as st

from classifiers.validation.labelled import labelled_part, without_empty_classes
from featstore.errors import FeaturesError
from tests.support.feature_sets import digits


def relabelled(y, splits=None):
    features = digits(len(y), classes=4)
    changes = {"y": np.array(y, dtype=np.int64)}
    if splits is not None:
        changes["splits"] = np.array(splits)
    return dataclasses.replace(features, **changes)


def test_a_set_in_which_every_image_has_a_label_is_the_same_object():
    features = digits(20, classes=4)
    assert labelled_part(features) == (features, [])
    assert without_empty_classes(features) == (features, [])
    empty = features.subset([])
    assert labelled_part(empty) == (empty, [])


def test_what_is_left_out_is_counted_and_its_part_named_where_it_is_one():
    part, notes = labelled_part(relabelled([0, -1, 1, -1], ["train", "test", "train", "test"]))
    assert part.y.tolist() == [0, 1] and notes == ["2 images of the test part without a label took no part."]
    _, notes = labelled_part(relabelled([0, -1, 1, -1], ["train", "train", "train", "test"]))
    assert notes == ["2 images without a label took no part."]


def test_a_set_without_any_label_is_refused_in_words():
    with pytest.raises(FeaturesError, match=r"no image of data set 'digits' has a label \(3 images with features\)"):
        labelled_part(relabelled([-1, -1, -1]))


@given(st.lists(st.integers(-1, 3), min_size=1, max_size=12).filter(lambda y: max(y) >= 0))
def test_every_image_keeps_its_class_whatever_is_left_out(y):
    features = relabelled(y)
    part, _ = without_empty_classes(labelled_part(features)[0])
    named = {name: features.classes[label] for name, label in zip(features.ids, y, strict=True) if label >= 0}
    assert {name: part.classes[label] for name, label in zip(part.ids, part.y.tolist(), strict=True)} == named
    assert set(part.classes) == set(named.values())
