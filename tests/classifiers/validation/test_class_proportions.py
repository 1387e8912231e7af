"""Proportions of classes in two parts, against scipy's chi-squared test."""

import numpy as np
import pytest
from scipy.stats import chi2_contingency

from classifiers.validation.class_proportions import ClassProportions


def compared(classes, part, sources=None, **named):
    sources = np.arange(len(classes)) if sources is None else sources
    return ClassProportions.compare(classes, part, sources=sources, rng=np.random.default_rng(0), **named)


@pytest.mark.parametrize("share", [0.4, 0.45, 0.5])
def test_p_is_about_that_of_the_chi_squared_test(share):
    part = np.arange(300) >= 200
    classes = np.where(part, np.arange(300) % 100 < 100 * share, np.arange(300) % 2).astype(np.intp)
    table = [np.bincount(classes[side], minlength=2) for side in (part, ~part)]
    assert compared(classes, part).p == pytest.approx(chi2_contingency(table, correction=False).pvalue, abs=0.1)


def test_other_proportions_are_told_with_their_size_and_the_same_ones_are_not():
    part = np.arange(300) >= 200
    classes = np.where(part, np.arange(300) % 10 == 0, np.arange(300) % 2 == 0).astype(np.intp)
    found = compared(classes, part, what="unlabelled")
    assert found.differ and found.p < 0.01
    assert found.text.startswith(
        "The unlabelled images have other proportions of classes than the training images: 40 %"
    )
    same = compared((np.arange(300) % 2).astype(np.intp), part)
    assert not same.differ and same.text.startswith("The test and the training images are not shown to have other")


def test_a_small_difference_does_not_count_however_sure_it_is():
    part = np.arange(40_000) >= 20_000
    classes = (np.arange(40_000) % 100 < np.where(part, 55, 50)).astype(np.intp)
    found = compared(classes, part)
    assert found.p < 0.01 and not found.differ


def test_pictures_of_one_source_count_once():
    part, source = np.arange(300) >= 200, np.arange(300) // 20
    classes = (source % 5 == 0).astype(np.intp)
    classes[part] = (source[part] % 2 == 0).astype(np.intp)
    assert compared(classes, part).differ and not compared(classes, part, source).differ


@pytest.mark.parametrize("value", [True, False])
def test_one_part_only_tells_nothing(value):
    assert compared(np.zeros(4, dtype=np.intp), np.full(4, value)) == ClassProportions()
