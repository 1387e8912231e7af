import warnings

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from classifiers.leakage import candidate_pairs as module
from classifiers.leakage.candidate_pairs import NEIGHBOURS, find_candidate_pairs
from tests.support.feature_sets import copies


def test_copies_are_candidates_whatever_their_class():
    X, _, source = copies(sources=150, each=2, noise=0.5)
    found = find_candidate_pairs(X)
    right = source[found.pairs[:, 0]] == source[found.pairs[:, 1]]
    assert right.sum() == 150
    assert found.closest[right].all()
    assert (found.pairs[:, 0] < found.pairs[:, 1]).all() and (np.diff(found.cosine) <= 0).all()
    assert len(np.unique(found.pairs, axis=0)) == len(found.pairs) <= 300 * 2 * NEIGHBOURS


def test_the_cosine_is_that_of_the_centred_features():
    X, _, _ = copies(sources=20, each=2)
    found = find_candidate_pairs(X)
    centred = X - X.mean(axis=0)
    a, b = centred[found.pairs[:, 0]], centred[found.pairs[:, 1]]
    expected = (a * b).sum(axis=1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)
    np.testing.assert_allclose(found.cosine, expected, atol=1e-5)


def test_the_same_picture_saved_again_is_certain_also_among_few():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(40, 100)).astype(np.float32)
    X[7] = X[3] + 0.01 * rng.normal(size=100)
    found = find_candidate_pairs(X)
    assert found.pairs[found.sure].tolist() == [[3, 7]] and found.alike[0]


def test_different_pictures_of_a_narrow_domain_are_not_certain():
    rng = np.random.default_rng(0)
    y = np.arange(600) % 3
    X = rng.normal(size=(600, 200)) + 20 + 2 * rng.normal(size=(3, 200))[y]
    found = find_candidate_pairs(X.astype(np.float32))
    assert not found.sure.any() and found.alike.sum() <= 6


def test_features_of_few_directions_make_nothing_certain():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(300, 2)) @ rng.normal(size=(2, 60))  # any two images are parallel, more or less
    assert not find_candidate_pairs(X.astype(np.float32)).sure.any()


def test_an_inverted_index_finds_nearly_the_same(monkeypatch):
    X, _, source = copies(sources=400, each=2, noise=0.4)
    monkeypatch.setattr(module, "_EXACT", 100)
    shares = []
    found = find_candidate_pairs(X, progress=shares.append)
    right = source[found.pairs[:, 0]] == source[found.pairs[:, 1]]
    assert right.sum() > 0.9 * 400
    assert (found.pairs >= 0).all() and shares == sorted(shares) and shares[-1] == 1
    again = find_candidate_pairs(X)
    np.testing.assert_array_equal(found.pairs, again.pairs)


def test_blocks_do_not_matter(monkeypatch):
    X, _, _ = copies(sources=60, each=3)
    whole = find_candidate_pairs(X)
    monkeypatch.setattr(module, "_BLOCK", 37)
    small = find_candidate_pairs(X)
    assert set(map(tuple, small.pairs.tolist())) == set(map(tuple, whole.pairs.tolist()))


@pytest.mark.parametrize("shape", [(0, 4), (1, 4), (2, 4), (3, 5), (10, 3)])
def test_few_rows(shape):
    for X in (np.zeros(shape, np.float32), np.random.default_rng(0).normal(size=shape).astype(np.float32)):
        found = find_candidate_pairs(X)
        assert np.isfinite(found.cosine).all() and not found.sure.any()


@settings(max_examples=30, deadline=None)
@given(st.integers(-110, 110), st.integers(0, 3))
def test_no_power_of_two_changes_anything(power, seed):
    X, _, _ = copies(sources=20, each=2, d=24, seed=seed)
    plain = find_candidate_pairs(X)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        scaled = find_candidate_pairs(np.ldexp(X, power))
    for field in ("pairs", "cosine", "closest", "alike", "sure"):
        np.testing.assert_array_equal(getattr(plain, field), getattr(scaled, field))


@pytest.mark.parametrize("factor", [1e19, 1e37, 1e-19, 1e-30])
def test_no_scale_is_too_large_or_too_small(factor):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(80, 60)).astype(np.float32)
    X[7] = X[3] + 0.01 * rng.normal(size=60)
    found = find_candidate_pairs(X * np.float32(factor))
    assert found.pairs[found.sure].tolist() == [[3, 7]]


@pytest.mark.parametrize("value", [0.0, 0.1, 1.0, 1e19, 3e38])
def test_features_that_are_all_equal_tell_nothing(value):
    found = find_candidate_pairs(np.full((60, 12), value, np.float32))
    assert not found.sure.any() and not found.alike.any() and (found.cosine == 0).all()


@pytest.mark.parametrize("equal", [20, 40, 70, 95])
@pytest.mark.parametrize("value", [0.0, 0.1, None])
def test_rows_that_many_images_share_are_alike_and_not_certain(equal, value):
    X = np.random.default_rng(0).normal(size=(100, 64)).astype(np.float32)
    X[:equal] = X[0] if value is None else value
    found = find_candidate_pairs(X)
    shared = (found.pairs < equal).all(axis=1)
    assert (found.alike == shared).all() and (found.cosine[shared] == 1).all() and not found.sure.any()


def test_of_no_features_nothing_is_told():
    assert len(find_candidate_pairs(np.zeros((10, 0), np.float32)).pairs) == 0
