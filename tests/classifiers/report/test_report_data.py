import copy

import pytest

from classifiers.report.report_data import check, filled, only_class, shown_better
from featstore.errors import ReportError
from tests.support.report_example import planted


def test_what_is_whole_passes_unchanged():
    data = planted()
    before = copy.deepcopy(data)
    assert check(data) is data
    filled(data)
    assert data == before


@pytest.mark.parametrize("nothing", [None, [], "report", 3, {"format": True, "runs": []}])
def test_what_is_no_report_at_all(nothing):
    with pytest.raises(ReportError, match="shelf/report.json is no report: expected a JSON object"):
        check(nothing, "shelf/report.json")


def test_integers_are_fine_numbers_and_booleans_are_none():
    data = planted()
    data["runs"][0].update(accuracy=1, accuracy_ci=[1, 1])
    check(data)
    data["runs"][0]["accuracy"] = True
    with pytest.raises(ReportError, match=r"'accuracy' of type bool, expected float"):
        check(data)


def test_a_matrix_may_be_left_out_but_not_be_ragged():
    data = planted()
    data["runs"][0]["confusion"] = []
    check(data)
    data["runs"][0]["confusion"] = [[1, 2, 3], [1, 2], [1, 2, 3]]
    with pytest.raises(ReportError, match="not 3 x 3"):
        check(data)


def test_filled_derives_what_the_stable_part_implies():
    data = planted(sets=({}, {"feature_key": "b" * 16, "node": "layer3"}))
    for key in ("features", "best_run", "images", "map", "leaks", "protocol"):
        del data[key]
    for run in data["runs"]:
        del run["feature"]
    for pair in data["comparisons"]:
        del pair["a_run"], pair["b_run"]
    full = filled(data)
    assert [f["node"] for f in full["features"]] == ["avgpool", "layer3"]
    assert [run["feature"] for run in full["runs"]] == [0, 0, 0, 1, 1, 1, 0]
    assert full["runs"][full["best_run"]]["head"] == data["best"]
    pair = full["comparisons"][0]
    assert full["runs"][pair["a_run"]]["name"] == pair["a"]
    assert full["map"] is None and full["images"]["paths"] == []


def test_a_difference_is_shown_by_the_corrected_p_alone():
    runs = [{"accuracy": 0.9}, {"accuracy": 0.8}]
    pair = {"a_run": 0, "b_run": 1, "a_only": 2, "b_only": 9, "p": 0.03}
    assert shown_better({**pair, "p_holm": 0.0625}, runs) is None
    assert shown_better({**pair, "p_holm": 0.03}, runs) == 1  # by the images of the test, not by the accuracies
    assert shown_better({**pair, "p_holm": 0.03, "a_only": None}, runs) == 0
    assert shown_better({**pair, "p_holm": 0.03, "b_run": None}, runs) is None


def test_only_class_is_the_class_of_all_judged_images():
    rows = [{"name": "ant", "support": 0}, {"name": "bee", "support": 9}]
    assert only_class({"per_class": rows}) == "bee"
    assert only_class({"per_class": [{**row, "support": 3} for row in rows]}) is None
    assert only_class({"per_class": rows[1:]}) is None and only_class({"per_class": []}) is None
