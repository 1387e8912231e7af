import pytest

from classifiers.attack import Attack
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
    assert attack.ball.radius == float("inf")
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
