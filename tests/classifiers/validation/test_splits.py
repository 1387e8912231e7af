import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from classifiers.validation.splits import group_by, holdout, most_alike, stratified_folds
from featstore.errors import FeaturesError

labels = st.lists(st.integers(0, 5), min_size=4, max_size=120)


@settings(max_examples=60, deadline=None)
@given(labels, st.integers(2, 6), st.integers(0, 9))
def test_any_folds_share_every_class_out(y, k, seed):
    y = np.array(y)
    counts = np.bincount(y)
    if (counts > 1).sum() == 0:
        with pytest.raises(FeaturesError, match="no cross-validation is possible"):
            stratified_folds(y, k, seed)
        return
    folds = stratified_folds(y, k, seed)
    judged = np.concatenate([valid for _, valid in folds])
    assert len(np.unique(judged)) == len(judged)
    np.testing.assert_array_equal(np.sort(judged), np.flatnonzero(counts[y] > 1))
    for train, valid in folds:
        np.testing.assert_array_equal(np.sort(np.r_[train, valid]), np.arange(len(y)))
        assert set(y[valid]) <= set(y[train])
        for c in np.unique(y):
            assert (y[valid] == c).sum() in (counts[c] // k, -(-counts[c] // k)) or counts[c] == 1
    sizes = [len(valid) for _, valid in folds]
    assert max(sizes) - min(sizes) <= 1


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 12)), min_size=6, max_size=100), st.integers(2, 5))
def test_any_groups_stay_on_one_side_and_no_fold_lacks_a_class_it_judges(rows, k):
    y, groups = np.array(rows).T
    try:
        folds = stratified_folds(y, k, 0, groups)
    except FeaturesError as error:
        assert "no cross-validation is possible" in str(error)  # either outcome is right
        return
    for train, valid in folds:
        assert set(groups[train]).isdisjoint(groups[valid])
        assert set(y[valid]) <= set(y[train])
    judged = np.concatenate([valid for _, valid in folds])
    assert len(np.unique(judged)) == len(judged)


def test_groups_are_spread_evenly():
    rng = np.random.default_rng(0)
    groups = rng.integers(0, 200, 2000)
    y = (groups * 7) % 5
    folds = stratified_folds(y, 5, 0, groups)
    sizes = [len(valid) for _, valid in folds]
    assert max(sizes) < 1.1 * min(sizes)
    for c in range(5):
        shares = [(y[valid] == c).sum() for _, valid in folds]
        assert max(shares) < 1.35 * min(shares)


def test_folds_repeat_by_seed():
    y = np.arange(60) % 3

    def flat(seed):
        return [valid.tolist() for _, valid in stratified_folds(y, 5, seed)]

    assert flat(1) == flat(1) != flat(2)


def test_a_class_with_fewer_images_than_folds_is_judged_once_and_always_trained():
    y = np.r_[np.zeros(20), np.ones(20), [2, 2, 2], [3]].astype(int)
    folds = stratified_folds(y, 5, 0)
    assert sum((y[valid] == 2).sum() for _, valid in folds) == 3
    for train, valid in folds:
        assert (y[train] == 2).sum() >= 2 and 43 in train and 43 not in valid


def test_bad_numbers_of_folds_and_groups_are_refused():
    with pytest.raises(FeaturesError, match="1 folds were asked for, expected at least 2"):
        stratified_folds([0, 0, 1, 1], 1, 0)
    with pytest.raises(FeaturesError, match="3 groups for 4 rows"):
        stratified_folds([0, 0, 1, 1], 2, 0, groups=[1, 2, 3])
    with pytest.raises(FeaturesError, match="no cross-validation is possible.*`groups`"):
        stratified_folds([0, 0, 1, 1], 2, 0, groups=[1, 1, 2, 2])


