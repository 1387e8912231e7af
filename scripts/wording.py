"""How a user of commands types what a sentence of the libraries names.

The libraries speak to who writes Python: their sentences name arguments in backticks, as `overwrite=True` or `weights`.
A command says the same of its options: --overwrite, --weights. Nothing else between backticks is an argument.
"""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Iterable, Iterator
from typing import Any

_AS_NAMED = (
    "allow", "allow_few", "allow_truncated", "allow_untested", "backbone", "batch_size", "bit_depth", "budget",
    "bundle", "class_from", "class_weight", "columns", "dataset", "device", "drop_leaks", "engine", "folds", "goal",
    "group_column", "groups", "id", "keep_any", "key", "label_column", "labels", "layout", "learning_rate", "node",
    "nvjpeg", "overwrite", "path_column", "pilot", "pool", "precision", "protocol", "rate", "restart", "retry_failed",
    "root", "seed", "split", "split_column", "steps", "store_dtype", "strict", "suffix", "unlabelled", "valid_fraction",
    "variation_weight", "weights",
)  # fmt: skip
OPTIONS = {
    **{name: f"--{name.replace('_', '-')}" for name in _AS_NAMED},
    "data": "--extract",
    "nodes": "--node",
    "reopen": "--unfreeze",
}
"""The option of each argument that sentences of the libraries name; no further name is taken for one."""

NEGATED = {"augment": "--no-augmentation", "turn": "--no-turn"}
"""The option that sets an argument to False."""

PROSE = frozenset({"engine_note", "notes", "reason", "reasons", "text", "texts", "verdict", "weights_note"})
"""Keys of documents under which the libraries put sentences; what users called things stands under others."""

# The name is sought, not the next two backticks: a single one in a class or a path would shift all pairs behind it.
_MISTAKEN = re.compile(rf"`(?:{'|'.join([*OPTIONS, *NEGATED])})")
_ARGUMENT = re.compile(rf"(?<![^\s(])({_MISTAKEN.pattern}(?:=[^`]*)?)`")
_AFTER = re.compile(r"[.,;:)]*(\s|$)")


def typed(text: str, code: bool = False, names: Iterable[str] = ()) -> str:
    """A sentence of the libraries in the words of commands.

    Parameters
    ----------
    text : str
    code : bool
        Keep the backticks: the sentence is shown with code in it, as those of a report's verdict are.
    names : iterable of str
        What a user called things: left alone wherever it stands in the text, whatever backticks it holds.

    Returns
    -------
    str
        Other text between backticks is as it was, and so are arguments that are part of a longer word: a path.
    """

    def option(found: re.Match[str]) -> str:
        words = _option(found[1][1:]) if _AFTER.match(text, found.end()) else None
        return found[0] if words is None else f"`{words}`" if code else words

    masked = sorted({name for name in names if _MISTAKEN.search(name) and name in text}, key=len, reverse=True)
    for number, name in enumerate(masked):
        text = text.replace(name, f"\0{number}\0")
    text = _ARGUMENT.sub(option, text)
    return re.sub(r"\0(\d+)\0", lambda found: masked[int(found[1])], text) if masked else text


def worded(document: Any) -> Any:
    """A document with its sentences in the words of commands; data of the user stay as they are, in sentences, too."""
    return _worded(document, frozenset(_names(document)))


def _names(document: Any) -> Iterator[str]:
    """Strings with backticks that a document holds beside its sentences: paths, classes, labels."""
    if isinstance(document, str) and "`" in document:
        yield from (document, document.rpartition("/")[2])
    elif isinstance(document, dict):
        for key, value in document.items():
            yield from _names(key)
            if key not in PROSE:
                yield from _names(value)
    elif isinstance(document, list | tuple):
        for item in document:
            yield from _names(item)


def _worded(document: Any, names: frozenset[str]) -> Any:
    if isinstance(document, dict):
        return {
            key: _sentences(value, key == "verdict", names) if key in PROSE else _worded(value, names)
            for key, value in document.items()
        }
    return [_worded(item, names) for item in document] if isinstance(document, list | tuple) else document


def _sentences(value: Any, verdict: bool, names: frozenset[str]) -> Any:
    if isinstance(value, str):
        return typed(value, names=names)
    if isinstance(value, list | tuple):  # the verdict of a report is a list, that of a fine-tune one plain sentence
        return [typed(item, verdict, names) if isinstance(item, str) else _worded(item, names) for item in value]
    return _worded(value, names)


def _option(argument: str) -> str | None:
    """`name` or `name=value` as it is typed behind a command; None for what is no argument."""
    name, equals, value = argument.partition("=")
    if value == "False":
        return NEGATED.get(name)
    option = OPTIONS.get(name)
    if option is None or not equals or value == "True":
        return option
    if re.fullmatch(r"r?'[^']*'", value):  # single quotes mean the same to a shell
        return f"{option} {value.removeprefix('r')}"
    try:
        found = ast.literal_eval(value)
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        return None
    if isinstance(found, dict):
        found = [f"{key}={item}" for key, item in found.items()]
    items = found if isinstance(found, list) else [found]
    return " ".join(f"{option} {_quoted(str(item))}" for item in items) or None


def _quoted(value: str) -> str:
    plain = value and all(letter.isalnum() or letter in "._-/=+" for letter in value)
    return value if plain else shlex.quote(value)
