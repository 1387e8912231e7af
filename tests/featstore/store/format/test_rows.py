import numpy as np
import pytest

from featstore.errors import FeaturesError
from featstore.store.format.rows import FAILED, OK, PASSING, Rows, as_keys, texts
from tests.support.store_inputs import digests, features, rows


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"X": np.zeros((2, 8))}, "X is float64"),
        ({"X": np.zeros((3, 8), np.float32)}, r"X is float32 \(3, 8\)"),
        ({"X": np.zeros((2, 0), np.float32)}, "at least one feature"),
        ({"X": np.zeros(2, np.float32)}, "shape"),
        ({"status": np.zeros(2, int)}, "status is int64"),
        ({"status": np.array([0, 3], np.uint8)}, "status 3"),
        ({"reasons": ("",)}, "1 reasons for 2 rows"),
        ({"digests": np.zeros((2, 32), np.uint8)}, "digest of zeros"),
    ],
)
def test_fields_that_do_not_fit_together_are_refused(change, sentence):
    fields = {"digests": digests("ab"), "X": features("ab"), "status": np.zeros(2, np.uint8), "reasons": ("", "")}
    with pytest.raises(FeaturesError, match=sentence):
        Rows(**{**fields, **change})


def test_take():
    some = rows("abc", failed="b").take([1, 2])
    np.testing.assert_array_equal(some.digests, digests("bc"))
    assert some.reasons == ("b cannot be decoded", "") and some.status.tolist() == [FAILED, OK]


def test_numbers_that_are_not_finite_become_failures():
    given = rows("abc")
    given.X[1, 3] = np.nan
    settled = given.settled("<f4")
    assert settled.status.tolist() == [OK, FAILED, OK] and not settled.X[1].any()
    assert settled.reasons[1] == "the network gave a number that is not finite"
    np.testing.assert_array_equal(settled.X[[0, 2]], features("ac"))


def test_numbers_beyond_fp16_become_failures_only_where_fp16_is_stored():
    given = rows("ab")
    given.X[0, 0] = 70000
    assert given.settled("<f4").status.tolist() == [OK, OK]
    settled = given.settled("<f2")
    assert settled.reasons[0] == (
        "a feature of 70000 does not fit into fp16, which ends at 65504; compute and store in fp32"
    )
    np.testing.assert_array_equal(settled.X[1], features("b")[0].astype(np.float16))


def test_failed_rows_are_zeros_with_a_reason():
    given = Rows(digests("ab"), features("ab"), np.array([FAILED, PASSING], np.uint8), ("", "too slow"))
    settled = given.settled("<f4")
    assert not settled.X.any() and settled.reasons == ("failed without a stated reason", "too slow")


def test_distinct_keeps_the_best_then_the_first_of_equal_digests_in_order():
    X = np.arange(5, dtype=np.float32)[:, None]
    status = np.array([FAILED, OK, OK, PASSING, OK], np.uint8)
    given = Rows(digests("abacb"), X, status, ("r", "", "", "s", "")).distinct()
    np.testing.assert_array_equal(given.digests, digests("bac"))
    assert given.X.ravel().tolist() == [1, 2, 3] and given.status.tolist() == [OK, OK, PASSING]


def test_keys_sort_and_compare_as_digests_do():
    raw = np.array([[0] * 31 + [1], [1] + [0] * 31, [0] * 32], dtype=np.uint8)
    keys = as_keys(raw)
    assert (
        np.argsort(keys).tolist() == sorted(range(3), key=lambda i: raw[i].tobytes()) and len(set(keys.tolist())) == 3
    )


def test_texts():
    assert texts(np.array(["grün".encode(), b"", b"\xff"])) == ("grün", "", "�")
