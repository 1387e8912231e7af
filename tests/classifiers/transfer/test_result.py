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
    settings={"epochs": 3},
    history=[{"epoch": i} for i in range(4)],
    best=2,
    seconds=12.0,
    seconds_per_epoch=3.0,
    preparation_seconds=1.0,
    stopped="",
    details={"regime": 4},
)


def test_accuracies_and_the_paired_test_are_of_the_same_images():
    document = json.loads(json.dumps(RESULT.to_json()))
    assert (document["accuracy_cached"], document["accuracy_tuned"]) == (0.52, 0.70)
    assert document["p"] == pytest.approx(binomtest(2, 22).pvalue)
    assert document["epochs"] == 3 and document["best_epoch"] == 2 and document["regime"] == 4
    low, high = document["accuracy_tuned_ci"]
    assert low < 0.70 < high


def test_the_verdict_says_gained_lost_or_no_difference():
    assert "gained 18.0 points on 100 images" in RESULT.verdict
    swapped = dataclasses.replace(RESULT, right_cached=RESULT.right_tuned, right_tuned=RESULT.right_cached)
    assert "lost 18.0 points" in swapped.verdict
    same = dataclasses.replace(RESULT, right_tuned=RESULT.right_cached)
    assert "No difference shown" in same.verdict and same.p == 1.0
    assert "holds the cached head" in dataclasses.replace(RESULT, best=0).verdict
