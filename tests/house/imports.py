"""Which module imports which, read off the source: at the top, inside functions, for types, and by name in strings."""

import ast
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = {"featstore": "featstore", "classifiers": "classifiers", "featstore_scripts": "scripts"}
TARGET = re.compile(r"((?:featstore|classifiers|featstore_scripts)(?:\.\w+)+):\w+")


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
    imports count, and so do strings such as "package.module:function", by which a process is told what to run, and what
    `import_module` is given; of a name that is put together there, everything that begins as its first part does.
    """
    tree = ast.parse(path.read_text(encoding="utf-8"))
    own = next(name for name, place in known.items() if place == path)
    package = own if path.name == "__init__.py" else own.rpartition(".")[0]
    prose = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}  # docstrings name modules, too
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name in known:
                    yield alias.name, node.lineno
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*above, *filter(None, [base])])
            for alias in node.names if base in known else ():
                inside = f"{base}.{alias.name}"
                yield inside if inside in known else base, node.lineno
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module"):
            text = node.args[0].values[0] if isinstance(node.args[0], ast.JoinedStr) else node.args[0]
            if isinstance(text, ast.Constant):
                whole = text is node.args[0]
                doors = {name for name, place in known.items() if place.name == "__init__.py"}
                begins = {name for name in known.keys() - doors if name.startswith(text.value)}
                fits = known.keys() & {text.value} if whole else begins
                yield from ((name, node.lineno) for name in fits)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in prose:
            whole = TARGET.fullmatch(node.value)
            if whole and whole.group(1) in known:
                yield whole.group(1), node.lineno


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
