"""Canonical JSON: one spelling for each document, and none for what JSON cannot hold."""

import json

import pytest
from hypothesis import given, strategies as st

from featstore.system.canonical_json import canonical_json


def test_canonical_json_is_sorted_ascii_without_spaces():
    assert canonical_json({"b": (1, 2.5), "a": "é"}) == b'{"a":"\\u00e9","b":[1,2.5]}'


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_canonical_json_refuses_what_is_no_number(value):
    with pytest.raises(ValueError, match="JSON"):
        canonical_json({"a": value})


@given(st.dictionaries(st.text(), st.integers() | st.text() | st.floats(allow_nan=False, allow_infinity=False)))
def test_canonical_json_does_not_depend_on_order_and_reads_back(document):
    backwards = dict(reversed(document.items()))
    assert canonical_json(document) == canonical_json(backwards)
    assert json.loads(canonical_json(document)) == document


scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
documents = st.recursive(scalars, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=20)
SHORT = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\f": "\\f", "\b": "\\b"}


def spelled(document) -> str:
    """The spelling, written out by hand: every code unit beyond ASCII's visible characters is `\\uXXXX`."""
    match document:
        case None | True | False:
            return {None: "null", True: "true", False: "false"}[document]
        case str():
            units = document.encode("utf-16-be", "surrogatepass")
            characters = [chr(int.from_bytes(units[i : i + 2])) for i in range(0, len(units), 2)]
            return (
                '"' + "".join(SHORT.get(c) or (c if " " <= c <= "~" else f"\\u{ord(c):04x}") for c in characters) + '"'
            )
        case dict():
            return "{" + ",".join(f"{spelled(key)}:{spelled(document[key])}" for key in sorted(document)) + "}"
        case list() | tuple():
            return "[" + ",".join(map(spelled, document)) + "]"
    return repr(document)


@given(documents)
def test_any_document_is_spelled_by_the_rules(document):
    assert canonical_json(document).decode("ascii") == spelled(document)


@given(st.lists(scalars), st.text())
def test_tuples_are_spelled_as_lists(values, key):
    assert canonical_json({key: tuple(values)}) == canonical_json({key: values})


@pytest.mark.parametrize(
    ("one", "other"), [(1, 1.0), (1, True), (0, False), (0.0, -0.0), (None, "null"), ([], {}), ("1", 1)]
)
def test_documents_of_other_types_are_spelled_differently(one, other):
    assert canonical_json([one]) != canonical_json([other])


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_what_is_no_number_is_refused_at_any_depth(value):
    with pytest.raises(ValueError, match="Out of range float values are not JSON compliant"):
        canonical_json({"a": [{"b": (1, value)}]})


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        (b"bytes", "Object of type bytes is not JSON serializable"),
        ({1, 2}, "Object of type set is not JSON serializable"),
        (1j, "Object of type complex is not JSON serializable"),
        ({(1, 2): 3}, "keys must be str, int, float, bool or None, not tuple"),
        ({"a": 1, 2: 3}, "'<' not supported between instances of"),
    ],
)
def test_what_json_cannot_hold_is_refused(value, sentence):
    with pytest.raises(TypeError, match=sentence):
        canonical_json({"a": value})
