import dataclasses

import numpy as np
import pytest

from classifiers.leakage.duplicate_groups import find_duplicate_groups
from classifiers.leakage.leaks import find_leaks
from classifiers.validation.protocol import make_protocol
from tests.support.feature_sets import copies, digits, feature_set


def look(features, source=None, **options):
    duplicates = find_duplicate_groups(features) if source is None else with_copies(features, source)
    groups = duplicates.groups if options.pop("keep", False) else None
    apart = duplicates.groups if options.pop("apart", False) else None
    laid = make_protocol(features, groups=groups, apart=apart, **options)
    return find_leaks(features, laid, duplicates, grouped=groups is not None), laid


def with_copies(features, source):
    """What the finder says where the pixels confirm every pair of one source."""
    a, b = np.triu_indices(len(source), 1)
    pairs = np.stack([a, b], axis=1)[source[a] == source[b]]
    found = find_duplicate_groups(features)
    return dataclasses.replace(
        found, copies=pairs, cosine=np.ones(len(pairs), np.float32), kinds=("",) * len(pairs), look_alikes=pairs[:0],
        confirmed=np.ones(len(pairs), bool), groups=source, compared=len(pairs), unread=(),
        conflicts=pairs[features.y[pairs[:, 0]] != features.y[pairs[:, 1]]],
    )  # fmt: skip


@pytest.fixture(scope="module")
def augmented():
    X, y, source = copies(sources=160, each=4, signal=0.1, noise=0.5)
    return feature_set(X, y), source


def same_bytes(features, pairs):
    digests = features.digests.copy()
    for a, b in pairs:
        digests[b] = digests[a]
    return dataclasses.replace(features, digests=digests)


def test_identical_files_on_both_sides_are_counted_and_named():
    features = same_bytes(digits(300, split=0.3), [(0, 200), (1, 201), (202, 203), (204, 205)])
    leaks, laid = look(features)
    assert leaks.judged.identical == 2  # (202, 203) and (204, 205) are both in the training part
    np.testing.assert_array_equal(leaks.judged.training, [200, 201])
    np.testing.assert_array_equal(leaks.judged.judged, [0, 1])
    kind, text = leaks.texts[0]
    assert kind == "split" and text.startswith(
        "2 pairs of byte-identical images stand in the training and the test part"
    )
    assert features.ids[200] in text and "`drop_leaks=True`" in text
    assert leaks.folds.identical <= 2
    document = leaks.to_json()
    assert document["identical"] == 2 and document["examples"][0]["kind"] == "identical"
    assert document["groups"] == "auto"


def test_folds_judge_either_image_of_a_pair_and_no_pair_is_told_twice():
    features = same_bytes(digits(60), [(0, 1), (2, 3), (4, 5)])
    leaks, laid = look(features, protocol="cv")
    fold = np.zeros(60, int)
    for number, (_, test) in enumerate(laid.outer):
        fold[test] = number
    parted = [(a, b) for a, b in ((0, 1), (2, 3), (4, 5)) if fold[a] != fold[b]]
    assert leaks.judged.identical == len(parted) > 0 and leaks.judged.near == 0
    assert leaks.judged.judged.tolist() == leaks.judged.training.tolist() == sorted(np.ravel(parted).tolist())
    assert not any("show one picture" in text for _, text in leaks.texts)


def test_dropping_leaves_nothing_that_leaks():
    features = same_bytes(digits(300, split=0.3), [(0, 200), (1, 201)])
    leaks, laid = look(features, apart=True)
    assert not leaks.judged.any and {kind for kind, _ in leaks.texts} == {"data"}  # the labels still contradict
    np.testing.assert_array_equal(laid.dropped, [200, 201])


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


def test_a_given_split_that_parts_copies_is_found_out(augmented):
    features, source = augmented
    rng = np.random.default_rng(0)
    given = dataclasses.replace(features, splits=np.where(rng.random(len(features)) < 0.3, "test", "train"))
    leaks, _ = look(given, source)
    assert leaks.judged.near > 100 and "the training and the test part" in leaks.texts[0][1]


def test_names_that_tell_the_source_are_counted_by_pairs():
    X, y, source = copies(sources=100, each=3, noise=1.2, signal=2.0)
    ids = [f"class{c}/scan{s}_{i}.png" for i, (c, s) in enumerate(zip(y, source, strict=True))]
    features = feature_set(X, y, ids=ids)
    leaks, laid = look(features, protocol="holdout")
    train, test = laid.outer[0]
    assert leaks.judged.by_filename == sum((source[train] == source[row]).sum() for row in test)
    nested, laid = look(features, protocol="cv")
    fold = np.empty(len(y), int)
    for i, (_, rows) in enumerate(laid.outer):
        fold[rows] = i
    a, b = np.triu_indices(len(y), 1)
    assert nested.judged.by_filename == ((source[a] == source[b]) & (fold[a] != fold[b])).sum()


def test_a_clean_set_is_left_in_peace():
    y = np.arange(600) % 3
    rng = np.random.default_rng(0)
    features = feature_set(rng.normal(size=(600, 150)) + 3 * rng.normal(size=(3, 150))[y], y)
    leaks, _ = look(features, protocol="cv")
    assert leaks.texts == () and leaks.to_json()["groups"] is None


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


def test_many_identical_pairs_and_no_other_kind():
    splits = np.where(np.arange(300) < 90, "test", "train")
    features = feature_set(np.random.default_rng(0).normal(size=(300, 60)), np.arange(300) % 2, splits=splits)
    leaks, _ = look(same_bytes(features, [(i, 200 + i) for i in range(30)]))
    assert leaks.judged.identical == 30 and leaks.texts[0][0] == "leak"
    assert [e["kind"] for e in leaks.judged.examples] == ["identical"] * 24


def test_each_kind_has_an_example_however_many_there_are_of_another():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(300, 60)).astype(np.float32)
    X[100], X[101] = X[40] + 0.01, X[41] + 0.5 * rng.normal(size=60)
    splits = np.where(np.arange(300) < 60, "test", "train")
    features = same_bytes(feature_set(X, np.arange(300) % 2, splits=splits), [(i, 200 + i) for i in range(30)])
    leaks, _ = look(features)
    assert {e["kind"] for e in leaks.judged.examples} == {"identical", "near", "look_alike"}
    assert leaks.to_json()["near"] == 1 and leaks.to_json()["look_alikes"] == 1
    assert "nearly equal features" in leaks.texts[1][1]
    assert (
        "300 images could not be read" in leaks.to_json()["groups_text"]
        or "270 images" in leaks.to_json()["groups_text"]
    )


def test_copies_of_a_copy_reach_across():
    features = digits(90, split=0.3)  # the first 27 judge
    source = np.arange(90)
    found = with_copies(features, source)
    pairs = np.array([[0, 1], [1, 60]])  # 0 and 60 were not compared
    found = dataclasses.replace(
        found, copies=pairs, confirmed=np.ones(2, bool), cosine=np.ones(2, np.float32), kinds=("", "")
    )
    leaks = find_leaks(features, make_protocol(features), found)
    assert leaks.judged.judged.tolist() == [0, 1] and leaks.judged.near == 2


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


def test_ten_images_and_a_part_of_one_class():
    y = np.array([0, 0, 0, 0, 1, 1, 1, 0, 0, 0])
    rng = np.random.default_rng(0)
    features = feature_set(rng.normal(size=(10, 8)), y, splits=["train"] * 7 + ["test"] * 3)
    leaks, _ = look(same_bytes(features, [(0, 8)]), folds=2)
    assert leaks.judged.identical == 1 and leaks.texts
