import json
import re

import numpy as np
import pytest
from click.testing import CliRunner

from classifiers import Report
from classifiers.heads.registry import candidates
from featstore import FeatureStore
from featstore.errors import (
    AmbiguousFeaturesError,
    FeaturesError,
    OutputExistsError,
    StoreNotFoundError,
    StoreWriteError,
    UnknownNameError,
)
from featstore.store.format.rows import OK, Rows
from featstore_scripts.compare import compare
from tests.support.store_inputs import PROVENANCE, digests, fingerprint, images

NAMES = [f"i{i:03d}" for i in range(96)]
FAST = ("--heads", "centroid,knn", "--budget", "quick", "--folds", "3", "--quiet")


def planted_rows(names, dim=6, distance=2.5) -> Rows:
    """Two classes in turn, told apart by their means."""
    number = np.array([NAMES.index(name) for name in names])
    X = np.random.default_rng(0).normal(size=(len(NAMES), dim))[number].astype(np.float32)
    X[:, 0] += distance * (number % 2)
    return Rows(digests(names), X, np.full(len(names), OK, dtype=np.uint8), ("",) * len(names))


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    store = FeatureStore(tmp_path_factory.mktemp("compare") / "s", create=True)
    parts = ["train" if i % 3 else "test" for i in range(96)]
    store.put_imageset(images(NAMES, splits=parts))
    store.commit(fingerprint(), planted_rows(NAMES), PROVENANCE)
    store.commit(fingerprint(node="layer3", pool="max"), planted_rows(NAMES, dim=4, distance=1.0), PROVENANCE)
    store.commit(fingerprint(node="layer4"), planted_rows(NAMES[:50]), PROVENANCE)
    return store.path


def run(*arguments, ok=True):
    result = CliRunner().invoke(compare, [str(a) for a in arguments])
    if ok:
        assert result.exit_code == 0, (result.output, result.exception)
    return result


def test_it_writes_the_three_files_and_prints_the_verdict(place, tmp_path):
    out = tmp_path / "deep" / "report"
    result = run(place, "-o", out, "--node", "avgpool", *FAST)
    assert sorted(p.name for p in out.iterdir()) == ["report.html", "report.json", "report.md"]
    report = Report.load(out)
    assert [r["head"] for r in report.data["runs"] if not r["reference"]] == ["centroid", "knn"]
    assert report.data["verdict"][0] in " ".join(result.stdout.split())
    assert f"Report: {out / 'report.html'}" in result.stdout
    assert report.data["dataset"]["test"] == 32


def test_rare_classes_can_be_weighed_up(place, tmp_path):
    result = run(place, "-o", tmp_path / "out", "--node", "avgpool", *FAST, "--class-weight", "balanced", "--json")
    assert json.loads(result.stdout)["protocol"]["class_weight"] == "balanced"


def test_json_is_one_document_that_equals_the_file(place, tmp_path):
    result = run(place, "-o", tmp_path, "--node", "avgpool", "--json", "--seed", "3", *FAST)
    document = json.loads(result.stdout)
    assert document == json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
    assert document["protocol"]["seed"] == 3 and document["protocol"]["folds"] == 3
    for key in ("dataset", "runs", "comparisons", "best", "environment"):
        assert key in document


def test_several_feature_sets_are_compared_and_an_unfinished_one_is_named(place, tmp_path):
    result = run(place, "-o", tmp_path, *FAST)
    data = Report.load(tmp_path).data
    assert sorted(f["node"] for f in data["features"]) == ["avgpool", "layer3"]
    assert len([r for r in data["runs"] if r["head"] == "knn"]) == 2
    assert re.search(r"Left out: 46 of 96 images .* layer4", result.stderr)


def test_nodes_can_be_named_one_by_one(place, tmp_path):
    run(place, "-o", tmp_path, "--node", "layer3", "--node", "avgpool", *FAST)
    assert [f["node"] for f in Report.load(tmp_path).data["features"]] == ["layer3", "avgpool"]


def test_a_report_is_not_written_into_the_store(place, tmp_path):
    for inside in (place, place / "report"):
        result = run(place, "-o", inside, *FAST, ok=False)
        assert isinstance(result.exception, OutputExistsError) and "is inside the store" in str(result.exception)
    assert not (place / "report.html").exists() and not (place / "report").exists()


def test_all_heads_are_all_but_the_references(place, tmp_path):
    few = ("--node", "avgpool", "--budget", "quick", "--folds", "2")
    result = run(place, "-o", tmp_path, "--heads", "knn,all,knn", *few)
    heads = [r["head"] for r in Report.load(tmp_path).data["runs"]]
    assert heads[:8] == ["knn", *(name for name in candidates() if name != "knn")], result.stderr
    assert set(heads[8:]) <= {"majority", "pixels"} and len(heads) == len(set(heads))
    wrong = run(place, "-o", tmp_path / "x", "--heads", "all,foo", ok=False)
    assert isinstance(wrong.exception, UnknownNameError) and "unknown head 'foo'" in str(wrong.exception)


