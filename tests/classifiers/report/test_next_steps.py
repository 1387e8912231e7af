import pytest

from classifiers.report.next_steps import next_steps
from classifiers.report.report_data import filled
from tests.support.report_example import planted


def steps(data):
    full = filled(data)
    return next_steps(full, full["runs"][full["best_run"]])


@pytest.mark.parametrize(
    ("protocol", "sentence"),
    [
        ("given", "label more test images: 160 instead of 40 would halve the interval."),
        ("holdout", "label more images: a held-out part of 160 instead of 40 would halve the interval."),
        ("cv", "label more images: 160 instead of 40 would halve the interval."),
    ],
)
def test_more_images_are_asked_for_where_they_judge(protocol, sentence):
    data = planted(n_test=40, strengths={"logistic": 1.5})
    data["protocol"]["name"] = protocol
    assert sentence in steps(data)


def test_the_command_repeats_what_the_report_was_made_with():
    data = planted()
    assert any("featstore train STORE --head logistic -o" in step for step in steps(data))
    data["protocol"] |= {"budget": "thorough", "class_weight": "balanced", "seed": 7, "folds": 10, "groups": "auto"}
    command = "--head logistic --groups auto --budget thorough --class-weight balanced --seed 7 --folds 10 -o"
    assert any(command in step for step in steps(data))


def test_weights_of_single_classes_are_no_option_of_train():
    data = planted()
    data["protocol"]["class_weight"] = {"class_00": 2.0}
    assert "--class-weight" not in " ".join(steps(data))


def test_four_steps_are_enough():
    data = planted(n_test=40, sets=({"weights": "random (seed 0)"},), strengths={"logistic": 2.0})
    data["shift"] = {"shifted": True}
    data["warnings"] = [{"kind": "leak", "text": "12 pairs"}]
    assert len(steps(data)) == 4
