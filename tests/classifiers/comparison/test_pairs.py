import dataclasses
import types

import numpy as np
import pytest

from classifiers.comparison.job import compare
from classifiers.comparison.pairs import beats_constant, beats_majority, comparisons
from classifiers.validation.significance import differences, holm, mcnemar_exact
from tests.support.feature_sets import digits, feature_set


def run(name, right, reference=False):
    return types.SimpleNamespace(
        name=name, head=name, reference=reference, right={i: bool(ok) for i, ok in enumerate(right)}
    )


@pytest.fixture
def runs():
    rng = np.random.default_rng(0)
    return [
        run("good", rng.random(200) < 0.9),
        run("fair", rng.random(200) < 0.8),
        run("bad", rng.random(200) < 0.25),
        run("majority", rng.random(200) < 0.25, reference=True),
        run("pixels", rng.random(200) < 0.5, reference=True),
    ]


def test_every_pair_of_heads_and_every_head_against_every_reference(runs):
    pairs = comparisons(runs)
    assert [(p["a"], p["b"]) for p in pairs] == [
        ("good", "fair"), ("good", "bad"), ("fair", "bad"),
        ("good", "majority"), ("good", "pixels"), ("fair", "majority"), ("fair", "pixels"), ("bad", "majority"),
        ("bad", "pixels"),
    ]  # fmt: skip
    for pair in pairs:
        a, b = runs[pair["a_run"]], runs[pair["b_run"]]
        only_a = sum(a.right[i] and not b.right[i] for i in range(200))
        only_b = sum(b.right[i] and not a.right[i] for i in range(200))
        assert (pair["a_only"], pair["b_only"], pair["n"]) == (only_a, only_b, 200)
        assert pair["p"] == mcnemar_exact(only_a, only_b) and pair["test"] == "exact McNemar"
    for family in ("heads", "references"):
        own = [p for p in pairs if p["family"] == family]
        assert [p["p_holm"] for p in own] == pytest.approx(holm([p["p"] for p in own]))


def test_beating_the_majority_takes_a_corrected_p_and_the_right_direction(runs):
    shown = beats_majority(comparisons(runs), runs)
    assert shown == [True, True, False, None, None]
    worse = [run("worse", np.zeros(50)), run("majority", np.ones(50), reference=True)]
    assert beats_majority(comparisons(worse), worse) == [False, None]


def test_only_images_that_both_judged_count():
    a, b = run("a", [1, 1, 0]), run("b", [0, 1])
    assert differences(a.right, b.right) == (2, 1, 0)


def test_one_head_alone_has_no_pairs():
    assert comparisons([run("alone", [1, 0])]) == []


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
    assert any("is shown to be worse, so the frozen features stay." in sentence for sentence in data["verdict"])
    # The duel is one planned test: no sentence says otherwise by the correction for a family that it is not of.
    (pair,) = (pair for pair in data["comparisons"] if pair["family"] == "duel")
    assert pair["p"] == pair["p_holm"] == data["duel"]["p"] and {pair["a_run"], pair["b_run"]} == {0, 1}
    assert not any("No difference shown" in s or "shown to be better" in s for s in data["verdict"])


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


def test_a_head_below_the_largest_class_is_not_said_to_beat_a_majority_that_folds_of_groups_hold_down():
    y = np.arange(160) % 4
    X = np.random.default_rng(0).normal(size=(160, 6))
    features = dataclasses.replace(feature_set(X, y), groups=tuple(f"{c} {i // 80}" for i, c in enumerate(y)))
    data = compare(features, ["centroid"], budget="quick", references=("majority",)).data
    head, majority = data["runs"]
    assert majority["accuracy"] < head["accuracy"] < 0.32 and data["comparisons"][0]["p_holm"] < 0.05
    assert head["beats_majority"] is False
    said = " ".join(data["verdict"])
    assert "No head is shown to be better than always giving the most frequent class (25.0 %)" in said
    assert "not shown to beat the answer that is always the largest class (25.0 %)" in said
    assert "It beats" not in said and "featstore train" not in said


def test_a_constant_answer_is_beaten_by_who_tells_classes_apart():
    y = np.arange(100) % 3
    told = types.SimpleNamespace(rows=np.arange(100), y=y, right=dict.fromkeys(range(100), True))
    guessed = types.SimpleNamespace(rows=np.arange(100), y=y, right={i: i % 3 == 1 for i in range(100)})
    assert beats_constant(told) and not beats_constant(guessed)
