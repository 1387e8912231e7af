"""What the user says of how data are to be read."""

import pytest
from hypothesis import given, strategies as st

from featstore.errors import ImageSetError
from featstore.images.reading import Reading


@given(st.builds(Reading, labels=st.none() | st.text(), suffix=st.text(), unlabelled=st.booleans()))
def test_it_survives_json(reading):
    assert Reading.from_json(reading.to_json()) == reading


def test_only_what_was_said_is_kept():
    assert Reading().to_json() == {}
    assert Reading(class_from="leaf", allow=["one-class"]).to_json() == {"class_from": "leaf", "allow": ["one-class"]}
    assert Reading.from_json({"suffix": ".png", "of a later version": 1}) == Reading(suffix=".png")


def test_an_unknown_place_of_classes_is_refused():
    with pytest.raises(ImageSetError, match="`class_from` is 'middle'; expected one of top, leaf, path"):
        Reading(class_from="middle")
