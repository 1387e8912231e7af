"""Shift: two parts of one kind, two kinds, and what must not be taken for another kind."""

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from scipy.stats import mannwhitneyu

from classifiers.validation.shift import FEWEST, LEVEL, _within, find_shift
from featstore.errors import FeaturesError


def images(n, seed=0, d=24, classes=3):
    """Features in which the classes differ far more than anything else does."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, classes, n)
    return (rng.normal(size=(n, d)) + 4 * np.eye(classes, d)[y]).astype(np.float32), y


def halves(n, n_other):
    return np.arange(n - n_other), np.arange(n - n_other, n)


def test_parts_of_one_kind_are_no_shift():
    alarms, small = 0, 0
    for seed in range(40):
        X, y = images(240, seed)
        found = find_shift(X, *halves(240, 60), y=y, seed=seed)
        alarms += found.shifted
        small += found.p < 0.1
        assert found.n_train == 180 and found.n_other == 60
    assert alarms == 0
    assert small <= 10  # 4 expected; 11 or more of 40 come once in 200 times


def test_another_kind_is_a_shift_and_says_so():
    X, y = images(240)
    X[180:, 5:9] += 1.5
    found = find_shift(X, *halves(240, 60), y=y)
    assert found.shifted and found.auc > 0.9 and found.auc_ci[0] > LEVEL and found.p < 0.01
    assert found.auc_ci[0] < found.auc < found.auc_ci[1]
    assert found.text.startswith("The 60 test images are of another kind than the 180 training images: a classifier")
    assert not found.proportions_differ


def test_the_sentences_name_the_other_part():
    X, y = images(120)
    assert "The 40 unlabelled images" in find_shift(X, *halves(120, 40), what="unlabelled").text


def test_parts_that_have_nothing_in_common_get_an_interval_that_is_not_a_point():
    X, _ = images(130)
    X[100:, 0] += 60
    found = find_shift(X, *halves(130, 30))
    assert found.auc == 1.0 and 0.8 < found.auc_ci[0] < 1.0 and found.shifted


def test_other_proportions_of_classes_are_not_another_kind_of_images():
    X, y = images(600, seed=3)
    common, rare = np.flatnonzero(y == 0), np.flatnonzero(y > 0)
    other = np.concatenate([common[:90], rare[:30]])  # three quarters of class 0, a third in the whole
    train = np.setdiff1d(np.arange(600), other)
    assert find_shift(X, train, other).shifted, "without classes it cannot be told from a shift"
    found = find_shift(X, train, other, y=y)
    assert not found.shifted
    assert found.proportions_differ and found.proportions_p < 0.01
    assert "other proportions of classes than the training images: 53 %" in found.proportions_text


def test_unknown_classes_are_not_used():
    X, y = images(200)
    some = y.copy()
    some[190:] = -1
    found = find_shift(X, *halves(200, 60), y=some)
    assert found.auc == find_shift(X, *halves(200, 60)).auc
    assert found.proportions_p is None and found.proportions_text == ""


def test_images_of_one_source_do_not_look_like_a_shift():
    """Eight pictures of each of 40 sources: a discriminator that sees the source knows the part."""
    alarms = {True: 0, False: 0}
    for seed in range(10):
        rng = np.random.default_rng(seed)
        source = np.repeat(np.arange(40), 8)
        X = (rng.normal(size=(40, 200))[source] + 0.1 * rng.normal(size=(320, 200))).astype(np.float32)
        train, other = np.flatnonzero(source < 20), np.flatnonzero(source >= 20)
        alarms[True] += find_shift(X, train, other, groups=source, seed=seed).shifted
        alarms[False] += find_shift(X, train, other, seed=seed).shifted
    assert alarms[True] <= 1  # one of ten comes by chance once in ten times
    assert alarms[False] >= 9


@pytest.mark.parametrize("copies", [0, 40])
def test_identical_images_in_both_parts_do_not_matter(copies):
    alarms = 0
    for seed in range(10):
        X, y = images(300, seed)
        X[240 : 240 + copies], y[240 : 240 + copies] = X[:copies], y[:copies]
        alarms += find_shift(X, *halves(300, 60), y=y, seed=seed).shifted
    assert alarms == 0


def test_a_real_but_small_difference_is_no_alarm():
    X, y = images(4000, seed=1)
    X[2000:, 7] += 0.25
    found = find_shift(X, *halves(4000, 2000), y=y)
    assert found.p < 0.01 and not found.shifted
    assert "by how much is not shown to matter" in found.text


@pytest.mark.parametrize("n_other", [0, 1, 10, FEWEST - 1])
def test_of_a_few_images_nothing_can_be_told(n_other):
    X, y = images(200)
    X[200 - n_other :] += 9
    found = find_shift(X, *halves(200, n_other), y=y)
    assert found.auc is found.p is found.auc_ci is None and not found.shifted
    assert found.likeness.tolist() == [0.5] * (200 - n_other)
    why = (
        "have no class in common"
        if n_other == 0
        else f"{n_other} independent images in the smaller of the two, expected at least {FEWEST}"
    )
    assert why in found.text and found.text.startswith("It cannot be told whether")


def test_a_hundred_pictures_of_five_sources_are_five():
    X, _ = images(300)
    source = np.concatenate([np.arange(200), 200 + np.arange(100) % 5])
    assert "5 independent images" in find_shift(X, *halves(300, 100), groups=source).text


def test_a_part_of_one_class_is_compared_with_that_class():
    X, y = images(300, seed=2)
    other = np.flatnonzero(y == 1)[:50]
    found = find_shift(X, np.setdiff1d(np.arange(300), other), other, y=y)
    assert found.auc is not None and not found.shifted and found.proportions_differ


def test_parts_without_a_common_class_cannot_be_compared():
    X, _ = images(100)
    y = np.repeat([0, 1], 50)
    assert "no class in common" in find_shift(X, *halves(100, 50), y=y).text


def test_likeness_ranks_training_images_by_how_much_they_look_like_the_other_part():
    X, _ = images(300)
    X[240:, 10:14] += 2
    X[:40, 10:14] += 2  # training images of the other kind
    found = find_shift(X, *halves(300, 60))
    assert found.likeness.shape == (240,) and found.likeness.min() >= 0 and found.likeness.max() <= 1
    assert np.mean(found.likeness[:40]) > 0.7 > 0.3 > np.mean(found.likeness[40:])


def test_likeness_is_given_for_rows_beyond_the_sample(monkeypatch):
    monkeypatch.setattr("classifiers.validation.shift.MOST_ROWS", 120)
    X, y = images(400)
    X[300:, 10:14] += 2
    found = find_shift(X, *halves(400, 100), y=y)
    assert found.shifted and found.likeness.shape == (300,) and np.mean(found.likeness) < 0.3


def test_the_same_input_gives_the_same_answer():
    X, y = images(200)
    first, second = (find_shift(X, *halves(200, 60), y=y, seed=4) for _ in range(2))
    assert first.to_json() == second.to_json() and np.array_equal(first.likeness, second.likeness)
    assert "likeness" not in first.to_json() and isinstance(first.to_json()["auc_ci"], list)


def test_auc_is_that_of_mann_whitney():
    rng = np.random.default_rng(0)
    scores, labels = rng.normal(size=(60, 1)).astype(np.float32), rng.random((60, 1)) < 0.4
    ones, zeros = scores[labels], scores[~labels]
    expected = mannwhitneyu(ones, zeros).statistic / (len(ones) * len(zeros))
    assert _within(scores, np.zeros(60, dtype=np.intp), labels)[0] == pytest.approx(expected)


def test_the_low_end_of_the_interval_lies_below_the_auc_of_many_more_images():
    X, _ = images(8000, seed=9, d=6, classes=2)
    X[4000:, 3] += 0.9
    truth = find_shift(X[2000:6000], *halves(4000, 2000)).auc
    lows = []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        rows = np.concatenate([rng.choice(4000, 200, False), rng.choice(np.arange(4000, 8000), 80, False)])
        lows.append(find_shift(X[rows], *halves(280, 80), seed=seed).auc_ci[0])
    assert np.mean(np.array(lows) <= truth) >= 0.9 and np.mean(lows) > truth - 0.15


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"y": np.zeros(3)}, "there are 3 classes for 100 rows, expected one a row"),
        ({"groups": np.zeros(3)}, "there are 3 groups for 100 rows, expected one a row"),
        ({"other": np.arange(40, 100)}, "the two parts share rows; expected every row in one of them"),
    ],
)
def test_refusals(given, sentence):
    X, _ = images(100)
    given = {"train": np.arange(50), "other": np.arange(50, 100)} | given
    with pytest.raises(FeaturesError, match=sentence):
        find_shift(X, given.pop("train"), given.pop("other"), **given)


def test_sources_of_several_classes_are_counted_in_each_of_them():
    rng, y = np.random.default_rng(0), np.arange(240) % 3
    X = rng.normal(size=(240, 8)).astype(np.float32)
    found = find_shift(X, np.arange(160), np.arange(160, 240), y=y, groups=np.arange(240) // 4)
    assert found.proportions_p > 0.5 and not found.proportions_differ


@settings(max_examples=15, deadline=None)
@given(power=st.integers(-100, 63), known=st.booleans(), seed=st.integers(0, 99))
def test_any_other_unit_changes_nothing(power, known, seed):
    X, y = images(90, seed)
    X[60:, 5:9] += 1.5
    ours, other = (find_shift(x, *halves(90, 30), y=y if known else None) for x in (X, np.ldexp(X, power)))
    assert ours.to_json() == other.to_json() and np.array_equal(ours.likeness, other.likeness)


@pytest.mark.filterwarnings("error")
def test_features_of_any_size_zeros_and_constants_do_no_harm():
    X, y = images(240)
    X[180:, 5:9] += 1.5
    plain = find_shift(X, *halves(240, 60), y=y)
    wild = np.hstack([X, np.zeros((240, 2)), np.full((240, 1), 7.1), 1e19 * X[:, :1], 1e-30 * X[:, :1]])
    assert find_shift(wild.astype(np.float32), *halves(240, 60), y=y).auc == pytest.approx(plain.auc, abs=0.03)


@pytest.mark.filterwarnings("error")
def test_features_that_are_the_same_in_all_images_of_a_class_tell_nothing():
    y = np.arange(240) % 60
    found = find_shift(np.eye(60, dtype=np.float32)[y], *halves(240, 60), y=y)
    assert found.auc is None and "features do not differ between images of a class" in found.text
    assert "1 independent images" in find_shift(np.ones((240, 3), np.float32), *halves(240, 60)).text


def test_a_part_of_one_class_says_what_it_is_compared_with():
    X, y = images(300, seed=2)
    other = np.flatnonzero(y == 1)[:50]
    like = int((y == 1).sum()) - 50
    text = find_shift(X, np.setdiff1d(np.arange(300), other), other, y=y).text
    assert (
        f"The 50 test images are not shown to be of another kind than the {like} training images of classes that"
        in text
    )
