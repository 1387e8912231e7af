import gc
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from featstore.store.read_ahead import ReadingStoppedError, read_ahead


def threads():
    return [thread for thread in threading.enumerate() if thread.name == "featstore-read-ahead"]


def test_results_come_in_the_order_of_the_tasks():
    assert list(read_ahead(lambda task, stop: task**2, range(5))) == [0, 1, 4, 9, 16]
    assert list(read_ahead(lambda task, stop: task, [])) == []
    assert not threads()


def test_the_next_one_is_read_while_the_caller_has_the_last_one_and_no_more():
    started = []
    results = read_ahead(lambda task, stop: started.append(task), range(9))
    assert started == []  # nothing before the first is asked for
    for number in range(9):
        next(results)
        deadline = time.monotonic() + 10
        while len(started) < min(number + 2, 9) and time.monotonic() < deadline:
            time.sleep(0.001)
        assert started == list(range(min(number + 2, 9)))


def test_an_error_is_raised_where_its_result_would_be():
    def read(task, stop):
        if task == 2:
            raise ValueError("task 2")
        return task

    results = read_ahead(read, range(5))
    assert [next(results), next(results)] == [0, 1]
    with pytest.raises(ValueError, match="task 2"):
        next(results)
    assert list(results) == [] and not threads()


def endless(task, stop):
    """Reads on until it is told to stop, but for the first task."""
    while task:
        stop()
        time.sleep(0.001)
    return task


@pytest.mark.timeout(20)
def test_an_iterator_that_is_closed_early_leaves_no_thread():
    results = read_ahead(endless, range(5))
    next(results)
    assert threads()
    results.close()
    assert not threads()


@pytest.mark.timeout(20)
def test_an_iterator_that_is_dropped_leaves_no_thread():
    for _ in read_ahead(endless, range(5)):
        break
    gc.collect()
    assert not threads()


INTERRUPTED = """
import signal
from featstore.store.read_ahead import read_ahead
from tests.featstore.store.test_read_ahead import endless, threads
signal.signal(signal.SIGALRM, signal.default_int_handler)
signal.setitimer(signal.ITIMER_REAL, 0.2)
try:
    list(read_ahead(endless, range(5)))
except KeyboardInterrupt:
    print("interrupted", len(threads()))
"""


def test_ctrl_c_while_it_waits_leaves_no_thread():
    # In a program of its own: pytest's time limit has the alarm of this one.
    root = Path(__file__).resolve().parents[3]
    ended = subprocess.run(
        [sys.executable, "-c", INTERRUPTED], cwd=root, capture_output=True, text=True, timeout=60, check=False
    )
    assert (ended.returncode, ended.stdout.strip()) == (0, "interrupted 0"), ended.stderr


def test_the_thread_is_told_by_an_exception_of_its_own():
    seen = []

    def read(task, stop):
        try:
            endless(task, stop)
        except ReadingStoppedError:
            seen.append(task)
            raise

    results = read_ahead(read, range(5))
    next(results)
    results.close()
    assert seen == [1]
