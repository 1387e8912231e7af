from classifiers.leaderboard import Leaderboard
from classifiers.provenance import provenance
from classifiers.reportdata import filled
from tests.report_example import planted


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
