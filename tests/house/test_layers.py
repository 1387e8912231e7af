"""The rooms of docs/design.md and their order, read off every import of the code."""

import ast
import re
import subprocess
import sys
from functools import cache
from importlib import import_module

import pytest

from tests.house.imports import ROOT, arrows, circles, imported, modules, reachable, unfollowed

# From the bottom up: a module may import from its own room and from rooms before it.
FEATSTORE = (
    "errors", "lazy_exports", "system", "fingerprint", "features", "sources", "images", "lists",
    "layouts.folders", "layouts.shards", "layouts", "discovery", "store.format", "store.tables",
    "store.maintenance", "store", "decoding.pixels", "decoding", "backbone", "engines", "extract",
)  # fmt: skip
CLASSIFIERS = (
    "types", "formatting", "linalg", "threads", "validation", "leakage.pixels", "leakage",
    "heads.base", "heads.linear", "heads", "streamed", "models",
    "report.figures", "report", "comparison", "training", "advice", "transfer", "inspection", "adversarial",
)  # fmt: skip
ROOMS = [
    *(f"featstore.{room}" for room in FEATSTORE),
    *(f"classifiers.{room}" for room in CLASSIFIERS),
    "featstore_scripts",
]
MOST = 15
"""Modules of a room."""

KNOWN = modules()
ARROWS = arrows()
DOORS = {name for name, path in KNOWN.items() if path.name == "__init__.py"}


def room(module: str) -> str | None:
    """The room of a module: the longest name of a room that it bears; None for a door, which belongs to no room."""
    if module in DOORS and module != "featstore_scripts":
        return None
    inside = [name for name in ROOMS if module == name or module.startswith(f"{name}.")]
    return max(inside, key=len, default="")


def members() -> dict[str, list[str]]:
    found = {name: [] for name in ROOMS}
    for module in KNOWN:
        if (place := room(module)) is not None:
            found.setdefault(place, []).append(module)
    return found


def test_every_module_is_in_a_room():
    assert not members().get(""), "no room of ROOMS holds them"
    assert not [name for name, inside in members().items() if not inside], "rooms without a module"


def test_no_room_is_too_large():
    assert {name: len(inside) for name, inside in members().items() if len(inside) > MOST} == {"featstore_scripts": 27}


def test_imports_go_down():
    up = []
    for (module, target), line in ARROWS.items():
        if module in DOORS:
            continue
        here, there = room(module), room(target)
        if there is not None and ROOMS.index(there) > ROOMS.index(here):
            up.append(f"{KNOWN[module].relative_to(ROOT)}:{line} imports {target}: {there} stands above {here}")
    assert not up, "\n".join(up)


def test_every_import_can_be_followed():
    """But for those whose name comes from the door itself, from who starts a process, or from HEADS."""
    given = {"featstore.lazy_exports", "featstore.decoding.worker", "classifiers.heads.registry"}
    assert not {module: lines for module, path in KNOWN.items() if (lines := unfollowed(path)) and module not in given}


@pytest.mark.parametrize(
    "line",
    [
        "from featstore.images.walk import list_tree",
        "import featstore.images.walk as walk",
        "from ..images import walk",
        'import_module("featstore.images.walk")',
        'import_module(name="featstore.images.walk")',
        '__import__("featstore.images.walk")',
        'TARGET = "featstore.images.walk:list_tree"',
        '["-m", "featstore.images.walk"]',
        '"from featstore.images.walk import list_tree; list_tree()"',
        'N = "featstore.images.walk"',
        'import_module(f"featstore.images.{name}")',
    ],
)
def test_however_it_is_written_an_import_is_seen(tmp_path, line):
    path = tmp_path / "fsio.py"
    path.write_text(
        f"def later():\n    x = {line}\n" if line[0] in '[_"' or "(" in line else f"def later():\n    {line}\n"
    )
    known = {**KNOWN, "featstore.system.other": path}
    assert "featstore.images.walk" in {target for target, _ in imported(path, known)}


@pytest.mark.parametrize(
    "line",
    [
        'import_module("..images.walk", __package__)',
        'import_module("featstore." + "images.walk")',
        "import_module(N)",
        "im(N)",
    ],
)
def test_what_cannot_be_followed_is_refused(tmp_path, line):
    path = tmp_path / "fsio.py"
    path.write_text(f"from importlib import import_module, import_module as im\n\n{line}\n")
    assert unfollowed(path) == [3]


@pytest.mark.parametrize("door", sorted(DOORS - {"featstore_scripts"}))
def test_a_door_loads_nothing_by_itself(door):
    tree = ast.parse(KNOWN[door].read_text(encoding="utf-8"))
    assert {node.module for node in tree.body if isinstance(node, ast.ImportFrom)} == {
        "typing",
        "featstore.lazy_exports",
    }
    assert not [node for node in tree.body if isinstance(node, ast.Import)]


def test_no_import_goes_round():
    inside = {pair: line for pair, line in ARROWS.items() if not DOORS & set(pair)}
    assert circles(inside) == []
    between = {(room(a), room(b)): line for (a, b), line in inside.items() if room(a) != room(b)}
    assert circles(between) == []


def test_the_libraries_go_to_modules_and_leave_the_doors_to_users():
    inner = {pair for pair in ARROWS if pair[1] in DOORS and not pair[0].startswith("featstore_scripts")}
    assert {pair for pair in inner if pair != ("featstore", "featstore")} == set()


