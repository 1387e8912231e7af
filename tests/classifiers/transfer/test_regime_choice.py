"""Regime and node by evidence that was planted in a cache: which of the four, and which node."""

import dataclasses

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from classifiers.training.starting_point import CachedHead, StartingPoint
from classifiers.transfer.regime_choice import best_node, choose_regime
from tests.support.planted_network import NOISE, TELLING, Cached, features

CACHED_HEAD = CachedHead("logistic", 0, "quick", None)


def start_of(own, groups=None):
    training = own.training()
    return StartingPoint(own, training[::2], training[1::2], own.testing(), groups)


def chosen(network, groups=None):
    notes, told = [], []
    regime = choose_regime(network, start_of(network.features, groups), notes, lambda *now: told.append(now))
    assert told and all(stage == "advise" for stage, *_ in told)
    (note,) = notes
    assert note.startswith(f"regime {regime}: The training part is ")
    return regime, note


@pytest.mark.parametrize(
    ("images", "sees", "regime", "words"),
    [
        (156, TELLING, 1, "small (117 images, 39 a class) and similar to"),
        (156, NOISE, 2, "small (117 images, 39 a class) and different from"),
        (720, TELLING, 3, "large (540 images, 180 a class) and similar to"),
        (720, NOISE, 4, "large (540 images, 180 a class) and different from"),
    ],
)
def test_size_and_what_the_networks_own_classes_tell_make_the_four_regimes(images, sees, regime, words):
    found, note = chosen(Cached([features(images)], sees))
    assert found == regime and words in note


def test_many_images_of_many_classes_are_few():
    found, note = chosen(Cached([features(800, classes=40)], TELLING))
    assert found in (1, 2) and "(600 images, 15 a class)" in note


def test_an_earlier_node_that_is_better_does_not_alone_make_a_domain_different():
    """Small pictures favour earlier nodes, too."""
    late, early = features(156, 0.7), features(156, 4.0, node="layer2")
    assert chosen(Cached([late], TELLING))[0] == 1
    network, notes = Cached([late, early], TELLING), []
    found = choose_regime(network, start_of(network.features), notes, lambda *now: None)
    note, other = notes
    assert other.startswith("the advice would be a head on layer2 in the cache, +")
    assert found == 1 and "(distance 0.40, where 0 is near and 1 is far)" in note


def test_no_test_image_is_judged():
    network = Cached([features(156), features(156, 0.5, node="layer2")], TELLING)
    expected = chosen(network)
    for one in network.sets:
        one.y[one.testing()] = one.y[one.testing()][::-1]
    assert chosen(network) == expected


def test_images_of_one_source_are_counted_once():
    own = features(156)
    _, note = chosen(Cached([own]), groups=np.arange(156) // 6)
    assert f"(117 images from {len(set(own.training() // 6))} sources, " in note


def accuracy(one, start):
    """scikit-learn's own logistic regression, on the same rows."""
    model = LogisticRegression(max_iter=1000).fit(one.X[start.fit], one.y[start.fit])
    return model.score(one.X[start.valid], one.y[start.valid])


def test_the_node_is_the_one_whose_head_does_best_on_the_validation_part():
    sets = [features(156, 0.5), features(156, 6.0, node="layer3", seed=1), features(156, 1.5, node="layer2", seed=2)]
    start, notes = start_of(sets[0]), []
    network, there = best_node(Cached(sets), start, CACHED_HEAD, notes)
    scores = [accuracy(one, start) for one in sets]
    assert scores.index(max(scores)) == 1 and max(scores) == 1.0
    assert network.features is there.features is sets[1]
    for name in ("fit", "valid", "test", "groups"):
        assert getattr(there, name) is getattr(start, name)
    head, _, tried = notes[0].partition(": ")
    said = dict(entry.split() for entry in tried.split(", "))
    assert head == f"validation accuracy by node, on {len(start.valid)} images"
    assert list(said) == [
        "avgpool",
        "layer3",
        "layer2",
    ]
    for share, expected in zip(said.values(), scores, strict=True):
        assert float(share.rstrip("%")) / 100 == pytest.approx(expected, abs=0.12)
    assert said["layer3"] == "100.0%"


def test_a_lead_that_chance_can_explain_is_called_so():
    for own_signal, chance in ((5.0, True), (0.1, False)):
        own, better = features(60, own_signal), features(60, 9.0, node="layer3")
        start, notes = start_of(own), []
        network, _ = best_node(Cached([own, better]), start, CACHED_HEAD, notes)
        assert network.features is better
        assert len(notes) == 1 + chance
        if chance:
            assert notes[1].startswith(
                "layer3 was taken, the best of 2 nodes; chance can explain its lead over avgpool"
            )
            assert f"on {len(start.valid)} images (" in notes[1]


def test_where_more_than_the_head_is_to_be_trained_the_regime_that_is_named_is_the_one_used():
    network, notes = Cached([features(156)], TELLING), []
    assert choose_regime(network, start_of(network.features), notes, lambda *_: None, reopens=True) == 3
    assert notes[0].startswith("the evidence says regime 1: The training part is small")
    assert notes[0].endswith("Regime 1 trains the head only; more than the head was asked for, so the settings are "
                             "those of regime 3")  # fmt: skip


def test_of_nodes_that_do_equally_well_the_networks_own_is_kept():
    own, other = features(156, 9.0), features(156, 9.0, node="layer3")
    network, start = best_node(Cached([own, other]), start_of(own), CACHED_HEAD, [])
    assert network.features is start.features is own


def test_only_the_validation_part_judges_a_node():
    sets = [features(156, 0.5), features(156, 6.0, node="layer3")]
    start = start_of(sets[0])
    # on the test images the other node looks better
    rest = start.test
    sets[0].X[rest] = features(156, 20.0).X[rest]
    sets[1].X[rest] = 0.0
    assert best_node(Cached(sets), start, CACHED_HEAD, [])[1].features is sets[1]
    spoilt = dataclasses.replace(sets[1], X=sets[1].X.copy())
    spoilt.X[start.valid] = np.random.default_rng(0).normal(size=(len(start.valid), 8))
    better = features(156, 2.0)
    assert best_node(Cached([better, spoilt]), start_of(better), CACHED_HEAD, [])[1].features is better


def test_one_cached_node_leaves_nothing_to_choose_and_says_how_to_add_others():
    network, notes = Cached([features(156)]), []
    start = start_of(network.features)
    assert best_node(network, start, CACHED_HEAD, notes) == (network, start)
    assert notes == ["only avgpool is cached; `featstore extract --node` adds earlier nodes to choose from"]
