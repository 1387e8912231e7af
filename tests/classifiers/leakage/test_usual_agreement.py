"""Pictures that share a template, a background or a material agree without being copies."""

import numpy as np
import pytest
from PIL import Image, ImageDraw

from classifiers.leakage.pixels.pixel_comparison import SAME, compare_pixels
from classifiers.leakage.pixels.prepared_pictures import PreparedPictures
from classifiers.leakage.usual_agreement import UsualAgreement, usual_agreement
from tests.support.copied_pictures import square

NONE = np.empty((0, 2), dtype=np.int64)


def form(seed):
    """One template, filled in differently."""
    rng = np.random.default_rng(seed)
    page = Image.new("RGB", (240, 240), "white")
    draw = ImageDraw.Draw(page)
    draw.rectangle((4, 4, 236, 40), fill=(60, 60, 120))
    for y in range(60, 236, 24):
        draw.rectangle((10, y, 230, y + 18), outline="black", width=2)
        draw.text((16, y + 3), "".join(map(chr, rng.integers(65, 91, 12))), fill="black")
    return page


def test_filled_in_forms_are_no_copies_and_a_form_saved_again_is_one():
    pages = [form(i) for i in range(30)]
    again = pages[0].resize((180, 180), Image.Resampling.BICUBIC)
    grey = np.stack([square(page) for page in [*pages, again]])
    y = np.zeros(31, dtype=np.int64)
    X = np.random.default_rng(0).normal(size=(31, 16)).astype(np.float32)
    X[30] = X[0] + 0.01
    pairs = np.array([[0, 30], [1, 2], [3, 4], [5, 6]])
    found = compare_pixels(PreparedPictures(grey), pairs)
    assert (found.verdict[1:] == SAME).any()  # the template alone agrees
    usual = usual_agreement(X, y, pairs, lambda drawn: compare_pixels(PreparedPictures(grey), drawn).agreement)
    assert usual.exceeded(found.agreement, pairs, y).tolist() == [True, False, False, False]


def test_classes_of_few_pairs_are_judged_by_all_and_candidates_are_not_drawn():
    rng, y = np.random.default_rng(0), np.array([0] * 40 + [1, 1, -1, -1])
    X = rng.normal(size=(44, 8)).astype(np.float32)
    seen = []

    def agreement_of(pairs):
        seen.append(pairs)
        return np.full(len(pairs), 0.8, np.float32)

    taken = np.array([[i, i + 1] for i in range(0, 40, 2)])
    usual = usual_agreement(X, y, taken, agreement_of)
    np.testing.assert_allclose(usual.limit, [0.1, 0.1, 0.1], rtol=1e-5)
    drawn = {tuple(pair) for pair in seen[0].tolist()}
    assert not drawn & {tuple(pair) for pair in taken.tolist()} and max(map(max, drawn)) < 42
    again = usual_agreement(X, y, taken, agreement_of)
    np.testing.assert_array_equal(again.limit, usual.limit)
    np.testing.assert_array_equal(seen[0], seen[1])


def test_where_nothing_can_be_drawn_a_copy_may_disagree_by_half():
    usual = usual_agreement(np.ones((1, 3), np.float32), np.array([0]), NONE, lambda pairs: np.ones(len(pairs)))
    np.testing.assert_array_equal(usual.limit, np.float32([0.5, 0.5]))
    assert isinstance(usual, UsualAgreement)


@pytest.mark.parametrize("factor", [2.0**-100, 2.0**64, 2.0**120])
def test_the_scale_of_features_does_not_matter(factor):
    X, y, drawn = np.random.default_rng(0).normal(size=(40, 8)).astype(np.float32), np.arange(40) % 2, []

    def agreement_of(pairs):
        drawn.append(pairs)
        return np.full(len(pairs), 0.8, np.float32)

    for scaled in (X, X * np.float32(factor)):
        usual_agreement(scaled, y, NONE, agreement_of)
    np.testing.assert_array_equal(*drawn)
