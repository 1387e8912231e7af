import dataclasses
import json
import os
import signal
import subprocess
import sys

import click
import pytest

from featstore.errors import ImagesNotFoundError
from featstore.images.reading import Reading
from featstore_scripts import options


def status_of(function, arguments=()):
    command = click.command()(function)
    with pytest.raises(SystemExit) as stopped:
        options.run(command, list(arguments))
    return stopped.value.code


def test_a_known_failure_is_one_sentence_and_status_1(capsys):
    def fail():
        raise ImagesNotFoundError("no folder 'x'")

    assert status_of(fail) == 1
    assert capsys.readouterr().err == "Error: no folder 'x'\n"


def test_an_unknown_failure_says_that_it_is_a_defect(capsys):
    def fail():
        raise ZeroDivisionError("division by zero")

    assert status_of(fail) == 1
    assert "ZeroDivisionError: division by zero (this is a defect" in capsys.readouterr().err


def test_debug_shows_the_traceback():
    def fail():
        raise ImagesNotFoundError("no folder")

    with pytest.raises(ImagesNotFoundError):
        options.run(click.command()(fail), ["--debug"])


def test_interruption_is_130_and_wrong_usage_2(capsys):
    def interrupted():
        raise KeyboardInterrupt

    assert status_of(interrupted) == 130
    assert status_of(lambda: None, ["--nonsense"]) == 2
    assert status_of(lambda: None) == 0


def test_emit_prints_one_json_document_and_refuses_nan(capsys):
    options.emit({"format": 1, "name": "caf\u00e9"})
    assert json.loads(capsys.readouterr().out) == {"format": 1, "name": "caf\u00e9"}
    with pytest.raises(ValueError, match="not JSON compliant"):
        options.emit({"x": float("nan")})


@pytest.mark.parametrize("text", ["test", "train=0.5", "test=0", "test=1", "test=x"])
def test_a_split_that_is_no_name_and_fraction_is_wrong_usage(text):
    with pytest.raises(click.BadParameter, match="is not NAME=FRACTION"):
        options.fractions(None, None, (text,))
    assert options.fractions(None, None, ("test=0.25", "val=0.1")) == {"test": 0.25, "val": 0.1}


def test_help_is_quick_and_an_unknown_verb_gets_close_matches():
    run = [sys.executable, "-c", "from featstore_scripts.main import cli; cli()"]
    help_text = subprocess.run([*run, "--help"], capture_output=True, text=True, check=True).stdout
    assert "extract" in help_text
    wrong = subprocess.run([*run, "exract"], capture_output=True, text=True, check=False)
    assert wrong.returncode == 2
    assert "did you mean extract" in wrong.stderr


def test_help_loads_nothing_heavy():
    code = (
        "import sys; from featstore_scripts import options, main; "
        "main.group.main(['--help'], standalone_mode=False); "
        "print([m for m in ('torch', 'numpy', 'h5py', 'sklearn') if m in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]"


def test_every_verb_has_a_file_a_help_text_and_a_script_of_its_own():
    from click.testing import CliRunner

    from featstore_scripts.main import VERBS, group

    for verb in VERBS:
        result = CliRunner().invoke(group, [verb, "--help"])
        assert result.exit_code == 0, (verb, result.output)
        assert len(result.output.splitlines()) > 4


def given(arguments):
    """What a command that reads data receives."""
    received = {}

    @click.command()
    @click.argument("data")
    @options.reading
    @options.quiet
    def command(**values):
        received.update(values)

    command.main(arguments, standalone_mode=False)
    return received


def test_the_options_of_reading_reach_a_command_as_one_reading():
    assert given(["pets"]) == {"data": "pets", "quiet": False, "reading": Reading()}
    said = {
        "labels": "([a-z]+)_",
        "layout": "folders",
        "class_from": "leaf",
        "label_column": "breed",
        "path_column": "id",
        "split_column": "set",
        "group_column": "patient",
        "root": "photos",
        "suffix": ".jpg",
    }
    arguments = [word for name, value in said.items() for word in (f"--{name.replace('_', '-')}", value)]
    received = given(["pets", "-q", *arguments, "--unlabelled", "--allow", "copies", "--allow", "one-class"])
    assert received["reading"] == Reading(**said, unlabelled=True, allow=("copies", "one-class"))
    assert received["quiet"] and set(options.READING) == {field.name for field in dataclasses.fields(Reading)}


def test_a_class_from_that_is_none_of_three_is_wrong_usage():
    with pytest.raises(click.BadParameter, match="'middle' is not one of 'top', 'leaf', 'path'"):
        given(["pets", "--class-from", "middle"])


@pytest.mark.skipif(os.name != "posix", reason="needs POSIX signals")
def test_ctrl_c_at_the_very_end_prints_no_traceback():
    """The work is done and the interpreter waits for a thread: Ctrl-C then only ends the process."""
    program = (
        "import threading, time, click; from featstore_scripts import options\n"
        "@click.command()\n"
        "def work():\n"
        "    threading.Timer(20, lambda: None).start()\n"
        "    threading.Thread(target=lambda: (time.sleep(0.3), print('ready', flush=True))).start()\n"
        "options.run(work, [])"
    )
    child = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert child.stdout.readline() == "ready\n"
    child.send_signal(signal.SIGINT)
    _, said = child.communicate(timeout=10)
    assert said == "" and child.returncode == -signal.SIGINT


def test_advice_names_the_store_that_was_given(tmp_path, capsys):
    from featstore.errors import StoreDamagedError

    @click.command()
    @click.argument("store")
    def broken(store):
        raise StoreDamagedError(f"{store}/x is damaged; run `featstore repair`")

    place = tmp_path / "my store"
    (place / "features").mkdir(parents=True)
    with pytest.raises(SystemExit):
        options.run(broken, [str(place)])
    assert f"run `featstore repair '{place}'`" in capsys.readouterr().err
