"""The examples in docstrings run, and everything that a door offers has one."""

import doctest
import importlib
import inspect
import re

import pytest

from tests.house.imports import modules

LIBRARIES = {name: path for name, path in modules().items() if not name.startswith("featstore_scripts")}
DOORS = [name for name, path in LIBRARIES.items() if path.name == "__init__.py"]
SHOWING = [
    name
    for name, path in LIBRARIES.items()
    if re.search(r">>> (?!.*doctest: \+SKIP)", path.read_text(encoding="utf-8"))
]


@pytest.mark.parametrize("name", SHOWING)
def test_the_examples_run(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    ran = doctest.testmod(importlib.import_module(name), optionflags=doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS)
    assert ran.attempted and not ran.failed


@pytest.mark.parametrize("door", DOORS)
def test_every_class_and_function_that_a_door_offers_shows_an_example(door):
    package = importlib.import_module(door)
    offered = {name: getattr(package, name) for name in package.__all__}
    nouns = {name: thing for name, thing in offered.items() if inspect.isclass(thing) or inspect.isfunction(thing)}
    assert [name for name, thing in nouns.items() if ">>> " not in (inspect.getdoc(thing) or "")] == []
