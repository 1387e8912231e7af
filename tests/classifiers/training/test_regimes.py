"""The four regimes and what they suggest."""

import json

import pytest

from classifiers.training.augment import Augmentation
from classifiers.training.regimes import REGIMES, settings_for


def test_small_sets_keep_the_network_frozen_and_large_ones_reopen_it():
    reopened = {number: settings_for(regime, 1000).reopen for number, regime in REGIMES.items()}
    assert reopened == {1: "head", 2: "head", 3: "all", 4: "all"}
    assert [regime.earlier for regime in REGIMES.values()] == [False, True, False, False]


def test_a_similar_domain_is_trained_with_smaller_steps_than_a_different_one():
    similar, different = settings_for(REGIMES[3], 1000), settings_for(REGIMES[4], 1000)
    assert similar.learning_rate < different.learning_rate
    assert similar.lowest_rate <= different.lowest_rate < 1
    assert not similar.augmentation.turn and different.augmentation.turn
    assert similar.augmentation.smallest < different.augmentation.smallest


def test_what_is_asked_for_stands_and_none_is_no_wish():
    settings = settings_for(REGIMES[4], 1000, epochs=3, mixup=0.5, turn=False, learning_rate=None, class_weight=None)
    assert (settings.epochs, settings.augmentation.mixup, settings.augmentation.turn) == (3, 0.5, False)
    assert settings.learning_rate == settings_for(REGIMES[4], 1000).learning_rate


def test_small_sets_get_more_epochs_than_large_ones():
    epochs = [settings_for(REGIMES[3], images).epochs for images in (100, 1000, 10_000, 1_000_000)]
    assert epochs == sorted(epochs, reverse=True) and epochs[0] > epochs[-1] > 1


def test_random_weights_are_trained_all_over_with_statistics_that_adapt():
    settings = settings_for(REGIMES[1], 1000, from_scratch=True)
    assert settings.reopen == "all" and settings.lowest_rate == 1.0 and settings.adapt_statistics
    assert settings_for(REGIMES[1], 1000, from_scratch=True, adapt_statistics=False).adapt_statistics is False


def test_without_augmentation_one_view_is_all_there_is():
    settings = settings_for(REGIMES[3], 1000, augment=False, views=4)
    assert settings.augmentation is None and settings.views == 1
    assert settings_for(REGIMES[3], 1000, augment=False, views=0).views == 0
    assert settings_for(REGIMES[3], 1000, augment=True).augmentation == Augmentation(
        **settings_for(REGIMES[3], 1000).augmentation.to_json()
    )


def test_settings_are_plain_json():
    document = settings_for(REGIMES[4], 1000).to_json()
    assert json.loads(json.dumps(document)) == document
    assert document["augmentation"]["turn"] is True


def test_unknown_settings_are_refused():
    with pytest.raises(TypeError, match="learning_rats"):
        settings_for(REGIMES[4], 1000, learning_rats=1)
