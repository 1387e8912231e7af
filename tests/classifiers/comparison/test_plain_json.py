import json

import numpy as np
from hypothesis import given, strategies as st

from classifiers.comparison.plain_json import plain

leaves = st.one_of(
    st.integers(-(2**40), 2**40).map(np.int64), st.floats().map(np.float64), st.floats(width=32).map(np.float32),
    st.booleans().map(np.bool_), st.text(max_size=4), st.none(),
)  # fmt: skip
inside = st.one_of(leaves, st.lists(leaves, max_size=3), st.tuples(leaves))
values = st.one_of(inside, st.dictionaries(st.integers(0, 9), inside, max_size=3), st.lists(inside, max_size=3))


@given(values)
def test_whatever_numpy_made_is_a_document(value):
    document = plain(value)
    assert json.loads(json.dumps(document, allow_nan=False)) == document


def test_numbers_keep_their_value_and_kind():
    made = plain({"n": np.int32(3), "yes": np.bool_(True), "x": np.array([[0.5, np.inf]]), 7: (np.float32(0.25),)})
    assert made == {"n": 3, "yes": True, "x": [[0.5, None]], "7": [0.25]}
    assert type(made["n"]) is int and type(made["yes"]) is bool and type(made["7"][0]) is float
