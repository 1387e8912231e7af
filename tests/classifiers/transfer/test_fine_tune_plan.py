"""What is decided before a fine-tune, on a network whose features are planted."""

import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st

from classifiers.training.regimes import REGIMES, settings_for
from classifiers.training.starting_point import CachedHead
from classifiers.training.validation_answers import ValidationAnswers
from classifiers.transfer import fine_tune_plan
from classifiers.transfer.fine_tune_plan import FineTunePlan
from featstore.errors import FeaturesError, UnknownNameError
from tests.support.planted_network import NOISE, TELLING, Cached, features

ALONE = {"groups": "none"}
"""Every image is for itself."""


def plan(network, given=None, **options):
    settings = {"regime": 3, "head": "logistic", "budget": "quick", "device": torch.device("cpu")}
    return FineTunePlan.of(network, given=ALONE | (given or {}), progress=lambda *_: None, **settings | options)


@pytest.mark.parametrize("regime", [1, 3, 4, "4"])
def test_a_regime_that_is_named_is_taken_with_its_settings_and_the_networks_own_node(regime):
    network = Cached([features(48), features(48, 9.0, node="layer2")])
    made = plan(network, regime=regime)
    assert made.regime is REGIMES[int(regime)] and made.network is network and made.notes == []
    expected = settings_for(REGIMES[int(regime)], len(made.start.fit), precision="fp32", groups="none")
    assert made.settings == expected and made.start.features is network.features


def test_a_small_and_different_domain_stands_on_the_node_that_does_best():
    own, better = features(156, 0.3), features(156, 6.0, node="layer3")
    made = plan(Cached([own, better]), regime=2)
    assert made.network.features is made.start.features is better
    (note,) = made.notes
    assert note.startswith(
        f"validation accuracy by node, on {len(made.start.valid)} images: avgpool "
    ) and note.endswith("layer3 100.0%")


@pytest.mark.parametrize(
    ("images", "sees", "given", "number"),
    [
        (156, TELLING, {}, 1),
        (720, NOISE, {}, 4),
        (156, TELLING, {"reopen": "layer4"}, 3),
        (156, NOISE, {"from_scratch": True}, 4),
        (156, TELLING, {"reopen": "head"}, 1),
    ],
)
def test_auto_follows_the_evidence_unless_what_was_asked_for_reopens_the_network(images, sees, given, number):
    made = plan(Cached([features(images)], sees), given, regime="auto")
    assert made.regime is REGIMES[number]
    (note,) = (note for note in made.notes if "regime " in note)
    assert note.startswith(f"regime {number}: ") or note.endswith(f"so the settings are those of regime {number}")
    assert made.settings.reopen == given.get("reopen", REGIMES[number].reopen)


@settings(max_examples=25, deadline=None)
@given(fraction=st.floats(0.1, 0.9), seed=st.integers(0, 2**31 - 1))
def test_any_share_and_seed_part_the_training_images_and_touch_no_test_image(fraction, seed):
    own = features(60)
    start = plan(Cached([own]), {"valid_fraction": fraction, "seed": seed}).start
    np.testing.assert_array_equal(start.training, own.training())
    np.testing.assert_array_equal(start.test, own.testing())
    assert not set(start.fit) & set(start.valid)
    assert set(own.y[start.fit]) == set(own.y[start.valid]) == {0, 1, 2}
    assert len(start.valid) / len(start.training) == pytest.approx(fraction, abs=0.1)


def test_images_of_one_source_stay_on_one_side():
    own = features(156)
    start = plan(Cached([own]), {"groups": r"(\d{4})\d\.jpg"}).start
    sources = np.arange(156) // 10
    assert not set(sources[start.fit]) & set(sources[start.valid])


def test_what_was_asked_for_takes_the_place_of_what_the_regime_suggests():
    made = plan(Cached([features(48)]), {"epochs": 3, "head_rate": 0.5, "smallest": 0.9, "seed": 8})
    suggested = settings_for(REGIMES[3], len(made.start.fit))
    augmentation = dataclasses.replace(suggested.augmentation, smallest=0.9)
    changes = {"epochs": 3, "patience": 8, "head_rate": 0.5, "seed": 8, "groups": "none", "augmentation": augmentation}
    assert made.settings == dataclasses.replace(suggested, **changes)


