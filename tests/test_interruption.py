"""Ctrl-C in the middle of an import is no import error."""

import os
import signal
import threading

import pytest

from featstore.interruption import held_back

pytestmark = pytest.mark.skipif(os.name != "posix", reason="needs POSIX signals")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_takes_effect_at_the_end_of_the_block(number):
    seen = []
    before = signal.signal(number, lambda *how: seen.append(how[0]))
    try:
        with held_back():
            os.kill(os.getpid(), number)
            os.kill(os.getpid(), number)
            assert not seen
        assert seen == [number]
        os.kill(os.getpid(), number)
        assert seen == [number, number]  # the handler is back
    finally:
        signal.signal(number, before)


@pytest.fixture
def ctrl_c():
    """Ctrl-C raises, also where an earlier test ran a command to its end, which leaves it deadly."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_it_is_raised_also_where_the_block_fails(ctrl_c):
    with pytest.raises(KeyboardInterrupt), held_back():
        os.kill(os.getpid(), signal.SIGINT)
        raise ImportError("initialization failed")


def test_other_threads_are_left_alone(ctrl_c):
    done = []

    def work():
        with held_back():
            done.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert done == [signal.getsignal(signal.SIGINT)] and callable(done[0])


def test_ignored_signals_stay_ignored():
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        with held_back():
            assert signal.getsignal(signal.SIGTERM) is signal.SIG_IGN
            os.kill(os.getpid(), signal.SIGTERM)
    finally:
        signal.signal(signal.SIGTERM, before)
