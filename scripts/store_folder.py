"""StoreFolder: where a command takes a feature store."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click


class StoreFolder(click.Path):
    """The folder of a feature store; a bundle in its place is called what it is."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The value as it is."""
        not_a_bundle(value)
        return super().convert(value, param, ctx)


def not_a_bundle(path: str) -> None:
    """Refuse the file of a bundle where a store is wanted."""
    if not Path(path).is_file():
        return
    from classifiers.models.tensor_file import kind
    from featstore.errors import StoreFormatError

    if kind(Path(path)) == "bundle":
        raise StoreFormatError(
            f"{path} is a bundle, a trained classifier, and no feature store: classify images with `featstore predict "
            f"{path} IMAGES`, judge it with `featstore evaluate {path} DATA -o DIR`, or write it for other programs "
            f"with `featstore export {path} -o model.onnx`"
        )
