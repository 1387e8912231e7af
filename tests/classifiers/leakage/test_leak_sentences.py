import dataclasses

import numpy as np
import pytest

from classifiers.validation.protocol import make_protocol
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
    assert f"{leaks.judged.near:,} pairs of images that show one picture, as their pixels show (for instance " in text
    assert '`groups="auto"` keeps each of the 160 sources together' in text and "`drop_leaks" not in text
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
    ((kind, text),) = leaks.texts  # mentioned once, and that its two labels differ
    assert kind == "split" and "1 pair of byte-identical files" in text and "1 of them stands under two classes" in text


def test_names_without_meaning_are_mentioned():
    X, y, source = copies(sources=90, each=4)
    counter = np.random.default_rng(0).permutation(source)
    features = feature_set(X, y, ids=[f"c{c}/_{s}_{i}.jpeg" for i, (c, s) in enumerate(zip(y, counter, strict=True))])
    leaks, _ = look(features)
    assert "(by chance: 50 %): it is not taken for the source." in leaks.to_json()["groups_text"]


def test_one_picture_under_two_classes_is_told_with_both_and_once():
    features = digits(100)
    a, b = 0, int(np.flatnonzero(features.y != features.y[0])[0])
    named = (
        f"(for instance {features.ids[a]} as {features.classes[features.y[a]]} and {features.ids[b]} as "
        f"{features.classes[features.y[b]]}): one of the two labels is wrong, or the picture shows both."
    )
    parted, laid = look(same_bytes(features, [(a, b)]), seed=next(s for s in range(9) if _parts(features, a, b, s)))
    kind, text = parted.texts[0]
    assert "data" not in dict(parted.texts) and f"1 of them stands under two classes {named}" in text
    kept, _ = look(same_bytes(features, [(a, b)]), keep=True)
    assert dict(kept.texts)["data"] == f"1 pair of images has the same bytes under two classes {named}"
    assert kept.to_json()["conflicts"] == 1


def _parts(features, a, b, seed):
    return any((a in train) != (b in train) for train, _ in make_protocol(features, seed=seed).outer)


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


def names_of(form, source, y):
    return [form.format(c=f"class{c}", s=s, i=i) for i, (s, c) in enumerate(zip(source, y, strict=True))]


def test_pairs_by_name_are_counted_where_they_are_joined_only_and_said_so():
    X, y, source = copies(sources=100, each=3, noise=1.2, signal=2.0)
    again = np.zeros_like(source)  # numbers that start again in every class
    for c in np.unique(y):
        again[y == c] = np.unique(source[y == c], return_inverse=True)[1]
    features = feature_set(X, y, ids=names_of("{c}/{s:03d}_{i}.png", again, y))
    leaks, laid = look(features, protocol="holdout")
    train, test = laid.outer[0]
    assert leaks.judged.by_filename == sum((source[train] == source[row]).sum() for row in test) <= 300
    text = leaks.texts[0][1]
    assert f"{leaks.judged.by_filename} pairs of images that share the name up to its first number (for" in text
    assert "look alike" not in text
    said = leaks.to_json()["groups_text"]
    assert "Images of one folder that share the name up to its first number were more alike than others in" in said
    assert said.endswith("Across classes this was not seen, and there they do not.")
    assert leaks.to_json()["groups"].startswith("(?:^|/)((?:[^/]*/)?") and "`groups=r'(?:^|/)((?:[^/]*/)?" in text


def test_a_source_with_one_image_in_each_class_is_joined_across_classes():
    X, _, source = copies(sources=100, each=3, noise=0.6, signal=0.0)
    y = np.zeros_like(source)
    for s in range(100):
        y[source == s] = np.arange(3)
    leaks, _ = look(feature_set(X, y, ids=names_of("{c}/patient_{s}.png", source, y)), protocol="cv")
    assert "of different classes that share" in leaks.to_json()["groups_text"]
    assert leaks.to_json()["n_groups"] == 100 and leaks.judged.by_filename > 100


def test_one_remedy_for_one_kind_of_parts():
    features = same_bytes(digits(300, split=0.3), [(0, 200)])
    ((_, given),) = look(features)[0].texts
    assert "To keep your test part, compare with `drop_leaks=True`" in given and "in the folds of the search" in given
    ((_, grouped), *_) = look(features, keep=True)[0].texts
    assert "`drop_leaks=True`" in grouped and "`groups" not in grouped
