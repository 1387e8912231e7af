import pytest

from classifiers.report.figures import lettering


def test_a_text_that_fits_stays_whole() -> None:
    text, face = lettering.fitted("samoyed", 500, 16)
    assert text == "samoyed" and face.getlength(text) <= 500


@pytest.mark.parametrize("width", [10, 40, 80, 160])
def test_a_text_that_is_too_wide_is_cut_with_an_ellipsis(width) -> None:
    text, face = lettering.fitted("american pit bull terrier", width, 16)
    assert text.endswith("…") and len(text) < len("american pit bull terrier")
    assert face.getlength(text) <= width or text == "…"


def test_what_would_reorder_the_line_is_escaped() -> None:
    assert lettering.fitted("a\u202eb", 500, 12)[0] == "a\\u202eb"


def test_bold_is_bolder() -> None:
    plain, bold = (lettering.font(20, frozenset("m"), bold) for bold in (False, True))
    assert bold.getlength("m") > plain.getlength("m")


def test_characters_that_no_font_has_still_give_a_font() -> None:
    assert lettering.fitted("\U0010fffd", 100, 12)[1].getname()[0].startswith("DejaVu")
