import pytest

from classifiers.report.leaderboard import pair_rows
from classifiers.report.report_data import filled
from classifiers.report.verdict import NEXT, random_weights_note, set_names, verdict
from tests.support.report_example import planted


def text(data) -> str:
    return " ".join(verdict(data))


def test_it_names_the_head_and_how_sure_that_is():
    data = planted(seed=1, n_test=200, strengths={"logistic": 2.2, "svm": 2.0, "knn": 0.4})
    best = data["runs"][data["best_run"]]
    said = verdict(data)
    assert said[0] == f"Use {best['head']}: it is right on {100 * best['accuracy']:.1f} % of 200 test images."
    low, high = best["accuracy_ci"]
    assert f"between {100 * low:.1f} and {100 * high:.1f} %" in said[1]
    assert "not by looking at the test part" in said[2]


def test_a_shown_difference_and_none_are_told_apart():
    data = planted(n_test=300, strengths={"logistic": 3.0, "svm": 3.0, "knn": 0.5})
    said = text(data)
    best = data["runs"][data["best_run"]]["head"]
    other = {"logistic": "svm", "svm": "logistic"}[best]
    assert f"No difference shown between it and {other} on these images" in said
    assert "It is shown to be better than knn (p <0.001)." in said


def test_a_head_that_the_test_part_prefers_is_named():
    data = planted(n_test=300, strengths={"logistic": 3.0, "knn": 0.5})
    data["best"], data["best_run"] = "knn", 1
    assert "On the test part logistic (p <0.001) did better, which cross-validation did not foresee." in text(data)


def test_references_are_judged_on_the_same_images():
    data = planted(n_test=200)
    assert "It beats the reference majority" in text(data)
    assert "pixels" not in text(with_pixels(data, None))
    pixels = data["runs"][-1]["accuracy"]
    assert f"It is not shown to beat pixels ({100 * pixels:.1f} %), which a useful head must." in text(
        with_pixels(data, 1.0)
    )


def with_pixels(data, p_holm, p=0.03, a_only=9, b_only=1):
    """The data with a reference of pixels that only a corrected p tells from the chosen head."""
    if data["runs"][-1]["head"] != "pixels":
        data["runs"].append({**data["runs"][0], "head": "pixels", "name": "pixels", "reference": True})
    if p_holm is not None:
        sides = {"a": data["runs"][data["best_run"]]["name"], "b": "pixels", "a_only": a_only, "b_only": b_only}
        data["comparisons"].append({**sides, "test": "exact McNemar", "p": p, "p_holm": p_holm})
    return data


@pytest.mark.parametrize(
    ("p_holm", "sides", "said"),
    [
        (0.0625, (9, 1), "It is not shown to beat pixels"),
        (0.049, (9, 1), "pixels (97.5 %)."),
        (0.049, (1, 9), "It is shown to be worse than pixels (97.5 %)."),
    ],
)
def test_every_sentence_that_says_better_rests_on_the_corrected_p(p_holm, sides, said):
    data = with_pixels(planted(n_test=200), p_holm, 0.03, *sides)
    assert said in text(data)
    beats = next((s for s in verdict(data) if s.startswith("It beats the reference")), "")
    assert ("pixels" in beats) is (p_holm < 0.05 and sides[0] > sides[1])
    shown = next(pair for pair in pair_rows(filled(data)) if pair.b == "pixels")
    assert shown.shown is (p_holm < 0.05)


def test_which_of_two_is_better_is_told_by_the_images_of_the_test():
    data = planted(n_test=300, strengths={"logistic": 3.0, "knn": 0.5})
    data["runs"][1]["accuracy"] = 1.0  # over repeats, which the test does not see
    assert "It is shown to be better than knn (p <0.001)." in text(data)


def one_class(name="given"):
    data = planted(2, 60)
    data["protocol"]["name"] = name
    for run in data["runs"]:
        run["per_class"][1]["support"] = 0
    return data


def test_images_of_one_class_tell_no_classes_apart():
    said = verdict(one_class())
    assert said[0].startswith("All judged images are of one class, class_00: svm is right on")
    assert said[0].endswith("how often it knows this class, not how well it tells classes apart.")
    assert "true accuracy on this class" in said[1]
    assert not any("beat" in s or "better" in s or "No difference" in s or "featstore train" in s for s in said)
    assert any('compare again with `protocol="cv"`' in s for s in said if s.startswith(NEXT))
    data = one_class("cv")
    data["protocol"]["groups"] = "g[0-9]+"
    assert any("only class_00 has images of several groups" in s for s in verdict(data))
    assert "gives class_00 more often" in pair_rows(filled(planted_pairs(one_class())))[0].finding


def planted_pairs(data):
    for pair in data["comparisons"]:
        pair["p_holm"] = 0.001
    return data