def test_a_report_is_not_overwritten_without_being_told(place, tmp_path):
    (tmp_path / "report.md").write_text("mine")
    result = run(place, "-o", tmp_path, *FAST, ok=False)
    assert isinstance(result.exception, OutputExistsError)
    assert "holds report.md already; name another folder or add --overwrite" in str(result.exception)
    assert (tmp_path / "report.md").read_text() == "mine"
    run(place, "-o", tmp_path, "--node", "avgpool", "--overwrite", *FAST)
    assert (tmp_path / "report.md").read_text().startswith("# pets")


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (("--node", "layer9"), StoreNotFoundError, 'no features with `node="layer9"`; it holds'),
        (("--node", "layer4"), StoreNotFoundError, "46 of 96 images"),
        (("--dataset", "pest"), Exception, "pets"),
        (("--node", "avgpool", "--heads", "logistik"), UnknownNameError, "unknown head 'logistik'.*logistic"),
    ],
)
def test_what_is_not_there_is_one_sentence(place, tmp_path, arguments, error, message):
    result = run(place, "-o", tmp_path / "deep" / "r", "--quiet", *arguments, ok=False)
    assert isinstance(result.exception, error) and re.search(message, str(result.exception))
    assert list(tmp_path.iterdir()) == []  # no empty folder stays behind


def test_no_store_and_no_folder(place, tmp_path):
    result = run(tmp_path / "nothing", "-o", tmp_path / "r", ok=False)
    assert isinstance(result.exception, StoreNotFoundError)
    (tmp_path / "file").write_text("")
    result = run(place, "-o", tmp_path / "file", ok=False)
    assert isinstance(result.exception, OutputExistsError) and "is a file" in str(result.exception)
    result = run(place, "-o", tmp_path / "file" / "r", ok=False)
    assert isinstance(result.exception, StoreWriteError)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--groups", "(["), "is no regular expression"),
        (("--heads", " , "), "names no head"),
        (("--folds", "1"), "1 is not in the range"),
        (("--budget", "endless"), "is not one of"),
    ],
)
def test_wrong_usage_is_status_2(place, tmp_path, arguments, message):
    result = run(place, "-o", tmp_path, *arguments, ok=False)
    assert result.exit_code == 2 and message in result.stderr


def test_several_data_sets_must_be_told_apart(tmp_path):
    store = FeatureStore(tmp_path / "s", create=True)
    for name in ("pets", "wolves"):
        store.put_imageset(images(NAMES, name=name))
    store.commit(fingerprint(), planted_rows(NAMES), PROVENANCE)
    result = run(store.path, "-o", tmp_path / "r", ok=False)
    assert isinstance(result.exception, AmbiguousFeaturesError)
    assert "pets" in str(result.exception) and "wolves" in str(result.exception)


def test_a_class_that_no_test_image_shows_needs_a_word(tmp_path):
    store = FeatureStore(tmp_path / "s", create=True)
    parts = ["train" if i % 3 or i % 2 else "test" for i in range(96)]
    store.put_imageset(images(NAMES, splits=parts))
    store.commit(fingerprint(), planted_rows(NAMES), PROVENANCE)
    refused = run(store.path, "-o", tmp_path / "r", *FAST, ok=False)
    assert isinstance(refused.exception, FeaturesError) and "`allow_untested=True`" in str(refused.exception)
    assert not (tmp_path / "r").exists()
    run(store.path, "-o", tmp_path / "r", "--allow-untested", *FAST)
    judged = Report.load(tmp_path / "r").data
    assert "No image judges 1 class" in str(judged["warnings"])
    assert any("compare again with `--protocol cv`" in sentence for sentence in judged["verdict"])
    assert judged["verdict"][0].startswith("Nothing can be told from 16 judged images")
    assert {run["beats_majority"] for run in judged["runs"]} == {None}
    assert not any("beats" in sentence or "featstore train" in sentence for sentence in judged["verdict"])


def test_all_images_judge_where_the_test_part_of_the_data_cannot(tmp_path):
    store = FeatureStore(tmp_path / "s", create=True)
    store.put_imageset(images(NAMES, splits=["train" if i % 3 or i % 2 else "test" for i in range(96)]))
    store.commit(fingerprint(), planted_rows(NAMES), PROVENANCE)
    run(store.path, "-o", tmp_path / "r", "--protocol", "cv", *FAST)
    data = Report.load(tmp_path / "r").data
    assert data["protocol"]["name"] == "cv" and data["dataset"]["test"] == 96
    assert data["verdict"][0].startswith("Use ") or "No head" in data["verdict"][0]


@pytest.mark.parametrize(
    ("asked", "references"), [("all", ["majority"]), ("none", []), ("pixels", []), ("majority, pixels", ["majority"])]
)
def test_references_can_be_left_out(place, tmp_path, asked, references):
    result = run(place, "-o", tmp_path, "--node", "avgpool", *FAST, "--references", asked, "--json")
    data = json.loads(result.stdout)
    assert [run["head"] for run in data["runs"] if run["reference"]] == references
    assert [gone["head"] for gone in data["omitted"]] == ([] if asked == "none" else ["pixels"])


def test_an_unknown_reference_is_wrong_usage(place, tmp_path):
    result = run(place, "-o", tmp_path, *FAST, "--references", "majority,chance", ok=False)
    assert result.exit_code == 2 and "'chance' is no reference; give majority, pixels, all or none" in result.stderr


def test_a_reference_beside_none_is_told_what_stands_alone(place, tmp_path):
    result = run(place, "-o", tmp_path, *FAST, "--references", "none,pixels", ok=False)
    assert result.exit_code == 2 and "'none' stands alone" in result.output
