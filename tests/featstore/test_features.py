import dataclasses

import numpy as np
import pytest

from featstore.errors import FeaturesError
from featstore.features import FeatureSet, row_numbers
from tests.support.store_inputs import digests, features, fingerprint


def make(splits) -> FeatureSet:
    n = len(splits)
    names = [f"img{i}" for i in range(n)]
    return FeatureSet(
        X=features(names),
        y=np.arange(n) % 2,
        ids=tuple(names),
        classes=("a", "b"),
        splits=np.array(splits, dtype="<U5"),
        digests=digests(names),
        fingerprint=fingerprint(),
        dataset="pets",
        root=b"/data",
        paths=tuple(name.encode() for name in names),
        failed=(("bad.jpg", "truncated"),),
    )


@pytest.mark.parametrize(
    ("splits", "training", "testing"),
    [
        (["train", "val", "test", "train"], [0, 1, 3], [2]),
        (["train", "val", "train", "val"], [0, 2], [1, 3]),
        (["", "", ""], [0, 1, 2], []),
        (["train", "", "test"], [0, 1], [2]),
        ([], [], []),
    ],
)
def test_parts(splits, training, testing):
    data = make(splits)
    assert data.training().tolist() == training and data.testing().tolist() == testing


def test_subset_by_rows_keeps_their_order_in_every_field():
    data = make(["train", "val", "test", ""]).subset([2, 0])
    assert data.ids == ("img2", "img0") and data.paths == (b"img2", b"img0")
    assert data.y.tolist() == [0, 0] and data.splits.tolist() == ["test", "train"]
    np.testing.assert_array_equal(data.X, features(["img2", "img0"]))
    np.testing.assert_array_equal(data.digests, digests(["img2", "img0"]))
    assert data.failed == (("bad.jpg", "truncated"),) and data.classes == ("a", "b")


def test_subset_by_mask_equals_subset_by_rows():
    data = make([""] * 5)
    mask = np.array([True, False, True, False, True])
    assert data.subset(mask).ids == data.subset(np.flatnonzero(mask)).ids == ("img0", "img2", "img4")
    assert len(data.subset([])) == 0 and data.subset([]).X.shape == (0, 8)


@pytest.mark.parametrize(
    ("index", "sentence"),
    [
        (np.array([True, False]), "mask has 2 entries, expected 3"),
        ([0, 3], "index goes from 0 to 3; the feature set has 3 rows"),
        ([0.5], "float64"),
        ([[0]], r"shape \(1, 1\)"),
    ],
)
def test_subset_refuses_what_is_no_index(index, sentence):
    with pytest.raises(FeaturesError, match=sentence):
        make([""] * 3).subset(index)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"X": np.zeros((3, 4))}, "X is float64"),
        ({"y": np.zeros(2, dtype=np.int64)}, r"y has shape \(2,\), expected \(3,\)"),
        ({"ids": ("a",)}, r"ids has shape \(1,\)"),
        ({"digests": np.zeros((3, 16), dtype=np.uint8)}, "digests is uint8"),
        ({"y": np.array([0, 1, 2])}, "y goes from 0 to 2 with 2 classes"),
    ],
)
def test_fields_that_do_not_fit_together_are_refused(change, sentence):
    with pytest.raises(FeaturesError, match=sentence):
        dataclasses.replace(make([""] * 3), **change)


def test_repr_says_what_it_is_in_one_line():
    text = repr(make([""] * 3))
    assert "'pets': X (3, 8), 2 classes, 1 failed; resnet18/avgpool/avg" in text and "\n" not in text


def test_fields_cannot_be_assigned():
    with pytest.raises(dataclasses.FrozenInstanceError):
        make([""]).X = None


def test_groups_are_one_for_each_row_and_unlabelled_rows_are_told():
    data = dataclasses.replace(make(["", "", "test"]), groups=("p", "", "p"), y=np.array([0, -1, 1]))
    assert data.subset([2, 0]).groups == ("p", "p") and data.labelled().tolist() == [True, False, True]
    with pytest.raises(FeaturesError, match=r"groups has shape \(2,\), expected \(3,\)"):
        dataclasses.replace(data, groups=("p", "p"))


@pytest.mark.parametrize("order", ["rows", "stored", "shuffled"])
@pytest.mark.parametrize("rows", [1, 3, 10, 99])
def test_chunks_hold_every_row_once(order, rows):
    data = make([""] * 10)
    numbers, parts = zip(*data.chunks(rows, order=order, seed=4), strict=True)
    assert sorted(np.concatenate(numbers).tolist()) == list(range(10)) and max(map(len, parts)) <= rows
    np.testing.assert_array_equal(np.concatenate(parts), data.X[np.concatenate(numbers)])
    if order != "shuffled":
        assert np.concatenate(numbers).tolist() == list(range(10)) and parts[0].base is not None
    assert data.width == data.X.shape[1]


def test_a_shuffle_follows_its_seed():
    data = make([""] * 30)
    first, again, other = (next(data.chunks(30, order="shuffled", seed=seed)).rows.tolist() for seed in (1, 1, 2))
    assert first == again != other


@pytest.mark.parametrize(("rows", "order", "said"), [(0, "rows", "chunks of 0 rows"), (1, "any", "the order 'any'")])
def test_chunks_that_there_cannot_be(rows, order, said):
    with pytest.raises(FeaturesError, match=said):
        next(make([""]).chunks(rows, order=order))


def test_row_numbers_count_from_the_front():
    assert row_numbers([-1, 0], 3).tolist() == [2, 0] and row_numbers([True, False, True], 3).tolist() == [0, 2]
    assert row_numbers([], 3).tolist() == []
