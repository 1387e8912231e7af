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


def test_a_store_may_hold_more_than_was_compared_and_options_are_kept():
    data = planted()
    data["store"] = "s"
    data["protocol"] |= {"seed": 3, "groups": "g[0-9]+", "allow_few": True, "dropped": 4}
    (step,) = (step for step in steps(data) if "featstore train" in step)
    key = data["features"][0]["feature_key"]
    assert f"featstore train s --key {key} --head logistic --groups 'g[0-9]+' --seed 3 --allow-few --dataset" in step
    assert "keeps this head (trained on all images, the 4 too that were left out here)" in step
    assert "`featstore advise s --backbone mobilenet_v2 --groups 'g[0-9]+' --seed 3 --dataset planted`" in step
    data["duel"] = {"frozen_run": 0, "tuned_run": 1, "p": 0.5, "frozen_only": 2, "tuned_only": 3}
    assert "featstore advise" not in " ".join(steps(data))  # reopening was tried already


def test_weights_are_named_to_advise_where_one_network_has_several():
    data = planted(sets=({}, {"weights": "file other.pth", "feature_key": "1" * 16}))
    data["best_run"] = next(i for i, run in enumerate(data["runs"]) if run["feature"] == 1)
    assert "featstore advise STORE --weights 'file other.pth'" in " ".join(steps(data))


def test_earlier_nodes_are_no_advice_where_they_were_compared():
    one, two = planted(), planted(sets=({}, {"node": "features.12", "feature_key": "1" * 16}))
    for data in (one, two):
        for run in data["runs"]:
            run["beats_majority"] = False
    assert any(step.endswith("another backbone or an earlier node.") for step in steps(one))
    assert any("another backbone: 2 nodes of this one were compared. `featstore advise" in step for step in steps(two))


def test_one_picture_under_two_classes_is_to_be_corrected_first():
    data = planted()
    data["conflicts"] = [{"a": "a.jpg", "b": "b.jpg", "a_label": 0, "b_label": 1}]
    assert steps(data)[0].startswith("correct the labels: 1 pair of images stands under two classes and has the same")


def test_suspected_labels_are_told_by_their_part():
    data = planted()
    for row in data["wrong_labels"]["suspects"]:
        row["suspected"] = False
    one, other = data["wrong_labels"]["suspects"][:2]
    one["suspected"] = other["suspected"] = True
    assert any(step == "look at the 2 test images whose label is suspected to be wrong." for step in steps(data))
    for run in data["runs"]:
        kept = [i for i, image in enumerate(run["predictions"]["image"]) if image not in (one["image"], other["image"])]
        run["predictions"] = {key: [values[i] for i in kept] for key, values in run["predictions"].items()}
    assert any(step == "look at the 2 training images whose label is suspected to be wrong." for step in steps(data))
    other["suspected"] = False
    assert any(step == "look at the training image whose label is suspected to be wrong." for step in steps(data))


def test_four_steps_are_enough():
    data = planted(n_test=40, sets=({"weights": "random (seed 0)"},), strengths={"logistic": 2.0})
    data["shift"] = {"shifted": True}
    data["warnings"] = [{"kind": "leak", "text": "12 pairs"}]
    assert len(steps(data)) == 4
