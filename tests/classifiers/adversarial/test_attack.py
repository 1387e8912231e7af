import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st

from classifiers.adversarial.attack import Attack, PerturbationSet, epsilon_text, parse_epsilon
from featstore.errors import AttackError


def test_a_step_is_whole_grey_levels_in_l_infinity():
    assert Attack(epsilon=4 / 255).stride == 1
    assert Attack(epsilon=64 / 255, steps=20).stride == 8
    assert Attack(epsilon=4 / 255, rate=2 / 255).stride == 2
    assert Attack(norm="l2", epsilon=1.0, steps=25).stride == pytest.approx(25.5)


def test_fgsm_is_one_step_of_the_whole_radius():
    attack = Attack(method="fgsm", epsilon=3 / 255)
    assert (attack.rounds, attack.stride) == (1, 3)


def test_descent_knows_no_bound_and_stops_at_nine_tenths():
    attack = Attack(method="descent", epsilon=1 / 255)
    assert attack.allowed.radius == float("inf")
    assert attack.patience == 0.9
    assert Attack(method="descent", enough=0.5).patience == 0.5
    assert Attack().patience is None


def test_with_nothing_allowed_no_step_is_taken():
    assert Attack(epsilon=0).rounds == 0


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"method": "magic"}, "method 'magic' is not known; use one of pgd, fgsm, descent"),
        ({"norm": "l1"}, "norm 'l1' is not known"),
        ({"goal": "fame"}, "goal 'fame' is not known"),
        ({"epsilon": 0.001}, "below one grey level"),
        ({"restarts": 0}, "must be at least 1"),
        ({"steps": 0}, "must be at least 1"),
        ({"rate": -1.0}, "above 0"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings, sentence):
    with pytest.raises(AttackError, match=sentence):
        Attack(**settings)


shape = (2, 3, 6, 6)


def originals(seed: int) -> torch.Tensor:
    return torch.randint(0, 256, shape, generator=torch.Generator().manual_seed(seed)).float()


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(["linf", "l2"]), st.floats(1 / 255, 1.0), st.integers(0, 10_000), st.floats(0.1, 300))
def test_whole_changes_are_whole_and_inside_the_ball_and_the_range_of_pixels(norm, epsilon, seed, spread):
    allowed = PerturbationSet(norm, epsilon)
    original = originals(seed)
    change = allowed.project(torch.randn(shape, generator=torch.Generator().manual_seed(seed + 1)) * spread)
    whole = allowed.quantise(original, change)
    assert torch.equal(whole, whole.round())
    result = original + whole
    assert result.min() >= 0 and result.max() <= 255
    flat = whole.double().flatten(1).numpy() / 255
    size = np.abs(flat).max(1) if norm == "linf" else np.sqrt((flat**2).sum(1))
    assert (size <= epsilon + 1e-9).all()


def test_l2_rounding_spends_the_room_that_cutting_leaves():
    # 0.4 grey levels everywhere would be cut to nothing; most of the length must survive as whole levels somewhere.
    allowed = PerturbationSet("l2", 0.1)
    change = allowed.project(torch.ones(1, 3, 32, 32))
    assert float(change.max()) < 1
    whole = allowed.quantise(torch.full((1, 3, 32, 32), 128.0), change)
    assert 0.95 * allowed.radius <= float(whole.norm()) <= allowed.radius
    assert (whole >= 0).all()


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_direction_is_the_steepest_step_of_length_one(norm):
    allowed = PerturbationSet(norm, 0.5)
    gradient = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    step = allowed.direction(gradient)
    assert torch.allclose(allowed.length(step), torch.ones(2), atol=1e-5)
    best = gradient.abs().sum((1, 2, 3)) if norm == "linf" else gradient.flatten(1).norm(dim=1)
    assert torch.allclose((gradient * step).sum((1, 2, 3)), best, rtol=1e-5)


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_noise_is_inside_and_repeatable(norm):
    allowed = PerturbationSet(norm, 8 / 255)
    first = allowed.sample(shape[1:], torch.Generator().manual_seed(3))
    assert torch.equal(first, allowed.sample(shape[1:], torch.Generator().manual_seed(3)))
    assert not torch.equal(first, allowed.sample(shape[1:], torch.Generator().manual_seed(4)))
    assert 0 < float(allowed.length(first[None])) <= 8 + 1e-4


def test_a_radius_in_l_infinity_is_whole_grey_levels():
    assert PerturbationSet("linf", 4 / 255).radius == 4
    assert PerturbationSet("linf", 0.0157).radius == 4
    assert PerturbationSet("linf", 0.0156).radius == 3
    assert PerturbationSet("l2", 0.5).radius == 127.5


@pytest.mark.parametrize(
    ("text", "value"), [("4/255", 4 / 255), ("0.0157", 0.0157), ("0", 0.0), (" 8 / 255 ", 8 / 255), (".5", 0.5)]
)
def test_epsilon_is_read_as_people_write_it(text, value):
    assert math.isclose(parse_epsilon(text), value)


def test_a_negative_epsilon_is_refused():
    with pytest.raises(AttackError, match="'-1' is negative"):
        parse_epsilon("-1")


@pytest.mark.parametrize("text", ["four", "4/0", "1/2/3", "", "nan", "inf", "1e", "1e-2e3"])
def test_what_is_no_epsilon_is_refused(text):
    with pytest.raises(AttackError, match="write a fraction like 4/255"):
        parse_epsilon(text)


def test_an_epsilon_below_one_grey_level_is_refused():
    with pytest.raises(AttackError, match=r"epsilon 0\.001 is below one grey level .* use 1/255 or more"):
        PerturbationSet("linf", 0.001)
    assert PerturbationSet("linf", 0.0).radius == 0


def test_grey_levels_given_as_a_radius_are_noticed():
    with pytest.raises(AttackError, match="write 4/255"):
        PerturbationSet("linf", 4.0)


@pytest.mark.parametrize("epsilon", [-0.1, float("nan")])
def test_a_radius_that_is_none_is_refused(epsilon):
    with pytest.raises(AttackError, match="expected 0 or more"):
        PerturbationSet("l2", epsilon)


def test_an_epsilon_is_said_in_the_units_of_its_norm():
    assert epsilon_text(4 / 255, "linf") == "4/255" and epsilon_text(0.25, "l2") == "0.25"
