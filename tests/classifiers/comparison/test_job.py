import dataclasses
import json

import numpy as np
import pytest

from classifiers.comparison.job import compare
from classifiers.report.report import Report
from classifiers.report.report_data import check
from featstore.errors import FeaturesError, UnknownNameError
from tests.support.feature_sets import copies, digits, feature_set

FAST = {"budget": "quick", "folds": 3}
HEADS = ("knn", "centroid")


@pytest.fixture(scope="module")
def report():
    return compare(digits(400, split=0.3), HEADS, **FAST, seed=5)


def test_the_report_holds_what_the_design_promises(report):
    data = check(report.data)
    assert isinstance(report, Report)
    assert [run["head"] for run in data["runs"]] == ["knn", "centroid", "majority"]
    assert data["dataset"] == {
        "name": "digits", "classes": [f"class{i}" for i in range(10)], "train": 280, "test": 120, "images": 400,
        "counts": data["dataset"]["counts"], "root": "/nowhere/at/all",
    }  # fmt: skip
    assert sum(data["dataset"]["counts"]) == 400
    assert data["protocol"]["name"] == "given" and data["protocol"]["seed"] == 5
    assert data["runs"][0]["selected_on"] == "3-fold cross-validation of the training part"
    assert data["omitted"][0]["head"] == "pixels" and "is not where it was" in data["omitted"][0]["reason"]
    assert len(data["wrong_labels"]["suspects"]) == 400
    assert data["learning_curve"]["points"] and data["layer_curve"] is None
    assert len(data["map"]["image"]) == 120
    assert data["verdict"] and data["environment"]["seconds"] > 0
    json.dumps(data, allow_nan=False)


def test_it_repeats_by_seed_and_differs_by_seed(report):
    again = compare(digits(400, split=0.3), HEADS, **FAST, seed=5).data
    for run, other in zip(report.data["runs"], again["runs"], strict=True):
        timeless = {k: v for k, v in run.items() if not k.endswith("seconds") and k != "cv_results"}
        assert timeless == {k: other[k] for k in timeless}
    assert again["map"] == report.data["map"] and again["wrong_labels"] == report.data["wrong_labels"]
    other = compare(digits(400, split=0.3), HEADS, **FAST, seed=6).data
    assert other["runs"][0]["cv_results"][0]["fold_accuracies"] != again["runs"][0]["cv_results"][0]["fold_accuracies"]


def test_the_best_head_is_chosen_without_the_test_part(report):
    runs = report.data["runs"]
    best = max((run for run in runs if not run["reference"]), key=lambda run: run["cv_accuracy"])
    assert report.data["best"] == best["head"] == runs[report.data["best_run"]]["head"]
    features = digits(400, split=0.3)
    X = features.X.copy()
    X[features.testing()] = np.random.default_rng(0).normal(size=(120, 64))
    spoilt = compare(dataclasses.replace(features, X=X), HEADS, **FAST, seed=5).data
    assert spoilt["best"] == report.data["best"]
    assert spoilt["runs"][0]["cv_accuracy"] == runs[0]["cv_accuracy"]


def test_every_candidate_is_kept(report):
    run = report.data["runs"][0]
    assert len(run["cv_results"]) > 5
    assert any(row["params"] == run["params"] for row in run["cv_results"])
    assert all(len(row["fold_accuracies"]) == 3 for row in run["cv_results"])


def test_heads_that_learn_beat_the_majority(report):
    assert [run["beats_majority"] for run in report.data["runs"]] == [True, True, None]
    families = {(pair["a"], pair["b"]): pair["family"] for pair in report.data["comparisons"]}
    assert families[("knn", "centroid")] == "heads" and families[("knn", "majority")] == "references"


def test_a_given_part_of_the_same_kind_is_no_shift(report):
    shift = report.data["shift"]
    assert shift["shifted"] is False and 0.4 < shift["auc"] < 0.6 and (shift["n_train"], shift["n_other"]) == (280, 120)
    assert not any(warning["kind"] == "shift" for warning in report.data["warnings"])


def test_a_test_part_of_another_kind_is_the_first_warning_and_its_labels_are_not_suspected():
    features = digits(400, split=0.3)
    X, test = features.X.copy(), features.testing()
    X[test] = 0.5 * X[test] + 1.0
    data = compare(dataclasses.replace(features, X=X), ("centroid",), **FAST).data
    assert data["shift"]["shifted"] and data["warnings"][0]["kind"] == "shift"
    assert data["warnings"][0]["text"].startswith("The 120 test images are of another kind than the 280 training")
    assert not {row["image"] for row in data["wrong_labels"]["suspects"]} & set(test.tolist())
    assert "of another kind than the images it was trained on" in data["verdict"][0]


