"""A command as a process: what it says on standard error, and its exit status."""

from __future__ import annotations

import shlex
import signal
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import click

from featstore.errors import FeatstoreError, UnknownNameError
from featstore_scripts.wording import typed


def say(message: str) -> None:
    """One line for the person, on standard error."""
    click.echo(message, err=True)


def say_failed(path: str, reason: str) -> None:
    """Name an image that cannot be used, once: many reasons begin with its path."""
    say(f"failed: {path}: {reason.removeprefix(path).lstrip(' :')}")


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


def run(command: click.Command, arguments: list[str] | None = None) -> None:
    """Run a command as a process: one sentence and an exit status instead of a traceback (`--debug` shows it)."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    end = arguments.index("--") if "--" in arguments else len(arguments)
    debug = "--debug" in arguments[:end]
    if debug:
        arguments.remove("--debug")
    if not debug:
        warnings.showwarning = _warn
    signal.signal(signal.SIGTERM, _interrupt)  # a scheduler's polite end keeps what is done, as Ctrl-C does
    try:
        status = command.main(arguments, standalone_mode=False)
    except click.exceptions.Abort:
        say("Interrupted.")
        status = 130
    except click.ClickException as error:
        error.show()
        status = error.exit_code
    except BrokenPipeError:
        sys.stdout = None  # type: ignore[assignment]  # nobody reads any more; do not fail again at exit
        status = 141
    except FeatstoreError as error:
        if debug:
            raise
        say(f"Error: {_complete(typed(str(error), names=_values(arguments)), arguments)}")
        status = 2 if isinstance(error, UnknownNameError) else 1
    except MemoryError as error:
        if debug:
            raise
        why = str(error) or "none is left"
        say(f"Error: there is not enough memory for this ({why}); close programs or ask for less")
        status = 1
    except PermissionError as error:
        if debug:
            raise
        say(f"Error: {error.filename or error}: there is no permission for this; change the permissions")
        status = 1
    except Exception as error:
        if debug:
            raise
        say(f"Error: {type(error).__name__}: {error} (this is a defect in featstore; --debug shows where)")
        status = 1
    # The work is over. From here on Ctrl-C ends the process at once, and not with a traceback out of the interpreter's
    # own shutdown, which waits for threads.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
    sys.exit(status if isinstance(status, int) else 0)
