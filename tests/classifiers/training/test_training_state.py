"""Where a run is, and back to its beginning."""

import json

import pytest

from classifiers.training.collapse_watch import CollapseWatch
from classifiers.training.training_state import TrainingState

RUN = TrainingState(
    step=30, part=8, loss_sum=3.0, right=4, seen=8, history=[{"epoch": 0}, {"epoch": 1}], seconds=9.0,
    watch=CollapseWatch(reference=[0.5], recent=[0.7]),
)  # fmt: skip


def test_it_goes_through_json_unchanged():
    assert TrainingState.from_json(json.loads(json.dumps(RUN.to_json()))) == RUN


@pytest.mark.parametrize("document", [{}, {"watch": {}, "else": 1}, {"watch": {"else": 1}}])
def test_something_else_is_refused(document):
    with pytest.raises((KeyError, TypeError)):
        TrainingState.from_json(document)


def test_beginning_again_keeps_what_was_seen_and_halves_the_rates():
    state = TrainingState.from_json(RUN.to_json())
    state.begin_again({"step": 30, "epoch": 2})
    assert (state.step, state.seen, state.epochs, state.rate_factor) == (0, 0, 0, 0.5)
    assert state.history == [{"epoch": 0}] and state.watch == CollapseWatch(reference=[0.5])
    assert state.collapses == [{"step": 30, "epoch": 2, "history": [{"epoch": 1}]}]
    assert (state.part, state.seconds) == (8, 9.0)  # memory and time are as before
    state.step = 5
    assert state.steps_in_all == 35
    state.begin_again({"step": 5, "epoch": 1})
    assert state.rate_factor == 0.25
