import math
import shlex

import pytest
from hypothesis import given, strategies as st

from classifiers import formatting


@given(st.integers(1, 10**7).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))), st.integers(0, 3))
def test_hundred_and_zero_are_written_only_when_exact(counts: tuple[int, int], digits: int) -> None:
    right, n = counts
    text = formatting.percent(right / n, digits)
    shown = float(text.removeprefix("<"))
    assert (shown == 100) == (right == n)
    assert (shown == 0) == (right == 0)
    assert abs(shown - 100 * right / n) <= 10.0**-digits


@pytest.mark.parametrize(
    ("share", "text"),
    [(1.0, "100.0"), (0.0, "0.0"), (0.9997, "99.9"), (0.0003, "<0.1"), (0.9474, "94.7"), (None, "–"), (math.nan, "–")],
)
def test_percent(share: float | None, text: str) -> None:
    assert formatting.percent(share) == text


def test_interval_and_points_follow_the_same_rule() -> None:
    assert formatting.interval((0.8989, 0.99996)) == "89.9 to 99.9"
    assert formatting.interval(None) == "–"
    assert [formatting.points(d) for d in (0.0, 0.0001, -0.0234)] == ["0.0", "+0.1", "−2.3"]


@pytest.mark.parametrize(
    ("p", "text"), [(1.0, "1"), (1 - 2**-52, "1"), (0.99999, "0.999"), (0.5, "0.500"), (0.0009, "<0.001"), (None, "–")]
)
def test_probability_does_not_round_to_certainty(p: float | None, text: str) -> None:
    assert formatting.probability(p) == text


@pytest.mark.parametrize(
    ("duration", "text"),
    [(0.0, "0 s"), (0.00003, "<0.1 ms"), (0.0004, "0.4 ms"), (0.0124, "12 ms"), (0.9997, "1.0 s"),
     (3.21, "3.2 s"), (59.96, "1 min 00 s"),
     (245, "4 min 05 s"), (7800, "2 h 10 min"), (3599.7, "1 h 00 min"), (None, "–")],
)  # fmt: skip
def test_seconds(duration: float | None, text: str) -> None:
    assert formatting.seconds(duration) == text


def test_size_number_count_and_listing() -> None:
    assert [formatting.size(n) for n in (812, 4_100_000, 999_600, 3e12)] == ["812 B", "4.1 MB", "1.0 MB", "3.0 TB"]
    assert [formatting.number(x) for x in (0.2, None, math.inf)] == ["0.200", "–", "∞"]
    assert [formatting.count(1, "image"), formatting.count(1204, "image"), formatting.count(2, "class", "classes")] == [
        "1 image",
        "1,204 images",
        "2 classes",
    ]
    assert formatting.listing(["a"]) == "a"
    assert formatting.listing(["a", "b", "c"]) == "a, b and c"
    assert formatting.listing(list("abcdefgh"), most=2) == "a, b and 6 more"
    assert formatting.listing([]) == ""


def test_printable_shows_what_would_hide_or_reorder() -> None:
    assert formatting.printable("cat") == "cat"
    assert formatting.printable("straße 猫") == "straße 猫"
    assert formatting.printable("evil\u202egnp.exe") == "evil\\u202egnp.exe"
    assert formatting.printable("line\nbreak\u2028") == "line\\x0abreak\\u2028"
    assert formatting.printable(b"caf\xe9".decode("utf-8", "surrogateescape")) == "caf\\xe9"


@given(st.text(st.characters(codec=None)))
def test_printable_can_always_be_encoded_and_stands_on_one_line(text: str) -> None:
    shown = formatting.printable(text)
    shown.encode("utf-8")
    assert len(shown.splitlines()) <= 1


@given(st.text(st.characters(categories=["L", "N", "P", "S", "Zs"]), max_size=20))
def test_what_is_quoted_is_read_by_a_shell_as_it_was(text):
    assert shlex.split(formatting.quoted(text)) == [text]
