import dataclasses

import numpy as np
import pytest

from tests.support.feature_sets import copies, digits, feature_set
from tests.support.leaks import look, same_bytes


@pytest.fixture(scope="module")
def augmented():
    X, y, source = copies(sources=160, each=4, signal=0.1, noise=0.5)
    return feature_set(X, y), source


def test_identical_files_on_both_sides_are_counted_and_named():
    features = same_bytes(digits(300, split=0.3), [(0, 200), (1, 201), (202, 203), (204, 205)])
    leaks, laid = look(features)
    assert leaks.judged.identical == 2  # (202, 203) and (204, 205) are both in the training part
    np.testing.assert_array_equal(leaks.judged.training, [200, 201])
    np.testing.assert_array_equal(leaks.judged.judged, [0, 1])
    kind, text = leaks.texts[0]
    assert kind == "split" and text.startswith(
        "Images of one source stand in the training and the test part: 2 pairs of byte-identical files (for instance "
    )
    assert features.ids[200] in text and "`drop_leaks=True`" in text and "`groups=r'" in text
    assert leaks.folds.identical <= 2
    document = leaks.to_json()
    assert document["identical"] == 2 and document["examples"][0]["kind"] == "identical"
    assert document["groups"] == "auto" and document["conflict_examples"][0]["a_class"] in features.classes


def test_dropping_leaves_nothing_that_leaks():
    features = same_bytes(digits(300, split=0.3), [(0, 200), (1, 201)])
    leaks, laid = look(features, apart=True)
    assert not leaks.judged.any and {kind for kind, _ in leaks.texts} == {"data"}  # the labels still contradict
    np.testing.assert_array_equal(laid.dropped, [200, 201])


def test_a_given_split_that_parts_copies_is_found_out(augmented):
    features, source = augmented
    rng = np.random.default_rng(0)
    given = dataclasses.replace(features, splits=np.where(rng.random(len(features)) < 0.3, "test", "train"))
    leaks, _ = look(given, source)
    assert leaks.judged.near > 100 and "the training and the test part" in leaks.texts[0][1]


def test_a_clean_set_is_left_in_peace():
    y = np.arange(600) % 3
    rng = np.random.default_rng(0)
    features = feature_set(rng.normal(size=(600, 150)) + 3 * rng.normal(size=(3, 150))[y], y)
    leaks, _ = look(features, protocol="cv")
    assert leaks.texts == () and leaks.to_json()["groups"] is None


def test_ten_images_and_a_part_of_one_class():
    y = np.array([0, 0, 0, 0, 1, 1, 1, 0, 0, 0])
    rng = np.random.default_rng(0)
    features = feature_set(rng.normal(size=(10, 8)), y, splits=["train"] * 7 + ["test"] * 3)
    leaks, _ = look(same_bytes(features, [(0, 8)]), folds=2)
    assert leaks.judged.identical == 1 and leaks.texts
