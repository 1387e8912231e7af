"""When losses ask for a look at the validation."""

import dataclasses

import numpy as np
import pytest
from scipy import stats

from classifiers.training.collapse_watch import BATCHES, PATIENCE, CollapseWatch

REFERENCE = np.random.default_rng(0).normal(0.8, 0.1, BATCHES).tolist()


def watch():
    """A watch that may look at once."""
    return CollapseWatch(reference=list(REFERENCE), wait=0)


@pytest.mark.parametrize("level", [0.5, 0.8, 0.9, 1.0, 3.8])
def test_it_asks_where_welchs_test_shows_larger_losses(level):
    losses = np.random.default_rng(1).normal(level, 0.2, BATCHES).tolist()
    found = watch()
    asked = [found.asks(loss) for loss in losses]
    assert not any(asked[:-1])  # fewer losses than batches make no mean
    p = stats.ttest_ind(losses, REFERENCE, equal_var=False, alternative="greater").pvalue
    assert asked[-1] == (p < 0.025)


def test_only_the_last_losses_count():
    found = watch()
    assert not any(found.asks(loss) for loss in [0.8, 0.7, 0.9] * 30)
    assert any(found.asks(5.0) for _ in range(BATCHES))


def test_looks_that_find_nothing_become_rare():
    found = watch()
    looks = [step for step in range(300) if found.asks(5.0 + step % 2)]
    assert looks == [7, 71, 199]
    assert not any(CollapseWatch(reference=list(REFERENCE)).asks(5.0) for _ in range(PATIENCE - 1))


def test_without_a_whole_reference_it_never_asks():
    found = CollapseWatch(reference=REFERENCE[:-1], wait=0)
    assert not any(found.asks(9.0) for _ in range(50))


def test_losses_without_any_spread_are_told_apart_too():
    found = CollapseWatch(reference=[0.5] * BATCHES, wait=0)
    assert not any(found.asks(0.5) for _ in range(20))
    assert any(found.asks(0.6) for _ in range(20))


def test_it_goes_on_from_its_plain_numbers():
    losses = np.random.default_rng(2).normal(1.0, 0.3, 60).tolist()
    whole, broken = watch(), watch()
    expected = [whole.asks(loss) for loss in losses]
    found = []
    for loss in losses:
        broken = CollapseWatch(**dataclasses.asdict(broken))
        found.append(broken.asks(loss))
    assert found == expected and broken == whole


def test_it_begins_again_with_the_reference_it_had():
    found = watch()
    for _ in range(30):
        found.asks(5.0)
    found.comes_back(9)
    found.begin_again()
    assert found == CollapseWatch(reference=REFERENCE)
    assert found.comes_back(3)


def test_a_network_comes_back_only_where_it_gets_more_right_than_at_any_look_before():
    found = watch()
    assert [found.comes_back(right) for right in (40, 55, 55, 54, 56, 40)] == [True, True, False, False, True, False]
