import pytest
from jinja2 import UndefinedError

from classifiers.report.figures.page_templates import asset, templates


def rendered(source: str, **names) -> str:
    return templates().from_string(source).render(**names)


def test_everything_is_escaped_and_an_unknown_name_is_an_error():
    assert rendered("{{ x }}", x="<b>&") == "&lt;b&gt;&amp;"
    with pytest.raises(UndefinedError):
        rendered("{{ nobody }}")


def test_commands_are_set_as_code_and_numbers_keep_their_sign():
    assert rendered("{{ x | coded }}", x="run `a <b>` now") == "run <code>a &lt;b&gt;</code> now"
    assert rendered("{{ x | coded }}", x="odd ` <i>") == "odd ` &lt;i&gt;"
    assert rendered("{{ x | coded }}", x="is 94.7 % (p = 0.03)") == (
        'is <span class="nb">94.7 %</span> (<span class="nb">p = 0.03</span>)'
    )


def test_long_names_may_break_where_their_parts_end():
    assert rendered("{{ x | wbr }}", x="a_b/c<d>") == "a_<wbr>b/<wbr>c&lt;d&gt;"


def test_the_script_cannot_end_itself_and_nothing_is_fetched():
    assert "</" not in asset("report.js")
    assert "url(" not in asset("report.css") and "@import" not in asset("report.css")
