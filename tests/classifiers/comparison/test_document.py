import dataclasses
import json
import re
import sys

import numpy as np
import pytest

from classifiers.comparison.document import document, environment
from classifiers.comparison.evaluate import evaluate
from classifiers.leakage.duplicate_groups import find_duplicate_groups
from classifiers.leakage.leaks import find_leaks
from classifiers.report.report_data import check
from classifiers.report.verdict import verdict
from classifiers.validation.protocol import make_protocol
from tests.support.feature_sets import digits


def judged(omitted, features=None, **options):
    features = digits(300, split=0.3) if features is None else features
    plan = make_protocol(features, folds=3, repeats=1, seed=0)
    sources = find_duplicate_groups(features, seed=0)
    leaks = find_leaks(features, plan, sources, grouped=False, seconds=0.0)
    runs = [evaluate(head, features, plan, budget="quick") for head in ("knn", "centroid")]
    given = {"asked": ("knn", "centroid", "svm"), "members": None, "seed": 0, "budget": "quick", "groups": None,
             "drop_leaks": False, "class_weight": {"class1": 2.0}, "store": "s"}  # fmt: skip
    return document([features], plan, runs, omitted, leaks, ["a class is rare"], **given | options)


def test_it_is_a_report_once_environment_and_verdict_are_added():
    data = judged([{"head": name, "feature": 0, "reason": "no room"} for name in ("svm", "pixels")])
    data["environment"] = environment()
    data["verdict"] = verdict(data)
    check(data)
    json.dumps(data, allow_nan=False)
    texts = [warning["text"] for warning in data["warnings"]]
    assert "a class is rare" in texts and "svm could not be judged: no room" in texts
    assert not any("pixels" in text for text in texts), "nobody asked for it"
    assert data["protocol"]["class_weight"] == {"class1": 2.0} and data["protocol"]["n_groups"] is None
    best = max(data["runs"], key=lambda run: run["cv_accuracy"])
    assert data["runs"][data["best_run"]] is best and data["best"] == best["head"]


@pytest.mark.parametrize("members", [np.arange(300), np.arange(300) // 2])
def test_groups_are_counted(members):
    assert judged([], members=members)["protocol"]["n_groups"] == len(set(members))


def test_it_says_what_ran_where():
    found = environment()
    assert found["python"] == ".".join(map(str, sys.version_info[:3]))
    assert found["versions"]["numpy"] == np.__version__
    assert set(found["versions"]) == {"featstore", "numpy", "scikit-learn", "lightgbm", "torch"}
    assert found["cores"] >= 1 and re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d UTC", found["date"])
    json.dumps(found)


def test_copies_are_told_once_not_again_as_a_doubt_of_the_reading():
    features = digits(300, split=0.3)
    other = int(np.flatnonzero(features.y[90:] != features.y[0])[0]) + 90
    digests = features.digests.copy()
    digests[other] = digests[0]
    texts = {
        "same-bytes-in-two-classes": "2 images have the same bytes as one of another class",
        "copies-in-two-parts": "1 image in test is in train as well, byte for byte; they make every score too good",
        "one-class": "All images are of one class.",
    }
    about = {"doubts": [{"name": name, "text": text} for name, text in texts.items()]}
    data = judged([], dataclasses.replace(features, digests=digests, about=about))
    said = [warning["text"] for warning in data["warnings"]]
    assert texts["one-class"] in said and not {*list(texts.values())[:2]} & {*said}
    for once in ("byte-identical", "under two classes"):
        assert sum(once in text for text in said) == 1
    kept = [warning["text"] for warning in judged([], dataclasses.replace(features, about=about))["warnings"]]
    assert texts["same-bytes-in-two-classes"] in kept  # of images that are not compared here
