"""What a fine-tune came to."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import binomtest

from classifiers.transfer.result import FineTuneResult

RESULT = FineTuneResult(
    bundle=Path("b"),
    weights_file=Path("b.weights.safetensors"),
    judged_on="test",
    right_cached=np.repeat([True, True, False, False], [50, 2, 20, 28]),
    right_tuned=np.repeat([True, False, True, False], [50, 2, 20, 28]),
    settings={"epochs": 3, "learning_rate": 1e-3, "keep_any": False},
    history=[{"epoch": i, "valid_accuracy": a} for i, a in enumerate((0.5, 0.6, 0.7, 0.6))],
    best=2,
    seconds=12.0,
    seconds_per_epoch=3.0,
    preparation_seconds=1.0,
    stopped="",
    details={"regime": 4, "validation": 60},
)


def test_accuracies_and_the_paired_test_are_of_the_same_images():
    document = json.loads(json.dumps(RESULT.to_json()))
    assert (document["accuracy_cached"], document["accuracy_tuned"]) == (0.52, 0.70)
    assert document["p"] == pytest.approx(binomtest(2, 22).pvalue)
    assert document["epochs"] == 3 and document["best_epoch"] == 2 and document["regime"] == 4
    low, high = document["accuracy_tuned_ci"]
    assert low < 0.70 < high


def judged(both, cached, tuned, neither, **changes):
    """A result in which so many images are right in both, in one only, and in none."""
    counts = [both, cached, tuned, neither]
    rights = (np.repeat(pattern, counts) for pattern in ([True, True, False, False], [True, False, True, False]))
    return dataclasses.replace(RESULT, **dict(zip(("right_cached", "right_tuned"), rights, strict=True)), **changes)


def test_the_verdict_says_gained_or_lost_where_that_is_shown():
    assert RESULT.verdict == "Reopening the network gained 18.0 points on 100 test images (p = 0.00012)."
    lost = judged(50, 20, 2, 28).verdict
    assert lost.startswith("Reopening the network lost 18.0 points on 100 test images (p = 0.00012). ")
    assert "Epoch 2 was chosen on 60 validation images" in lost and lost.endswith("Keep the cached head.")


@pytest.mark.parametrize(
    ("settings", "what"),
    [
        ({"reopen": "all"}, "Reopening the network"),
        ({"reopen": "head"}, "Training the head further"),
        ({"reopen": "all", "from_scratch": True}, "Training from random weights"),
    ],
)
def test_the_verdict_names_what_was_done(settings, what):
    assert judged(50, 2, 20, 28, settings=settings).verdict.startswith(f"{what} gained 18.0 points")
    assert judged(50, 20, 2, 28, settings=settings).verdict.startswith(f"{what} lost 18.0 points")


def test_no_difference_shown_is_not_called_equality():
    verdict = judged(90, 7, 11, 12).verdict  # 3.3 points on 120 images
    assert verdict.startswith("No difference shown: +3.3 points (between ")
    assert "on 120 test images: too few to tell a gain from none; more test images would." in verdict
    assert "enough" not in verdict


def test_an_end_below_the_cached_head_that_chance_can_explain_is_called_so():
    verdict = judged(90, 6, 3, 21).verdict
    assert verdict.startswith("No difference shown: -2.5 points (between ")
    assert verdict.endswith(
        "on 120 test images: fewer images are right than with the cached head, but not more so than chance explains; "
        "more test images would tell."
    )


def test_only_where_a_gain_worth_having_is_ruled_out_the_cached_head_is_enough():
    result = judged(1900, 10, 10, 80)
    assert result.gain_ci[1] < 0.015
    assert result.verdict.endswith("a gain of 1.5 points is ruled out, so the cached head is enough here.")
    assert judged(95, 0, 0, 5).gain_ci[1] > 0.015 and "too few" in judged(95, 0, 0, 5).verdict


def test_the_interval_is_agresti_and_mins_and_covers():
    # by hand: b = 2.5, c = 20.5, n = 102
    low, high = RESULT.gain_ci
    assert (low + high) / 2 == pytest.approx(18 / 102)
    assert (high - low) / 2 == pytest.approx(1.96 * np.sqrt(23 - 18**2 / 102) / 102)
    rng, covered = np.random.default_rng(0), 0
    for _ in range(400):
        counts = rng.multinomial(60, [0.7, 0.06, 0.14, 0.1])
        low, high = judged(*counts).gain_ci
        covered += low <= 0.08 <= high
    assert 0.92 <= covered / 400 <= 0.99


def kept(accuracies, **changes):
    history = [{"epoch": i, "valid_accuracy": a, "largest_answer": 0.3} for i, a in enumerate(accuracies)]
    return dataclasses.replace(RESULT, best=0, history=history, **changes)


def test_a_cached_head_that_is_kept_is_said_with_the_reason():
    better = kept([0.9, 0.92, 0.91]).verdict
    assert better == (
        "Epoch 1 got 92.0 % of 60 validation images right, the cached head 90.0 %: too few images to show that it is "
        "better, so the bundle holds the cached head (`keep_any=True` keeps the best epoch all the same)."
    )
    assert kept([0.9, 0.9, 0.8]).verdict.startswith(
        "The network is not shown to have learnt what the cached head did not know"
    )
    worse = kept([0.9, 0.7, 0.8], settings={**RESULT.settings, "keep_any": True}).verdict
    assert worse == (
        "Every epoch got fewer of 60 validation images right than the cached head: 80.0 % at most, against its 90.0 %, "
        "so the bundle holds the cached head."
    )
    assert kept([0.9, 0.7, 0.8]).verdict == worse  # `keep_any` would keep the cached head, too
    stopped = kept([0.9], collapses=(COLLAPSE,) * 7, stopped="the network lost what it began with").verdict
    assert stopped == (
        "The training collapsed and was stopped: the network lost what it began with, so the bundle holds the "
        "cached head."
    )


COLLAPSE = {"rate_factor": 1.0, "epoch": 1, "step": 9, "valid_accuracy": 0.71, "largest_answer": 1.0, "history": []}


def test_the_document_holds_the_interval_and_the_collapses():
    document = json.loads(json.dumps(kept([0.9, 0.9], collapses=(COLLAPSE,)).to_json()))
    assert document["collapses"] == [COLLAPSE] and document["gain_ci"] == list(RESULT.gain_ci)
