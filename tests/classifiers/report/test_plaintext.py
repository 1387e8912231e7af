from classifiers.report.plaintext import text
from tests.support.report_example import planted


def test_it_holds_verdict_table_warnings_and_shown_pairs():
    data = planted(3, 300, strengths={"logistic": 3.0, "knn": 0.5})
    data["warnings"] = [{"kind": "leak", "text": "3 pairs [bold]x[/bold]"}]
    data["omitted"] = [{"head": "forest", "feature": 0, "reason": "too few images"}]
    shown = text(data)
    assert shown.startswith(
        "planted: 3 classes, 600 training images, 300 test images; features: mobilenet_v2 avgpool\n"
    )
    assert "* logistic" in shown and "majority (reference)" in shown
    assert "Warning (leak): 3 pairs [bold]x[/bold]" in shown
    assert "Left out: forest: too few images" in shown
    assert "3 differences shown in 3 pairs" in shown and "logistic / knn: logistic is better, p <0.001" in shown


def test_of_pairs_without_the_chosen_head_only_their_number_is_said():
    shown = text(planted(3, 300, strengths={"logistic": 3.0, "svm": 2.9, "knn": 0.5}))
    assert "logistic / knn: logistic is better" in shown and "svm / knn" not in shown
    assert "  3 between others: in the report" in shown


def test_it_has_no_control_codes_and_no_trailing_blanks():
    shown = text(planted())
    assert "\x1b" not in shown
    assert all(line == line.rstrip() for line in shown.splitlines())


def test_sentences_wrap_at_the_width_and_the_table_is_never_cut():
    shown = text(planted(), width=50)
    table = [line for line in shown.splitlines() if "logistic" in line and "yes" in line]
    assert len(table) == 1 and len(table[0]) > 50
    sentences = shown[shown.index("Use logistic") :].splitlines()
    assert max(len(line) for line in sentences) <= 50


def test_what_to_do_next_comes_last():
    data = planted(3, 300)
    data["warnings"] = [{"kind": "class", "text": "Few."}]
    lines = text(data).splitlines()
    where = [next(i for i, line in enumerate(lines) if line.startswith(word)) for word in (
        "* logistic", "The chosen head stands first", "Use logistic", "Warning (class)", "Pairs", "Next: ",
    )]  # fmt: skip
    assert where == sorted(where)
    assert "Warning" not in "".join(lines[where[-1] :])
