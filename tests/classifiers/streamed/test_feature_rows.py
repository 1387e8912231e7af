import numpy as np
import pytest

from classifiers.streamed.feature_rows import ArrayRows, gathered, require_finite_chunk
from featstore.errors import FeaturesError


def test_every_row_comes_once_in_every_order():
    X = np.arange(22, dtype=np.float32).reshape(11, 2)
    for order in ("rows", "stored", "shuffled"):
        chunks = list(ArrayRows(X).chunks(4, order=order, seed=3))
        numbers = np.concatenate([rows for rows, _ in chunks])
        assert sorted(numbers.tolist()) == list(range(11))
        assert np.array_equal(np.concatenate([part for _, part in chunks]), X[numbers])
    assert numbers.tolist() != list(range(11))


def test_rows_are_gathered_in_the_order_given():
    X = np.arange(20, dtype=np.float32).reshape(10, 2)
    assert np.array_equal(gathered(ArrayRows(X), np.array([7, 0, 3])), X[[7, 0, 3]])


def test_rows_with_nan_are_named():
    X = np.ones((3, 2), np.float32)
    X[1, 0] = np.nan
    with pytest.raises(FeaturesError, match=r"NaN or infinity \(row 40\); expected finite numbers"):
        require_finite_chunk(np.array([30, 40, 50]), X)
