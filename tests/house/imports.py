"""Which module imports which, read off the source: at the top, inside functions, for types, and by name in strings."""

import ast
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = {"featstore": "featstore", "classifiers": "classifiers", "featstore_scripts": "scripts"}
TARGET = re.compile(r"(?<![\w.`])(?:featstore|classifiers|featstore_scripts)(?:\.\w+)+(?![\w.]*`)")


def modules(root: Path = ROOT) -> dict[str, Path]:
    """Every module of the three packages by its dotted name; a package is named by its folder."""
    found = {}
    for package, folder in FOLDERS.items():
        for path in sorted((root / folder).rglob("*.py")):
            parts = path.relative_to(root / folder).with_suffix("").parts
            parts = parts[:-1] if parts[-1] == "__init__" else parts
            found[".".join((package, *parts))] = path
    return found


def imported(path: Path, known: Mapping[str, Path]) -> Iterator[tuple[str, int]]:
    """What one file imports of the three packages: (module, line), wherever in the file the import stands.

    `from package import name` is an import of `package.name` where that is a module, else of the package. Relative
    imports count, and so does every module that a string names, whole or in a program for another process; messages
    name none. Of a name that is put together for `import_module`, everything that begins as its first part does.
    """
    tree = ast.parse(path.read_text(encoding="utf-8"))
    own = next(name for name, place in known.items() if place == path)
    package = own if path.name == "__init__.py" else own.rpartition(".")[0]
    prose = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}  # docstrings name modules, too
    doors = {name for name, place in known.items() if place.name == "__init__.py"}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                if (name := _named(alias.name)) in known:
                    yield name, node.lineno
        elif isinstance(node, ast.ImportFrom):
            base = _named(node.module or "")
            if node.level:
                above = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*above, *filter(None, [base])])
            for alias in node.names if base in known else ():
                inside = f"{base}.{alias.name}"
                yield inside if inside in known else base, node.lineno
        elif isinstance(node, ast.JoinedStr):
            first = node.values[0] if node.values else None
            if isinstance(first, ast.Constant) and re.fullmatch(
                r"(featstore|classifiers|featstore_scripts)\.[\w.]*", first.value
            ):
                yield from ((name, node.lineno) for name in known.keys() - doors if name.startswith(first.value))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in prose:
            yield from ((name, node.lineno) for name in TARGET.findall(node.value) if name in known.keys() - doors)


def unfollowed(path: Path) -> list[int]:
    """Lines that import by a name which is not written there, so that `imported` cannot follow them."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    loaders = {"import_module", "__import__", "run_module"}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            loaders |= {alias.asname for alias in node.names if alias.name in loaders and alias.asname}
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    return [
        call.lineno for call in calls if ast.unparse(call.func).rpartition(".")[2] in loaders and not _written(call)
    ]


def _written(call: ast.Call) -> bool:
    name = next(iter([*call.args, *(word.value for word in call.keywords if word.arg == "name")]), None)
    whole = isinstance(name, ast.Constant) and not str(name.value).startswith(".")
    return whole or (isinstance(name, ast.JoinedStr) and isinstance(name.values[0], ast.Constant))


def _named(module: str) -> str:
    """`scripts` is found under both names where Python runs in the repository."""
    return f"featstore_{module}" if module.partition(".")[0] == "scripts" else module


def arrows(root: Path = ROOT) -> dict[tuple[str, str], int]:
    """Every arrow from a module to a module that it imports, with a line where it stands."""
    known = modules(root)
    found: dict[tuple[str, str], int] = {}
    for name, path in known.items():
        for target, line in imported(path, known):
            if target != name:
                found.setdefault((name, target), line)
    return found


def circles(edges: Mapping[tuple[str, str], int]) -> list[list[str]]:
    """The strongly connected groups of more than one node, each sorted."""
    after: dict[str, set[str]] = {}
    for a, b in edges:
        after.setdefault(a, set()).add(b)
        after.setdefault(b, set())

    def reach(start: str) -> set[str]:
        seen, todo = set(), [start]
        while todo:
            for there in after[todo.pop()] - seen:
                seen.add(there)
                todo.append(there)
        return seen

    reached = {node: reach(node) for node in after}
    groups = {frozenset({n, *(m for m in reached[n] if n in reached[m])}) for n in after if n in reached[n]}
    return sorted(sorted(group) for group in groups if len(group) > 1)


def reachable(start: str, edges: Mapping[tuple[str, str], int]) -> set[str]:
    """Every module that a module can load, itself included."""
    seen, todo = {start}, [start]
    while todo:
        here = todo.pop()
        for a, b in edges:
            if a == here and b not in seen:
                seen.add(b)
                todo.append(b)
    return seen
