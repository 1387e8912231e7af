"""The group `featstore`: every verb's help, how failures and interrupts end, and how fast it answers."""

import inspect
import os
import signal
import subprocess
import sys
import time

import pytest

from featstore_scripts import options
from featstore_scripts.main import VERBS, group


def run(words, capsys):
    with pytest.raises(SystemExit) as ended:
        options.run(group, words)
    output = capsys.readouterr()
    return ended.value.code, output.out, output.err


def featstore(*words, **options):
    return subprocess.run(
        [sys.executable, "-m", "featstore_scripts.main", *words], capture_output=True, text=True, **options
    )


def test_the_help_lists_every_verb(capsys):
    status, out, _ = run(["--help"], capsys)
    assert status == 0
    for verb, text in VERBS.items():
        assert f"  {verb}" in out and text.split()[0] in out


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_explains_itself(verb, capsys):
    status, out, err = run([verb, "--help"], capsys)
    assert status == 0 and err == ""
    assert out.startswith("Usage: ") and f" {verb} " in out.splitlines()[0]
    options = [option for option in group.get_command(None, verb).params if option.param_type_name == "option"]
    assert [option.name for option in options if not option.help] == []
    assert "--help" in out


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_is_also_a_file_to_run(verb):
    file = inspect.unwrap(group.get_command(None, verb).callback).__globals__["__file__"]
    done = subprocess.run([sys.executable, file, "--help"], capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout.startswith("Usage: ")


def test_help_loads_no_heavy_library():
    code = (
        "import sys; from featstore_scripts.main import group, VERBS; "
        "[group.get_command(None, verb) for verb in VERBS]; "
        "print([name for name in ('torch', 'sklearn', 'h5py', 'matplotlib', 'lightgbm') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_an_unknown_verb_is_wrong_usage_with_close_matches(capsys):
    status, _, err = run(["extrakt"], capsys)
    assert status == 2 and "no such command 'extrakt'; did you mean extract" in err
    assert run(["zzz"], capsys)[0] == 2


def test_failures_are_one_sentence_and_a_traceback_only_with_debug(tmp_path):
    done = featstore("info", str(tmp_path / "none"))
    assert done.returncode == 1 and done.stderr.count("\n") == 1 and done.stderr.startswith("Error: ")
    done = featstore("info", "--debug", str(tmp_path / "none"))
    assert done.returncode == 1 and "Traceback" in done.stderr and "StoreNotFoundError" in done.stderr


def test_a_reader_that_goes_away_is_no_failure():
    with subprocess.Popen(
        [sys.executable, "-m", "featstore_scripts.main", "--help"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        process.stdout.close()
        _, err = process.communicate()
    assert "Traceback" not in err and "Exception ignored" not in err


@pytest.mark.skipif(os.name == "nt", reason="signals are POSIX")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_ends_with_130_and_no_traceback(number):
    code = (
        "import click, time; from featstore_scripts import options\n"
        "@click.command()\ndef wait():\n    print('ready', flush=True)\n    time.sleep(60)\n"
        "options.run(wait, [])"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.readline() == "ready\n"
        time.sleep(0.05)
        process.send_signal(number)
        _, err = process.communicate(timeout=20)
    assert process.returncode == 130 and "Interrupted" in err and "Traceback" not in err
