"""A line a minute, by a clock that the test turns."""

import pytest

from featstore_scripts import options
from featstore_scripts.progress_lines import ProgressLines


class Clock:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def told():
    clock, lines = Clock(), []
    report = ProgressLines(lines.append, clock)

    def tell(at, *progress):
        clock.now = 100.0 + at
        report(*progress)
        return lines

    return tell


def test_short_work_stays_silent(told):
    for second in range(60):
        assert told(second, "decode", second, 100, "") == []


def test_a_line_a_minute_with_stage_count_note_and_time_left(told):
    for second in range(301):
        lines = told(second, "train", second, 400, f"epoch {1 + second // 100}/4")
    assert lines == [
        "train: 60 of 400, epoch 1/4, about 5 min 40 s left",
        "train: 120 of 400, epoch 2/4, about 4 min 40 s left",
        "train: 180 of 400, epoch 2/4, about 3 min 40 s left",
        "train: 240 of 400, epoch 3/4, about 2 min 40 s left",
        "train: 300 of 400, epoch 4/4, about 1 min 40 s left",
    ]


def test_the_time_left_is_that_of_the_stage_and_of_an_attempt_that_begins_again(told):
    told(0, "decode", 0, 50, "")
    told(40, "decode", 50, 50, "")
    told(50, "train", 0, 10, "")
    assert told(62, "train", 1, 10, "") == ["train: 1 of 10, about 1 min 48 s left"]
    told(100, "train", 0, 10, "again")
    assert told(130, "train", 2, 10, "again")[1:] == ["train: 2 of 10, again, about 2 min 00 s left"]


def test_without_a_total_or_a_first_step_no_time_is_guessed(told):
    assert told(61, "walk", 1200, 0, "") == ["walk: 1,200"]
    assert told(130, "hash", 0, 7, "")[1:] == ["hash: 0 of 7"]
    assert told(200, "hash", 7, 7, "")[2:] == ["hash: 7 of 7"]


@pytest.mark.parametrize(("quiet", "lines"), [(True, 0), (False, 1)])
def test_commands_print_them_where_standard_error_is_no_terminal(capsys, monkeypatch, quiet, lines):
    clock = Clock()
    monkeypatch.setattr("featstore_scripts.progress_lines.EVERY", 0.0)
    monkeypatch.setattr("time.monotonic", clock)
    with options.reporter(quiet) as report:
        report("decode", 1, 2, "")
    output = capsys.readouterr()
    assert output.out == "" and output.err.count("\n") == lines
