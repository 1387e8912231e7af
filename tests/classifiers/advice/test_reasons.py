"""The sentences of an advice follow from its state: their order, their figures, and what a pilot changes in them."""

import re

import numpy as np
import pytest

from classifiers.advice.decision import judge, revise
from classifiers.advice.error_elsewhere import ErrorElsewhere
from classifiers.advice.label_noise import LabelNoise
from classifiers.advice.reasons import LABEL_FIRST, base, situation
from classifiers.validation.shift import find_shift
from tests.classifiers.advice.test_decision import evidence, known, seen

NEAR = {"train": 1000, "per_class": 500, "classes": 2, "distance": 0.9, "test": 300}


def shifted():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(160, 8)).astype(np.float32)
    X[100:] += 3
    return find_shift(X, np.arange(100), np.arange(100, 160))


def test_what_the_verdict_stands_on_comes_first():
    reopened = judge(evidence((0.6, 0.7, 0.75), **NEAR))
    assert reopened.verdict.startswith("reopen") and reopened.reasons[0].startswith("The expected gain of reopening")
    earlier = judge(evidence((0.5, 0.93, 0.80), train=200, per_class=50, classes=4, distance=0.4, shown=True))
    assert earlier.verdict == "earlier-node" and earlier.reasons[0] == "Nodes."
    noise = LabelNoise(0.15, 0.11, 0.2, True, "About 15 % of the labels are wrong.")
    noisy = judge(evidence((0.5, 0.6, 0.7), train=300, per_class=100, classes=3, noise=noise))
    assert noisy.verdict == "more-data" and noisy.reasons[0] == noise.text


def test_the_same_sentences_are_said_whatever_comes_first():
    told = [known("blood cells"), known("hymenoptera"), known("blood cells, 12 a class")]
    for advice in told:
        assert len(advice.reasons) == len(set(advice.reasons)) == 5
        assert advice.situation in advice.reasons and "Nodes." in advice.reasons


def test_a_shifted_test_part_is_to_be_labelled_first_whatever_the_verdict():
    for accuracies in ((0.8, 0.9, 0.97), (0.5, 0.6, 0.7)):
        advice = judge(evidence(accuracies, shift=shifted(), elsewhere=ErrorElsewhere(0.03, 0.46), **NEAR))
        assert advice.reasons[0].startswith(LABEL_FIRST)
        assert "wrong on 46.0 % of them" in advice.reasons[1]
        revised = revise(advice, seen(0.97, 0.90, p=0.001))
        assert revised.reasons[:2] == advice.reasons[:2] and revised.reasons[2].startswith("The pilot")


def test_no_error_below_that_at_home_is_told_of_a_shifted_test_part():
    advice = judge(evidence((0.5, 0.6, 0.7), shift=shifted(), elsewhere=ErrorElsewhere(0.25, 0.2), **NEAR))
    assert "cannot be told without their labels" in advice.reasons[1] and "20.0" not in " ".join(advice.reasons)


def test_one_error_rate_of_each_head_is_told():
    advice = judge(evidence((0.5, 0.93, 0.80), train=200, per_class=50, classes=4, distance=0.4, shown=True))
    told = " ".join(advice.reasons)
    assert "the linear head on avgpool is right on 80.0 %, that on features.13 on 93.0 %" in told
    assert told.count("80.0 %") == told.count("93.0 %") == 1


def test_a_pilot_is_told_against_the_last_node_and_the_best_one():
    before = known("blood cells")
    advice = revise(before, seen(0.80, 0.70, p=0.0004))
    assert "right on 80.0 % of 250 other training images" in advice.reasons[0]
    assert "The linear head on avgpool is right on 69.0 % of them, that on features.10" in advice.reasons[0]
    assert "on 70.0 %" in advice.reasons[0]
    assert "gains +10.0 points (95 % interval +7.0 to +13.0; p <0.001): a gain is shown. Together" in advice.reasons[0]
    assert any(reason.startswith("Before the pilot, reopening the network was expected") for reason in advice.reasons)


@pytest.mark.parametrize(
    ("pilot", "end"),
    [
        (seen(0.97, 0.90, p=0.001, epochs=0.4), "nothing can be told from less than one epoch; give it more minutes."),
        (seen(0.97, 0.90, p=0.001, epochs=4.0), "a gain is shown, and a whole fine-tune may bring more. Together"),
        (seen(0.97, 0.90, p=0.001), "a gain is shown. Together"),
        (seen(0.91, 0.90, p=0.9), "no gain is shown. Together"),
        (
            seen(0.88, 0.90, p=0.9),
            "it is shown that no gain over that head is worth the trouble, so heads on features.10 are worth comparing "
            "first. Together",
        ),
        (seen(0.89, 0.90, p=0.9, epochs=4.0), "too short to tell; no sign yet that reopening would pay."),
    ],
)
def test_what_a_pilot_means_is_said_last(pilot, end):
    advice = revise(known("hymenoptera"), pilot)
    said = advice.reasons[0].partition(" with what was expected")
    assert said[0].endswith(f": {end}")
    if said[1]:
        assert f"{100 * advice.after_pilot.chance:.0f} %" in said[2]


