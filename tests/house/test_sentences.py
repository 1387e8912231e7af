"""The libraries speak to who writes Python: no sentence of theirs names an option, and commands know every argument."""

import ast
import re
from collections.abc import Iterator

import pytest

from featstore_scripts.wording import typed
from tests.house.imports import ROOT, modules

OPTION = re.compile(r"(?<![\w@-])--[a-z@]")
COMMAND = re.compile(r"`(featstore|pip) [^`]*`|pip install [-\w ]+")
ARGUMENT = re.compile(r"`[a-z_]+(=[^`]*)?`")
NO_ARGUMENTS = {"`cells`"}  # a method that is advised

KNOWN = {name: path for name, path in modules().items() if not name.startswith("featstore_scripts")}


def sentences(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Every string but docstrings, of an f-string whole with @ for what is put in; neither words of a command line."""
    passed = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.List):
            passed |= {id(one) for one in node.elts if isinstance(one, ast.Constant) and " " not in str(one.value)}
        if isinstance(node, ast.JoinedStr):
            passed |= {id(part) for part in node.values}
    for node in ast.walk(tree):
        if id(node) in passed:
            continue
        if isinstance(node, ast.JoinedStr):
            yield node.lineno, "".join(str(p.value) if isinstance(p, ast.Constant) else "@" for p in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.lineno, node.value


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ('raise E("use --device cpu")', True),
        ('note = f"use --{name} {value}"', True),
        ('raise E(f"run `featstore extract DATA --store {a}`")', False),
        ('raise E("`featstore info`; use --device cpu")', True),
        ('command = ["featstore", "--key", key]', False),
        ('steps = ["use --key"]', True),
        ('"""Uses --device."""', False),
        ('svg = "--letters:{}px"', False),
    ],
)
def test_the_scan_finds_what_it_should(source, found):
    assert any(options(text) for _, text in sentences(ast.parse(source))) is found


def options(text: str) -> bool:
    """Whether a sentence names an option outside of a whole command; a property of a style sheet is none."""
    return bool(OPTION.search(re.sub(r"--[a-z-]+:", "", COMMAND.sub("", text))))


@pytest.mark.parametrize("module", sorted(KNOWN))
def test_a_sentence_of_the_libraries_names_arguments_and_no_options(module):
    where = KNOWN[module].relative_to(ROOT)
    said = list(sentences(ast.parse(KNOWN[module].read_text(encoding="utf-8"))))
    assert not [f"{where}:{line}: {text}" for line, text in said if options(text)], "name the argument: `name=value`"
    for line, text in said:
        for found in ARGUMENT.finditer(COMMAND.sub("", text)):
            argument = re.sub(r"=(@|\[@\])`", '="a"`', found[0])
            if argument not in NO_ARGUMENTS and "`@" not in argument:
                assert typed(argument) != argument, f"{where}:{line}: {argument} is not in featstore_scripts.wording"