def test_what_learnt_nothing_is_not_recommended():
    data = planted()
    for run in data["runs"]:
        run["beats_majority"] = False
    said = verdict(data)
    majority = 100 * data["runs"][-1]["accuracy"]
    assert said[0].startswith(
        f"No head is shown to be better than always giving the most frequent class ({majority:.1f} %): the chosen one, "
        "logistic, is right on"
    )
    assert not any("featstore train" in sentence for sentence in said)
    assert any("try another backbone or an earlier node" in s for s in said)


def test_a_chosen_head_that_learnt_nothing_does_not_speak_for_others():
    data = planted()
    data["runs"][data["best_run"]]["beats_majority"] = False
    said = verdict(data)
    assert said[0].startswith("The chosen head, logistic, is not shown to be better than always giving the most")
    assert said[0].endswith("test images. Of svm and knn it is shown.")
    assert not any("another backbone" in sentence for sentence in said)


def shifted(**more):
    data = planted(**more)
    data["shift"] = {"shifted": True, "auc": 0.97}
    return data


def test_a_shifted_test_part_says_for_which_images_each_figure_holds():
    data = shifted(n_test=200)
    best = data["runs"][data["best_run"]]
    said = verdict(data)
    assert said[0] == (
        f"Use logistic: it is right on {100 * best['accuracy']:.1f} % of 200 test images, which are of another kind "
        "than the images it was trained on."
    )
    assert said[1].startswith("With 95 % confidence its true accuracy on images like the test images lies between")
    assert "That figure holds for images like the training images; it does not say how good a head is on" in said[2]
    assert next(s for s in said if s.startswith(NEXT)).startswith(NEXT + "label images like the test images and add")


def test_a_shifted_test_part_on_which_nothing_is_shown():
    data = shifted()
    for run in data["runs"]:
        run["beats_majority"] = False
    said = verdict(data)
    assert said[0].endswith("test images, which are of another kind than the images it was trained on.")
    steps = [s for s in said if s.startswith(NEXT)]
    assert steps[0].startswith(NEXT + "label images like the test images")
    assert not any("node" in s or "backbone" in s or "halve" in s for s in steps)


def test_copies_are_named_before_a_shift_and_are_not_blamed_for_its_gap():
    data = shifted()
    data["warnings"] = [{"kind": "leak", "text": "12 pairs"}]
    data["leaks"]["groups"] = "auto"
    assert "flattered" not in text(data) and verdict(data)[0].startswith("Use logistic")
    data["leaks"]["near"] = 12
    assert verdict(data)[0].startswith("Not to be trusted yet: logistic is right on")
    assert verdict(data)[0].endswith(
        "are judged by their own copies. The test images are also of another kind than the images it was trained on."
    )


def test_what_cross_validation_of_another_kind_did_not_foresee():
    data = shifted(n_test=300, strengths={"logistic": 3.0, "knn": 0.5})
    data["best"], data["best_run"] = "knn", 1
    assert "did better, which cross-validation on images of another kind did not foresee." in text(data)


def test_a_few_doubles_or_groups_of_the_data_on_both_sides_are_no_copies_that_judge():
    data = planted()
    data["leaks"]["identical"] = 9
    data["warnings"] = [{"kind": "split", "text": "9 pairs"}]
    assert verdict(data)[0].startswith("Use logistic")
    data["warnings"].append({"kind": "leak", "of": "groups", "text": "2 groups of the data lie in both parts"})
    assert verdict(data)[0].startswith("Use logistic") and "flattered" not in text(data)


def test_groups_of_the_data_on_both_sides_are_named_in_the_next_step():
    data = planted()
    data["warnings"] = [{"kind": "leak", "of": "groups", "text": "2 groups of the data lie in both parts"}]
    assert "with `drop_leaks=True`, so that no image is judged by a head that has seen its group." in text(data)


@pytest.mark.parametrize(
    ("p", "best", "said"),
    [
        (0.3, "frozen", "no gain is shown, which does not rule one out; the frozen features stay."),
        (0.01, "frozen", "the fine-tuned network is shown to be worse, so the frozen features stay."),
        (0.01, "tuned", "the fine-tuning is shown to pay."),
        (None, "frozen", "Only a data set with a test part of its own can show what the fine-tuning brought."),
    ],
)
def test_a_duel_without_a_shown_gain_is_no_word_against_reopening(p, best, said):
    data = planted(n_test=200, strengths={"logistic": 3.0, "svm": 2.9})
    data["duel"] = {"frozen_run": 0, "tuned_run": 1, "p": p, "frozen_only": 3, "tuned_only": 5}
    data["best_run"] = data["duel"][f"{best}_run"]
    assert said in text(data)
    assert "enough" not in text(data) and "featstore advise" not in text(data)


def test_ten_images_tell_nothing():
    data = planted(n_test=10, n_classes=2)
    for run in data["runs"]:
        run["beats_majority"] = False
    said = verdict(data)
    assert "With 95 % confidence" not in " ".join(said) and not any("another backbone" in s for s in said)
    assert said[0].startswith("Nothing can be told from 10 judged images: logistic is right on")
    assert "so its true accuracy may be anything between" in said[0]
    assert any("label more test images: 40 instead of 10" in s for s in said)


