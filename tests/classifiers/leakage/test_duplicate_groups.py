import dataclasses

import numpy as np

from classifiers.leakage import duplicate_groups as module
from classifiers.leakage.duplicate_groups import find_duplicate_groups, grouping_effect
from tests.support.feature_sets import copies, digits, feature_set


def test_copies_that_a_cross_validation_would_part_are_believed_and_joined():
    X, y, source = copies(sources=140, each=4, signal=0.1, noise=0.5)
    found = find_duplicate_groups(feature_set(X, y))
    assert found.effect.leaks and found.effect.parted - found.effect.kept > 0.2
    assert found.suggestion == "auto" and len(found.near) > 300
    together = found.groups[found.near[:, 0]] == found.groups[found.near[:, 1]]
    assert together.all()
    same = source[found.near[:, 0]] == source[found.near[:, 1]]
    assert same.mean() > 0.9


def test_look_alikes_that_mislead_nobody_are_not_called_copies():
    rng = np.random.default_rng(0)
    y = np.arange(900) % 3
    style = rng.integers(0, 30, 900)  # loose clusters within each class, as of cats of one colour
    X = 3 * rng.normal(size=(3, 150))[y] + 0.6 * rng.normal(size=(30, 150))[style] + rng.normal(size=(900, 150))
    found = find_duplicate_groups(feature_set(X, y))
    assert found.suggestion is None and len(found.near) == 0
    assert len(np.unique(found.groups)) == 900


def test_few_images_are_not_enough_to_believe_look_alikes():
    X, y, _ = copies(sources=100, each=4, signal=0.1, noise=0.5)
    found = find_duplicate_groups(feature_set(X, y))
    assert found.effect.leaks and len(found.near) == 0


def test_identical_bytes_count_whatever_the_features_say():
    features = digits(100)
    digests = features.digests.copy()
    digests[50] = digests[10]
    digests[60] = digests[10]
    digests[70:72] = 0  # files that nobody could read are not copies of one another
    found = find_duplicate_groups(dataclasses.replace(features, digests=digests))
    assert sorted(map(tuple, found.identical.tolist())) == [(10, 50), (10, 60)]
    assert found.groups[10] == found.groups[50] == found.groups[60] != found.groups[70]
    assert found.groups[70] != found.groups[71] and found.suggestion == "auto"


def test_telling_names_are_suggested_as_a_pattern():
    X, y, source = copies(sources=100, each=3, noise=0.9, signal=2.0)
    ids = [f"class{c}/scan{s}_{i}.png" for i, (c, s) in enumerate(zip(y, source, strict=True))]
    found = find_duplicate_groups(feature_set(X, y, ids=ids))
    assert found.by_filename is not None
    groups = {tuple(sorted(np.flatnonzero(found.groups == g))) for g in np.unique(found.groups)}
    by_name = {tuple(np.flatnonzero(source == s)) for s in np.unique(source)}
    assert all(any(set(s) <= set(g) for g in groups) for s in by_name)


def test_only_the_rows_asked_for_are_looked_at():
    X, y, _ = copies(sources=200, each=4, signal=0.1, noise=0.5)
    rows = np.arange(100, 700)
    found = find_duplicate_groups(feature_set(X, y), rows)
    assert found.near.min() >= 100 and found.near.max() < 700 and len(found.groups) == 800
    assert len(np.unique(found.groups[700:])) == 100


def test_the_effect_compares_groups_with_groups_of_the_same_sizes():
    X, y, source = copies(sources=120, each=4, signal=0.1, noise=0.5)
    effect = grouping_effect(X, y, source)
    assert effect.parted > 0.8 and effect.kept < 0.65 and effect.p < 1e-6 and effect.images == len(y)
    rng = np.random.default_rng(0)
    meaningless = rng.permutation(source)
    assert not grouping_effect(X, y, meaningless).leaks


def test_the_effect_of_many_rows_is_measured_on_whole_groups(monkeypatch):
    monkeypatch.setattr(module, "_MOST_ROWS", 200)
    X, y, source = copies(sources=120, each=4, signal=0.1, noise=0.5)
    effect = grouping_effect(X, y, source)
    assert effect.images == 200 and effect.parted > effect.kept
