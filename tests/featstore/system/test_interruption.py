"""Ctrl-C in the middle of an import is no import error. Signals are tried in processes of their own."""

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(os.name != "posix", reason="needs POSIX signals")

HEAD = """
import os, signal, threading
from featstore.system.interruption import held_back
number = signal.Signals[{name!r}]
seen = []
"""


def ended(body, name="SIGINT"):
    """How a program ends, and what it printed."""
    code = HEAD.format(name=name) + textwrap.dedent(body)
    root = Path(__file__).resolve().parents[3]
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, cwd=root)
    return run.returncode, run.stdout.split(), run.stderr


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_a_signal_takes_effect_at_the_end_of_the_block(name):
    body = """
        signal.signal(number, lambda *how: seen.append(how[0]))
        with held_back():
            os.kill(os.getpid(), number)
            os.kill(os.getpid(), number)
            print(len(seen))
        print(len(seen))
        os.kill(os.getpid(), number)  # the handler is back
        print(len(seen))
    """
    assert ended(body, name)[:2] == (0, ["0", "1", "2"])


def test_it_is_raised_also_where_the_block_fails():
    body = """
        try:
            with held_back():
                os.kill(os.getpid(), number)
                raise ImportError("initialization failed")
        except KeyboardInterrupt:
            print("interrupted")
    """
    assert ended(body)[:2] == (0, ["interrupted"])


def test_ignored_and_deadly_signals_stay_so():
    body = """
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        with held_back():
            os.kill(os.getpid(), signal.SIGTERM)
        print("ignored", flush=True)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        with held_back():
            os.kill(os.getpid(), signal.SIGTERM)
    """
    assert ended(body)[:2] == (-15, ["ignored"])


def test_other_threads_are_left_alone():
    body = """
        before = signal.getsignal(number)

        def work():
            with held_back():
                print(signal.getsignal(number) is before)

        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
    """
    assert ended(body)[:2] == (0, ["True"])
