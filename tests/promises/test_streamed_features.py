import json
import re
import threading

import pytest
from click.testing import CliRunner

from classifiers.streamed import memory_limit
from featstore import FeatureStore
from featstore_scripts.compare import compare
from tests.scripts.test_compare import NAMES, planted_rows
from tests.support.store_inputs import PROVENANCE, fingerprint, images

FAST = ("--heads", "centroid,logistic", "--budget", "quick", "--folds", "3", "--quiet")


@pytest.fixture
def place(tmp_path):
    store = FeatureStore(tmp_path / "s", create=True)
    store.put_imageset(images(NAMES, splits=["train" if i % 3 else "test" for i in range(96)]))
    store.commit(fingerprint(), planted_rows(NAMES[:40]), PROVENANCE)
    store.commit(fingerprint(), planted_rows(NAMES[40:]), PROVENANCE)
    return store.path


def run(*arguments):
    return CliRunner().invoke(compare, [str(a) for a in arguments])


def test_it_streams_where_it_is_told_to_and_says_what_that_takes(place, tmp_path):
    result = run(place, "-o", tmp_path / "r", *FAST, "--stream")
    assert result.exit_code == 0, (result.output, result.exception)
    assert "Streaming 0.0 GB of features" in result.stderr
    data = json.loads((tmp_path / "r" / "report.json").read_text())
    assert data["protocol"]["streamed"] is True
    whole = run(place, "-o", tmp_path / "w", *FAST)
    assert whole.exit_code == 0 and "Streaming" not in whole.stderr
    other = json.loads((tmp_path / "w" / "report.json").read_text())
    for mine, its in zip(data["runs"], other["runs"], strict=False):
        assert mine["head"] == its["head"] and mine["accuracy"] == pytest.approx(its["accuracy"], abs=0.07)


def test_it_streams_by_itself_where_memory_would_not_hold_the_features(place, tmp_path, monkeypatch):
    monkeypatch.setattr(memory_limit, "available_memory", lambda: 5_000)
    result = run(place, "-o", tmp_path / "r", *FAST)
    assert result.exit_code == 0, (result.output, result.exception)
    assert "Streaming" in result.stderr
    assert run(place, "-o", tmp_path / "q", *FAST, "--no-stream").exit_code == 0


def test_several_feature_sets_are_refused(place, tmp_path):
    FeatureStore(place).commit(fingerprint(node="layer4"), planted_rows(NAMES, dim=4), PROVENANCE)
    result = run(place, "-o", tmp_path / "r", *FAST, "--stream")
    assert result.exit_code == 2 and "2 feature sets fit, and streaming takes one" in result.output


def test_a_store_compacted_and_collected_meanwhile_changes_nothing(place, tmp_path):
    quiet = run(place, "-o", tmp_path / "a", *FAST, "--stream")
    assert quiet.exit_code == 0
    stop, collected = threading.Event(), []

    def disturb():
        store = FeatureStore(place)
        while not stop.is_set():
            store.compact()
            collected.append(store.gc(grace_seconds=0.0))

    thread = threading.Thread(target=disturb)
    thread.start()
    try:
        busy = run(place, "-o", tmp_path / "b", *FAST, "--stream")
    finally:
        stop.set()
        thread.join()
    assert busy.exit_code == 0, (busy.output, busy.exception)
    assert collected
    a, b = (json.loads((tmp_path / name / "report.json").read_text()) for name in "ab")
    assert [r["predictions"] for r in a["runs"]] == [r["predictions"] for r in b["runs"]]


def test_a_bundle_is_trained_in_passes_too(place, tmp_path):
    from featstore_scripts.train import train

    results = [
        CliRunner().invoke(train, [str(place), "--head", "logistic", "-o", str(tmp_path / name), "--folds", "3", *more])
        for name, more in (("a.bundle", ["--stream"]), ("b.bundle", []))
    ]
    assert [result.exit_code for result in results] == [0, 0], [result.output for result in results]
    assert "Streaming 0.0 GB" in results[0].stderr
    accuracy = [re.search(r"test images: ([0-9.]+) %", result.stdout)[1] for result in results]
    assert float(accuracy[0]) == pytest.approx(float(accuracy[1]), abs=7)