def test_without_a_given_part_no_shift_is_looked_for():
    data = compare(digits(250), ("centroid",), **FAST).data
    assert data["shift"] is None and "unlabelled_shift" not in data


def test_images_without_a_label_are_held_against_those_that_train():
    features = digits(400)
    y, X = features.y.copy(), features.X.copy()
    y[300:], X[300:] = -1, 0.5 * X[300:] + 1.0
    data = compare(dataclasses.replace(features, X=X, y=y), ("centroid",), **FAST).data
    assert data["unlabelled_shift"]["shifted"] and data["warnings"][0]["kind"] == "shift"
    assert data["warnings"][0]["text"].startswith("The 100 unlabelled images are of another kind than the 300 training")


def test_a_part_named_val_that_judges_is_said():
    features = digits(300, split=0.3)
    parts = np.where(features.splits == "test", "val", features.splits)
    text = compare(dataclasses.replace(features, splits=parts), ("centroid",), **FAST).data["protocol"]["text"]
    assert "The data bring no part named test, so the part named val is the test part here." in text


def test_nodes_stand_in_the_order_of_the_network():
    late, early = digits(300, split=0.3), digits(300, split=0.3, node="layer2")
    data = compare([late, early], ("centroid",), **FAST, references=False).data
    assert [feature["node"] for feature in data["features"]] == ["layer2", "avgpool"]


def test_several_feature_sets_are_rows_of_one_report():
    late, early = digits(300, split=0.3), digits(300, split=0.3, node="layer2")
    noisy = early.X + 6 * np.random.default_rng(0).normal(size=early.X.shape)
    early = dataclasses.replace(early, X=noisy.astype(np.float32))
    data = compare([early, late], ("knn",), **FAST, references=False).data
    assert [run["name"] for run in data["runs"]] == ["knn · layer2", "knn · avgpool"]
    assert [run["feature"] for run in data["runs"]] == [0, 1] and data["best_run"] == 1
    assert [point["node"] for point in data["layer_curve"]] == ["layer2", "avgpool"]
    assert data["comparisons"][0]["p"] < 0.05
    assert data["runs"][0]["beats_majority"] is None


def test_train_is_suggested_with_the_groups_of_the_comparison(augmented):
    steps = " ".join(compare(augmented[0], ("knn",), **FAST, groups="auto", references=False).data["verdict"])
    assert "--head knn --groups auto --budget quick --folds" in steps


def test_without_a_test_part_few_images_are_cross_validated_and_counted_once():
    data = compare(digits(250), ("centroid",), **FAST, repeats=2).data
    assert data["protocol"]["name"] == "cv" and data["dataset"]["test"] == 250
    assert data["runs"][0]["n_test"] == 250 and data["runs"][0]["repeats"] == 2
    assert np.sum(data["runs"][0]["confusion"]) == 500
    held_out = compare(digits(450), ("centroid",), **FAST).data
    assert held_out["protocol"]["name"] == "holdout" and 105 <= held_out["dataset"]["test"] <= 120


@pytest.fixture(scope="module")
def augmented():
    X, y, source = copies(sources=160, each=4, signal=0.12, noise=0.5)
    ids = [f"class{c}/{'abc'[s % 3]}{s}-{i}.jpg" for i, (c, s) in enumerate(zip(y, source, strict=True))]
    return feature_set(X, y, ids=ids), source


def test_copies_are_warned_of_and_groups_tell_the_truth(augmented):
    features, source = augmented
    data = compare(features, ("knn",), **FAST, protocol="cv").data
    assert any(warning["kind"] == "leak" for warning in data["warnings"])
    kept = compare(features, ("knn",), **FAST, protocol="cv", groups="auto").data
    assert not any(warning["kind"] == "leak" for warning in kept["warnings"])
    named = compare(features, ("knn",), **FAST, protocol="cv", groups=r"/(\w+)-").data
    assert named["protocol"]["n_groups"] == len(np.unique(source))
    accuracy = [one["runs"][0]["accuracy"] for one in (data, kept, named)]
    assert accuracy[0] > accuracy[2] + 0.25 and abs(accuracy[1] - accuracy[2]) < 0.12


