import numpy as np
import pytest

from classifiers.leakage import near_duplicates
from classifiers.leakage.near_duplicates import connected_groups, find_near_duplicates
from tests.support.feature_sets import copies


def test_augmented_copies_are_found_and_few_others():
    X, y, source = copies(sources=150, each=4, noise=0.6)
    found = find_near_duplicates(X, y)
    right = source[found.a] == source[found.b]
    assert right.mean() > 0.9
    assert right.sum() > 0.6 * 150 * 6  # pairs of copies there are
    assert (found.a < found.b).all() and (np.diff(found.cosine) <= 0).all()
    assert found.cosine.min() >= found.threshold - 1e-6
    assert found.transitivity > 0.7


def test_different_pictures_of_a_narrow_domain_are_not_copies():
    rng = np.random.default_rng(0)
    y = np.arange(600) % 3
    X = rng.normal(size=(600, 200)) + 20 + 2 * rng.normal(size=(3, 200))[y]
    found = find_near_duplicates(X.astype(np.float32), y)
    assert len(found.a) <= 6 and not found.sure.any()


def test_the_same_picture_saved_again_is_certain_also_among_few():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(40, 100)).astype(np.float32)
    X[7] = X[3] + 0.01 * rng.normal(size=100)
    found = find_near_duplicates(X, np.arange(40) // 20)
    assert (found.a.tolist(), found.b.tolist(), found.sure.tolist()) == ([3], [7], [True])


def test_copies_under_another_label_are_not_pairs_but_do_no_harm():
    X, y, _ = copies(sources=60, each=2)
    found = find_near_duplicates(X, (y + np.arange(len(y)) % 2) % 3)
    assert (y[found.a] >= 0).all()


def test_a_large_set_is_sampled_and_said(monkeypatch):
    monkeypatch.setattr(near_duplicates, "MOST_IMAGES", 200)
    X, y, _ = copies(sources=150, each=4)
    found = find_near_duplicates(X, y)
    assert found.looked_at == 200
    assert len(np.unique(np.r_[found.a, found.b])) <= 200 and found.b.max() > 200


def test_blocks_and_drawn_decoys_find_the_same(monkeypatch):
    X, y, _ = copies(sources=100, each=3)
    whole = find_near_duplicates(X, y)
    monkeypatch.setattr(near_duplicates, "_BLOCK", 37)
    small = find_near_duplicates(X, y)
    assert set(zip(small.a, small.b, strict=True)) == set(zip(whole.a, whole.b, strict=True))
    monkeypatch.setattr(near_duplicates, "_DECOYS", 20_000)
    drawn = find_near_duplicates(X, y)
    assert drawn.threshold == pytest.approx(whole.threshold, abs=0.05)


def test_pairs_join_into_groups():
    groups = connected_groups(6, np.array([0, 1, 4]), np.array([1, 2, 5]))
    assert groups[0] == groups[1] == groups[2] and groups[4] == groups[5]
    assert len(np.unique(groups)) == 3
    assert len(np.unique(connected_groups(3, np.empty(0, np.int64), np.empty(0, np.int64)))) == 3


def test_empty_flat_and_tiny_input_find_nothing():
    assert len(find_near_duplicates(np.zeros((3, 5), np.float32), np.array([0, 1, 1])).a) == 0
    assert (
        len(find_near_duplicates(np.random.default_rng(0).normal(size=(30, 4)).astype(np.float32), np.arange(30) % 2).a)
        == 0
    )


def test_features_of_few_directions_make_hardly_anything_certain():
    rng = np.random.default_rng(0)
    y = np.arange(300) % 3
    X = rng.normal(size=(300, 2)) @ rng.normal(size=(2, 60))  # any two images are parallel, more or less
    assert find_near_duplicates(X.astype(np.float32), y).sure.sum() <= 3