def test_leaks_come_before_everything_until_something_is_done():
    data = planted()
    data["warnings"] = [{"kind": "leak", "text": "12 pairs"}]
    data["leaks"] |= {"groups": r"^_\d+_(\d+)", "near": 12}
    said = verdict(data)
    assert said[0].startswith("Not to be trusted yet: logistic is right on")
    assert "With 95 % confidence" not in " ".join(said)
    # Groups keep images together in folds; they do not move images of the test part that the data bring.
    assert next(s for s in said if s.startswith(NEXT)) == (
        NEXT + "compare again with `drop_leaks=True`, so that no image is judged by its own copies, nor a head chosen "
        "by them."
    )
    assert not any("featstore train" in s for s in said)
    data["protocol"]["groups"] = "auto"
    assert verdict(data)[0].startswith("Not to be trusted yet") and "`drop_leaks=True`" in text(data)
    data["protocol"] |= {"name": "cv", "groups": None}
    assert r"compare again with `groups=r'^_\d+_(\d+)'`, so that" in text(data)
    data["leaks"]["groups"] = "auto"
    assert 'compare again with `groups="auto"`' in text(data)
    data["leaks"]["groups"] = None
    assert "`drop_leaks=True`" in text(data)
    data["protocol"]["drop_leaks"] = True
    assert verdict(data)[0].startswith("Use logistic")


def test_copies_within_the_search_alone_spoil_the_choice_and_not_the_figure():
    data = planted()
    data["warnings"] = [{"kind": "leak", "text": "12 pairs in different folds of the search"}]
    data["leaks"]["groups"] = "auto"
    said = verdict(data)
    assert said[0].startswith("Use logistic: it is right on") and "With 95 % confidence" in said[1]
    assert "% (flattered: copies of one picture lie in different folds), not by looking at the test part." in said[2]
    assert next(s for s in said if s.startswith(NEXT)).startswith(NEXT + 'compare again with `groups="auto"`')


def test_commands_are_suggested_for_the_store_that_was_given():
    data = planted()
    assert "featstore train STORE --head" in text(data)
    data["store"] = "my store"
    key = data["features"][0]["feature_key"]  # the store may hold other feature sets and other networks
    assert f"`featstore train 'my store' --key {key} --head logistic --dataset planted -o" in text(data)
    assert "`featstore advise 'my store' --backbone mobilenet_v2 --dataset planted`" in text(data)


def test_random_weights_are_named_and_better_ones_asked_for():
    data = planted(sets=({"weights": "random (seed 3)"},))
    assert random_weights_note(data) in verdict(data)
    assert "random (seed 3)" in random_weights_note(data) and random_weights_note(data).startswith("These features")
    assert "extract with pretrained weights" in text(data)
    assert random_weights_note(planted()) is None
    some = planted(sets=({}, {"weights": "random (seed 0)", "feature_key": "1" * 16}))
    assert random_weights_note(some).startswith("Some of these features")


def test_a_wide_interval_asks_for_more_test_images():
    data = planted(n_test=40, strengths={"logistic": 1.5})
    assert "a wide interval" in text(data)
    assert "label more test images: 160 instead of 40" in text(data)
    assert "wide interval" not in text(planted(n_test=2000, strengths={"logistic": 3.0}))


def test_cross_validation_is_called_by_its_name():
    data = planted()
    data["protocol"]["name"] = "cv"
    assert "60 images, each judged by a classifier that had not seen it" in verdict(data)[0]


def test_several_feature_sets_are_told_apart_by_as_little_as_needed():
    base = {"backbone": "resnet18", "node": "avgpool", "pool": "avg", "weights": "V1", "precision": "fp32"}
    names = set_names([{**base, "feature_key": "a"}, {**base, "node": "layer3", "feature_key": "b"}])
    assert names == ["resnet18 avgpool", "resnet18 layer3"]
    names = set_names([{**base, "feature_key": "a"}, {**base, "pool": "max", "feature_key": "b"}])
    assert names == ["resnet18 avgpool avg", "resnet18 avgpool max"]
    names = set_names([{**base, "feature_key": "a"}, {**base, "feature_key": "b"}])
    assert len(set(names)) == 2 and names[0].endswith(" a")
    assert set_names([{**base, "weights": "random (seed 0)", "feature_key": "a"}]) == [
        "resnet18 avgpool random (seed 0)"
    ]


def test_the_command_that_keeps_the_head_names_its_feature_set():
    data = planted(sets=({}, {"node": "features.12", "feature_key": "f" * 16}))
    key = data["runs"][data["best_run"]]["feature_key"]
    assert f"featstore train STORE --key {key} --head" in text(data)


@pytest.mark.parametrize("bad", ["class\u202e", "a\nb"])
def test_names_in_sentences_are_harmless(bad):
    data = planted(strengths={bad: 3.0, "knn": 1.0})
    assert all(sentence.isprintable() for sentence in verdict(data))
