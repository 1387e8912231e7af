"""The advice in the report that `featstore compare` wrote: whose it must be, what is added, and the next command."""

import dataclasses
import shlex
from pathlib import Path

import numpy as np
import pytest

from classifiers.advice.advice_report import add_to_report
from classifiers.advice.advisor import advise
from classifiers.advice.decision import judge
from classifiers.advice.evidence import gather
from classifiers.report import verdict as report_verdict
from classifiers.report.report import Report
from featstore.errors import FeaturesError, ReportError, ReportNotFoundError
from featstore.store.feature_store import FeatureStore
from tests.support.feature_sets import feature_set
from tests.support.report_example import WEIGHTS, planted


def test_advice_becomes_a_section_of_a_report(tones, tmp_path):
    advice, _ = advise(FeatureStore(tones / "store"), device="cpu", workers=0)
    with pytest.raises(ReportNotFoundError, match="compare"):
        add_to_report(tmp_path / "none", advice, "s")
    data = planted()
    Report(data).write(tmp_path)
    with pytest.raises(FeaturesError, match=r"of the data set 'planted' \(\d+ classes\), the advice of 'tones' \(3\)"):
        add_to_report(tmp_path, advice, "my store")
    data["dataset"] |= {"name": "tones", "classes": ["dark", "light", "red"]}
    for run in data["runs"]:
        run["confusion"], run["per_class"] = [], []
    Report(data).write(tmp_path)
    with pytest.raises(FeaturesError, match=r"has no features of resnet18 with the weights random \(seed 0\)"):
        add_to_report(tmp_path, advice, "my store")
    for run in data["runs"]:
        run |= {"backbone": "resnet18", "weights": "random (seed 0)"}
    assert "Is the cache enough?" not in Report(data).to_html()
    Report(data).write(tmp_path)
    add_to_report(tmp_path, advice, "my store")
    page = (tmp_path / "report.html").read_text()
    assert 'id="advice"' in page and "Is the cache enough?" in (tmp_path / "report.md").read_text()
    assert Report.load(tmp_path).data["advice"]["verdict"] == advice.verdict


@pytest.fixture(scope="module")
def advice():
    """Advice on the data set and the network of the planted report."""
    y = np.arange(60) % 3
    X = np.random.default_rng(0).normal(size=(60, 8)) + 4 * np.eye(8)[y]
    judged = judge(gather([feature_set(X, y)]))
    about = {"dataset": "planted", "backbone": "mobilenet_v2", "weights": WEIGHTS}
    classes = tuple(planted()["dataset"]["classes"])
    return dataclasses.replace(judged, verdict="cache-is-enough", next="as before", about=about, classes=classes)


@pytest.mark.parametrize("store", ["s", "my store", Path("/data/it's; rm -rf *"), "$HOME"])
@pytest.mark.parametrize("groups", [None, r"(\w+) (\d+)"])
def test_where_the_cache_is_enough_the_next_command_keeps_the_best_head_whatever_its_names(
    advice, tmp_path, store, groups
):
    data = planted(strengths={"knn": 1.0, "svm": 9.0})
    data["protocol"]["groups"] = groups
    data["runs"][data["best_run"]]["feature_key"] = data["features"][0]["feature_key"] = "fedcba9876543210"
    Report(data).write(tmp_path)
    added = add_to_report(tmp_path, advice, store)
    together = ["--groups", groups] if groups else []
    assert shlex.split(added.next) == [
        "featstore", "train", str(store), "--dataset", "planted", "--key", "fedcba9876543210", "--head", "svm",
        *together, "-o", "planted.safetensors",
    ]  # fmt: skip
    assert Report.load(tmp_path).data["advice"]["next"] == added.next