@pytest.mark.parametrize("door", sorted(DOORS - {"featstore_scripts"}))
def test_a_door_says_what_its_room_is_for_and_opens_what_its_type_checker_sees(door):
    tree = ast.parse(KNOWN[door].read_text(encoding="utf-8"))
    told = ast.get_docstring(tree)
    assert len(told.splitlines()) >= 3 and "ay import" in told
    offered = set(import_module(door).__all__) - {"__version__"}
    seen = {alias.name for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) for alias in node.names}
    assert offered == seen - {"TYPE_CHECKING", "lazy_exports"}
    beside = {path.stem for path in KNOWN[door].parent.iterdir()}
    assert offered.isdisjoint(beside), "a name that a module bears, too, would be hidden by it"


@cache
def allowed(place: str) -> set[str]:
    """The rooms that a door says its room may import: those in backticks and what they may import; its own; errors."""
    package = place.partition(".")[0]
    told = " ".join(ast.get_docstring(ast.parse(KNOWN[place].read_text(encoding="utf-8"))).split())
    words = re.search(r"May import (.*?)(; |\.( |$))", told).group(1)
    inner = {name for name in ROOMS if name.startswith(f"{place}.")}
    if "every other room" in words:
        return {name for name in ROOMS if name.startswith("featstore.")}
    named = {name for word in re.findall(r"`([\w.]+)`", words) for name in ROOMS if within(name, f"{package}.{word}")}
    found = named | inner | {place, "featstore.errors"}
    if words.endswith("featstore"):
        found |= {name for name in ROOMS if name.startswith("featstore.")}
    for name in named | inner if "may import" in words else ():
        found |= allowed(name) if name in DOORS else set()
    return found


def within(name: str, place: str) -> bool:
    return name == place or name.startswith(f"{place}.")


@pytest.mark.parametrize("place", [name for name in ROOMS if name in DOORS and name != "featstore_scripts"])
def test_a_room_imports_what_its_door_says(place):
    arrows = [(KNOWN[a], line, room(b)) for (a, b), line in ARROWS.items() if a not in DOORS and room(a) == place]
    assert [arrow for arrow in arrows if arrow[2] not in allowed(place) | {None}] == []


@pytest.mark.parametrize("door", sorted(DOORS - {"featstore_scripts"}))
def test_every_offered_name_is_there(door):
    package = import_module(door)
    assert all(getattr(package, name) is not None for name in package.__all__)
    assert set(package.__all__) <= set(dir(package))


def test_featstore_knows_neither_classifiers_nor_commands():
    assert not [pair for pair in ARROWS if pair[0].startswith("featstore.") and not pair[1].startswith("featstore")]


@pytest.mark.parametrize(
    "start", ["featstore.decoding.worker", "featstore.decoding.pool", "featstore.store.feature_store"]
)
def test_the_store_and_the_workers_stay_clear_of_torch(start):
    """But for the process beside a GPU, which the parent only starts by its name."""
    beside_a_gpu = "featstore.decoding.nvjpeg_worker"
    for module in reachable(start, {pair: 0 for pair in ARROWS if pair[0] not in DOORS and pair[1] != beside_a_gpu}):
        assert _packages(module).isdisjoint({"torch", "torchvision", "sklearn", "lightgbm"}), module


def test_a_reader_of_a_store_loads_neither_torch_nor_the_decoders():
    code = "import sys, featstore.store.feature_store; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    ).stdout.split()
    assert {"torch", "PIL", "featstore.decoding.pixels.decode"}.isdisjoint(
        loaded
    ) and "featstore.store.tables.snapshot" in loaded


@pytest.mark.parametrize("verb", sorted(m for m in KNOWN if m.startswith("featstore_scripts.")))
def test_a_command_imports_no_other_command_and_nothing_heavy_at_the_top(verb):
    ours = {target for target, _ in imported(KNOWN[verb], KNOWN) if target.startswith("featstore_scripts")}
    allowed = {"featstore_scripts", "featstore_scripts.options", "featstore_scripts.report_folder"}  # no commands
    if verb == "featstore_scripts.main":  # which imports the one that is asked for
        return
    if verb == "featstore_scripts.options":  # which hands on how a command runs and words things; no commands
        allowed |= {"featstore_scripts.process", "featstore_scripts.store_folder", "featstore_scripts.wording"}
    if verb == "featstore_scripts.process":
        allowed = {"featstore_scripts.wording"}
    assert ours <= allowed
    heavy = {"torch", "torchvision", "sklearn", "numpy", "h5py", "lightgbm", "matplotlib", "scipy", "PIL", "rich"}
    assert _packages(verb, top=True).isdisjoint(heavy)


def test_report_takes_runs_never_a_head_and_the_store_a_fingerprint_never_a_network():
    for (module, target), line in ARROWS.items():
        assert not (module.startswith("classifiers.report.") and target.startswith("classifiers.heads")), (module, line)
        assert not (module.startswith("featstore.store.") and target.startswith("featstore.backbone")), (module, line)


def _packages(module: str, top: bool = False) -> set[str]:
    """What a module imports, by its first name; `top`: outside of functions only."""
    tree = ast.parse(KNOWN[module].read_text(encoding="utf-8"))
    found = set()
    for node in tree.body if top else ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module.partition(".")[0])
    return found
