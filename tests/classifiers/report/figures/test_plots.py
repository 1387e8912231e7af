import re
import xml.etree.ElementTree as ET

import pytest
from hypothesis import given, strategies as st

from classifiers.report.figures import plots
from classifiers.validation.significance import wilson

SHARES = st.floats(0, 1)


def parsed(svg) -> ET.Element:
    """It is well-formed XML."""
    return ET.fromstring(str(svg))


def test_a_scale_is_linear_or_logarithmic_and_stays_inside():
    x = plots.Scale(0, 10, 100, 200)
    assert [x(v) for v in (0, 5, 10, 99, -3)] == [100, 150, 200, 200, 100]
    log = plots.Scale(1, 100, 0, 10, log=True)
    assert [log(v) for v in (1, 10, 100)] == [0, 5, 10]
    assert plots.Scale(3, 3, 0, 10)(3) == 5


@given(st.lists(SHARES, min_size=1, max_size=9))
def test_the_domain_of_shares_holds_them_all(values):
    low, high = plots.share_domain(values)
    assert 0 <= low < high <= 1
    assert low - 1e-9 <= min(values) and max(values) <= high + 1e-9


@given(st.floats(-1e6, 1e6), st.floats(1e-6, 1e6), st.integers(2, 9))
def test_ticks_are_round_few_and_inside(low, span, most):
    high = low + span
    marks = plots.ticks(low, high, most)
    assert len(marks) <= most + 1
    assert all(low - span * 1e-6 <= t <= high + span * 1e-6 for t in marks)


def test_ticks_of_per_cent():
    assert plots.ticks(0, 1, 6) == [0, 0.2, 0.4, 0.6, 0.8, 1.0]
    assert plots.ticks(0.4, 1, 5) == [0.4, 0.6, 0.8, 1.0]
    assert plots.ticks(2, 2) == [2]


def test_a_whisker_draws_what_it_says():
    svg = parsed(plots.whisker(0.94, (0.89, 0.97), (0.8, 1.0), "best"))
    assert svg.get("aria-label") == "94.0 %, interval 89.0 to 97.0 %"
    x = plots.Scale(0.8, 1.0, 12, 136)
    (dot,) = [e for e in svg if e.tag == "circle"]
    (line,) = [e for e in svg if e.get("class") == "ci"]
    assert float(dot.get("cx")) == x(0.94)
    assert line.get("d") == f"M{x(0.89)} 10H{x(0.97)}"


def test_a_value_left_of_the_scale_is_an_arrow_not_a_dot():
    svg = parsed(plots.whisker(0.33, (0.3, 0.4), (0.8, 1.0), "reference"))
    assert "left of the scale" in svg.get("aria-label") and not [e for e in svg if e.tag == "circle"]


def test_reliability_shows_full_bins_with_their_intervals():
    bins = [
        {"low": 0.0, "high": 0.5, "count": 0, "confidence": None, "accuracy": None},
        {"low": 0.5, "high": 0.9, "count": 10, "confidence": 0.7, "accuracy": 0.6},
        {"low": 0.9, "high": 1.0, "count": 40, "confidence": 0.98, "accuracy": 1.0},
    ]
    svg = parsed(plots.reliability(bins))
    points = [e for e in svg if e.get("class") == "point"]
    assert len(points) == 2
    y = plots.Scale(0, 1, plots.HEIGHT - plots.BOTTOM, plots.TOP)
    low, high = wilson(6, 10)
    assert points[0].find("path").get("d").endswith(f" {y(low)}V{y(high)}")
    assert float(points[0].find("circle").get("cy")) == y(0.6)
    assert float(points[1].find("circle").get("r")) > float(points[0].find("circle").get("r"))
    assert "98 % sure, right 100 % of 40" in svg.get("aria-label")
    assert parsed(plots.reliability([])) is not None


@pytest.mark.parametrize("log", [False, True])
def test_a_curve_has_every_point_from_left_to_right(log):
    points = [
        {"n": n, "accuracy": a, "accuracy_ci": [a - 0.1, a + 0.1]} for n, a in ((400, 0.8), (10, 0.5), (100, 0.7))
    ]
    svg = parsed(plots.curve(points, "n", "images", "accuracy, %", log=log))
    dots = [e.find("circle") for e in svg if e.get("class") == "point"]
    xs = [float(d.get("cx")) for d in dots]
    assert xs == sorted(xs) and len(xs) == 3
    assert [float(d.get("cy")) for d in dots] == sorted((float(d.get("cy")) for d in dots), reverse=True)
    assert "10: 50.0 % (40.0 to 60.0)" in svg.get("aria-label")
    assert [e for e in svg if e.get("class") == "band"]


def test_a_curve_without_intervals_or_with_one_point():
    svg = plots.curve([{"n": 0, "accuracy": 1.0}], "n", "n", "accuracy, %", log=True)
    assert parsed(svg) is not None and "band" not in svg


def test_steps_keep_the_order_given():
    svg = parsed(plots.steps([("layer1", 0.5, (0.4, 0.6)), ("<layer2>", 0.7, None)], "accuracy, %"))
    assert svg.get("aria-label") == "accuracy, %: layer1: 50.0 % (40.0 to 60.0); <layer2>: 70.0 %"
    assert [e.text for e in svg if e.get("class") == "tick"][-2:] == ["layer1", "<layer2>"]


def test_bars_are_in_proportion():
    widths = [float(re.search(r'width="([\d.]+)"', str(plots.bar(v, 8.0))).group(1)) for v in (8, 4, 0.0001, 0)]
    assert widths == [100.0, 50.0, 0.5, 0.0]
    assert 'width="0.0"' in plots.bar(0, 0)
