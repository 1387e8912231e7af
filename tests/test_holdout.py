"""Which rows are drawn: by bytes, seed and class alone."""

import hashlib

import numpy as np
import pytest

from featstore.holdout import draw


def digests(contents) -> np.ndarray:
    return np.stack([np.frombuffer(hashlib.sha256(b"%d" % c).digest(), np.uint8) for c in contents])


def everything(n: int) -> np.ndarray:
    return np.ones(n, dtype=bool)


@pytest.mark.parametrize("fraction", [0.1, 0.25, 0.5, 0.8])
def test_every_class_gives_its_fraction(fraction):
    labels = np.repeat([0, 1, 2], [100, 40, 20])
    drawn = draw(digests(range(160)), labels, everything(160), fraction, seed=1)
    assert np.bincount(labels[drawn]).tolist() == [round(100 * fraction), round(40 * fraction), round(20 * fraction)]


def test_seeds_draw_differently_and_evenly():
    labels = np.zeros(50, np.int64)
    times = sum(draw(digests(range(50)), labels, everything(50), 0.2, seed).astype(int) for seed in range(200))
    assert times.sum() == 200 * 10
    assert times.min() > 15 and times.max() < 70  # 40 each on average


def test_copies_are_drawn_together_also_across_classes():
    contents = [1, 1, 1, 2, 3, 4, 5, 6, 7, 1]
    labels = np.array([0, 0, 0, 0, 0, 1, 1, 1, 1, 1])
    for seed in range(20):
        drawn = draw(digests(contents), labels, everything(10), 0.4, seed)
        assert len(set(drawn[[0, 1, 2, 9]])) == 1
        assert drawn[:5].any() and not drawn[:5].all()


def test_only_what_may_be_drawn_is_drawn_and_a_single_picture_stays():
    drawable = everything(12)
    drawable[::2] = False
    drawn = draw(digests(range(12)), np.zeros(12, np.int64), drawable, 0.9, seed=0)
    assert drawn.sum() == 5 and not drawn[::2].any()
    assert not draw(digests([1, 1, 1]), np.zeros(3, np.int64), everything(3), 0.5, seed=0).any()
