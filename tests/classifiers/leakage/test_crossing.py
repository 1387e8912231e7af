import dataclasses

import numpy as np

from classifiers.leakage.leaks import find_leaks
from classifiers.validation.protocol import make_protocol
from tests.support.feature_sets import copies, digits, feature_set
from tests.support.leaks import look, same_bytes, with_copies


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
    assert "nearly equal features" in leaks.texts[0][1]
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
