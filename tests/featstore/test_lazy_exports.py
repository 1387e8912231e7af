"""Lazy exports: what a package offers is what its type checker sees, and nothing of it is imported before its use."""

import importlib
import py_compile
import subprocess
import sys
from types import SimpleNamespace

import pytest

from featstore.lazy_exports import lazy_exports

DOOR = """
from typing import TYPE_CHECKING

from featstore.lazy_exports import lazy_exports

if TYPE_CHECKING:
    from pantry.fruit import Apple as Apple, Pear as Pear
    from pantry.missing import Nowhere as Nowhere
    from pantry.tools import knife, spoon as ladle

__getattr__, __dir__ = lazy_exports(__name__)
SHELVES = 3
"""


@pytest.fixture
def pantry(tmp_path, monkeypatch):
    """The folder of a package that offers Apple, Pear, and Nowhere, whose module is not there."""
    folder = tmp_path / "pantry"
    folder.mkdir()
    (folder / "__init__.py").write_text(DOOR)
    (folder / "fruit.py").write_text("class Apple: pass\nclass Pear: pass\nclass Seed: pass\n")
    (folder / "tools.py").write_text("knife = spoon = object()\n")
    monkeypatch.syspath_prepend(tmp_path)
    yield folder
    for name in [name for name in sys.modules if name.partition(".")[0] == "pantry"]:
        del sys.modules[name]


def python(folder, code):
    """What a fresh Python prints and complains of that finds packages in this folder, too."""
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(folder.parent)!r})\n{code}"],
        capture_output=True, text=True,
    )  # fmt: skip
    return done.stdout.splitlines(), done.stderr


def test_an_offered_name_is_the_one_of_its_module(pantry):
    package = importlib.import_module("pantry")
    assert package.Apple is importlib.import_module("pantry.fruit").Apple
    assert package.Pear.__module__ == "pantry.fruit"


def test_nothing_is_imported_before_the_first_use(pantry):
    tell = "print([name for name in ('pantry.fruit', 'pantry.tools', 'ast') if name in sys.modules])"
    code = (
        f"sys.modules.pop('ast', None)\nimport pantry\n{tell}\npantry.__all__\ndir(pantry)\n{tell}\npantry.Pear\n{tell}"
    )
    lines, complaint = python(pantry, code)
    assert (lines, complaint) == (["[]", "['ast']", "['pantry.fruit', 'ast']"], "")


def test_all_lists_what_is_imported_as_itself(pantry):
    assert importlib.import_module("pantry").__all__ == ["Apple", "Nowhere", "Pear"]


def test_a_star_imports_what_is_offered(pantry):
    (pantry / "missing.py").write_text("Nowhere = 1\n")
    found = {}
    exec("from pantry import *", found)
    assert set(found) - {"__builtins__"} == {"Apple", "Nowhere", "Pear"}


def test_names_are_completed_from_what_is_offered_and_what_is_there(pantry):
    package = importlib.import_module("pantry")
    names = dir(package)
    assert names == sorted({"Apple", "Nowhere", "Pear", *vars(package)})
    assert {"SHELVES", "__name__", "__getattr__"} <= set(names)
    assert not {"Seed", "knife", "spoon", "ladle"} & set(names)


@pytest.mark.parametrize("name", ["Seed", "knife", "spoon", "ladle", "fig", "", "__wrapped__", "__nothing__"])
def test_a_name_that_is_not_offered_is_refused_as_python_does(pantry, name):
    package = importlib.import_module("pantry")
    with pytest.raises(AttributeError, match=f"^module 'pantry' has no attribute '{name}'$"):
        getattr(package, name)
    assert not hasattr(package, name)


def test_python_guesses_the_name_that_was_meant(pantry):
    lines, complaint = python(pantry, "import pantry; pantry.Aple")
    assert not lines and complaint.rstrip().endswith(
        "AttributeError: module 'pantry' has no attribute 'Aple'. Did you mean: 'Apple'?"
    )


def test_a_home_that_cannot_be_imported_says_so_itself(pantry):
    package = importlib.import_module("pantry")
    with pytest.raises(ModuleNotFoundError, match=r"No module named 'pantry\.missing'"):
        package.Nowhere  # noqa: B018 - asking is what is tested


def test_the_source_is_read_once(pantry, monkeypatch):
    door = sys.modules["featstore.lazy_exports"]  # the name in `featstore` is the function's
    reads = []
    original = door.find_spec
    monkeypatch.setattr(door, "find_spec", lambda package: reads.append(package) or original(package))
    package = importlib.import_module("pantry")
    assert not reads
    for _ in range(2):
        assert package.Apple and package.Pear and package.__all__ and not hasattr(package, "fig")
    assert reads == ["pantry"]


def test_a_package_without_its_source_is_refused(pantry):
    py_compile.compile(pantry / "__init__.py", pantry / "__init__.pyc", doraise=True)
    (pantry / "__init__.py").unlink()
    package = importlib.import_module("pantry")
    sentence = "^the source of pantry is not there, only its compiled form; expected both$"
    for use in (lambda: package.Apple, lambda: package.__all__, lambda: dir(package)):
        with pytest.raises(ImportError, match=sentence):
            use()


def test_a_loader_that_has_no_source_is_refused(monkeypatch):
    spec = SimpleNamespace(loader=SimpleNamespace(get_source=lambda package: None))
    monkeypatch.setattr(sys.modules["featstore.lazy_exports"], "find_spec", lambda package: spec)
    get, names = lazy_exports("featstore.images")
    with pytest.raises(ImportError, match=r"the source of featstore\.images is not there"):
        get("ImageSet")
    with pytest.raises(ImportError, match="only its compiled form; expected both"):
        names()
