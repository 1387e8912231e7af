"""Which run a comparison recommends where frozen and fine-tuned networks meet."""

import dataclasses

import numpy as np

from classifiers.comparison import compare
from tests.featurekit import digits

FAST = {"budget": "quick", "folds": 3}


def tuned_twin(features, noise):
    """The same images as a fine-tuned network would see them: noise of its own, labels learnt where they train."""
    label = dataclasses.replace(
        features.fingerprint, weights="fine-tuned a.weights.safetensors", weights_sha256="1" * 64
    )
    X = features.X + noise * np.random.default_rng(1).normal(size=features.X.shape)
    train = features.splits == "train"
    X[train] += 20 * np.eye(X.shape[1])[features.y[train]]
    return dataclasses.replace(features, X=X.astype(np.float32), fingerprint=label)


def test_a_tuned_network_that_only_cross_validation_praises_is_not_chosen():
    one = digits(400, split=0.4)
    data = compare([one, tuned_twin(one, noise=8.0)], ("centroid",), references=False, **FAST).data
    frozen, tuned = data["runs"]
    assert tuned["cv_accuracy"] > frozen["cv_accuracy"] and tuned["accuracy"] < frozen["accuracy"] - 0.1
    assert data["best_run"] == 0 and data["duel"]["p"] < 0.05
    (text,) = (warning["text"] for warning in data["warnings"] if warning["kind"] == "weights")
    assert text.startswith("fine-tuned a.weights.safetensors: where such a network has learnt from the labels")
    assert any("no gain is shown, so the frozen features stay." in sentence for sentence in data["verdict"])


def test_a_tuned_network_that_the_test_images_praise_is_chosen():
    good = digits(400, split=0.4)
    X = (good.X + 9 * np.random.default_rng(0).normal(size=good.X.shape)).astype(np.float32)
    label = dataclasses.replace(good.fingerprint, weights="fine-tuned a.weights.safetensors", weights_sha256="1" * 64)
    sets = [dataclasses.replace(good, X=X), dataclasses.replace(good, fingerprint=label)]
    data = compare(sets, ("centroid",), references=False, **FAST).data
    assert data["best_run"] == 1 and data["duel"]["tuned_only"] > data["duel"]["frozen_only"]
    assert any("the fine-tuning is shown to pay." in sentence for sentence in data["verdict"])


def test_without_a_given_test_part_frozen_features_are_chosen():
    one = digits(200)
    data = compare([one, tuned_twin(one, noise=0.0)], ("centroid",), references=False, **FAST).data
    assert data["best_run"] == 0 and data["duel"]["p"] is None
    assert any("Only a data set with a test part of its own" in sentence for sentence in data["verdict"])


def test_other_weights_from_files_are_not_warned_of():
    one = digits(200, split=0.3)
    own = dataclasses.replace(one.fingerprint, weights="file other.pth", weights_sha256="1" * 64)
    data = compare([one, dataclasses.replace(one, fingerprint=own)], ("centroid",), references=False, **FAST).data
    assert data["duel"] is None and not any(warning["kind"] == "weights" for warning in data["warnings"])
