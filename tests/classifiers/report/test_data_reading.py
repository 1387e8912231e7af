"""Where labels and parts came from, in every rendering."""

import pytest

from classifiers.report.data_reading import data_reading, doubts, group_sentence, reading_sentence
from classifiers.report.markdown import markdown
from classifiers.report.page import html
from classifiers.report.plaintext import text
from tests.support.report_example import planted

ABOUT = {
    "layout": "Oxford-IIIT Pets",
    "labels_from": "annotations/list.txt",
    "parts_from": "trainval.txt and test.txt",
    "notes": ["2 images are on no list: <b>x.jpg</b>"],
    "reading": {"unlabelled": True},
    "doubts": [{"name": "copies", "text": "4 files stand in two classes.", "refuses": True}],
}


@pytest.mark.parametrize("render", [text, markdown, html])
def test_every_rendering_says_where_labels_and_parts_came_from(render):
    data = planted()
    plain = render(data)
    assert "trainval.txt" not in plain
    data["dataset"]["about"] = ABOUT
    shown = render(data)
    assert "annotations/list.txt" in shown and "trainval.txt and test.txt" in shown and "Oxford-IIIT Pets" in shown
    assert "<b>x.jpg" not in shown


@pytest.mark.parametrize("render", [markdown, html])
def test_notes_are_in_the_files(render):
    data = planted()
    data["dataset"]["about"] = ABOUT
    assert "2 images are on no list" in render(data)


@pytest.mark.parametrize(
    "about",
    [
        {},
        None,
        [],
        {"labels_from": 3, "notes": "text", "doubts": "text"},
        {"notes": [7], "doubts": [7, {"text": 7}, {}]},
    ],
)
def test_every_key_is_optional_and_of_any_type(about):
    full = {"dataset": {"about": about}}
    assert data_reading(full) == [] and reading_sentence(full) == ""
    assert text({**planted(), "dataset": {**planted()["dataset"], "about": about}})
    if isinstance(about, dict):
        assert doubts(about) == []


def test_doubts_are_warnings():
    assert doubts(ABOUT) == [{"kind": "data", "text": "4 files stand in two classes."}]


def test_an_expression_is_shown_as_it_was_typed():
    full = {"protocol": {"groups": r"(g\d)_", "n_groups": 7}}
    assert group_sentence(full) == r"Groups: 7 by the expression '(g\d)_' stay on one side of every fold."
