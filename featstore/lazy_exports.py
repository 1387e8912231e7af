"""What a package offers, each name imported when it is first asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any


def lazy_exports(package: str, modules: Mapping[str, str]) -> tuple[Callable[[str], Any], list[str]]:
    """A package's `__getattr__` and `__all__`.

    Parameters
    ----------
    package : str
        The package's `__name__`.
    modules : mapping of str to str
        Module, relative to the package, and the names that are offered from it, with spaces between. No name may be
        that of a module or folder in the package: once that is imported, it would stand in the name's place.

    Returns
    -------
    __getattr__ : callable
        Raises AttributeError for a name that is not offered.
    __all__ : list of str

    Examples
    --------
    >>> get, names = lazy_exports("featstore", {"features": "FeatureSet", "images.image_set": "ImageSet"})
    >>> names, get("FeatureSet").__name__
    (['FeatureSet', 'ImageSet'], 'FeatureSet')
    """
    homes = {name: module for module, names in modules.items() for name in names.split()}

    def get(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(import_module(f"{package}.{homes[name]}"), name)

    return get, sorted(homes)
