"""A command as a process: its exit status, and the one sentence that it leaves on standard error."""

import os
import queue
import signal
import subprocess
import sys
import threading
import warnings
from pathlib import Path

import click
import pytest

from featstore.errors import FeatstoreError, StoreDamagedError, UnknownNameError
from featstore_scripts import options
from featstore_scripts.process import ProgressLines, run, say_failed, told

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def as_it_was(monkeypatch):
    """`run` is the last thing a process does: it changes handlers and does not put them back."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def ended(work, arguments=()):
    """Exit status of a command that does this work; with --json and any further words as its arguments."""

    @click.command(context_settings={"ignore_unknown_options": True})
    @click.option("--json", "as_json", is_flag=True)
    @click.argument("words", nargs=-1)
    def command(as_json, words):
        return work(words)

    with pytest.raises(SystemExit) as stopped:
        run(command, list(arguments))
    return stopped.value.code


def failing(error):
    def work(words):
        raise error

    return work


@pytest.mark.parametrize(("returned", "status"), [(None, 0), ("text", 0), (0, 0), (3, 3)])
def test_done_is_0_and_a_number_that_a_command_returns_is_its_status(returned, status, capsys):
    assert ended(lambda words: returned) == status
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("error", "status", "said"),
    [
        (FeatstoreError("found 3 images, expected 4; add one"), 1, "Error: found 3 images, expected 4; add one"),
        (UnknownNameError("node", "avgpol", ["avgpool"]), 2, "Error: unknown node 'avgpol'; close matches: avgpool"),
        (MemoryError(), 1, "Error: there is not enough memory for this (none is left); close programs or ask for less"),
        (MemoryError("Unable to allocate 9 TiB"), 1, "Error: there is not enough memory for this (Unable to allocate 9 "
         "TiB); close programs or ask for less"),
        (PermissionError(13, "Permission denied", "/x/y"), 1, "Error: /x/y: there is no permission for this; change "
         "the permissions"),
        (KeyError("k"), 1, "Error: KeyError: 'k' (this is a defect in featstore; --debug shows where)"),
    ],
)  # fmt: skip
def test_a_failure_is_one_sentence_on_standard_error_and_with_json_no_document(error, status, said, capsys):
    for arguments in ([], ["--json"]):
        assert ended(failing(error), arguments) == status
        output = capsys.readouterr()
        assert output.err == said + "\n" and output.out == ""


@pytest.mark.parametrize("error", [FeatstoreError("a"), UnknownNameError("a", "b", []), MemoryError("c"), KeyError("d"),
                                   PermissionError(13, "e")])  # fmt: skip
def test_debug_raises_what_was_raised(error):
    with pytest.raises(type(error)) as raised:
        run(click.command()(lambda: failing(error)(())), ["--debug"])
    assert raised.value is error


def test_debug_is_taken_out_of_the_arguments_but_not_from_behind_the_double_dash(capsys):
    seen = []
    assert ended(seen.append, ["--debug", "a"]) == 0
    assert ended(seen.append, ["a", "--", "--debug"]) == 0
    assert seen == [("a",), ("a", "--debug")]
    assert ended(failing(FeatstoreError("no")), ["--", "--debug"]) == 1 and capsys.readouterr().err == "Error: no\n"


def test_wrong_usage_is_2_and_says_how_it_is_used(capsys):
    with pytest.raises(SystemExit) as stopped:
        run(click.command()(lambda: None), ["--nonsense"])
    assert stopped.value.code == 2
    output = capsys.readouterr()
    assert output.out == "" and output.err.startswith("Usage: ") and "--nonsense" in output.err
    assert ended(failing(click.UsageError("take one"))) == 2 and "take one" in capsys.readouterr().err


def test_ctrl_c_is_130_and_what_is_lost_is_said_first(capsys):
    def work(words):
        with told("two images are lost"):
            raise KeyboardInterrupt

    assert ended(work) == 130
    assert capsys.readouterr().err.split("\n") == ["Two images are lost.", "", "Interrupted.", ""]


def test_what_is_told_may_be_made_when_it_is_known_and_is_for_ctrl_c_alone(capsys):
    done = 0
    with pytest.raises(KeyboardInterrupt), told(lambda: f"{done} are kept"):
        done = 7
        raise KeyboardInterrupt
    assert capsys.readouterr().err == "7 are kept.\n"
    with pytest.raises(ValueError, match="other"), told("nothing"):
        raise ValueError("other")
    assert capsys.readouterr().err == ""


def test_a_warning_is_a_sentence_without_the_line_that_it_came_from(capsys):
    def work(words):
        warnings.warn("the grid is short", UserWarning, stacklevel=1)

    with warnings.catch_warnings():
        warnings.simplefilter("always")
        assert ended(work) == 0
    assert capsys.readouterr().err == "Warning: the grid is short\n"


@pytest.mark.parametrize("form", ["{}", "--store={}"])
def test_the_advice_to_repair_names_the_store_that_was_given_quoted_for_a_shell(form, tmp_path, capsys):
    store = tmp_path / "a store"
    error = StoreDamagedError("a shard is damaged; run `featstore repair`")
    assert ended(failing(error), [form.format(store)]) == 1
    assert capsys.readouterr().err.endswith("run `featstore repair`\n")  # there is no store at that place
    (store / "features").mkdir(parents=True)
    assert ended(failing(error), ["--json", form.format(store)]) == 1
    assert capsys.readouterr().err.endswith(f"run `featstore repair '{store}'`\n")


def test_an_image_that_failed_is_named_once(capsys):
    say_failed("a/b.jpg", "a/b.jpg: cannot be decoded")
    say_failed("a/b.jpg", "is a folder")
    assert capsys.readouterr().err == "failed: a/b.jpg: cannot be decoded\nfailed: a/b.jpg: is a folder\n"


@pytest.mark.skipif(os.name != "posix", reason="needs POSIX signals")
def test_a_schedulers_polite_end_is_an_interrupt_and_a_real_traceback_needs_debug():
    head = "import click, os, signal, sys\nfrom featstore_scripts.process import run\n"
    body = "run(click.command()(lambda: os.kill(os.getpid(), signal.SIGTERM) or 1 / 0))"
    done = subprocess.run([sys.executable, "-c", head + body], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 130 and done.stderr.split() == ["Interrupted."] and done.stdout == ""
    program = [sys.executable, "-c", head + "run(click.command()(lambda: 1 / 0))"]
    short = subprocess.run(program, capture_output=True, text=True, cwd=ROOT)
    assert short.returncode == 1 and short.stderr.startswith("Error: ZeroDivisionError: division by zero (this is a")
    long = subprocess.run([*program, "--debug"], capture_output=True, text=True, cwd=ROOT)
    assert long.returncode == 1 and long.stderr.startswith("Traceback") and "ZeroDivisionError" in long.stderr


def as_process(work, **how):
    """A process whose command does this work; told how it ended."""
    head = "import click, os, signal, sys\nfrom featstore_scripts.process import run\n"
    program = f"{head}def work():\n    {work}\nrun(click.command()(work), [])"
    return subprocess.Popen([sys.executable, "-c", program], stderr=subprocess.PIPE, cwd=ROOT, **how)


@pytest.mark.skipif(os.name != "posix", reason="needs POSIX pipes")
@pytest.mark.parametrize(
    "work",
    [
        "sys.stdout.write('a line')",  # written when the process ends
        "click.echo('a line'); sys.stdout.flush()",
        "[click.echo('a line') for _ in range(100_000)]",
    ],
)
def test_an_output_that_nobody_reads_ends_the_command_quietly(work):
    here, there = os.pipe()
    os.close(here)
    with os.fdopen(there, "wb") as closed, as_process(work, stdout=closed) as process:
        assert process.communicate()[1] == b"" and process.returncode == 141


@pytest.mark.skipif(os.name != "posix", reason="needs POSIX pipes")
def test_where_nobody_reads_the_errors_either_it_ends_all_the_same():
    here, there = os.pipe()
    os.close(here)
    program = "import click\nfrom featstore_scripts.process import run\nrun(click.command()(lambda: 1 / 0), [])"
    with os.fdopen(there, "wb") as closed:
        done = subprocess.run([sys.executable, "-c", program], stdout=closed, stderr=closed, cwd=ROOT)
    assert done.returncode == 141


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
@pytest.mark.parametrize("work", ["sys.stdout.write('a line')", "click.echo('a line' * 100_000)"])
def test_a_full_disk_under_the_output_is_one_sentence(work):
    with open("/dev/full", "wb") as full, as_process(work, stdout=full) as process:  # noqa: PTH123 - a device
        said = process.communicate()[1].decode()
    assert process.returncode == 1 and said.count("\n") == 1
    assert said.startswith("Error: the output cannot be written: No space left on device")


@pytest.mark.parametrize(
    ("encoding", "printed"), [("latin-1", b"K\xe4fer \\u732b"), ("cp1252", b"K\xe4fer \\u732b"),
                              ("ascii", b"K\\xe4fer \\u732b"), ("utf-8", "Käfer 猫".encode())],
)  # fmt: skip
def test_what_the_encoding_of_the_output_cannot_say_is_escaped(encoding, printed):
    environment = {**os.environ, "PYTHONIOENCODING": encoding}
    with as_process("print('K\\xe4fer \\u732b')", stdout=subprocess.PIPE, env=environment) as process:
        out, err = process.communicate()
    assert (process.returncode, err, out.rstrip()) == (0, b"", printed)


def test_an_input_that_ends_is_no_interruption(capsys):
    error = EOFError("Compressed file ended early")
    assert ended(failing(error)) == 1
    said = capsys.readouterr().err
    assert "Interrupted" not in said and "EOFError: Compressed file ended early (this is a defect" in said
    with pytest.raises(EOFError, match="ended early"):
        run(click.command()(lambda: failing(error)(())), ["--debug"])


class Clock:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def telling():
    clock, lines = Clock(), []
    report = ProgressLines(lines.append, clock)

    def tell(at, *progress):
        clock.now = 100.0 + at
        report(*progress)
        return lines

    return tell


def test_short_work_stays_silent(telling):
    for second in range(10):
        assert telling(second, "decode", second, 100, "") == []


def test_a_first_line_and_then_one_a_minute_with_stage_count_note_and_time_left(telling):
    for second in range(301):
        lines = telling(second, "train", second, 400, f"epoch {1 + second // 100}/4")
    assert lines == [
        "train: 10 of 400, epoch 1/4, about 6 min 30 s left",
        "train: 70 of 400, epoch 1/4, about 5 min 30 s left",
        "train: 130 of 400, epoch 2/4, about 4 min 30 s left",
        "train: 190 of 400, epoch 2/4, about 3 min 30 s left",
        "train: 250 of 400, epoch 3/4, about 2 min 30 s left",
    ]


def test_a_step_that_reports_nothing_for_long_is_told_all_the_same():
    clock, lines = Clock(), []
    report = ProgressLines(lines.append, clock)
    clock.now += 30
    report.wait()  # nothing has begun, nothing is known
    assert lines == []
    clock.now -= 25
    report("fit the head", 0, 2, "")
    for _ in range(140):
        clock.now += 1
        report.wait()
    assert lines == [
        "fit the head: 0 of 2, for 5.0 s so far",
        "fit the head: 0 of 2, for 1 min 05 s so far",
        "fit the head: 0 of 2, for 2 min 05 s so far",
    ]


def test_within_a_with_block_the_lines_come_by_themselves(monkeypatch):
    monkeypatch.setattr("featstore_scripts.process.FIRST", 0.0)
    monkeypatch.setattr("featstore_scripts.process.EVERY", 0.0)
    lines, before = queue.Queue(), threading.active_count()
    with ProgressLines(lines.put) as report:
        report("hash", 0, 3, "")
        assert [lines.get(timeout=30)[:11] for _ in range(3)] == ["hash: 0 of "] * 3
    assert threading.active_count() == before


def test_the_time_left_is_that_of_the_stage_and_of_an_attempt_that_begins_again(telling):
    telling(0, "decode", 0, 50, "")
    telling(4, "decode", 50, 50, "")
    telling(5, "train", 0, 10, "")
    assert telling(17, "train", 1, 10, "") == ["train: 1 of 10, about 1 min 48 s left"]
    telling(50, "train", 0, 10, "again")
    assert telling(80, "train", 2, 10, "again")[1:] == ["train: 2 of 10, again, about 2 min 00 s left"]


def test_without_a_total_or_a_first_step_no_time_is_guessed(telling):
    assert telling(61, "walk", 1200, 0, "") == ["walk: 1,200"]
    assert telling(130, "hash", 0, 7, "")[1:] == ["hash: 0 of 7"]
    assert telling(200, "hash", 7, 7, "")[2:] == ["hash: 7 of 7"]


@pytest.mark.parametrize(("quiet", "lines"), [(True, 0), (False, 1)])
def test_commands_print_them_where_standard_error_is_no_terminal(capsys, monkeypatch, quiet, lines):
    clock = Clock()
    monkeypatch.setattr("featstore_scripts.process.FIRST", 0.0)
    monkeypatch.setattr("time.monotonic", clock)
    with options.reporter(quiet) as report:
        report("decode", 1, 2, "")
    output = capsys.readouterr()
    assert output.out == "" and output.err.count("\n") == lines
