import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from classifiers.advice.label_noise import FEW, estimate_label_noise


def images(n, k=2, wrong=0.0, spread=0.2, seed=0):
    """Out-of-fold scores of a head, true classes, and labels of which a share is wrong."""
    rng = np.random.default_rng(seed)
    true = rng.permutation(np.arange(n) % k)
    scores = np.eye(k)[true] + rng.normal(0, spread, (n, k))
    y = true.copy()
    changed = rng.permutation(n)[: round(wrong * n)]
    y[changed] = (y[changed] + rng.integers(1, k, len(changed))) % k
    return scores, true, y


@pytest.mark.parametrize("k", [2, 7])
@pytest.mark.parametrize("wrong", [0.05, 0.1, 0.2])
def test_planted_noise_lies_in_the_interval_where_answers_are_sure(wrong, k):
    held, firm = 0, 0
    for seed in range(10):
        scores, _, y = images(500, k, wrong, seed=seed)
        noise = estimate_label_noise(scores, y)
        held += noise.low <= wrong <= noise.high
        firm += noise.low > 0
        assert noise.low <= noise.share <= noise.high
    assert held >= 9
    assert firm >= (9 if wrong >= 0.1 else 0)


def test_clean_labels_of_easy_classes_are_told_to_be_clean():
    scores, _, y = images(500)
    noise = estimate_label_noise(scores, y)
    assert noise.told
    assert noise.low == 0
    assert noise.high < 0.06
    assert noise.text.startswith("No wrong labels are shown; at most ")


@pytest.mark.parametrize("k", [2, 10])
def test_hard_classes_with_right_labels_are_not_called_noisy(k):
    firm = 0
    for seed in range(10):
        scores, _, y = images(400, k, spread=0.8, seed=seed)
        assert (scores.argmax(axis=1) == y).mean() < 0.85
        noise = estimate_label_noise(scores, y)
        firm += noise.low > 0
        if noise.low == 0 and not noise.told:
            assert noise.text.startswith("Whether labels are wrong cannot be told: a head's own errors would look the")
    assert firm <= 1


def test_labels_of_pure_chance_tell_nothing_small():
    rng = np.random.default_rng(0)
    noise = estimate_label_noise(rng.normal(size=(300, 3)), rng.integers(0, 3, 300))
    assert noise.high > 0.3


def test_few_images_tell_nothing():
    scores, _, y = images(FEW - 1)
    noise = estimate_label_noise(scores, y)
    assert (noise.share, noise.low, noise.high, noise.told) == (0.0, 0.0, 1.0, False)
    assert noise.text == "Whether labels are wrong cannot be told from 19 images."
    few = estimate_label_noise(*images(30)[::2])
    many = estimate_label_noise(*images(600)[::2])
    assert few.high > 2 * many.high


def test_rows_that_are_not_judged_do_not_count():
    scores, _, y = images(300, 3, 0.1)
    more = np.vstack([scores, np.full((50, 3), np.nan)])
    assert estimate_label_noise(more, np.append(y, np.zeros(50, dtype=int))) == estimate_label_noise(scores, y)


def test_only_rows_that_neighbours_see_alike_count():
    scores, true, y = images(300, 3, 0.1)
    answers = scores.argmax(axis=1)
    others = np.where(true == y, answers, (answers + 1) % 3)
    assert estimate_label_noise(scores, y, neighbours=answers) == estimate_label_noise(scores, y)
    assert estimate_label_noise(scores, y).low > 0
    assert estimate_label_noise(scores, y, neighbours=others).high < 0.06


def test_wrong_labels_of_one_source_are_less_evidence():
    scores, _, y = images(300, 2, 0.1)
    copied = np.repeat(scores, 5, axis=0), np.repeat(y, 5)
    alone = estimate_label_noise(*copied)
    grouped = estimate_label_noise(*copied, groups=np.repeat(np.arange(300), 5))
    assert grouped.high - grouped.low > alone.high - alone.low


def test_a_wider_level_gives_a_wider_interval():
    scores, _, y = images(300, 2, 0.15)
    narrow, wide = (estimate_label_noise(scores, y, level=level) for level in (0.8, 0.99))
    assert wide.low < narrow.low < narrow.high < wide.high
    assert "80 % interval" in narrow.text


@settings(max_examples=25, deadline=None)
@given(st.integers(2, 60), st.integers(2, 12), st.floats(0, 1), st.integers(0, 99))
def test_any_input_gives_a_share_inside_its_interval(n, k, wrong, seed):
    scores, _, y = images(n, k, wrong, seed=seed)
    noise = estimate_label_noise(scores, y, groups=np.arange(n) // 3)
    assert 0 <= noise.low <= noise.share <= noise.high <= 1
    assert noise == estimate_label_noise(scores, y, groups=np.arange(n) // 3)
    assert "nan" not in noise.text
