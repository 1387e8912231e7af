"""What a package offers, each name imported when it is first asked for."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from typing import Any


def lazy_exports(package: str) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """A package's `__getattr__` and `__dir__`: it offers what its source imports as itself under `if TYPE_CHECKING:`.

    So the names stand once, for type checkers and for Python. `__all__` is their list.

    Parameters
    ----------
    package : str
        The package's `__name__`. No name that it offers may be that of a module or folder in it: once that is imported,
        it would stand in the name's place.

    Returns
    -------
    __getattr__ : callable
        Raises AttributeError for a name that is not offered.
    __dir__ : callable
        For completion, and for Python's own "Did you mean".

    Examples
    --------
    >>> get, names = lazy_exports("featstore.images")
    >>> get("__all__")[:2], get("ImageSet").__module__
    (['ImageSet', 'Listing'], 'featstore.images.image_set')
    """

    @cache
    def homes() -> dict[str, str]:
        import ast

        loader: Any = getattr(find_spec(package), "loader", None)
        source = loader.get_source(package)
        if source is None:
            raise ImportError(f"the source of {package} is not there, only its compiled form; expected both")
        found = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.ImportFrom)]
        return {alias.name: str(node.module) for node in found for alias in node.names if alias.asname == alias.name}

    def get(name: str) -> Any:
        if name == "__all__":
            return sorted(homes())
        if (name.startswith("__") and name.endswith("__")) or name not in homes():
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(import_module(homes()[name]), name)

    return get, lambda: sorted({*homes(), *vars(import_module(package))})
