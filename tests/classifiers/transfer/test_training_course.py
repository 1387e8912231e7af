"""What happened in a training, in sentences."""

import pytest

from classifiers.transfer.training_course import TrainingCourse

SETTINGS = {"learning_rate": 1e-3}


def course(answers, collapses=(), first=0.4, **settings):
    entries = [{"valid_accuracy": 0.9, "largest_answer": share} for share in (first, *answers)]
    return TrainingCourse(entries, 0, collapses, "", SETTINGS | settings, validation=60)


def collapse(factor, **changes):
    return {"rate_factor": factor, "epoch": 1, "step": 9, "valid_accuracy": 0.71, "largest_answer": 0.6} | changes


def test_a_training_that_went_well_needs_no_word():
    assert course([0.4, 0.5]).notes == []


@pytest.mark.parametrize(
    ("answers", "words"),
    [
        ([0.5, 1.0, 0.5], "epoch 2 gives one class to every validation image"),
        ([0.5, 0.5, 1.0, 0.99, 1.0, 1.0], "epochs 3 to 6 give one class to every validation image"),
        ([1.0, 0.5, 1.0, 1.0, 0.5, 1.0], "epochs 1, 3 to 4 and 6 give one class"),
    ],
)
def test_epochs_at_one_class_are_called_what_they_are(answers, words):
    (note,) = course(answers).notes
    assert note.startswith(words)


def test_a_head_that_gave_one_class_to_all_itself_is_called_so_too():
    every = "the cached head gives one class to every validation image, or to all but one in fifty"
    assert course([1.0, 0.5, 1.0], first=1.0).notes == [f"{every}, and so do epochs 1 and 3"]
    assert course([0.5, 1.0], first=1.0).notes == [f"{every}, and so does epoch 2"]
    assert course([0.5], first=1.0).notes == [every]


def test_an_untrained_network_needs_no_word_but_epochs_that_learn_nothing_do():
    assert course([0.5, 0.6], first=1.0, from_scratch=True).notes == []
    (note,) = course([1.0, 0.6], first=1.0, from_scratch=True).notes
    assert note.startswith("epoch 1 gives one class to every") and note.endswith(
        "had not learnt to tell anything apart"
    )


def test_what_trained_from_scratch_is_held_against_the_untrained_network_it_began_with():
    entries = [{"valid_accuracy": a, "largest_answer": 0.5} for a in (0.5, 0.4)]
    for settings, start in (({"from_scratch": True}, "the untrained network"), ({}, "the cached head")):
        kept = TrainingCourse(entries, 0, (), "", settings, validation=60).kept_cached
        assert kept == (
            f"Every epoch got fewer of 60 validation images right than {start}: 40.0 % at most, against its 50.0 %"
        )


def test_rates_that_were_too_much_are_told_with_what_was_taken():
    def told(*trials):
        keys = ("factor", "before", "after", "worse")
        found = [dict(zip(keys, trial, strict=True)) for trial in trials]
        entries = [{"valid_accuracy": 0.9, "largest_answer": 0.4}] * 2
        return TrainingCourse(entries, 0, (), "", SETTINGS, validation=60, trials=found).notes

    assert told((1.0, 1.2, 1.1, False)) == []
    assert told((1.0, 1.2, 3.4, True), (0.316, 1.2, 1.1, False)) == [
        "`learning_rate=0.001` was too much to start with: the loss of training images rose from 1.20 to 3.40 in the "
        "first steps; it trains with `learning_rate=0.000316`, and the other rates as much smaller"
    ]
    (note,) = told((1.0, 1.2, None, True), (0.01, 1.2, 1.4, True))
    assert "rose from 1.20 to infinite in" not in note and "became infinite" in note
    assert note.endswith("and so it did at the smallest rates, `learning_rate=1e-05`, which were taken")


def test_a_collapse_is_told_with_its_rate_and_what_was_done():
    (note,) = course([0.5], [collapse(1.0)]).notes
    assert note == (
        "the training lost what it began with (90.0 % of the validation part right) once: with "
        "`learning_rate=0.001` in epoch 1 (71.0 %); it began again from there with half of all rates "
        "(`learning_rate=0.0005`)"
    )
    (note,) = course([0.5], [collapse(0.5**i, largest_answer=1.0) for i in range(5)]).notes
    assert "5 times: with `learning_rate=0.001` in epoch 1 (71.0 %, one class for all images); ...;" in note
    assert "`learning_rate=6.25e-05` in epoch 1" in note
    assert note.endswith(
        "each time it began again from there with half of all rates (at last `learning_rate=3.13e-05`)"
    )


def test_a_training_that_never_got_on_is_said_to_be_given_up():
    (note,) = course([], [collapse(0.5**i) for i in range(7)]).notes
    assert note.endswith("each time it began again from there with half of all rates, until it was given up")


def test_a_loss_that_was_no_number_is_told_as_such():
    (note,) = course([0.5], [collapse(1.0, what="the loss became nan at step 2 (epoch 1)")]).notes
    assert "in epoch 1 (the loss became nan at step 2 (epoch 1))" in note


def test_a_training_that_ended_in_nan_says_so_in_its_note_and_why_the_cached_head_was_kept():
    nan = "the loss became nan at step 9 (epoch 3)"
    entries = [{"valid_accuracy": accuracy, "largest_answer": 0.4} for accuracy in (0.9, 0.8)]
    ended = TrainingCourse(entries, 0, (), nan, SETTINGS, validation=60, diverged=True)
    assert ended.notes == [
        f"the training was stopped, and the best weights before it were kept, those of epoch 0: {nan}"
    ]
    assert ended.kept_cached.startswith(f"The training was stopped: {nan}. Every epoch got fewer of 60 validation")
    early = TrainingCourse(entries[:1], 0, (), nan, SETTINGS, validation=60, diverged=True)
    assert early.kept_cached == f"The training was stopped: {nan}"
    again = TrainingCourse(entries[:1], 0, [collapse(1.0, what=nan)], nan, SETTINGS, validation=60, diverged=True)
    assert again.kept_cached == f"The training collapsed and was stopped: {nan}" and len(again.notes) == 2
