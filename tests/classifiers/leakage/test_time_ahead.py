import pytest

from classifiers.leakage.time_ahead import LONG, time_ahead


def test_the_time_is_told_once_and_grows_with_what_is_left(monkeypatch):
    now = iter([100.0, 103.0, 110.0])
    monkeypatch.setattr("classifiers.leakage.time_ahead.time.perf_counter", lambda: next(now))
    said = []
    progress = time_ahead(said.append, "reading", LONG, trial=10)
    progress(9, 100)  # too few to tell
    progress(10, 100)
    progress(50, 100)
    assert said == ["reading takes about 27.0 s"]


@pytest.mark.parametrize("images", [0, LONG - 1])
def test_what_is_short_is_not_told(images):
    said = []
    time_ahead(said.append, "reading", images)(1, 2)
    assert said == []


def test_nobody_needs_to_listen():
    time_ahead(None, "reading", LONG)(1, 2)


def test_nothing_done_tells_nothing():
    said = []
    time_ahead(said.append, "reading", LONG)(0, 2)
    assert said == []
