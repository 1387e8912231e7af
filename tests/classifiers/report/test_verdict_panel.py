from classifiers.report.report_data import filled
from classifiers.report.verdict import NEXT, random_weights_note, verdict
from classifiers.report.verdict_panel import VerdictPanel, listed_warnings, shift_note
from tests.support.report_example import planted


def test_each_sentence_is_shown_once_in_its_place():
    data = planted(sets=({"weights": "random (seed 3)"},))
    panel, said = VerdictPanel.of(filled(data)), verdict(data)
    assert panel.headline == said[0] and panel.random_weights == random_weights_note(data)
    steps = [sentence.removeprefix(NEXT) for sentence in said if sentence.startswith(NEXT)]
    assert [step.lower() for step in panel.steps] == [step.lower() for step in steps] and steps
    assert panel.sentences == [s for s in said[1:] if not s.startswith(NEXT) and s != panel.random_weights]
    assert not any(step[0].islower() for step in panel.steps if not step.startswith("featstore"))


def test_a_verdict_that_was_written_is_not_reached_anew():
    panel = VerdictPanel.of(filled({**planted(), "verdict": ["As it was.", f"{NEXT}rest."]}))
    assert (panel.headline, panel.sentences, panel.steps) == ("As it was.", [], ["Rest."])
    assert panel.random_weights is None


def test_a_shift_stands_at_the_top_unless_copies_are_graver():
    full = filled(planted())
    assert shift_note(full) is None and listed_warnings(full) == []
    full["warnings"] = [{"kind": "shift", "text": "Other images."}, {"kind": "class", "text": "Few."}]
    assert VerdictPanel.of(full).shift == "Other images."
    assert [warning["kind"] for warning in listed_warnings(full)] == ["class"]
    full["warnings"].insert(0, {"kind": "leak", "text": "Copies."})
    full["leaks"]["near"] = 5
    assert VerdictPanel.of(full).shift is None
    assert [warning["kind"] for warning in listed_warnings(full)] == ["leak", "shift", "class"]
