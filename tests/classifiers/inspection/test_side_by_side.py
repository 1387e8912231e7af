import threading

import pytest
import torch

from classifiers.inspection.side_by_side import side_by_side

torch.set_num_threads(1)


def test_results_come_in_the_order_of_the_jobs_and_run_at_the_same_time():
    meeting = threading.Barrier(2, timeout=20)

    def job(number):
        def run(_report):
            meeting.wait()  # passes only if both run
            return number

        return run

    assert side_by_side([job(1), job(2)]) == [1, 2]


def test_everybody_reports_and_nobody_at_the_same_time_as_another():
    calls, inside = [], threading.Lock()

    def progress(*call):
        assert inside.acquire(blocking=False)
        calls.append(call)
        inside.release()

    def job(name):
        return lambda report: [report(name, i, 50, "") for i in range(50)]

    side_by_side([job("a"), job("b")], progress)
    for name in "ab":
        assert [call[1] for call in calls if call[0] == name] == list(range(50))


def test_a_failure_ends_the_others_and_is_raised():
    def fails(_report):
        raise ValueError("no")

    def endless(report):
        while True:
            report("endless", 0, 1, "")

    for jobs in ([fails, endless], [endless, fails]):
        with pytest.raises(ValueError, match="no"):
            side_by_side(jobs)


def test_an_interruption_in_the_caller_ends_all(monkeypatch):
    started = threading.Event()

    def endless(report):
        while True:
            started.set()
            report("endless", 0, 1, "")

    class Interrupted:
        def exception(self):
            started.wait(20)
            raise KeyboardInterrupt

    from concurrent.futures import ThreadPoolExecutor

    submit = ThreadPoolExecutor.submit
    monkeypatch.setattr(ThreadPoolExecutor, "submit", lambda *a: submit(*a) and Interrupted())
    with pytest.raises(KeyboardInterrupt):
        side_by_side([endless])


def test_cores_are_shared_and_given_back():
    torch.set_num_threads(4)
    try:
        assert side_by_side([lambda _report: torch.get_num_threads()] * 2) == [2, 2]
        assert torch.get_num_threads() == 4
    finally:
        torch.set_num_threads(1)
