from classifiers.report.leaderboard import Leaderboard
from classifiers.report.provenance import certificate, parameters, provenance, search
from classifiers.report.report_data import filled
from tests.support.report_example import planted


def shown(data):
    full = filled(data)
    return provenance(full, Leaderboard(full))


def test_everything_that_made_the_figures_is_named():
    data = planted()
    data["features"][0]["failed"] = [["broken\u202e.jpg", "truncated"]]
    found = shown(data)
    feature = found["features"][0]
    assert (feature["backbone"], feature["key"], feature["dim"], feature["rows"]) == (
        "mobilenet_v2", "0" * 16, "1,280", "180",
    )  # fmt: skip
    assert found["failed"] == [("broken\\u202e.jpg", "truncated")] and found["failed_count"] == "1 image"
    assert ("drop leaks", "no") in found["protocol"] and ("groups", "–") in found["protocol"]
    assert ("numpy", "2.1.0") in found["environment"] and found["date"] == "2025-03-01"
    assert found["total_seconds"] == "12.3 s"
    assert [row["name"] for row in found["certificates"]] == ["logistic", "svm", "knn", "majority"]
    assert found["certificates"][0]["certificate"] == "gradient_norm = 3e-07"
    assert [s.name for s in found["searches"]] == ["logistic", "svm", "knn"]


def test_an_empty_environment_is_no_failure():
    data = planted()
    data["environment"] = {}
    found = shown(data)
    assert found["environment"] == [] and found["total_seconds"] == "" and found["date"] == ""


def run(**changes):
    data = planted()
    data["runs"][0].update(changes)
    return filled(data)["runs"][0]


def test_every_candidate_is_listed_and_the_chosen_one_marked():
    shown = search(run())
    assert [row.params for row in shown.rows] == ["C = 0.01", "C = 0.1", "C = 1"]
    assert [row.chosen for row in shown.rows] == [False, True, False]
    assert (shown.count, shown.chosen) == ("3 candidates", "C = 0.1")
    assert shown.rows[0].accuracy == "96.0" and shown.rows[0].folds == "96.0 to 96.0"


def test_one_varied_number_is_drawn_anything_else_is_not():
    assert "<svg" in search(run()).svg
    two = [{"params": {"C": c, "g": g}, "accuracy": 0.5, "log_loss": None} for c in (1, 2) for g in (1, 2)]
    assert search(run(cv_results=two)).svg is None
    words = [{"params": {"kind": kind}, "accuracy": 0.5} for kind in "abc"]
    assert search(run(cv_results=words)).svg is None
    assert search(run(cv_results=words)).rows[0].folds == ""


def test_no_search_no_list():
    assert search(run(cv_results=[])) is None


def test_parameters_on_one_line():
    assert parameters({"C": 0.0316227766, "deep": None, "layers": [64, 32], "solver": "a\nb"}) == (
        "C = 0.03162, deep = null, layers = [64, 32], solver = a\\x0ab"
    )
    assert parameters({}) == "nothing to choose"
    assert certificate({"certificate": {"gradient_norm": 3e-7}}) == "gradient_norm = 3e-07"
    assert certificate({"certificate": {}}) == ""