def test_byte_identical_files_are_never_parted_by_parts_made_here():
    features = digits(300)
    digests = features.digests.copy()
    digests[1::2] = digests[0::2]
    doubled = dataclasses.replace(features, digests=digests)
    data = compare(doubled, ("centroid",), **FAST).data
    assert data["leaks"]["identical"] == 0 and data["protocol"]["n_groups"] == 150
    by_name = compare(doubled, ("centroid",), **FAST, groups=r"(\d)\.jpg").data
    assert by_name["leaks"]["identical"] == 0 and by_name["protocol"]["n_groups"] == 5


def test_leaks_into_a_given_test_part_can_be_dropped():
    features = digits(400, split=0.3)
    digests = features.digests.copy()
    digests[200:230] = digests[:30]
    X = features.X.copy()
    X[200:230] = X[:30]
    y = features.y.copy()
    y[200:230] = y[:30]
    leaking = dataclasses.replace(features, digests=digests, X=X, y=y)
    assert compare(leaking, ("knn",), **FAST).data["leaks"]["identical"] == 30
    dropped = compare(leaking, ("knn",), **FAST, drop_leaks=True).data
    assert dropped["leaks"]["identical"] == 0
    assert dropped["protocol"]["dropped"] >= 30 and dropped["dataset"]["train"] <= 250


def test_what_a_pattern_calls_one_source_is_dropped_as_well():
    features = digits(400, split=0.3)
    ids = tuple(f"class0/p{i % 200}_{i}.png" for i in range(400))  # 0 to 119 judge; 200 to 319 are theirs
    named = dataclasses.replace(features, ids=ids, paths=tuple(map(str.encode, ids)))
    dropped = compare(named, ("centroid",), **FAST, drop_leaks=True, groups=r"(p\d+)_").data
    assert dropped["protocol"]["dropped"] == 120 == dropped["dataset"]["test"]
    assert compare(named, ("centroid",), **FAST, groups=r"(p\d+)_").data["protocol"]["dropped"] == 0


def test_shuffled_labels_beat_nothing():
    claims = 0
    for seed in range(5):
        features = digits(300, split=0.3)
        y = np.random.default_rng(seed).permutation(features.y)
        data = compare(dataclasses.replace(features, y=y), HEADS, **FAST, seed=seed).data
        claims += any(run["beats_majority"] for run in data["runs"])
        assert not data["runs"][0]["beats_majority"] or claims <= 1
    assert claims <= 1


def test_a_head_that_refuses_is_left_out_and_said():
    rng = np.random.default_rng(0)
    y = np.repeat(np.arange(310), 4)
    X = (2 * rng.normal(size=(310, 20))[y] + rng.normal(size=(1240, 20))).astype(np.float32)
    features = feature_set(X, y, splits=np.where(np.arange(1240) % 4 == 0, "test", "train"))
    data = compare(features, ("centroid", "svm-rbf"), budget="quick", folds=2).data
    assert [run["head"] for run in data["runs"]] == ["centroid", "majority"]
    refused = next(one for one in data["omitted"] if one["head"] == "svm-rbf")
    assert "310 classes are too many" in refused["reason"]
    assert any(w["kind"] == "head" and "svm-rbf could not be judged" in w["text"] for w in data["warnings"])
    with pytest.raises(FeaturesError, match="310 classes are too many"):
        compare(features, ("svm-rbf",), budget="quick", folds=2)


def test_wrong_use_is_refused_before_any_work():
    features = digits(60)
    with pytest.raises(UnknownNameError, match="unknown head 'kn'; close matches: knn"):
        compare(features, ("kn",))
    with pytest.raises(FeaturesError, match="no head was named"):
        compare(features, ())
    with pytest.raises(FeaturesError, match="matches none of 60 paths"):
        compare(features, HEADS, groups="nothing")
    with pytest.raises(FeaturesError, match="1 folds were asked for"):
        compare(features, HEADS, folds=1)


def test_progress_goes_from_nothing_to_everything():
    told = []
    compare(digits(200, split=0.3), ("centroid",), **FAST, progress=lambda *what: told.append(what))
    stages, done, totals, notes = zip(*told, strict=True)
    assert set(stages) == {"compare"} and len(set(totals)) == 1
    assert list(done) == sorted(done) and done[0] == 0 and done[-1] == totals[0]
    assert {"looking for copies", "centroid", "majority", "pixels", "curves and checks"} <= set(notes)


