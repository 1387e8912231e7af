"""The layers of docs/design.md, read off the imports."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
# A module may import, at its top level, from its own layer and the layers before it.
FEATSTORE = [
    {"errors"},
    {"fsio", "decode", "resample", "transform", "fingerprint"},
    {"imageset", "scan", "shard", "features", "worker", "weights", "recall", "extraction"},
    {"store", "pool", "backbone"},
    {"engine", "writer"},
    {"extract", "samples"},
]


def imports(path: Path, top_level_only: bool = False) -> set[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    nodes = tree.body if top_level_only else ast.walk(tree)
    found = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
            found.update(f"{node.module}.{alias.name}" for alias in node.names)
    return found


def packages(path: Path) -> set[str]:
    return {name.split(".")[0] for name in imports(path)}


def files(folder: str) -> list[Path]:
    return sorted((ROOT / folder).glob("*.py"))


@pytest.mark.parametrize("path", files("featstore"), ids=lambda p: p.stem)
def test_featstore_knows_neither_classifiers_nor_scripts(path):
    assert packages(path).isdisjoint({"classifiers", "featstore_scripts", "scripts"})


@pytest.mark.parametrize("path", files("classifiers"), ids=lambda p: p.stem)
def test_classifiers_do_not_know_scripts(path):
    assert packages(path).isdisjoint({"featstore_scripts", "scripts"})


@pytest.mark.parametrize("path", files("scripts"), ids=lambda p: p.stem)
def test_a_command_imports_no_other_command_and_nothing_heavy_at_the_top(path):
    allowed = {"featstore_scripts", "featstore_scripts.options", "featstore_scripts.__init__"}
    ours = {name for name in imports(path) if name.startswith("featstore_scripts")}
    if path.stem == "options":  # which hands on how a command runs; that is no command
        ours = {name for name in ours if not name.startswith("featstore_scripts.process")}
    assert ours <= allowed
    heavy = {"torch", "torchvision", "sklearn", "numpy", "h5py", "lightgbm", "matplotlib", "scipy", "PIL", "rich"}
    at_top = {name.split(".")[0] for name in imports(path, top_level_only=True)}
    assert at_top.isdisjoint(heavy)


STAY_CLEAR = ["errors", "fsio", "imageset", "fingerprint", "shard", "features", "store", "decode", "resample"]


@pytest.mark.parametrize("name", [*STAY_CLEAR, "transform", "pool"])
def test_the_store_and_the_workers_stay_clear_of_torch(name):
    path = ROOT / "featstore" / f"{name}.py"
    assert packages(path).isdisjoint({"torch", "torchvision", "sklearn", "lightgbm"})


def test_lower_layers_do_not_import_higher_ones():
    level = {name: i for i, names in enumerate(FEATSTORE) for name in names}
    for path in files("featstore"):
        for imported in imports(path, top_level_only=True):
            other = imported.removeprefix("featstore.")
            if imported.startswith("featstore.") and other in level and path.stem in level:
                assert level[other] <= level[path.stem], f"featstore/{path.name} imports {imported}, a layer above it"


def test_report_takes_runs_never_a_head():
    assert imports(ROOT / "classifiers" / "report.py").isdisjoint(
        {"classifiers.heads.registry", "classifiers.heads.registry.linear.estimators", "classifiers.heads.mlp"}
    )


def test_store_takes_a_fingerprint_never_a_backbone():
    assert "featstore.backbone.backbone" not in imports(ROOT / "featstore" / "store.py")
