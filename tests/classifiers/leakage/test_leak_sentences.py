import dataclasses

import numpy as np
import pytest

from tests.support.feature_sets import copies, digits, feature_set
from tests.support.leaks import look, same_bytes


@pytest.fixture(scope="module")
def augmented():
    X, y, source = copies(sources=160, each=4, signal=0.1, noise=0.5)
    return feature_set(X, y), source


@pytest.mark.parametrize("protocol", ["holdout", "cv"])
def test_copies_that_a_plan_parts_are_warned_of_and_keeping_them_together_helps(augmented, protocol):
    features, source = augmented
    leaks, laid = look(features, source, protocol=protocol)
    assert leaks.judged.near > 100 and leaks.texts[0][0] == "leak"
    side = {row: i for i, (_, test) in enumerate(laid.outer) for row in test.tolist()}
    for example in leaks.judged.examples:
        a, b = features.ids.index(example["a"]), features.ids.index(example["b"])
        assert side.get(a) != side.get(b)
    text = leaks.texts[0][1]
    assert f"{leaks.judged.near:,} pairs of images show one picture, as their pixels show, and stand in" in text
    assert '`groups="auto"` keeps the 160 sources together' in text
    kept, _ = look(features, source, protocol=protocol, keep=True)
    assert not kept.judged.any and kept.texts == ()


def test_copies_within_the_training_part_leak_between_the_folds_of_the_search(augmented):
    features, source = augmented
    test = source < 40
    given = dataclasses.replace(features, splits=np.where(test, "test", "train"))
    leaks, _ = look(given, source)
    assert not leaks.judged.any
    assert leaks.folds.near > 100
    assert "stand in different folds of the search" in leaks.texts[0][1]
    assert leaks.to_json()["folds"]["near"] == leaks.folds.near


def test_a_single_double_is_mentioned_but_spoils_nothing():
    features = same_bytes(digits(300, split=0.6), [(0, 200)])
    leaks, _ = look(features)
    assert [kind for kind, _ in leaks.texts] == ["split", "data"]  # mentioned, and that its two labels differ
    assert "1 pair of byte-identical images" in leaks.texts[0][1]


def test_names_without_meaning_are_mentioned():
    X, y, source = copies(sources=90, each=4)
    counter = np.random.default_rng(0).permutation(source)
    features = feature_set(X, y, ids=[f"c{c}/_{s}_{i}.jpeg" for i, (c, s) in enumerate(zip(y, counter, strict=True))])
    leaks, _ = look(features)
    assert "no more alike than others" in leaks.to_json()["groups_text"]


def test_one_picture_under_two_classes_is_told_with_both():
    features = digits(100)
    a = 0
    b = int(np.flatnonzero(features.y != features.y[0])[0])
    leaks, _ = look(same_bytes(features, [(a, b)]))
    kind, text = leaks.texts[-1]
    assert kind == "data" and text.startswith("1 pair of images has the same bytes under two classes (for instance ")
    assert f"{features.ids[a]} as {features.classes[features.y[a]]} and {features.ids[b]}" in text
    assert leaks.to_json()["conflicts"] == 1


@pytest.mark.parametrize(("doubles", "kind"), [(9, "split"), (60, "leak")])
def test_it_leaks_where_the_doubles_could_change_a_conclusion(doubles, kind):
    splits = np.where(np.arange(1000) < 500, "test", "train")
    features = dataclasses.replace(digits(1000), splits=splits)
    leaks, _ = look(same_bytes(features, [(i, 500 + i) for i in range(doubles)]))
    assert leaks.texts[0][0] == kind


def test_many_look_alikes_are_a_mild_word():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(300, 60)).astype(np.float32)
    X[100:130] = X[:30] + 0.5 * rng.normal(size=(30, 60))
    splits = np.where(np.arange(300) < 60, "test", "train")
    leaks, _ = look(feature_set(X, np.arange(300) % 2, splits=splits))
    ((kind, text),) = leaks.texts
    assert kind == "split" and text.startswith(
        "30 pairs of images look alike and stand in the training and the test part"
    )
    assert "not known to be copies" in text and not leaks.judged.any
    assert leaks.to_json()["groups"] is None
