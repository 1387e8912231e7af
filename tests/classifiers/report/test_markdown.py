import re

import pytest

from classifiers.report.markdown import escaped, markdown, sentence, table
from tests.support.report_example import planted


def unescaped_cells(line: str) -> int:
    return len(re.findall(r"(?<!\\)\|", line)) - 1


@pytest.mark.parametrize("classes", [(), ("a|b", "c`d", "*e*", "<f>", "[g](http://h.example)", "_i_")])
def test_every_table_is_rectangular(classes):
    lines = markdown(planted(6, 60, classes=classes, strengths={"logistic": 1.0, "knn": 0.5})).splitlines()
    width = 0
    for line in lines:
        if line.startswith("|"):
            assert width in (0, unescaped_cells(line)), line
            width = unescaped_cells(line)
        else:
            width = 0


def test_names_stay_names():
    assert escaped("american_pit_bull") == "american_pit_bull"
    assert escaped("_x_ *y* <b> [z](u) a|b `c`") == "\\_x\\_ \\*y\\* \\<b\\> \\[z\\](u) a\\|b \\`c\\`"
    assert "http://" not in escaped("http://evil.example")


def test_commands_in_sentences_stay_code():
    assert sentence("run `featstore train a_b` now_ ") == "run `featstore train a_b` now\\_ "
    assert sentence("an odd ` one") == "an odd \\` one"


def test_a_table_aligns_words_left_and_numbers_right():
    assert table(["name", "n"], [["x", "1"]], 1) == ["| name | n |", "| :-- | --: |", "| x | 1 |"]


def test_several_sets_have_their_table():
    text = markdown(planted(sets=({}, {"node": "layer3", "feature_key": "1" * 16})))
    assert "| head | mobilenet_v2 avgpool | mobilenet_v2 layer3 |" in text
    assert "heads and feature sets" not in markdown(planted())


def test_warnings_and_what_was_left_out_are_said():
    data = planted()
    data["warnings"] = [{"kind": "leak", "text": "3 pairs; use `--drop-leaks`"}]
    data["omitted"] = [{"head": "forest", "feature": 0, "reason": "too few images"}]
    text = markdown(data)
    assert "- leak: 3 pairs; use `--drop-leaks`" in text and "- left out: forest: too few images" in text


def test_warnings_stand_before_what_to_do_next():
    data = planted()
    data["warnings"] = [{"kind": "class", "text": "Few."}]
    said = markdown(data)
    assert said.index("## Warnings") < said.index("## Next") < said.index("## Heads")
    assert "The chosen head stands first, the other heads follow by their accuracy in cross-validation" in said
