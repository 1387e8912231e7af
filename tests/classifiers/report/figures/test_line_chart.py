import numpy as np

from classifiers.report.figures.line_chart import Line, line_chart


def drawn(**options):
    lines = options.pop("lines", {"a": Line([0, 1, 2], [0.2, 0.4, 0.3])})
    return line_chart(lines, title="t", x_label="x", y_label="y", **options)


def ink(picture: np.ndarray) -> int:
    return int((picture != 255).any(2).sum())


def test_a_chart_is_a_picture_with_ink():
    picture = drawn()
    assert picture.dtype == np.uint8 and picture.shape[2] == 3 and min(picture.shape[:2]) > 300
    assert ink(picture) > 1000


def test_each_line_and_band_adds_ink():
    one = drawn(share=True)
    band = drawn(lines={"a": Line([0, 1, 2], [0.2, 0.4, 0.3], [(0.1, 0.5)] * 3)}, share=True)
    two = drawn(lines={"a": Line([0, 1, 2], [0.2, 0.4, 0.3]), "b": Line([0, 1, 2], [0.9, 0.8, 0.7])}, share=True)
    assert ink(band) > ink(one) * 1.5 and ink(two) > ink(one)


def test_a_higher_value_is_drawn_higher():
    low, high = (drawn(lines={"a": Line([0, 1], [y, y])}, share=True) for y in (0.1, 0.9))
    changed = np.flatnonzero((low != high).any(2).any(1))
    rows = [np.flatnonzero((p[changed] != 255).any(2).sum(1) > 200) for p in (high, low)]
    assert rows[0].max() < rows[1].min()


def test_a_logarithmic_axis_and_named_ticks_change_the_picture():
    assert (drawn(log=True) != drawn()).any()
    assert (drawn(ticks=[(0.0, "none"), (2.0, "much")]) != drawn()).any()
