"""A command as a process: what it says on standard error, and its exit status."""

from __future__ import annotations

import errno
import os
import shlex
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Self, TextIO

import click

from featstore.errors import FeatstoreError, UnknownNameError
from featstore_scripts.wording import typed

FIRST, EVERY = 10.0, 60.0
"""Seconds before the first line of progress, so that short commands stay silent, and between two lines."""


def say(message: str) -> None:
    """One line for the person, on standard error."""
    click.echo(message, err=True)


def say_failed(path: str, reason: str) -> None:
    """Name an image that cannot be used, once: many reasons begin with its path."""
    say(f"failed: {path}: {reason.removeprefix(path).lstrip(' :')}")


class ProgressLines:
    """A progress callback, `(stage, done, total, note)`, that writes a plain line a minute where no bars are drawn.

    The first line comes sooner, and within `with` they come also while a long step reports nothing.

    Parameters
    ----------
    write : callable
        Gets each line.
    clock : callable
        Seconds, of any beginning.

    Examples
    --------
    >>> seconds = iter([0.0, 1.0, 11.0])
    >>> tell = ProgressLines(print, clock=lambda: next(seconds))
    >>> tell("decode", 100, 1000, "")
    >>> tell("decode", 400, 1000, "2 failed")
    decode: 400 of 1,000, 2 failed, about 20.0 s left
    """

    def __init__(self, write: Callable[[str], object], clock: Callable[[], float] = time.monotonic) -> None:
        self._write, self._clock = write, clock
        self._next = clock() + FIRST
        self._stage, self._began, self._first = "", 0.0, 0
        self._done, self._total, self._note = 0, 0, ""
        self._lock, self._ended = threading.Lock(), threading.Event()
        self._thread = threading.Thread(target=self._watch, name="progress lines", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def __call__(self, stage: str, done: int, total: int, note: str = "") -> None:
        """Take a report; write a line where one is due."""
        with self._lock:
            now = self._clock()
            if stage != self._stage or done < self._done:  # another stage, or one that begins again
                self._stage, self._began, self._first = stage, now, done
            self._done, self._total, self._note = done, total, note
            self._tell(now)

    def wait(self) -> None:
        """Write a line where one is due, of the last report."""
        with self._lock:
            if self._stage:
                self._tell(self._clock())

    def _watch(self) -> None:
        while not self._ended.wait(1.0):
            with suppress(OSError, ValueError):  # nobody reads: the work itself says so where that matters
                self.wait()

    def _tell(self, now: float) -> None:
        if now < self._next:
            return
        self._next = now + EVERY
        from classifiers.formatting import seconds

        done, total, spent = self._done, self._total, now - self._began
        parts = [f"{self._stage}: {done:,} of {total:,}" if total else f"{self._stage}: {done:,}"]
        if self._note:
            parts.append(self._note)
        if total > done > self._first and spent > 0:
            parts.append(f"about {seconds((total - done) * spent / (done - self._first))} left")
        elif total > done and spent >= 1:
            parts.append(f"for {seconds(spent)} so far")
        self._write(", ".join(parts))


@contextmanager
def told(what: str | Callable[[], str]) -> Iterator[None]:
    """Where Ctrl-C ends the work, say what is lost and what stays."""
    try:
        yield
    except KeyboardInterrupt:
        text = what if isinstance(what, str) else what()
        say(f"{text[:1].upper()}{text[1:]}.")
        raise


def _warn(message: Warning | str, *_where: object) -> None:
    """A warning as a sentence; the line of source that it came from is of no use to who runs a command."""
    say(f"Warning: {message}")


def _complete(text: str, arguments: Sequence[str]) -> str:
    """A sentence whose advice can be typed as it stands: the store that the command was given is named in it."""
    given = (argument.partition("=")[2] if argument.startswith("--store=") else argument for argument in arguments)
    store = next((place for place in given if Path(place, "features").exists()), None)
    return text if store is None else text.replace("`featstore repair`", f"`featstore repair {shlex.quote(store)}`")


def _values(arguments: Sequence[str]) -> list[str]:
    """What was typed as it may stand in a sentence: whole words, values behind "=", and their last parts."""
    typed_in = [part for argument in arguments for part in (argument, argument.partition("=")[2])]
    return [part for value in typed_in for part in (value, value.rstrip("/"), value.rstrip("/").rpartition("/")[2])]


def _interrupt(_number: int, _frame: object) -> None:
    raise KeyboardInterrupt


NOBODY_READS = 141
"""What a shell says of a process that ended because nobody reads its output any more, as in `... | head`."""


def run(command: click.Command, arguments: list[str] | None = None) -> None:
    """Run a command as a process: one sentence and an exit status instead of a traceback (`--debug` shows it)."""
    with suppress(AttributeError, OSError, ValueError):  # what the output's encoding cannot say is escaped
        sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]  # other streams: suppressed
    try:
        status = _status(command, arguments)
    except BrokenPipeError:  # standard error is closed, too
        status = NOBODY_READS
    status = _handed_out(sys.stdout, _handed_out(sys.stderr, status))
    # The work is over. From here on Ctrl-C ends the process at once, and not with a traceback out of the interpreter's
    # own shutdown, which waits for threads.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
    sys.exit(status)


def _handed_out(stream: TextIO | None, status: int) -> int:
    """Write what a stream still holds; the exit status, another one where nobody takes it."""
    try:
        if stream is not None:
            stream.flush()
        return status
    except BrokenPipeError:
        status = NOBODY_READS
    except (OSError, ValueError) as error:
        with suppress(OSError, ValueError):
            say(f"Error: the output cannot be written: {getattr(error, 'strerror', None) or error}")
        status = status or 1
    with suppress(OSError, ValueError):  # the interpreter writes once more when it ends; nothing is left to be said
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())  # type: ignore[union-attr]  # suppressed, too
    return status


def _status(command: click.Command, arguments: list[str] | None) -> int:
    """Run a command; its exit status, after a sentence where it failed."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    end = arguments.index("--") if "--" in arguments else len(arguments)
    debug = "--debug" in arguments[:end]
    if debug:
        arguments.remove("--debug")
    if not debug:
        warnings.showwarning = _warn
    signal.signal(signal.SIGTERM, _interrupt)  # a scheduler's polite end keeps what is done, as Ctrl-C does
    output = sys.stdout
    try:
        status = command.main(arguments, standalone_mode=False)
    except click.exceptions.Abort as error:
        if not isinstance(error.__cause__, EOFError):
            say("Interrupted.")
            return 130
        if debug:
            raise error.__cause__ from None
        return _defect(error.__cause__)
    except SystemExit:  # click's answer to a closed pipe, after it put something in the output's place
        if sys.stdout is not output:
            return NOBODY_READS
        raise
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except FeatstoreError as error:
        if debug:
            raise
        say(f"Error: {_complete(typed(str(error), names=_values(arguments)), arguments)}")
        return 2 if isinstance(error, UnknownNameError) else 1
    except MemoryError as error:
        if debug:
            raise
        why = str(error) or "none is left"
        say(f"Error: there is not enough memory for this ({why}); close programs or ask for less")
        return 1
    except PermissionError as error:
        if debug:
            raise
        say(f"Error: {error.filename or error}: there is no permission for this; change the permissions")
        return 1
    except Exception as error:
        if debug:
            raise
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            say(f"Error: {error.filename or 'the output'} cannot be written: {error.strerror}; free some space")
            return 1
        return _defect(error)
    return status if isinstance(status, int) else 0


def _defect(error: BaseException) -> int:
    say(f"Error: {type(error).__name__}: {error} (this is a defect in featstore; --debug shows where)")
    return 1
