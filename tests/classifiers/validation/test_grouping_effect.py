import numpy as np
import pytest
from sklearn.kernel_ridge import KernelRidge
from sklearn.preprocessing import StandardScaler

from classifiers.validation import grouping_effect as module
from classifiers.validation.grouping_effect import GroupingEffect, grouping_effect
from classifiers.validation.splits import stratified_folds
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


@pytest.mark.parametrize("d", [40, 600])
def test_one_fit_of_all_rows_answers_as_a_fit_of_each_fold_does(d):
    X, y, source = copies(sources=60, each=4, classes=3, d=d, signal=0.2)
    hits = module._hits(module._unanswered(X), y, source, 0)
    rows = StandardScaler().fit_transform(X) / np.sqrt(d)
    target = np.eye(3)[y] - np.eye(3)[y].mean(axis=0)
    expected = np.full(len(y), -1)
    for train, valid in stratified_folds(y, 5, 0, source):
        scores = KernelRidge(alpha=1.0, kernel="linear").fit(rows[train], target[train]).predict(rows[valid])
        expected[valid] = scores.argmax(axis=1) == y[valid]
    assert (hits == expected).mean() > 0.99 and 0 < (hits == 1).mean() < 1


@pytest.mark.parametrize("factor", [1e-30, 1e19, 1e36])
def test_the_scale_of_features_does_not_matter(factor):
    X, y, source = copies(sources=60, each=4, signal=0.1, noise=0.5)
    plain, scaled = grouping_effect(X, y, source), grouping_effect(X * np.float32(factor), y, source)
    assert abs(plain.kept - scaled.kept) < 0.02 and abs(plain.parted - scaled.parted) < 0.02
