"""What people read: paths that can be printed, arguments that can be typed, and silence."""

import ast
import re
import unicodedata

import pytest
from hypothesis import given, strategies as st

from featstore.system.reporting import argument, printable_path, silent

JOINERS = "\u200c\u200d"
HIDDEN = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp", "Zs"}
"""Unicode's categories of what leaves no mark, or a misleading one, on paper."""
texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\\"))


@pytest.mark.parametrize(
    ("path", "text"),
    [
        (b"plain/name.jpg", "plain/name.jpg"),
        ("naïve/猫.png".encode(), "naïve/猫.png"),
        (b"caf\xe9", "caf\\xe9"),
        (b"a\nb\tc\x1b[31m", "a\\nb\\tc\\x1b[31m"),
        ("\u202egpj.exe".encode(), "\\u202egpj.exe"),
        ("می\u200cشود".encode(), "می\u200cشود"),
    ],
)
def test_printable(path, text):
    assert printable_path(path) == text


@given(st.binary() | texts.map(str.encode))
def test_any_path_is_shown_without_characters_that_cannot_be_seen(path):
    shown = set(printable_path(path)) - {" ", *JOINERS}
    assert not {c for c in shown if unicodedata.category(c) in HIDDEN}


@given(texts)
def test_escapes_of_any_text_read_back_to_it(text):
    escape = r"\\x..|\\u.{4}|\\U.{8}|\\[nrt]"
    shown = printable_path(text.encode())
    assert re.sub(escape, lambda found: found[0].encode().decode("unicode_escape"), shown) == text
    if text.isprintable():
        assert shown == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("resnet18", '`weights="resnet18"`'),
        ('my "own".pth', r'`weights="my \"own\".pth"`'),
        ("a`b", r'`weights="a\x60b"`'),
        ("naïve/猫", '`weights="naïve/猫"`'),
        ("C:\\new\n", r'`weights="C:\\new\n"`'),
    ],
)
def test_an_argument_is_shown_as_it_is_typed(value, text):
    assert argument("weights", value) == text


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_any_value_reads_back_from_between_its_two_backticks(value):
    before, inner, after = argument("split", value).split("`")
    assert (before, after) == ("", "")
    name, _, literal = inner.partition("=")
    assert (name, ast.literal_eval(literal)) == ("split", value)


def test_silence_says_nothing(capfd):
    assert silent("hash", 1, 2, "cat.jpg") is None
    assert capfd.readouterr() == ("", "")
