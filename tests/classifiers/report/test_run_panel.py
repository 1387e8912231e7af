import re

from sklearn.metrics import precision_recall_fscore_support

from classifiers.report.report_data import filled
from classifiers.report.run_panel import RunPanel
from tests.support.report_example import planted


def test_class_rows_are_scikit_learns_figures():
    data = planted(5, 300, strengths={"logistic": 1.5})
    panel = RunPanel(filled(data), 0)
    found = data["runs"][0]["predictions"]
    precision, recall, f1, support = precision_recall_fscore_support(found["true"], found["predicted"])
    for i, row in enumerate(panel.classes):
        assert (row.recall, row.precision, row.f1) == tuple(f"{100 * v[i]:.1f}" for v in (recall, precision, f1))
        assert row.support == support[i]


def test_many_classes_begin_with_the_least_recognised():
    panel = RunPanel(filled(planted(37, 370, strengths={"logistic": 2.5})), 0)
    recalls = [float(row.recall) for row in panel.classes]
    assert recalls == sorted(recalls) and "least recognised first" in panel.classes_caption
    assert not panel.many and panel.matrix is not None


def test_very_many_classes_are_cut_to_the_worst():
    data = planted(500, 1000, strengths={"logistic": 3.0})
    panel = RunPanel(filled(data), 0)
    assert len(panel.classes) == 300 and "of 500 classes" in panel.classes_caption
    assert panel.matrix is None and panel.confused_pairs


def test_a_class_that_was_never_seen_has_no_figures():
    data = planted(3)
    data["runs"][0]["per_class"][2].update(support=0, recall=None, recall_ci=None, precision=None, f1=None)
    row = RunPanel(filled(data), 0).classes[2]
    assert (row.recall, row.precision, row.f1, str(row.whisker)) == ("–", "–", "–", "")


def test_the_most_frequent_mistake_of_a_class_is_named():
    data = planted(3)
    run = data["runs"][0]
    run["confusion"] = [[10, 4, 6], [0, 20, 0], [1, 0, 19]]
    assert [row.taken for row in RunPanel(filled(data), 0).classes] == ["class_02 (6)", "", "class_00 (1)"]


def test_calibration_says_what_was_done():
    data = planted()
    assert ("temperature", "1.30") in RunPanel(filled(data), 0).calibration
    assert ("log loss out of fold", "0.500 → 0.400") in RunPanel(filled(data), 0).calibration
    data["runs"][0]["calibration"] = {"method": "none", "temperature": None, "log_loss_before": None}
    assert RunPanel(filled(data), 0).calibration[-1] == ("recalibrated", "not needed")


def test_its_size_is_about_what_the_page_will_hold():
    panel = RunPanel(filled(planted(37, 370)), 0)
    whiskers = sum(len(row.whisker) for row in panel.classes)
    assert len(panel) > len(panel.matrix) + whiskers
    assert re.match("<svg", panel.reliability)