def test_the_head_is_to_be_trained_as_it_was_compared(advice, tmp_path):
    data = planted(strengths={"knn": 1.0, "svm": 9.0})
    data["protocol"] |= {"budget": "quick", "seed": 3, "folds": 7, "class_weight": "balanced"}
    Report(data).write(tmp_path)
    command = shlex.split(add_to_report(tmp_path, advice, "s").next)
    for option, value in (("--budget", "quick"), ("--seed", "3"), ("--folds", "7"), ("--class-weight", "balanced")):
        assert command[command.index(option) + 1] == value


@pytest.mark.parametrize("verdict", ["earlier-node", "reopen-top", "reopen-all", "more-data"])
def test_any_other_verdict_keeps_its_next_command(advice, tmp_path, verdict):
    Report(planted()).write(tmp_path)
    other = dataclasses.replace(advice, verdict=verdict)
    assert add_to_report(tmp_path, other, "s") is other


def test_a_reference_is_no_head_to_keep(advice, tmp_path):
    data = planted()
    data["best_run"] = next(i for i, run in enumerate(data["runs"]) if run["reference"])
    Report(data).write(tmp_path)
    assert add_to_report(tmp_path, advice, "s") is advice


def test_nothing_else_in_the_report_changes_and_later_advice_takes_the_place_of_earlier(advice, tmp_path):
    Report(planted()).write(tmp_path)
    before = Report.load(tmp_path).data
    for verdict in ("more-data", "earlier-node"):
        add_to_report(tmp_path, dataclasses.replace(advice, verdict=verdict), "s")
        after = Report.load(tmp_path).data
        assert after.pop("advice")["verdict"] == verdict and after == before
    assert (tmp_path / "report.html").read_text().count('id="advice"') == 1


def test_the_order_of_the_classes_does_not_matter_but_every_one_does(advice, tmp_path):
    Report(planted()).write(tmp_path)
    add_to_report(tmp_path, dataclasses.replace(advice, classes=advice.classes[::-1]), "s")
    with pytest.raises(FeaturesError, match=r"\(3 classes\), the advice of 'planted' \(2\); give the folder"):
        add_to_report(tmp_path, dataclasses.replace(advice, classes=advice.classes[:2]), "s")


def test_advice_on_another_network_is_refused_with_those_of_the_report_and_the_report_left_as_it_was(advice, tmp_path):
    Report(planted(sets=({"backbone": "vgg16"}, {"backbone": "resnet18"}))).write(tmp_path)
    before = {file: file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()}
    known = rf"it has resnet18 \({WEIGHTS}\), vgg16 \({WEIGHTS}\)$"
    with pytest.raises(FeaturesError, match=f"no features of mobilenet_v2 with the weights {WEIGHTS}, .*{known}"):
        add_to_report(tmp_path, advice, "s")
    assert {file: file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()} == before


def test_a_report_that_cannot_be_read_is_an_error_of_its_own(advice, tmp_path):
    (tmp_path / "report.json").write_text("{")
    with pytest.raises(ReportError, match=r"report\.json"):
        add_to_report(tmp_path, advice, "s")


def test_who_has_asked_for_advice_is_not_sent_for_it_again(advice, tmp_path):
    data = planted(strengths={"knn": 1.0, "svm": 9.0})
    data["verdict"] = report_verdict.verdict(data)
    assert any("featstore advise" in sentence for sentence in data["verdict"])
    Report(data).write(tmp_path)
    add_to_report(tmp_path, advice, "s", worded=lambda told: told | {"worded": True})
    after = Report.load(tmp_path).data
    assert after["worded"] and not any("featstore advise" in sentence for sentence in after["verdict"])
    assert len(after["verdict"]) == len(data["verdict"])  # the head is kept by the same step
    assert "featstore advise" not in (tmp_path / "report.html").read_text()


def test_a_head_of_few_images_is_kept_with_the_option_that_let_it_be_compared(advice, tmp_path):
    data = planted(strengths={"knn": 1.0, "svm": 9.0})
    data["protocol"]["allow_few"] = True
    Report(data).write(tmp_path)
    assert "--allow-few" in shlex.split(add_to_report(tmp_path, advice, "s").next)
