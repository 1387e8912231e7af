"""What reopening is expected to bring."""

import numpy as np
import pytest
from hypothesis import given, strategies as st

from classifiers.advice.expected_gain import LEAD, expected_gain

BASE = {"train": 700, "per_class": 100.0, "distance": 0.6, "images": 200}


@given(
    error=st.floats(0, 1), train=st.integers(1, 10**7), per_class=st.floats(1, 10**6), distance=st.floats(0, 1),
    images=st.integers(1, 10**6), lead=st.floats(-1, 1), elsewhere=st.booleans(),
)  # fmt: skip
def test_a_gain_never_exceeds_the_error_and_lies_in_its_interval(error, **settings):
    found = expected_gain(error, **settings)
    assert -1 <= found.ci[0] <= found.gain <= found.ci[1] <= error + 1e-12 and 0 <= found.chance <= 1


def test_more_images_and_a_farther_domain_promise_more():
    for name, values in (("train", (50, 300, 3000)), ("distance", (0.0, 0.5, 1.0))):
        gains = [expected_gain(0.3, **{**BASE, name: value}).gain for value in values]
        assert gains == sorted(gains) and gains[0] < gains[-1]


def test_few_test_images_make_a_wide_interval():
    widths = [np.diff(expected_gain(0.3, **{**BASE, "images": n}).ci)[0] for n in (30, 300, 30_000)]
    assert widths == sorted(widths, reverse=True) and widths[0] > 1.2 * widths[-1]


def test_images_of_another_kind_gain_more_and_are_less_sure():
    known, guessed = (expected_gain(0.3, **BASE, elsewhere=elsewhere) for elsewhere in (False, True))
    assert guessed.gain == pytest.approx(known.gain + 0.06)
    assert np.diff(guessed.ci)[0] > np.diff(known.ci)[0]


def test_what_an_earlier_node_knows_is_found_again():
    plain, led = (expected_gain(0.3, **BASE, lead=lead) for lead in (-0.1, 0.1))
    assert led.gain == pytest.approx(plain.gain + 0.1 * LEAD)


@given(measured=st.floats(-1, 1), se=st.floats(1e-3, 10))
def test_a_measurement_moves_the_expectation_by_its_precision(measured, se):
    before = expected_gain(0.3, **BASE)
    after = before.updated(measured, se)
    low, high = sorted((before.gain, measured))
    assert min(low, 0.3) - 1e-9 <= after.gain <= min(high, 0.3) + 1e-9
    assert after.unknown < min(before.unknown, se) and after.images == before.images
    assert after.ci[0] <= after.gain <= after.ci[1]


def test_two_measurements_are_one_of_both():
    before = expected_gain(0.3, **BASE)
    twice, once = before.updated(0.1, 0.05).updated(0.0, 0.05), before.updated(0.05, 0.05 / 2**0.5)
    assert twice.gain == pytest.approx(once.gain) and twice.chance == pytest.approx(once.chance)


def test_the_document():
    assert expected_gain(0.3, **BASE).to_json().keys() == {"gain", "ci", "level", "chance", "close", "images"}
