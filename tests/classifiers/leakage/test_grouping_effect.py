import numpy as np

from classifiers.leakage import grouping_effect as module
from classifiers.leakage.grouping_effect import GroupingEffect, grouping_effect
from tests.support.feature_sets import copies


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


def test_a_trial_below_the_largest_class_shows_nothing():
    shown = GroupingEffect(parted=0.7, kept=0.42, p=1e-9, images=300, majority=0.41)
    assert shown.leaks
    assert not GroupingEffect(parted=0.7, kept=0.42, p=1e-9, images=300, majority=0.71).leaks


def test_the_largest_class_is_counted():
    X, y, source = copies(sources=120, each=4, classes=3)
    y = np.where(source < 80, 0, y)
    effect = grouping_effect(X, y, source)
    assert abs(effect.majority - np.bincount(y).max() / len(y)) < 0.02