def test_the_precision_is_the_devices_unless_one_was_asked_for(monkeypatch):
    monkeypatch.setattr(fine_tune_plan, "mixed_precision", {torch.device("cuda"): "bf16"}.__getitem__)
    network, device = Cached([features(48)]), torch.device("cuda")
    assert plan(network, device=device).settings.precision == "bf16"
    assert plan(network, {"precision": "fp16"}, device=device).settings.precision == "fp16"


def test_the_cached_head_is_fitted_with_the_same_seed_budget_and_class_weight():
    made = plan(Cached([features(48)]), {"seed": 5, "class_weight": "balanced"}, head="svm", budget="thorough")
    assert made.cached_head == CachedHead("svm", 5, "thorough", "balanced")
    assert plan(Cached([features(48)])).cached_head == CachedHead("logistic", 0, "quick", None)


@pytest.mark.parametrize(("head", "why"), [("lightgbm", "has no gradients"), ("mlp", "is not linear")])
def test_a_head_that_the_network_cannot_start_from_is_replaced_and_that_is_said(head, why):
    made = plan(Cached([features(48)]), head=head)
    assert made.cached_head.name == "logistic"
    assert made.notes == [f"{head} {why}, so the fine-tune starts from logistic, a linear head, instead"]


@pytest.mark.parametrize(
    ("given", "head", "error", "sentence"),
    [
        ({"valid_fraction": 0.0}, "logistic", FeaturesError, r"no validation part: the share to hold out is 0\.0"),
        ({"valid_fraction": 1.0}, "logistic", FeaturesError, "no validation part: .* between 0 and 1"),
        ({"groups": "class"}, "logistic", FeaturesError, "no validation part can be held out of 36 training images"),
        ({}, "logistc", UnknownNameError, "unknown head 'logistc'.*logistic"),
    ],
)
def test_what_cannot_be_planned_is_one_sentence(given, head, error, sentence):
    with pytest.raises(error, match=sentence) as caught:
        plan(Cached([features(48)]), given, head=head)
    assert "\n" not in str(caught.value)


def test_a_class_without_training_images_is_named():
    own = features(48)
    own.splits[own.y == 1] = "test"
    with pytest.raises(FeaturesError, match=r"1 of 3 classes have no training image with features \(class1\)"):
        plan(Cached([own]))


def answers(n, wrong):
    return np.arange(n) >= wrong


@pytest.mark.parametrize(("images", "fraction"), [(60, 0.25), (156, 0.15)])
def test_what_an_epoch_has_to_gain_is_what_the_rule_asks_for(images, fraction):
    made = plan(Cached([features(images)]), {"valid_fraction": fraction})
    n = len(made.start.valid)
    assert 5 < n < fine_tune_plan.FEW and made.least_gain == 5 / n
    said = made.what_it_takes(answers(n, 6))
    assert said.startswith(
        f"the validation part has {n} images: an epoch is kept only where it gets at least 5 more of them right than "
        f"the cached head ({500 / n:.1f} points)"
    )
    assert "no epoch can" not in said and "`keep_any=True`" in said
    first = ValidationAnswers(answers(n, 6), np.zeros(n), 0.5, 0.5)
    for wrong, kept in ((2, False), (1, True)):  # 4 and 5 more than the 6 that were wrong
        assert ValidationAnswers(answers(n, wrong), np.zeros(n), 0.5, 0.5).knows_more_than(first) is kept


def test_a_head_with_too_few_errors_cannot_be_beaten_and_that_is_said_however_many_images_validate():
    made = plan(Cached([features(240)]), {"valid_fraction": 0.25})
    n = len(made.start.valid)
    assert n >= fine_tune_plan.FEW and made.what_it_takes(answers(n, 5)) == ""
    assert "that head gets only 4 wrong, so no epoch can gain as much" in made.what_it_takes(answers(n, 4))


def test_where_any_epoch_is_kept_nothing_has_to_be_gained():
    made = plan(Cached([features(60)]), {"keep_any": True})
    assert made.least_gain is None and made.what_it_takes(answers(len(made.start.valid), 0)) == ""
