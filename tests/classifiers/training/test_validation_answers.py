"""Answers to the validation part, compared in pairs; the reference is scipy and three lines of numpy."""

import numpy as np
import pytest
import torch
from hypothesis import given, strategies as st
from scipy import stats
from torch.nn import functional as F

from classifiers.training.validation_answers import ValidationAnswers, shown

LABELS = np.arange(40) % 4


def answers(logits, y=LABELS, smoothing=0.1):
    return ValidationAnswers.of(torch.as_tensor(logits, dtype=torch.float32), y, smoothing)


def knowing(y=LABELS, wrong=0, sure=4.0):
    """Logits that are right but for the first so many."""
    said = y.copy()
    said[:wrong] = (said[:wrong] + 1) % 4
    return sure * np.eye(4)[said]


def test_shares_and_losses_are_those_of_torch():
    logits = np.random.default_rng(0).normal(size=(40, 4)).astype(np.float32)
    found = answers(logits)
    np.testing.assert_array_equal(found.right, logits.argmax(1) == LABELS)
    y = torch.from_numpy(LABELS)
    assert found.log_loss == pytest.approx(float(F.cross_entropy(torch.from_numpy(logits), y)), rel=1e-6)
    smooth = F.cross_entropy(torch.from_numpy(logits), y, label_smoothing=0.1)
    assert found.losses.mean() == pytest.approx(float(smooth), rel=1e-6)
    assert found.accuracy == found.right.mean()
    assert found.largest == np.bincount(logits.argmax(1)).max() / 40


@pytest.mark.parametrize(
    ("gained", "lost", "trusted"),
    [(4, 0, False), (5, 0, True), (0, 0, False), (10, 3, False), (20, 4, True), (0, 9, False)],
)
def test_an_epoch_has_to_beat_the_cached_head_by_two_standard_errors(gained, lost, trusted):
    assert shown(gained, lost) is trusted


def test_fewer_right_by_two_standard_errors_is_less_knowledge():
    head = answers(knowing())
    assert answers(knowing(wrong=5)).knows_less_than(head)
    assert head.knows_more_than(answers(knowing(wrong=5)))
    assert not answers(knowing(wrong=4)).knows_more_than(head)
    assert not head.knows_less_than(head)


def test_larger_losses_count_only_where_fewer_are_right():
    head = answers(knowing(sure=3.0))
    unsure = answers(knowing(sure=0.5))
    assert unsure.losses.mean() > head.losses.mean()
    assert not unsure.knows_less_than(head)  # as many are right
    few = LABELS[:8]
    before, after = answers(knowing(few), few), answers(knowing(few, wrong=1, sure=0.3), few)
    assert stats.ttest_rel(after.losses, before.losses, alternative="greater").pvalue < 0.025
    assert after.knows_less_than(before)  # one image of eight shows nothing, the losses do


@given(st.lists(st.booleans(), min_size=1, max_size=60), st.randoms(use_true_random=False))
def test_nothing_knows_less_than_itself_and_never_both_ways(right, random):
    n = len(right)
    first = ValidationAnswers(np.array(right), np.array([random.random() for _ in right]), 0.5, 0.5)
    shuffled = right.copy()
    random.shuffle(shuffled)
    other = ValidationAnswers(np.array(shuffled), np.array([random.random() for _ in range(n)]), 0.5, 0.5)
    assert not first.knows_less_than(first)
    assert not (first.knows_less_than(other) and other.knows_less_than(first))


def test_one_class_for_all_images_is_stuck_and_less_whatever_the_counts_show():
    y = np.array([0] * 37 + [1, 2, 3])  # the largest class alone is 92.5 %
    head, stuck = answers(knowing(y), y), answers(np.tile([2.0, 0, 0, 0], (40, 1)), y)
    assert stuck.stuck and not head.stuck and stuck.largest == 1.0
    assert not shown(3, 0) and stuck.knows_less_than(head)
    assert not stuck.knows_less_than(stuck)  # where the start is no better, nothing was lost


def test_a_single_validation_image_shows_nothing():
    one = np.array([1])
    head, other = answers(knowing(one), one), answers(knowing(one, wrong=1), one)
    assert not head.knows_more_than(other)
    assert not other.knows_less_than(head)