def test_classes_with_one_image_and_weights_by_name_do_no_harm():
    features = digits(200)
    y = features.y.copy()
    y[np.flatnonzero(y == 9)[1:]] = 0
    lonely = dataclasses.replace(features, y=y)
    data = compare(lonely, ("centroid",), **FAST, class_weight={"class3": 2.0}, allow_few=True).data
    assert any("No image judges 1 class: 'class9' (1)" in warning["text"] for warning in data["warnings"])
    assert data["dataset"]["test"] == 199 and data["protocol"]["class_weight"] == {"class3": 2.0}


def test_the_groups_of_the_data_are_kept_together_and_said():
    X, y, source = copies(sources=60, each=4)
    ids = [f"{i}.jpg" for i in range(len(y))]
    plain = feature_set(X, y, ids=ids)
    named = dataclasses.replace(plain, groups=tuple(f"patient {s}" for s in source))
    data = compare(named, ["knn"], **FAST, references=False).data
    assert data["protocol"]["groups_of_the_data"] == 60 and data["protocol"]["n_groups"] == 60
    assert "The data name 60 groups of two or more images" in data["protocol"]["text"]
    pattern = dataclasses.replace(plain, ids=tuple(f"p{s}/{i}.jpg" for i, s in enumerate(source)))
    same = compare(pattern, ["knn"], **FAST, references=False, groups=r"^(p\d+)/").data
    assert "groups_of_the_data" not in same["protocol"]
    assert data["runs"][0]["accuracy"] == same["runs"][0]["accuracy"]


def test_a_pattern_in_the_place_of_the_groups_of_the_data_is_said():
    X, y, source = copies(sources=60, each=4)
    named = dataclasses.replace(
        feature_set(X, y, ids=[f"p{s}/{i}.jpg" for i, s in enumerate(source)]),
        groups=tuple(f"place {s // 2}" for s in source),
    )
    report = compare(named, ["knn"], **FAST, references=False, groups=r"^(p\d+)/")
    assert report.data["protocol"]["groups_set_aside"] == 30
    assert "the 30 groups of the data are set aside" in report.data["protocol"]["text"]
    assert "Groups: 60 by the expression" in report.to_text() and "the 30 that the data name are set aside" in (
        " ".join(report.to_text(400).split())
    )


def test_groups_on_both_sides_of_a_given_split_are_warned_of_and_can_be_left_out():
    groups = tuple(f"p{i % 150}" for i in range(200))
    features = dataclasses.replace(digits(200, classes=3, split=0.3), groups=groups)
    data = compare(features, ["centroid"], **FAST, references=False).data
    assert any(w["kind"] == "leak" and "groups of the data" in w["text"] for w in data["warnings"])
    kept = compare(features, ["centroid"], **FAST, references=False, drop_leaks=True).data
    assert not any("groups of the data" in w["text"] for w in kept["warnings"]) and kept["protocol"]["dropped"] > 0


def test_unlabelled_images_are_among_the_warnings():
    features = digits(150, classes=3)
    features = dataclasses.replace(features, y=np.where(np.arange(150) < 30, -1, features.y))
    data = compare(features, ["centroid"], **FAST, references=False).data
    assert {"kind": "class", "text": "30 images without a label took no part."} in data["warnings"]
    assert data["dataset"]["images"] == 120


def test_how_the_data_were_read_is_in_the_report_and_doubts_come_first():
    about = {"labels_from": "list.csv", "doubts": [{"name": "copies", "text": "4 copies.", "refuses": False}]}
    features = dataclasses.replace(digits(150, classes=3), about=about)
    report = compare(features, ["centroid"], **FAST, references=False)
    assert report.data["dataset"]["about"] == about
    assert report.data["warnings"][0] == {"kind": "data", "text": "4 copies."}
    assert "Labels: list.csv." in report.to_text() and "Warning (data): 4 copies." in report.to_text()


def test_references_are_those_that_were_asked_for():
    features = digits(150, classes=3)
    both = ["centroid", "majority"]
    for asked, heads in ((True, both), (False, ["centroid"]), (["majority"], both)):
        data = compare(features, ["centroid"], **FAST, references=asked).data
        assert [run["head"] for run in data["runs"]] == heads
        assert [gone["head"] for gone in data["omitted"]] == (["pixels"] if asked is True else [])
    with pytest.raises(UnknownNameError, match="unknown reference 'chance'"):
        compare(features, ["centroid"], **FAST, references=["chance"])