def test_a_verdict_that_a_short_pilot_left_standing_says_what_it_stands_on():
    advice = revise(known("blood cells"), seen(0.69, 0.69, p=1.0, epochs=1.0))
    assert advice.reasons[0].endswith("the verdict stands on what is expected; give it more minutes.")


@pytest.mark.parametrize(("name", "stands"), [("hymenoptera", "verdict stays"), ("blood cells", "what is expected")])
def test_a_pilot_of_few_images_says_how_many_it_saw_and_that_it_can_decide_little(name, stands):
    advice = revise(known(name), seen(0.69, 0.69, p=1.0, epochs=1.0, trained=32))
    assert "for 1 of 24 epochs on 32 of 750 images that it could have had. It is right" in advice.reasons[0]
    assert "a pilot of 32 of 750 images can decide little, for a whole fine-tune sees them all. So" in advice.reasons[0]
    assert advice.reasons[0].endswith(f"{stands}; give it more minutes.") and advice.pilot["of_a_part"] is True


def test_after_a_pilot_nothing_sends_to_the_pilot():
    for accuracy in np.linspace(0.80, 0.99, 30):
        advice = judge(evidence((0.5, 0.6, float(accuracy)), train=300, per_class=150, classes=2, distance=0.3))
        small = any("A small set stays closed until then." in reason for reason in advice.reasons)
        assert small == (advice.reopening.close and advice.reopening.worth)
        assert not any("`pilot`" in reason for reason in revise(advice, seen(0.9, 0.9, p=1.0)).reasons)


def test_a_small_set_that_is_reopened_is_told_which_regime_trains_the_network():
    advice = judge(evidence((0.2, 0.3, 0.4), train=400, per_class=100, classes=4, distance=0.9))
    assert advice.regime == 2 and advice.verdict == "reopen-all"
    assert any("names regime 4, which trains the network too" in reason for reason in advice.reasons)


def test_the_base_of_gains_is_named():
    found = evidence((0.5, 0.6, 0.7), **NEAR)
    assert base(found) == "the linear head on avgpool, the last cached node"
    assert base(found) in judge(found).reasons[0]
    earlier = judge(evidence((0.5, 0.93, 0.80), train=200, per_class=50, classes=4, distance=0.4, shown=True))
    assert f"points over {base(earlier.evidence)}" in earlier.reasons[1]


def test_one_format_for_each_quantity():
    for advice in (known("blood cells"), judge(evidence((0.5, 0.6, 0.7), shift=shifted(), **NEAR))):
        told = " ".join(advice.reasons)
        assert not re.search(r"\d%|[+-]\d+\.\d %|-\d", told)


def test_the_situation_names_size_and_distance():
    found = evidence((0.5, 0.6, 0.7), train=1000, per_class=500, classes=2, distance=0.9, sources=150)
    assert situation(found, 4).startswith(
        "The training part is large (1,000 images from 150 sources, 500 a class) and different from ImageNet"
    )


@pytest.mark.parametrize(
    ("validation", "given", "said"),
    [
        (3, False, "on 3 images that it holds out of the training part, and on fewer than 5 none can be shown"),
        (40, False, "kept only for at least 5 more right answers (+12.5 points): .* a larger `valid_fraction`"),
        (40, True, "on the 40 images of the validation part, .* more validation images would show less"),
        (4000, False, ""),
        (None, False, ""),
    ],
)
def test_validation_images_that_are_too_few_for_what_is_expected_are_told_before(validation, given, said):
    advice = judge(evidence((0.6, 0.7, 0.75), **NEAR, validation=validation, validation_given=given))
    assert advice.verdict.startswith("reopen")
    assert bool(said) == ("chooses its epoch" in advice.reasons[0])
    assert re.search(said.replace("(", r"\(").replace(")", r"\)").replace("+", r"\+"), advice.reasons[0])


def test_a_fine_tune_that_would_stop_is_not_the_first_step():
    advice = judge(evidence((0.6, 0.7, 0.75), **NEAR, untrained=("x", "y")))
    assert advice.stops and advice.first.startswith("Add training images of x and y, or")
    enough = judge(evidence((0.9, 0.95, 0.99), train=200, per_class=100, classes=2, untrained=("x",)))
    assert not enough.verdict.startswith("reopen") and enough.first == ""


def test_a_test_part_of_ten_images_is_said_to_tell_nothing():
    few = judge(evidence((0.9, 0.95, 0.99), **(NEAR | {"test": 10})))
    assert few.reasons[1].startswith("The test part has 10 images: nothing can be told from so few")
    assert not any("nothing can be told" in reason for reason in judge(evidence((0.9, 0.95, 0.99), **NEAR)).reasons)
