import json
import shlex

import numpy as np
import pytest
from click.testing import CliRunner

from featstore import FeatureStore
from featstore.errors import AmbiguousFeaturesError, ReportNotFoundError, UnknownNameError
from featstore.store.format.rows import OK, Rows
from featstore_scripts.advise import advise
from featstore_scripts.main import group
from tests.support.store_inputs import PROVENANCE, digests, fingerprint, images

NAMES = [f"i{i:03d}" for i in range(120)]
VERDICTS = {"cache-is-enough", "earlier-node", "reopen-top", "reopen-all", "more-data"}


def planted_rows(seed, distance) -> Rows:
    """Two classes in turn, told apart by their means."""
    X = np.random.default_rng(seed).normal(size=(len(NAMES), 8)).astype(np.float32)
    X[:, 0] += distance * (np.arange(len(NAMES)) % 2)
    return Rows(digests(NAMES), X, np.full(len(NAMES), OK, dtype=np.uint8), ("",) * len(NAMES))


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    store = FeatureStore(tmp_path_factory.mktemp("advise") / "s", create=True)
    store.put_imageset(images(NAMES, splits=["train" if i % 4 > 1 or i < 60 else "test" for i in range(120)]))
    for node, seed, distance in (("layer3", 1, 2.0), ("avgpool", 2, 6.0)):
        store.commit(fingerprint(node=node), planted_rows(seed, distance), PROVENANCE)
    return store.path


def run(*arguments):
    return CliRunner().invoke(advise, [str(argument) for argument in arguments])


def test_one_document_with_verdict_gain_evidence_and_the_next_command(place):
    done = run(place, "--json", "--quiet")
    assert done.exit_code == 0, (done.output, done.exception)
    told = json.loads(done.stdout)
    assert told["format"] == 1 and told["verdict"] in VERDICTS and told["regime"] in (1, 2, 3, 4)
    low, high = told["expected_gain_ci"]
    assert low <= told["expected_gain"] <= high
    assert told["evidence"]["train"] == 90 and told["next"].startswith("featstore ")
    assert any("--extract" in note for note in told["notes"]) and not any("`data=" in note for note in told["notes"])


def test_for_people_it_says_the_same_in_words(place):
    told, shown = json.loads(run(place, "--json", "--quiet").stdout), run(place, "--quiet").stdout
    words = " ".join(shown.split())
    assert f"Next: {told['next']}" in words
    assert " ".join(told["reasons"][0].split()) in words
    assert "`data=" not in shown
    assert words.startswith(told["text"]) and f"over the linear head on {told['base_node']}" in words
    assert " points of accuracy (90 % interval " in words
    assert words.index("Details: LogME and H-score by node") > words.index(" ".join(told["reasons"][-1].split()))


def test_where_the_test_part_is_shifted_labelling_is_said_before_the_command(place, tmp_path):
    store = FeatureStore(tmp_path / "shifted", create=True)
    parts = ["train" if i % 4 > 1 or i < 60 else "test" for i in range(120)]
    store.put_imageset(images(NAMES, splits=parts))
    rows = planted_rows(2, 6.0)
    rows.X[np.array(parts) == "test", 1] += 6
    store.commit(fingerprint(), rows, PROVENANCE)
    told, shown = json.loads(run(store.path, "--json", "--quiet").stdout), run(store.path, "--quiet").stdout
    assert told["first"].startswith("Label images like the test images") and told["reasons"][0].startswith(
        told["first"]
    )
    assert f"Next: {told['first']} As the images are now: {told['next']}" in " ".join(shown.split())


@pytest.mark.parametrize(
    ("arguments", "error", "match"),
    [
        (("--dataset", "pest"), UnknownNameError, "pest"),
        (("--report", "nowhere"), ReportNotFoundError, "nowhere"),
    ],
)
def test_what_is_not_there_is_refused(place, tmp_path, arguments, error, match):
    done = run(place, *arguments, "--quiet")
    assert done.exit_code != 0 and isinstance(done.exception, error) and match in str(done.exception)


def test_features_of_two_networks_are_not_mixed(place, tmp_path):
    store = FeatureStore(tmp_path / "two", create=True)
    store.put_imageset(images(NAMES))
    for backbone in ("resnet18", "vgg11"):
        store.commit(fingerprint(backbone=backbone), planted_rows(0, 3.0), PROVENANCE)
    done = run(store.path, "--quiet")
    assert isinstance(done.exception, AmbiguousFeaturesError) and "advice is about one" in str(done.exception)


@pytest.mark.parametrize(
    ("labels", "parts", "option"),
    [
        (np.arange(120) % 2, ["train" if i < 80 or i % 2 else "test" for i in range(120)], "--protocol cv"),
        (np.minimum(np.arange(120) % 118, 2), None, "--allow-few"),
        (np.where(np.arange(120) < 80, np.arange(120) % 3, 0), ["train"] * 80 + ["test"] * 40, "--protocol cv"),
        (np.r_[np.arange(80) % 3, np.arange(40) % 2], ["train"] * 80 + ["test"] * 40, "--allow-untested"),
        (np.arange(120) % 2, None, ""),
    ],
)
def test_the_next_command_runs_whatever_images_classes_have(tmp_path, monkeypatch, labels, parts, option):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "report").mkdir()
    (tmp_path / "report" / "report.html").write_text("of yesterday")
    store = FeatureStore(tmp_path / "s", create=True)
    found = images(NAMES, splits=parts, labels=labels.astype(np.int64), classes=("a", "b", "c")[: labels.max() + 1])
    store.put_imageset(found)
    rows = planted_rows(2, 0.0)
    rows.X[:, 0] += 1.5 * labels
    store.commit(fingerprint(), rows, PROVENANCE)
    told = json.loads(run(store.path, "--json", "--quiet").stdout)
    words = shlex.split(told["next"])
    assert words[:5] == ["featstore", "compare", str(store.path), "-o", "report-2"]
    assert option in told["next"] and any(f"Without {option} " in note for note in told["notes"]) == bool(option)
    cheap = ["--heads", "centroid", "--references", "none", "--budget", "quick", "--quiet"]
    done = CliRunner().invoke(group, [*words[1:], *cheap])
    assert done.exit_code == 0, done.exception


def test_copies_that_were_found_are_kept_apart_in_the_next_command_too(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    store = FeatureStore(tmp_path / "s", create=True)
    rows = planted_rows(2, 1.0)
    rows.X[60:] = rows.X[:60]  # the files are nowhere, so what is all but equal counts as a copy
    store.put_imageset(images(NAMES))
    store.commit(fingerprint(), rows, PROVENANCE)
    told = json.loads(run(store.path, "--json", "--quiet").stdout)
    assert told["evidence"]["sources"] == 60 and told["next"].endswith("--groups auto")
    assert any("120 training images come from about 60 sources" in note for note in told["notes"])
    cheap = ["--heads", "centroid", "--references", "none", "--budget", "quick", "--quiet", "--json"]
    report = json.loads(CliRunner().invoke(group, [*shlex.split(told["next"])[1:], *cheap]).stdout)
    assert not any(warning["kind"] == "leak" for warning in report["warnings"])
