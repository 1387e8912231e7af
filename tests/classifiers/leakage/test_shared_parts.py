"""Whether images that share a part look more alike, against chances counted one by one."""

import numpy as np
import pytest

from classifiers.leakage.shared_parts import SCOPES, Chances, SharedParts, combined, drawn_pairs


def unit_rows(X):
    return (X / np.linalg.norm(X, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture
def shared():
    """Twenty sources of three images each, in two folders of each of two classes."""
    rng, part = np.random.default_rng(0), np.arange(60) // 3
    X = rng.normal(size=(20, 16))[part] + 0.2 * rng.normal(size=(60, 16))
    y = (part % 2).astype(np.int64)
    return SharedParts(unit_rows(X), y, combined(y, part // 2 % 2), part.astype(np.int64))


def test_pairs_share_the_part_and_are_of_their_scope():
    part, y, folders = (np.array(column) for column in ([0, 0, 0, 0, 1, 1], [0, 0, 0, 1, 1, 1], [0, 0, 1, 2, 2, 3]))
    pairs = SharedParts(np.eye(6, dtype=np.float32), y, folders, part).pairs(np.random.default_rng(0))
    assert tuple(pairs) == SCOPES
    seen = {scope: {tuple(sorted(pair)) for pair in found.tolist()} for scope, found in pairs.items()}
    assert seen["folder"] == {(0, 1)}
    assert seen["folders"] <= {(0, 2), (1, 2), (4, 5)} and (4, 5) in seen["folders"]
    assert seen["classes"] <= {(0, 3), (1, 3), (2, 3)} and seen["classes"]


def test_a_chance_counts_the_others_of_the_folder_that_are_less_alike(shared):
    found = shared.chances(drawn_pairs(shared.parts, np.random.default_rng(1)), np.random.default_rng(2))
    assert found.below.mean() > 0.95 and (found.others > 0).all() and len(found.rows) > 60
    mixed = SharedParts(shared.unit, shared.y, shared.folders, np.random.default_rng(3).permutation(shared.parts))
    other = mixed.chances(drawn_pairs(mixed.parts, np.random.default_rng(1)), np.random.default_rng(2))
    assert abs(other.below.mean() - 0.5) < 0.1
    groups = shared.groups(("folder",))
    assert found.shown(groups, 0.75, 0.99) and not other.shown(mixed.groups(SCOPES), 0.75, 0.99)


def test_chances_are_averaged_by_group_and_joined_over_scopes():
    one = Chances(np.array([0, 1, 2]), np.array([1.0, 0.5, 0.2]), np.array([4, 4, 4]))
    np.testing.assert_allclose(one.each(np.array([7, 7, 9])), [0.75, 0.2])
    both = Chances.together([one, one])
    assert both.rows.tolist() == [0, 1, 2, 0, 1, 2] and both.below.sum() == pytest.approx(3.4)
    nothing = Chances(np.empty(0, dtype=np.intp), np.empty(0), np.empty(0, dtype=np.int64))
    assert not nothing.shown(np.zeros(3, dtype=np.int64), 0.0, 0.99)


def test_rows_are_joined_within_the_scopes_that_are_named_only():
    part, y, folders = (np.array(column) for column in ([0, 0, 0, 0], [0, 0, 0, 1], [0, 0, 1, 2]))
    shared = SharedParts(np.eye(4, dtype=np.float32), y, folders, part)
    assert shared.groups(()).tolist() == [0, 1, 2, 3]
    assert shared.groups(("folder",)).tolist() == [0, 0, 1, 2]
    assert shared.groups(("folder", "folders")).tolist() == [0, 0, 0, 1]
    assert len(np.unique(shared.groups(SCOPES))) == 1


def test_combinations_and_drawn_pairs():
    assert combined(np.array([0, 0, 1, 1]), np.array([5, 5, 5, 2])).tolist() == [0, 0, 2, 1]
    pairs = drawn_pairs(np.array([3, 1, 3, 3, 2]), np.random.default_rng(0))
    assert {tuple(sorted(pair)) for pair in pairs.tolist()} <= {(0, 2), (0, 3), (2, 3)} and len(pairs)