def test_ten_thousand_classes_take_no_time():
    y = np.repeat(np.arange(10_000), 3)
    assert len(stratified_folds(y, 5, 0)) == 5
    assert len(stratified_folds(y, 3, 0, groups=np.arange(30_000) // 2)) == 3


@settings(max_examples=40, deadline=None)
@given(labels, st.floats(0.05, 0.9), st.integers(0, 5))
def test_any_hold_out_leaves_every_class_to_train(y, fraction, seed):
    y = np.array(y)
    if (np.bincount(y) > 1).sum() == 0:
        with pytest.raises(FeaturesError, match="no class has an image to spare"):
            holdout(y, fraction, seed)
        return
    train, test = holdout(y, fraction, seed)
    np.testing.assert_array_equal(np.sort(np.r_[train, test]), np.arange(len(y)))
    assert set(y) == set(y[train]) and len(test)
    for c, count in enumerate(np.bincount(y)):
        if count > 1:
            wanted = min(max(1, round(count * fraction)), count - 1)
            assert (y[test] == c).sum() == wanted


def test_a_hold_out_by_groups_keeps_them_whole():
    groups = np.arange(400) // 4
    y = groups % 4
    train, test = holdout(y, 0.25, 0, groups)
    assert set(groups[train]).isdisjoint(groups[test])
    assert 80 <= len(test) <= 120
    with pytest.raises(FeaturesError, match="the fraction to hold out is 1.5"):
        holdout(y, 1.5, 0)


def test_names_are_grouped_by_what_the_pattern_catches():
    names = ["a/_1_20.jpg", "a/_1_21.jpg", "b/_1_3.jpg", "b/_2_3.jpg", "b/other.jpg", "b/another.jpg"]
    assert group_by(names, r"_(\d+)_").tolist() == [0, 0, 0, 1, 2, 3]
    assert group_by(names, r"^\w/_\d").tolist() == [0, 0, 1, 2, 3, 4]


def test_patterns_that_are_none_or_match_nothing_are_refused():
    with pytest.raises(FeaturesError, match=r"'\(' is no regular expression"):
        group_by(["a"], "(")
    with pytest.raises(FeaturesError, match="matches none of 2 paths, for instance 'a.jpg'"):
        group_by(["a.jpg", "b.jpg"], "x(y)")
    with pytest.raises(FeaturesError, match=r"the groups pattern 'x\(\\d\)' matches"):  # as it was typed
        group_by(["a.jpg", "b.jpg"], r"x(\d)")


def test_labels_that_are_unique_to_an_image_are_called_what_they_mostly_are():
    with pytest.raises(FeaturesError, match="each of the 20 images has a class of its own.*names, numbers or several"):
        stratified_folds(np.arange(20), 5, 0)


def test_of_each_class_the_share_that_is_most_alike_is_held():
    rng = np.random.default_rng(0)
    y, like = np.repeat([0, 1, 2], [40, 20, 8]), rng.random(68)
    kept, held = most_alike(y, like, 0.25)
    assert np.bincount(y[held]).tolist() == [10, 5, 2]
    assert sorted([*kept, *held]) == list(range(68))
    for code in range(3):
        assert like[held][y[held] == code].min() > like[kept][y[kept] == code].max()


def test_groups_stay_together_when_the_most_alike_are_held():
    rng = np.random.default_rng(1)
    groups = rng.integers(0, 30, 120)
    y, like = groups % 3, rng.random(120)
    kept, held = most_alike(y, like, 0.25, groups)
    assert not set(groups[kept]) & set(groups[held])
    assert set(y[kept]) == set(y[held]) == {0, 1, 2} and 20 <= len(held) <= 45
    means = np.array([like[groups == g].mean() for g in range(30) if (groups == g).any()])
    assert like[held].mean() > np.mean(means)


def test_a_class_in_one_group_is_never_held_by_likeness():
    kept, held = most_alike(np.array([0, 0, 0, 0, 1, 1]), np.arange(6.0), 0.25, np.array([0, 1, 2, 3, 4, 4]))
    assert held.tolist() == [3] and 4 in kept and 5 in kept


def test_nothing_to_hold_by_likeness_is_said():
    with pytest.raises(FeaturesError, match="no class has an image to spare for a part that judges: expected classes"):
        most_alike(np.array([0, 1]), np.zeros(2), 0.25)
    with pytest.raises(FeaturesError, match="there are 1 likenesses for 2 rows, expected one a row"):
        most_alike(np.array([0, 1]), np.zeros(1), 0.25)
