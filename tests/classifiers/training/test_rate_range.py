"""Rates are tried from the largest down, until a few steps do no harm."""

import numpy as np
import pytest
import torch

from classifiers.training.learner import NotFiniteError
from classifiers.training.rate_range import FACTORS, SHARE, STEPS, Trial, find_rates, find_start


class Bowl:
    """A learner whose loss is the square of one weight, by plain gradient descent at a rate of 0.8 times the factor."""

    def __init__(self, steps, rate=0.8, images=40):
        self.live = {"w": torch.tensor(1.0)}
        self.steps, self.steps_per_epoch, self.rate = steps, steps, rate
        self.spread = np.linspace(-0.1, 0.1, images)
        self.images, self.unseen = images, 9
        self.begun, self.stepped = [], []

    def rows(self, step):
        return np.arange(4)

    def begin_again(self, start, factor, *, rise=None):
        self.live["w"].copy_(start["w"])
        self.factor = factor
        self.begun.append((factor, rise))

    def step(self, rows, epoch, step):
        self.stepped.append(step)
        self.live["w"].mul_(1 - 2 * self.rate * self.factor)
        if abs(float(self.live["w"])) > 1e6:
            raise NotFiniteError("the loss became inf")

    def losses(self, rows, epoch):
        return float(self.live["w"]) ** 2 + self.spread[rows]


def tried(bowl):
    return find_rates(bowl, {"w": torch.tensor(1.0)})


def test_a_rate_that_lowers_the_loss_is_taken_at_once():
    bowl = Bowl(100)
    trials = tried(bowl)
    assert [trial.factor for trial in trials] == [1.0] and not trials[0].worse
    assert trials[0].after < trials[0].before == pytest.approx(1.0)
    assert bowl.begun[-1] == (1.0, None) and float(bowl.live["w"]) == 1.0  # ready to train, from the start


def test_rates_that_diverge_are_given_up_by_half_decades():
    bowl = Bowl(100, rate=8.0)  # |1 - 2 * rate * factor| < 1 from a factor of 0.1 down
    trials = tried(bowl)
    assert [trial.factor for trial in trials] == [1.0, 0.316, 0.1]
    assert [trial.worse for trial in trials] == [True, True, False]
    assert trials[0].after == np.inf and trials[0].to_json()["after"] is None
    assert bowl.begun[-1] == (0.1, None)


def test_where_all_rates_harm_the_smallest_is_taken_and_said_to_harm():
    trials = tried(Bowl(100, rate=800.0))
    assert [trial.factor for trial in trials] == list(FACTORS) and trials[-1].worse


@pytest.mark.parametrize(("steps", "each"), [(1, 1), (3, 1), (10, 3), (1000, STEPS)])
def test_a_trial_is_a_small_share_of_a_short_training(steps, each):
    bowl = Bowl(steps)
    tried(bowl)
    assert bowl.stepped == list(range(each)) and each <= max(1, SHARE * steps)
    assert bowl.begun == [(1.0, each), (1.0, None)]


def test_a_head_that_is_given_takes_the_place_of_the_one_in_the_weights():
    bowl = Bowl(100)
    bowl.live["head.weight"] = torch.zeros(1, 1)
    head = torch.nn.Linear(1, 1, bias=False)
    weights = {"head.weight": torch.tensor(5.0), "w": torch.tensor(1.0)}
    begun, begin_again = [], bowl.begin_again
    bowl.begin_again = lambda start, *rest, **more: (begun.append(start), begin_again(start, *rest, **more))
    given, trials = find_start(bowl, weights, lambda: head)
    assert list(given) == ["head.weight"] and torch.equal(given["head.weight"], head.weight)
    assert all(start == weights | given for start in begun) and len(begun) == len(trials) + 1
    assert find_start(Bowl(100), {"w": torch.tensor(1.0)})[0] == {}


def test_a_harm_that_is_not_shown_is_none():
    bowl = Bowl(100, images=40)
    noise = iter([np.zeros(40), np.random.default_rng(0).normal(0.01, 1.0, 40)])
    bowl.losses = lambda rows, epoch: next(noise)
    assert [trial.worse for trial in tried(bowl)] == [False]


def test_plain_numbers():
    assert Trial(0.1, 1.0, 2.0, True).to_json() == {"factor": 0.1, "before": 1.0, "after": 2.0, "worse": True}
